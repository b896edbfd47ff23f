"""The channel `audience`: whoever is granted is wanted in, nobody else, and what a crash leaves in doubt is put in again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.dispatch.door import AudienceDoor, DoorWriter, settle_doubts
from daemon.dispatch.work import Envelope
from daemon.errors import StoreUnavailableError
from daemon.model.audience import AUDIENCE, AudienceRule
from daemon.model.delivery import DAY
from daemon.store.flight import Kind
from daemon.store.recipients import person_id
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store
from plugins.contract import Accepted, Deferred, Outcome
from plugins.testing.messages import make_message
from plugins.testing.world import KitLog, make_context
from tests.stages.audience_world import Hands
from tests.store.conftest import NOW, World, add_job, outcome


class Granting:
    """A session that grants only some."""

    closing = False

    def __init__(self, granted: Collection[str]) -> None:
        self.granted, self.reports = frozenset(granted), dict[str, Outcome]()

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return self.granted & frozenset(ids)

    def report(self, id: str, outcome: Outcome) -> None:
        self.reports[id] = outcome


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    opened = Store.open(tmp_path / "homing.db")
    await opened.write(Lane.BULK, begin, NOW, "node", "nonce")
    await opened.write(Lane.BULK, add_job, 1, people=[person_id("c-1"), person_id("c-2")])
    await opened.write(Lane.BULK, lambda conn: conn.exec_driver_sql("UPDATE wave SET channel = 'audience'"))
    yield opened
    await opened.close()


async def opened_door(store: Store, clock: Hands) -> AudienceDoor:
    door = AudienceDoor()
    door.bind(store, ("meta",), "implied")
    await door.start(make_context(None, clock, KitLog(), None, provider="door"))  # type: ignore[arg-type]
    return door


def message(number: int) -> Any:
    made = make_message(number, channel=AUDIENCE, address=f"c-{number}", now=Hands().now())
    return replace(made, recipient=f"c-{number}", campaign="job:x", subject="vips", head={"providers": "meta"})


async def wanted(store: Store) -> list[int]:
    return list(await store.read(lambda conn: conn.exec_driver_sql("SELECT person FROM audience_member WHERE want = 1 ORDER BY person").scalars().all()))


async def test_who_is_not_granted_is_not_put_in(store: Store) -> None:
    """Paused, cancelled, unsubscribed since the claim: the handover says no, and no advertising platform hears of the person."""
    door, one, two = await opened_door(store, Hands()), message(1), message(2)
    session = Granting([one.id])
    await door.send([one, two], session)
    assert session.reports == {one.id: Accepted()}
    assert await wanted(store) == [person_id("c-1")]


async def test_a_full_store_gives_the_grant_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was put in, so nothing is in doubt."""
    door, one = await opened_door(store, Hands()), message(1)

    async def full(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("no room")

    monkeypatch.setattr(store, "write", full)
    session = Granting([one.id])
    await door.send([one], session)
    [said] = session.reports.values()
    assert isinstance(said, Deferred) and said.nothing_sent


async def test_what_a_crash_left_in_doubt_is_due_again(store: Store) -> None:
    """Whether the person was put in nobody knows, and it does not matter."""
    world = World(store)
    [one, _] = (await world.claim()).claimed
    await world.step(grants=[one])
    await world.step(outcomes=[outcome(one, Kind.UNKNOWN)])
    assert await settle_doubts(store, world.now) == 1
    assert await world.state(one.row.delivery) == ("due", None)


async def test_who_is_put_in_is_known_to_be_of_its_job(store: Store) -> None:
    """Else nobody could take a cancelled job's people out again."""
    world, clock = World(store), Hands()
    [one, _] = (await world.claim()).claimed
    rule = AudienceRule(providers=("meta",), name="vips")
    plan: Any = SimpleNamespace(campaign=SimpleNamespace(audiences=(rule,), topic=None))
    written: Any = DoorWriter(clock).render(Envelope(public_id="m", claimed=one, plan=plan))
    door = await opened_door(store, clock)
    key = next(key for key in ("c-1", "c-2") if person_id(key) == one.row.person)
    await door.send([replace(written, campaign="job:x", recipient=key)], Granting(["m"]))
    assert await store.read(lambda conn: conn.exec_driver_sql("SELECT person, job FROM audience_member").all()) == [(one.row.person, 1)]


async def test_buyers_are_named_by_their_orders(store: Store) -> None:
    """Tier and band of the profile, by `[shop]`; who never bought by the traits of these names."""
    world, clock = World(store), Hands()
    [one, _] = (await world.claim()).claimed
    rule = AudienceRule(providers=("meta",), name="{{ tier }}-{{ band }}")
    plan: Any = SimpleNamespace(campaign=SimpleNamespace(audiences=(rule,), topic=None))
    last = clock.instant() - 100 * DAY
    names = []
    for profile in ({"orders": 4, "value": 600_000_000, "last_order_at": last}, {"orders": 0, "value": 0, "last_order_at": None}, None):
        written: Any = DoorWriter(clock).render(Envelope(public_id="m", claimed=one, plan=plan, profile=profile))
        names.append(written.subject)
    assert names == ["high-late", "any-any", "any-any"]
