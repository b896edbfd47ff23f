"""Unsubscribe is in force at commit: nothing claimed goes, nothing waiting stays."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store.flight import Kind
from daemon.store.unsubscribe import _WHO, Unsubscribed, find_subscription, unsubscribe
from daemon.store.wake import wake
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome


async def apply(world: World, delivery: int, how: str = "one_click") -> Unsubscribed:
    done = await world.store.write(Lane.EXIT, unsubscribe, delivery, now=world.now, how=how)
    assert done is not None
    return done


@pytest.mark.promise("F44", "P6")
async def test_nothing_claimed_is_handed_over_after_an_unsubscribe(world: World) -> None:
    """A claim of before the commit is refused at its handover (P6)."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    claimed = (await world.claim()).claimed
    assert len(claimed) == 2
    done = await apply(world, 1)
    assert (done.changed, done.channel) == (True, "email")
    assert await world.step(grants=claimed) == {2}


async def test_who_shares_the_address_is_decided_anew(world: World) -> None:
    """The address is suppressed, so another person's claimed message to it is refused too."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    await world.sql("UPDATE recipient SET email_hash = x'AA'")
    claimed = (await world.claim()).claimed
    await apply(world, 1)
    assert await world.step(grants=claimed) == frozenset()
    await world.claim()
    assert all((kind, row.reason) == ("email", "suppressed") for known in world.seen_known.values() for kind, row in known.suppressions)
    assert set(world.seen_known) == {7, 8}


async def test_what_waits_becomes_due_now_and_is_dropped(world: World) -> None:
    """A message deferred to tomorrow is dropped by the next claim, not tomorrow."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    world.decide = lambda row: Decision(verdict=Verdict.DEFER, reason=Reason.WINDOW_CLOSED, until=LATER - 5)
    await world.claim()
    done = await apply(world, 1, "page")
    assert done.woken == 1
    world.decide = lambda row: Decision(verdict=Verdict.DROP, reason=Reason.SUPPRESSED)
    assert (await world.claim()).taken == 1
    assert await world.state(1) == ("dropped", "suppressed")
    [(state, source)] = await world.sql("SELECT state, source FROM consent WHERE person = 7 AND channel = 'email' AND topic = '*'")
    assert (state, source) == ("withdrawn", "unsubscribe:page")


@pytest.mark.parametrize("burnt", [True, False])
async def test_what_a_provider_put_off_keeps_its_pause(world: World, burnt: bool) -> None:
    """Whether or not it used up an attempt (a throttle answer does not): the provider asked for time, whatever its person does."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    assert await world.step(grants=[claimed]) == {1}
    await world.step(outcomes=[outcome(claimed, Kind.DEFERRED, scope="provider", code="421", again_at=world.now + 30, burnt=burnt)])
    assert (await apply(world, 1)).woken == 0


async def test_what_waits_to_be_tried_again_does_not_come_sooner(world: World) -> None:
    """An unsubscribe ends what is marketing when its turn comes; a receipt that a server put off keeps its pause."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.DEFERRED, code="451", again_at=NOW + 10**9)])
    assert await world.store.write(Lane.BULK, wake, [7], NOW + 5) == 0
    assert await world.sql("SELECT not_before FROM due") == [(NOW + 10**9,)]


async def test_twice_is_as_once(world: World) -> None:
    """The second unsubscribe raises no guard and wakes nobody."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    assert (await apply(world, 1)).changed
    guard = await world.sql("SELECT guard FROM recipient WHERE id = 7")
    again = await apply(world, 1)
    assert (again.changed, again.woken) == (False, 0)
    assert await world.sql("SELECT guard FROM recipient WHERE id = 7") == guard


async def test_a_bounce_is_not_softened(world: World) -> None:
    """An address that is suppressed for everything stays so."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql("INSERT INTO suppression VALUES (CAST('h7' AS BLOB), 'email', 'all', 'bounced', 1, 'provider:relay')")
    await apply(world, 1)
    assert await world.sql("SELECT scope, reason FROM suppression") == [("all", "bounced")]


async def test_an_erased_person_and_an_unknown_delivery_change_nothing(world: World) -> None:
    """An erased person's link still works (there is nothing left to be done); an unknown delivery is said to be unknown."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql("UPDATE recipient SET erased = 1, email = NULL, email_hash = NULL")
    assert not (await apply(world, 1)).changed
    assert await world.store.write(Lane.EXIT, unsubscribe, 999, now=world.now, how="page") is None
    assert await world.sql("SELECT count(*) FROM consent") == [(0,)]


async def test_looking_changes_nothing(world: World) -> None:
    """The page's look-up tells channel and state and writes no row (B45)."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    found = await world.store.read(find_subscription, 1)
    assert found is not None
    assert (found.channel, found.active) == ("email", True)
    assert await world.sql("SELECT guard FROM recipient WHERE id = 7") == [(0,)]
    await apply(world, 1)
    found = await world.store.read(find_subscription, 1)
    assert found is not None
    assert not found.active


async def test_the_look_up_uses_indexes(world: World) -> None:
    """Neither the page nor the act scans a table that grows."""

    def plan(conn: Connection) -> list[str]:
        compiled = _WHO.compile(dialect=conn.dialect)
        values = tuple(compiled.params[name] or 1 for name in compiled.positiontup or ())
        return [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]

    lines = await world.store.read(plan)
    assert not [line for line in lines if line.startswith("SCAN")]
