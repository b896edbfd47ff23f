"""A second copy (`on_doubt = "resend_once"`) never hides the first one's doubt; and what else the store machine found."""

from __future__ import annotations

import pytest

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store.claim import Claimed
from daemon.store.doubts import list_doubts, resolve_doubt
from daemon.store.flight import Kind, Step
from daemon.store.held import HeldWhere, cancel_some_held, release_some_held
from daemon.store.jobs import cancel_job
from daemon.store.recover import begin
from daemon.store.release import find_work, sweep_some
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome

DOUBT = ("in_doubt", None)


async def doubted(world: World) -> None:
    """One delivery whose first copy may have arrived; the second one is due."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [first] = (await world.claim()).claimed
    await world.step(grants=[first])
    await world.step([outcome(first, Kind.UNKNOWN, resend=True)])
    assert await world.state(1) == ("due", None)


async def in_doubt_with_evidence(world: World) -> None:
    assert await world.state(1) == DOUBT
    assert await world.tally() == {("in_doubt", ""): 1}
    [doubt] = await world.store.read(list_doubts, 0, 10)
    assert doubt.handed_over_at == NOW
    assert await world.sql("SELECT count(*) FROM touch") == [(1,)]


@pytest.mark.promise("P3")
async def test_a_second_copy_that_the_rules_drop_leaves_the_doubt(world: World) -> None:
    """Suppressed, late or expired: nobody knows whether the first copy arrived, so it is listed, not called unsent."""
    await doubted(world)
    world.decide = lambda row: Decision(verdict=Verdict.DROP, reason=Reason.SUPPRESSED)
    assert (await world.claim()).taken == 1
    await in_doubt_with_evidence(world)


@pytest.mark.promise("P3")
async def test_a_second_copy_of_a_cancelled_job_leaves_the_doubt(world: World) -> None:
    """Cancelled means unsent, and the same person could be enrolled again."""
    await doubted(world)
    await world.sql("UPDATE job SET first_id = 1, last_id = 1")
    await world.store.write(Lane.EXIT, cancel_job, "job-1")
    [job] = (await world.store.read(find_work)).sweep
    await world.store.write(Lane.BULK, sweep_some, job, 0, NOW, 10)
    await in_doubt_with_evidence(world)


@pytest.mark.promise("P3")
async def test_a_held_second_copy_that_is_cancelled_leaves_the_doubt(world: World) -> None:
    """By an operator's `held cancel`; released, it is still a second copy."""
    await doubted(world)
    world.decide = lambda row: Decision(verdict=Verdict.HOLD, reason=Reason.ZONE_UNKNOWN, key="recipient:p-7")
    await world.claim()
    await world.store.write(Lane.EXIT, release_some_held, HeldWhere(), NOW + 1)
    world.now += 1
    await world.claim()
    assert await world.store.write(Lane.EXIT, cancel_some_held, HeldWhere(), NOW + 2) == 1
    await in_doubt_with_evidence(world)


@pytest.mark.parametrize("how", ["refused at the handover", "surely failed", "rejected"])
async def test_the_first_copys_handover_is_remembered(world: World, how: str) -> None:
    """The doubt list says since when, also after the second copy came to nothing."""
    await doubted(world)
    [second] = (await world.claim()).claimed
    if how == "refused at the handover":
        world.shut = True
        assert not await world.step(grants=[second])
    else:
        await world.step(grants=[second])
        await world.step([outcome(second, Kind.REJECTED if how == "rejected" else Kind.DEFERRED)])
    if how != "rejected":
        world.now += 10
        world.decide = lambda row: Decision(verdict=Verdict.DROP, reason=Reason.LATE)
        await world.claim()
    await in_doubt_with_evidence(world)


async def test_an_operators_unsent_gives_back_the_touches_of_both_copies(world: World) -> None:
    """Neither arrived, so neither counts."""
    await doubted(world)
    [second] = (await world.claim()).claimed
    await world.step(grants=[second])
    await world.step([outcome(second, Kind.UNKNOWN)])
    assert await world.sql("SELECT count(*) FROM touch") == [(2,)]
    await world.store.write(Lane.EXIT, resolve_doubt, 1, NOW + 9, sent=False)
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]


async def test_a_claim_of_a_dead_incarnation_frees_its_slot_for_who_waits(world: World) -> None:
    """Who was put off because of that reservation is decided anew at once, not when the touch that never was would age out."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.claim()
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=11)
    await world.sql("UPDATE delivery SET reason = 'cap_reached', not_before = :at WHERE id = 11", at=LATER)
    await world.sql("UPDATE due SET not_before = :at WHERE delivery = 11", at=LATER)
    await world.store.write(Lane.BULK, begin, NOW + 5, "node", "nonce")
    assert await world.sql("SELECT not_before FROM due WHERE delivery = 11") == [(NOW + 5,)]


@pytest.mark.promise("P4", "P5", "F33")
async def test_nothing_is_handed_over_before_the_instant_at_which_it_was_judged(world: World) -> None:
    """The clock went back a second between claim and handover: window and caps were judged for an instant that has not come."""
    world.now = NOW + 1_000_000
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    world.now = NOW
    assert await world.step(grants=[claimed]) == frozenset()
    assert await world.state(1) == ("due", None)
    [again] = (await world.claim()).claimed
    assert await world.step(grants=[again]) == {1}


async def test_a_claim_that_is_not_in_force_is_not_granted_beside_the_one_that_is(world: World) -> None:
    """Both asks may be joined into one transaction: the answer is by claim, not by delivery."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [old] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    [new] = (await world.claim()).claimed

    def ask(one: Claimed) -> Step:
        return Step(grants=[(one.row.delivery, one.epoch)])

    done = await world.store.write(Lane.HANDOVER, world.flights.step, [ask(old), ask(new)])
    assert [each.granted for each in done] == [frozenset(), {1}]
