"""What waits for a turn at a slow destination when the daemon is killed: the next one finds it, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.dispatch.turns import AHEAD, let_go, waits_for_turn
from daemon.errors import StoreUnavailableError
from daemon.log import get_log
from daemon.model.delivery import HOUR, SECOND, Decision, Instant, Reason, Verdict
from daemon.store import turns as store_turns
from daemon.store.facts import DueRow
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store
from tests.store.conftest import NOW, World, add_job


class Still:
    """A clock that stands at NOW; its sleeps are counted."""

    slept = 0

    def instant(self) -> Instant:
        return NOW

    async def sleep(self, seconds: float) -> None:
        self.slept += 1


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.BULK, begin, NOW, "node", "nonce")
    yield World(store)
    await store.close()


def put_off(rule: str, reason: Reason = Reason.RATE_LIMITED, until: Instant = NOW + HOUR) -> Decision:
    return Decision(verdict=Verdict.DEFER, reason=reason, until=until, rule=(rule, "v1"))


async def start(world: World, store: Any = None, clock: Any = None) -> list[int]:
    """A daemon starts after a kill. How often it woke the claim loop."""
    woken: list[int] = []
    await world.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    await let_go(store=store or world.store, clock=clock or Still(), channels={"email"}, log=get_log(), wake=lambda: woken.append(1))
    return woken


@pytest.mark.promise("P10", "F1")
async def test_what_a_killed_daemon_had_put_off_for_a_slow_destination_is_due_at_the_next_start(world: World) -> None:
    """Nobody else knows of it: it would wait out turns of up to an hour. What waits for anything else goes on waiting."""
    others = (put_off("rate.relay.slow.example"), put_off("window", Reason.WINDOW_CLOSED), put_off("warm_up.relay"))

    def decide(row: DueRow) -> Decision:
        if row.delivery <= 3:
            return others[row.delivery - 1]
        return waits_for_turn("relay", "slow.example", 60.0, NOW + row.delivery * SECOND, "v1")

    world.decide = decide
    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 31))
    await world.claim()
    assert await start(world) == [1]
    assert await world.sql("SELECT delivery FROM due WHERE not_before > :n ORDER BY delivery", n=NOW) == [(1,), (2,), (3,)]
    assert await world.sql("SELECT id FROM delivery WHERE not_before > :n ORDER BY id", n=NOW) == [(1,), (2,), (3,)]
    assert await world.sql("SELECT head FROM lane") == [(NOW,)]
    assert await start(world) == []


async def test_the_queue_is_read_a_stretch_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all lanes, none passed over where stretches meet; between them the daemon does something else. What comes later is not read."""
    monkeypatch.setattr(store_turns, "STRETCH", 4)
    waits = waits_for_turn("relay", "slow.example", 60.0, NOW + HOUR, "v1")
    late = put_off("slow.relay.slow.example", until=NOW + AHEAD + 1)
    world.decide = lambda row: late if row.delivery == 1 else waits
    for job in (1, 2, 3):
        await world.store.write(Lane.BULK, add_job, job, people=range(1, 9), first_id=10 * job - 9)
    await world.claim()
    clock = Still()
    assert len(await start(world, clock=clock)) == 6
    assert await world.sql("SELECT delivery FROM due WHERE not_before > :n", n=NOW) == [(1,)]
    assert clock.slept == 5


async def test_a_store_that_cannot_take_it_leaves_them_to_their_turns(world: World) -> None:
    """A full disk at the start is no reason to fall."""

    class NoRoom:
        read = world.store.read

        async def write(self, *_: Any) -> Any:
            raise StoreUnavailableError("no room")

    world.decide = lambda row: waits_for_turn("relay", "slow.example", 60.0, NOW + HOUR, "v1")
    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 4))
    await world.claim()
    assert await start(world, NoRoom()) == []
    assert await world.sql("SELECT count(*) FROM due WHERE not_before = :n", n=NOW + HOUR) == [(3,)]
