"""Lanes: their heads are true after every act, and what runs for each claim and each message walks no table that grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store import schema as s
from daemon.store.at_once import Answer, settle_at_once
from daemon.store.care import check_rows
from daemon.store.claim import Claimed
from daemon.store.due import bring_forward, put_due, take_due
from daemon.store.flight import Kind, Result, Step
from daemon.store.follow import Then
from daemon.store.lanes import MAX_LANES, first_lanes
from daemon.store.wake import wake
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome
from tests.store.test_no_scan import plans_of


async def heads(world: World) -> dict[int, int | None]:
    return dict(await world.sql("SELECT id, head FROM lane"))


async def problems(world: World) -> list[str]:
    return await world.store.read(check_rows)


async def test_head_follows_the_first_row_that_is_put_in_or_taken_out(world: World) -> None:
    """Sooner rows move it, later ones do not; an empty lane has none."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1, 2, 3])
    await world.store.write(Lane.BULK, put_due, [(1, NOW - 7, 50), (1, NOW + 7, 51)])
    assert await heads(world) == {1: NOW - 7}
    taken = await world.store.write(Lane.BULK, take_due, [(1, NOW - 7, 50), (1, NOW - 6, 50)])
    assert taken == [(1, NOW - 7, 50)]
    assert await heads(world) == {1: NOW}
    await world.store.write(Lane.BULK, take_due, [(1, NOW, 1), (1, NOW, 2), (1, NOW, 3), (1, NOW + 7, 51)])
    assert await heads(world) == {1: None}


async def test_heads_are_true_after_claims_outcomes_and_waking(world: World) -> None:
    """Whatever moves due rows keeps them: claimed, put off, given back, woken."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1, 2, 3, 4])
    await world.store.write(Lane.BULK, add_job, 2, people=[1, 2], first_id=11)
    await world.sql("INSERT INTO meta VALUES ('unrelated', '0')")
    defer = Decision(verdict=Verdict.DEFER, reason=Reason.CAP_REACHED, until=LATER, rule=("cap.x", "v"))
    world.decide = lambda row: defer if row.person == 2 else Decision(verdict=Verdict.SEND, closes=LATER)
    first = await world.claim(2)
    assert await problems(world) == []
    await world.step([], first.claimed[:1])
    await world.step([outcome(first.claimed[0], Kind.DEFERRED, again_at=NOW + 9, scope="message")])
    assert await problems(world) == []
    assert await world.store.write(Lane.EXIT, wake, [2], NOW) == 2
    assert await problems(world) == []
    world.shut = True
    rest = await world.claim()
    await world.step([], rest.claimed)
    assert await problems(world) == []


async def test_a_claim_sees_what_it_made_due_on_another_channel(world: World) -> None:
    """What takes the place of a dropped message is due now, in a lane that the claim did not look at: it is not drained. An escalation of what
    was accepted at once is the next thing due."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1])
    world.decide = lambda _: Decision(verdict=Verdict.DROP, reason=Reason.NO_ADDRESS)
    world.then = Then([("sms", NOW)], LATER - NOW)
    assert not (await world.claim()).drained
    world.then, world.decide = None, lambda _: Decision(verdict=Verdict.SEND, closes=LATER)
    assert [one.row.channel for one in (await world.claim()).claimed] == ["sms"]
    await world.store.write(Lane.BULK, add_job, 9, people=[2], first_id=50)

    def accepted(going: Sequence[Claimed], *_: Any) -> Sequence[Answer]:
        then = Then([("sms", NOW + 900)], LATER - NOW, escalates=True)
        return [Answer(Result(one.row.delivery, one.epoch, Kind.ACCEPTED, then=then)) for one in going]

    settle = partial(settle_at_once, answers=accepted, now=NOW, owner=1)
    found = await world.store.write(Lane.CLAIM, partial(world.claim_now, settle=settle))
    assert (found.drained, found.next_due) == (True, NOW + 900)


def _crowd(conn: Connection, lanes: int) -> None:
    """Another queue with one job a row, each in a lane of its own."""
    add_job(conn, 1, people=[1], queue="quiet")
    job = {"queue": "crowd", "campaign": 1, "version": 1, "digest": "d", "state": "accepted", "source": "http", "received_at": NOW}
    rest = {"head": "{}", "format": "json", "body": "b", "priority": 50, "expanded": 1}
    for number in range(2, lanes + 2):
        conn.execute(insert(s.job).values(id=number, key=f"j{number}", **job, **rest))
        conn.execute(insert(s.lane).values(id=number, queue="crowd", job=number, priority=50, channel="email", campaign=1))
        put_due(conn, [(number, NOW - number, 1000 + number)])


async def test_claim_may_choose_from_the_first_lanes_of_each_queue(world: World) -> None:
    """A queue with many jobs shows its oldest lanes only, and hides no other queue."""
    await world.store.write(Lane.BULK, _crowd, MAX_LANES + 10)
    found = await world.store.write(Lane.BULK, first_lanes, NOW)
    assert [lane.queue for lane in found.due] == ["crowd"] * MAX_LANES + ["quiet"]
    assert [lane.id for lane in found.due][:3] == [MAX_LANES + 11, MAX_LANES + 10, MAX_LANES + 9]
    early = await world.store.write(Lane.BULK, first_lanes, NOW - MAX_LANES)
    assert (len(early.due), early.next_due) == (12, NOW - MAX_LANES + 1)


async def test_lane_of_what_is_paused_is_passed_by(world: World) -> None:
    """Paused queue, job or campaign: the next lane that may run is found behind it."""
    await world.store.write(Lane.BULK, _crowd, 5)
    await world.sql("UPDATE job SET state = 'paused' WHERE id = 6")
    assert [lane.id for lane in (await world.store.write(Lane.BULK, first_lanes, NOW)).due] == [5, 4, 3, 2, 1]
    await world.sql("INSERT INTO queue VALUES ('crowd', 1, 0)")
    assert [lane.id for lane in (await world.store.write(Lane.BULK, first_lanes, NOW)).due] == [1]
    await world.sql("UPDATE campaign SET status = 'paused'")
    assert await world.store.write(Lane.BULK, first_lanes, NOW) == (await world.store.write(Lane.BULK, first_lanes, 0))


async def test_rivals_are_found_in_jobs_of_one_recipient_and_in_others(world: World) -> None:
    """Each once, whichever kind of job holds them; other persons' are not."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1, 2])
    await world.store.write(Lane.BULK, add_job, 2, people=[1], first_id=11)
    await world.store.write(Lane.BULK, add_job, 3, people=[1, 3], first_id=21)
    await world.store.write(Lane.BULK, add_job, 4, people=[3], first_id=31)
    await world.claim(share=lambda lanes: [(1, 10)])
    assert world.rivals == {11, 21}


async def test_what_a_claim_asks_does_not_grow_with_jobs_of_one_recipient(world: World) -> None:
    """Each with a campaign of its own, as inline messages have: the same statements for 40 as for 80 of them."""

    def asked(conn: Connection, first: int) -> int:
        for number in range(first, first + 40):
            add_job(conn, number, people=[number], first_id=1000 + number)
        return len(plans_of(conn, lambda conn: world.claim_now(conn, share=lambda lanes: [(lanes[0].id, 1)])))

    assert await world.store.write(Lane.BULK, asked, 1) == await world.store.write(Lane.BULK, asked, 41)


async def plans(world: World, act: Callable[[Connection], Any]) -> list[str]:
    return await world.store.write(Lane.BULK, plans_of, act)


def walks(found: list[str]) -> list[str]:
    """What is read whole, but for the ids that were passed and the table that is always small and in cache."""
    return [plan for plan in found if plan.startswith("SCAN") and "VIRTUAL TABLE" not in plan and plan != "SCAN flight"]


@pytest.mark.parametrize("contest", [False, True])
async def test_no_statement_of_a_claim_walks_a_table(world: World, contest: bool) -> None:
    """SQLite's own plans: lanes by their index, due rows by their key, persons and rivals by theirs."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1, 2])
    await world.store.write(Lane.BULK, add_job, 2, people=[1, 2], first_id=11)
    found = await plans(world, lambda conn: world.claim_now(conn, contest=contest))
    assert any("lane_ahead" in plan for plan in found)
    assert walks(found) == []


async def test_no_statement_of_a_step_walks_a_table(world: World) -> None:
    """Handover, acceptance, refusal with suppression, and the waking of who waits for the slot."""
    await world.store.write(Lane.BULK, add_job, 1, people=[1, 2, 3])
    claimed = (await world.claim()).claimed
    await world.step([], claimed[:2])
    outcomes = [outcome(claimed[0], Kind.ACCEPTED), outcome(claimed[1], Kind.REJECTED, scope="address")]
    step = Step(outcomes=outcomes, grants=[(claimed[2].row.delivery, claimed[2].epoch)])
    found = await plans(world, lambda conn: world.flights.step(conn, [step]))
    assert len(found) > 10
    assert walks(found) == []


async def test_who_need_not_wait_for_a_turn_any_longer_is_due_now(world: World) -> None:
    """Exactly the rows that are named, as they stood when they were named: what has been moved since is left alone."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9])
    await world.store.write(Lane.BULK, take_due, [(1, NOW, 1), (1, NOW, 2), (1, NOW, 3)])
    await world.store.write(Lane.BULK, put_due, [(1, NOW + 60, 1), (1, NOW + 70, 2), (1, NOW + 80, 3)])
    named = [(1, NOW + 60, 1), (1, NOW + 65, 2), (1, NOW + 80, 3)]
    assert await world.store.write(Lane.BULK, bring_forward, named, NOW + 5) == 2
    assert await world.sql("SELECT not_before, delivery FROM due ORDER BY 1, 2") == [(NOW + 5, 1), (NOW + 5, 3), (NOW + 70, 2)]
    assert await world.sql("SELECT head FROM lane") == [(NOW + 5,)]
    assert await world.sql("SELECT not_before FROM delivery WHERE id IN (1, 3)") == [(NOW + 5,), (NOW + 5,)]


async def test_what_is_due_and_was_not_asked_for_is_left(world: World) -> None:
    """A channel without room, beside one that has room and nothing due: whoever has room next must know that there is something."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    assert not (await world.claim(share=lambda lanes: [])).drained
    assert (await world.claim()).taken == 1
    assert (await world.claim(share=lambda lanes: [])).drained
