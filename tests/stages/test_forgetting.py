"""Retention as the daemon does it: at night, under a clock and a store that can be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.app.forgetting import Forgetting, is_due
from daemon.app.housekeeping import Housekeeping
from daemon.clock import to_instant
from daemon.config.retention import RetentionTable
from daemon.model.delivery import DAY, HOUR
from daemon.store.retention import note_pruned, prune, pruned_at


def at(hour: int, day: int = 22) -> int:
    return to_instant(datetime(2026, 11, day, hour, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("hour", "last", "due"),
    [
        (20, None, True),  # 03:30 in Jakarta
        (2, None, False),  # 09:30 there
        (20, at(19), False),
        (20, at(20, 21), True),
        (2, at(2, 21), False),
        (2, at(1, 20), True),  # two days without a night
    ],
)
def test_it_is_done_once_a_night(hour: int, last: int | None, due: bool) -> None:
    """The night of default_zone; and at any hour if the daemon only runs by day."""
    assert is_due(at(hour), last, "Asia/Jakarta") is due


class Told:
    """A store that notes what is asked of it; three stretches a table. `latch()` is called before each."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.pruned: list[tuple[str, int]] = []

    async def read(self, act: Any, *args: Any) -> Any:
        assert act is pruned_at
        return self.last

    async def write(self, lane: int, act: Any, *args: Any) -> Any:
        if act is note_pruned:
            self.last = args[0]
            return None
        assert act is prune
        name, _, kept, cursor = args
        self.pruned.append((name, kept // DAY))
        turn = 0 if cursor is None else cursor[0]
        return (turn + 1,) if turn < 2 else None


class Clock:
    def __init__(self, now: int) -> None:
        self.now, self.slept = now, 0

    def instant(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept += 1


def forgetting(latched: Sequence[dict[str, str]] = (), **days: int) -> tuple[Forgetting, Told, Clock]:
    store, clock, said = Told(), Clock(at(20)), list(latched)
    world: Any = SimpleNamespace(store=store, clock=clock, log=SimpleNamespace(info=lambda *_: None))
    gate: Any = SimpleNamespace(latched=lambda: said.pop(0) if said else {})
    config: Any = SimpleNamespace(homing=SimpleNamespace(default_zone="Asia/Jakarta"), retention=RetentionTable(**days))
    return Forgetting(world, gate, lambda: config), store, clock


async def test_each_table_goes_stretch_by_stretch_with_a_rest_between() -> None:
    """As many days as the config says, 0 = not at all; and only once."""
    made, store, clock = forgetting(event=0, feedback=50)
    await made.round()
    assert store.pruned[:3] == [("feedback", 50)] * 3
    assert store.pruned[3:6] == [("provider_ref", 400)] * 3
    assert {name for name, _ in store.pruned} == set(RetentionTable.model_fields) - {"event"}
    assert clock.slept == len(store.pruned) == 3 * (len(RetentionTable.model_fields) - 1)
    clock.now += HOUR
    await made.round()
    assert len(store.pruned) == 3 * (len(RetentionTable.model_fields) - 1)


async def test_an_untrusted_clock_or_store_ends_it_at_once() -> None:
    """And it is done the next time."""
    made, store, _ = forgetting([{}, {"clock_untrusted": "jumped"}])
    await made.round()
    assert len(store.pruned) == 1
    await made.round()
    assert store.last is not None


async def test_a_mistake_in_it_is_told_and_the_next_bell_tries_again() -> None:
    """Nobody waits for the task: a failure that ended it would let the store grow for good, in silence."""
    rounds: list[str] = []
    told, done = asyncio.Event(), asyncio.Event()

    async def forget() -> None:
        rounds.append("round")
        if len(rounds) == 1:
            raise RuntimeError("a table that nobody thought of")
        done.set()

    def error(event: str, **_: object) -> None:
        assert event == "prune_failed"
        told.set()

    world: Any = SimpleNamespace(clock=Clock(at(20)), log=SimpleNamespace(error=error))
    part: Any = SimpleNamespace(latched=lambda: {"clock_untrusted": "it went backwards"})
    keeping = Housekeeping(
        world, owner=1, gate=part, journal=part, sending=part, horizon=lambda: 0, observe=part, executor=part, bell=part, pace=part,
        watched=part, forget=forget,
    )  # fmt: skip
    pruning = asyncio.create_task(keeping._prune())
    try:
        async with asyncio.timeout(10):
            for heard in (told, done):
                keeping._prune_now.set()
                await heard.wait()
    finally:
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)
