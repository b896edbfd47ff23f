"""Walks from the door to their ends: steps in their time, exits that are exact, triggers, holdouts, what follows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.audience.entering import entry_of
from daemon.audience.route import Known, Route
from daemon.content.version import CampaignVersion
from daemon.dispatch.work import Plan
from daemon.model.campaign import CampaignStatus, Step
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import Act, After, Enrol, Exit, Experiment, Goal, Late, Offer, OfferKind, Part, Trigger, Variant, Worth
from daemon.reports.explain import render_text
from daemon.store.campaigns import body_of
from daemon.store.held import HeldWhere, release_some_held
from daemon.store.jobs import cancel_job
from daemon.store.operate import set_campaign_status, set_queue_paused, walks_left
from daemon.store.recipients import person_id
from daemon.store.suppressions import SuppressionEntry, add_suppressions
from daemon.store.triggers import take_triggers
from daemon.store.walking import awaited, due_walks, move_walks
from daemon.store.walks import OPEN, Wanted, walks_of, waves_of
from daemon.store.writer import Lane
from plugins.contract import Rejected
from tests.stages.walk_world import CONFIG, NOW, ORDER, THREE, WalkWorld, campaign, person

WITH_EXITS = campaign(
    goal=Goal(event=ORDER, horizon=60 * DAY), exit=Exit(events=(ORDER, "Support Ticket Opened")), enrol=Enrol(jobs=True, min_gap=10 * DAY)
)
CART = campaign(
    "cart", [Step(name="nudge", channels=("email",), delay=30 * MINUTE)], goal=Goal(event=ORDER),
    enrol=Enrol(trigger=Trigger(event="Checkout Started", where="value > 100"), anchor="event"), again=7 * DAY,
)  # fmt: skip
Opening = Callable[..., Awaitable[WalkWorld]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[WalkWorld] = []

    async def make(*versions: CampaignVersion, config: str = CONFIG) -> WalkWorld:
        worlds.append(await WalkWorld.begin(tmp_path, *(versions or (WITH_EXITS,)), config=config))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


async def enter(world: WalkWorld, *recipients: str, days: int = 45, **more: Any) -> None:
    await world.lapsed(days, *recipients)
    await world.drop(*(person(name) for name in recipients or ("c-1",)), **more)


# steps


async def test_a_walk_sends_each_step_on_its_day_and_ends(opening: Opening) -> None:
    """Three mails, 15 and 30 days apart, then the walk is finished and its horizon runs out."""
    world = await opening()
    await enter(world)
    await world.go()
    assert await world.steps() == [("reminder", "accepted", None)]
    await world.go(14 * DAY)
    assert len(await world.steps()) == 1
    await world.go(2 * DAY)
    assert await world.steps() == [("reminder", "accepted", None), ("offer", "accepted", None)]
    await world.go(31 * DAY)
    assert [step for step, _, _ in await world.steps()] == ["reminder", "offer", "last"]
    await world.go(4 * DAY)
    assert await world.walks() == [("finished", "last", "completed")]
    assert await world.one("SELECT watched FROM walk") == 1
    await world.go(40 * DAY)
    assert await world.one("SELECT watched FROM walk") == 0
    assert await world.one("SELECT next_at FROM walk") is None


async def test_a_job_of_walks_is_finished_when_they_are_let_go(opening: Opening) -> None:
    """Its receipt counts its rows; its deliveries are the campaign's own."""
    world = await opening()
    await enter(world, "c-1", "c-2")
    await world.drop(person("c-1"), person("c-3"), id="k")
    view = await world.inner.job("k")
    assert (view.receipt.accepted, view.receipt.duplicate, view.receipt.state) == (1, 1, "finished")
    await world.go()
    standing = await world.inner.job("walks:winback")
    assert standing.deliveries["accepted"] == 3
    assert standing.receipt.queue == "lapsed-45"


async def test_a_held_jobs_walks_stand_still_until_it_is_released(opening: Opening) -> None:
    """Guard rails come before the first step."""
    world = await opening()
    await world.lapsed(45)
    await world.drop(person(), expected_count=2)
    await world.go(HOUR)
    assert await world.walks() == [("planned", None, None)]
    assert await world.steps() == []
    await world.inner.store.write(Lane.EXIT, cancel_job, "j")
    await world.inner.settle()
    await world.go(HOUR)
    assert await world.walks() == [("exited", None, "operator")]
    await world.drop(person(), id="again")
    await world.go(HOUR)
    assert (await world.walks())[1:] == [("open", "reminder", None)]


async def test_a_cancelled_job_takes_back_the_walks_that_it_began(opening: Opening) -> None:
    """Also when it was finished long ago: what waits is dropped, and nothing follows."""
    world = await opening()
    await enter(world)
    await world.walk()
    await world.inner.store.write(Lane.EXIT, cancel_job, "j")
    await world.inner.settle()
    await world.go(60 * DAY)
    assert await world.walks() == [("exited", "reminder", "operator")]
    assert await world.steps() == [("reminder", "dropped", "exited")]
    assert (await world.inner.job("j")).receipt.state == "cancelled"


async def test_nothing_is_handed_over_after_a_cancel_was_answered(opening: Opening) -> None:
    """Though its walks are taken back later, a stretch at a time."""
    world = await opening()
    await enter(world, "c-1", "c-2")
    await world.drop(person("c-3"), id="other")
    await world.walk()
    claimed = (await world.claim()).claimed
    await world.inner.store.write(Lane.EXIT, cancel_job, "j")
    await world.send(claimed=claimed)
    await world.send()
    assert world.sent == [("c-3", "email")]
    await world.inner.settle()
    assert [(await world.walks(name))[0][0] for name in ("c-1", "c-2", "c-3")] == ["exited", "exited", "open"]


async def test_what_surely_failed_moves_the_walk_on(opening: Opening) -> None:
    """The next step comes on its day, and the walk ends."""
    world = await opening(campaign(exit=Exit(events=(ORDER,))))
    await enter(world)
    await world.walk()
    await world.send(lambda _: Rejected(scope="message", code="550"))
    await world.go(16 * DAY)
    assert await world.steps() == [("reminder", "rejected", "rejected_by_provider"), ("offer", "accepted", None)]


async def test_who_is_too_late_does_not_enter_where_the_campaign_says_so(opening: Opening) -> None:
    """The row is refused by name."""
    world = await opening(campaign(enrol=Enrol(jobs=True, late=Late.SKIP)))
    await enter(world, days=50)
    receipt = (await world.inner.job("j")).receipt
    assert (receipt.accepted, receipt.rejected, receipt.errors[0].code) == (0, 1, "late")


async def test_a_list_without_orders_begins_at_once(opening: Opening) -> None:
    """The anchor is not known: the day of the first step is today."""
    world = await opening()
    await world.drop(person())
    await world.go()
    assert await world.steps() == [("reminder", "accepted", None)]
    await world.go(15 * DAY)
    assert len(await world.steps()) == 2


async def test_an_arm_of_other_channels_never_turns_to_those_of_the_others(opening: Opening) -> None:
    """Whose arm is the mail gets no text message in its place: that would be the other arm's."""
    arms = (Variant(name="mail", share=1.0, channels=("email",)), Variant(name="text", share=0.0, channels=("sms",)))
    step = Step(name="offer", channels=("email", "sms"), day=0, experiment=Experiment(variants=arms))
    world = await opening(campaign(steps=[step], enrol=Enrol(jobs=True, anchor="entered")))
    await world.drop(person("c-1", email=False))
    await world.go(HOUR)
    assert await world.rows() == [("email", "dropped", "no_address")]


# pauses


async def test_a_pause_holds_and_the_gap_is_kept_after_it(opening: Opening) -> None:
    """Nothing is dropped and nobody exits; what fell due meanwhile goes then, the next step a gap later."""
    world = await opening()
    await enter(world)
    await world.go()
    await world.inner.store.write(Lane.EXIT, set_campaign_status, "winback", CampaignStatus.PAUSED, world.inner.clock.wall)
    await world.go(50 * DAY)
    assert await world.walks() == [("open", "reminder", None)]
    await world.inner.store.write(Lane.EXIT, set_campaign_status, "winback", CampaignStatus.ACTIVE, world.inner.clock.wall)
    await world.go()
    assert [step for step, _, _ in await world.steps()] == ["reminder", "offer"]
    await world.go(10 * DAY - HOUR)
    assert len(await world.steps()) == 2
    await world.go(HOUR + DAY)
    assert len(await world.steps()) == 3


async def test_an_exit_counts_while_the_campaign_is_paused(opening: Opening) -> None:
    """Who buys is out."""
    world = await opening()
    await enter(world)
    await world.inner.store.write(Lane.EXIT, set_queue_paused, "lapsed-45", world.inner.clock.wall, paused=True)
    await world.go(HOUR)
    await world.happen(ORDER)
    await world.inner.store.write(Lane.EXIT, set_queue_paused, "lapsed-45", world.inner.clock.wall, paused=False)
    await world.go(60 * DAY)
    assert await world.walks() == [("converted", None, ORDER)]
    assert await world.steps() == []


async def test_an_archived_campaign_ends_its_walks_and_its_job(opening: Opening) -> None:
    """And can be brought back for new people."""
    world = await opening()
    await enter(world)
    await world.walk()
    for status in (CampaignStatus.PAUSED, CampaignStatus.ARCHIVED):
        await world.inner.store.write(Lane.EXIT, set_campaign_status, "winback", status, world.inner.clock.wall)
    await world.walk()
    await world.inner.settle()
    assert await world.walks() == [("exited", "reminder", "archived")]
    assert (await world.inner.job("walks:winback")).receipt.state == "cancelled"
    assert await world.steps() == [("reminder", "cancelled", "operator")]


# exits


async def test_a_purchase_drops_what_waits_and_nothing_follows(opening: Opening) -> None:
    """The delivery is due already; it is dropped by the next claim, with the walk's reason."""
    world = await opening()
    await enter(world)
    await world.walk()
    taken = await world.happen(ORDER, revenue=10)
    assert taken.walks
    await world.go(60 * DAY)
    assert await world.steps() == [("reminder", "dropped", "converted")]
    assert await world.walks() == [("converted", "reminder", ORDER)]


async def test_what_is_claimed_is_not_handed_over_after_a_purchase(opening: Opening) -> None:
    """The claim came before, the event before the handover: the event wins."""
    world = await opening()
    await enter(world)
    await world.walk()
    claimed = (await world.claim()).claimed
    await world.happen("Support Ticket Opened")
    await world.send(claimed=claimed)
    await world.send()
    assert world.sent == []
    assert await world.steps() == [("reminder", "dropped", "exited")]


async def test_a_move_that_was_decided_before_an_exit_is_not_written(opening: Opening) -> None:
    """The event came between the look and the write: it wins, and no delivery is planned."""
    world = await opening()
    await enter(world)
    await world.stage.round()
    now = world.inner.clock.wall
    [one] = await world.inner.store.read(awaited)
    await world.inner.do("UPDATE walk SET next_at = :now, step = NULL", now=now)
    await world.inner.do("DELETE FROM due")
    await world.inner.do("UPDATE lane SET head = NULL")
    await world.inner.do("DELETE FROM delivery")
    await world.inner.do("DELETE FROM tally WHERE state = 'due'")
    [walk] = await world.inner.store.read(due_walks, one.line.campaign, ["open"], now, 10)
    move = Route.of(await world.inner.store.read(body_of, one.line.campaign, 2)).move(walk, Known(), world.rules, now)
    assert move.due
    await world.happen(ORDER)
    assert await world.inner.store.write(Lane.BULK, move_walks, one.line, [move], (), now, 1) == 0
    assert await world.walks() == [("converted", None, ORDER)]
    assert await world.steps() == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
async def test_late_and_shuffled_events_give_the_same_end(opening: Opening, order: tuple[int, ...]) -> None:
    """The earliest one counts, whenever it comes; the first goal is noted; repeats change nothing."""
    world = await opening()
    await enter(world)
    await world.go(9 * DAY)
    told = [("Support Ticket Opened", 3 * DAY), (ORDER, 2 * DAY), (ORDER, DAY)]
    for number in (*order, *order):
        name, ago = told[number]
        await world.happen(name, ago=ago, id=f"{name} {ago}")
        await world.walk()
    assert await world.walks() == [("exited", "reminder", "Support Ticket Opened")]
    ended, goal = (await world.inner.sql("SELECT ended_at, goal_at FROM walk"))[0]
    assert (world.inner.clock.wall - ended, world.inner.clock.wall - goal) == (3 * DAY, 2 * DAY)


async def test_an_order_of_before_the_entry_that_comes_late_ends_the_walk_as_an_exit(opening: Opening) -> None:
    """He was not lapsed when he entered; but nobody brought him home either. One of before the anchor says nothing."""
    world = await opening()
    await enter(world, "c-1", "c-2")
    await world.happen(ORDER, "c-1", ago=DAY, id="late")
    await world.happen(ORDER, "c-2", ago=100 * DAY, id="older")
    await world.go(HOUR)
    assert await world.walks("c-1") == [("exited", None, ORDER)]
    assert await world.walks("c-2") == [("open", "reminder", None)]
    assert await world.one("SELECT count(*) FROM walk WHERE goal_at IS NOT NULL") == 0


async def test_a_purchase_ends_a_walk_that_began_by_a_clock_that_was_ahead(opening: Opening) -> None:
    """The clock was set back since, so the purchase bears an earlier instant than the entry; it was told after it all the same."""
    world = await opening()
    world.inner.clock.wall += 3 * HOUR
    await world.drop(person())
    await world.walk()
    world.inner.clock.wall -= 2 * HOUR
    await world.happen(ORDER)
    assert [state for state, _, _ in await world.walks()] == ["converted"]


async def test_a_list_may_be_a_day_old(opening: Opening) -> None:
    """An order that was made after the list and is told after the entry ends the walk, though no earlier order is known."""
    world = await opening()
    await world.drop(person("c-1"), person("c-2"))
    await world.happen(ORDER, "c-1", ago=5 * HOUR)
    await world.happen(ORDER, "c-2", ago=2 * DAY)
    await world.go(HOUR)
    assert [(await world.walks(name))[0][0] for name in ("c-1", "c-2")] == ["exited", "open"]


async def test_a_goal_after_the_end_is_noted_while_the_horizon_runs(opening: Opening) -> None:
    """30 days from the first message."""
    world = await opening(campaign(steps=[THREE[0]], goal=Goal(event=ORDER, horizon=30 * DAY)))
    await enter(world, "c-1", "c-2")
    await world.go(20 * DAY)
    assert await world.walks("c-1") == [("finished", "reminder", "completed")]
    await world.happen(ORDER, "c-1")
    await world.go(11 * DAY)
    await world.happen(ORDER, "c-2")
    await world.go(DAY)
    goals = await world.inner.sql("SELECT r.key, goal_at IS NULL FROM walk JOIN recipient r ON r.id = walk.person ORDER BY r.key")
    assert goals == [("c-1", 0), ("c-2", 1)]
    assert await world.walks("c-1") == [("finished", "reminder", "completed")]


async def test_a_held_delivery_of_an_ended_walk_needs_no_release(opening: Opening) -> None:
    """It ends with its walk."""
    world = await opening()
    await world.lapsed(45)
    await world.drop({"id": "c-1", "email": "a@example.com", "zone": "Asia/Jakarta"})
    await world.walk()
    await world.inner.do("UPDATE delivery SET state = 'held', reason = 'render_error'")
    await world.inner.do("DELETE FROM due")
    await world.inner.do("UPDATE lane SET head = NULL")
    await world.inner.do("UPDATE tally SET state = 'held', reason = 'render_error' WHERE state = 'due'")
    await world.happen(ORDER)
    await world.walk()
    assert await world.steps() == [("reminder", "dropped", "converted")]


# segments


BY_SEGMENT = campaign(enrol=Enrol(segment="lapsed"), exit=Exit(events=(ORDER,), segments=("active_subscribers", "staff")), again=5 * DAY)


async def test_members_of_a_segment_enter_after_each_evaluation(opening: Opening) -> None:
    """Once each; who became one since enters after the next evaluation, who was one before does not enter twice."""
    world = await opening(BY_SEGMENT)
    people = [f"c-{number}" for number in range(1, 131)]
    await world.lapsed(45, *people, "c-900")
    await world.put_in("lapsed", *people)
    await world.walk()
    assert await world.one("SELECT count(*) FROM walk") == 130
    await world.put_in("lapsed")
    await world.inner.do("UPDATE segment SET evaluated_at = evaluated_at - 1")
    await world.walk()
    assert await world.walks("c-900") == []
    world.inner.clock.wall += 1
    await world.put_in("lapsed", "c-900")
    await world.walk()
    assert (len(await world.walks("c-900")), await world.one("SELECT count(*) FROM walk")) == (1, 131)


async def test_who_enters_an_exit_segment_is_out_at_once(opening: Opening) -> None:
    """The event of entering ends the walk, in its transaction; entering another segment does not."""
    world = await opening(BY_SEGMENT)
    await world.lapsed(45, "c-1", "c-2")
    await world.inner.do("UPDATE recipient SET email = key || '@example.com', zone = 'Asia/Jakarta'")
    await world.put_in("lapsed", "c-1", "c-2")
    await world.walk()
    claimed = (await world.claim()).claimed
    await world.happen("Segment Entered", "c-1", segment="staff")
    await world.happen("Segment Entered", "c-2", segment="big_spenders")
    await world.send(claimed=claimed)
    assert world.sent == [("c-2", "email")]
    assert [state for state, _, _ in await world.walks("c-1")] == ["exited"]
    assert [state for state, _, _ in await world.walks("c-2")] == ["open"]


async def test_who_is_in_an_exit_segment_when_a_step_falls_due_is_out(opening: Opening) -> None:
    """Though no event told of it: the segment is new."""
    world = await opening(BY_SEGMENT)
    await world.lapsed(45)
    await world.put_in("lapsed", "c-1")
    await world.go(HOUR)
    await world.put_in("active_subscribers", "c-1")
    await world.go(16 * DAY)
    assert await world.walks() == [("exited", "reminder", "segment active_subscribers")]


async def test_a_step_goes_to_those_whom_it_is_for(opening: Opening) -> None:
    """`where` is asked when it falls due."""
    steps = [THREE[0], replace(THREE[1], where="orders >= 2"), THREE[2]]
    world = await opening(campaign(steps=steps, exit=Exit(events=("Support Ticket Opened",))))
    await enter(world, "c-1", "c-2")
    await world.happen(ORDER, "c-2", ago=46 * DAY, id="second", revenue=5)
    await world.go(46 * DAY)
    assert [step for step, _, _ in await world.steps("c-1")] == ["reminder", "last"]
    assert [step for step, _, _ in await world.steps("c-2")] == ["reminder", "offer", "last"]


# explain


async def test_explain_tells_of_walks(opening: Opening) -> None:
    """Occurrence, state, arms, where it stands; after its end why, and that its campaign does not have him any more."""
    world = await opening()
    await enter(world)
    answer = await world.explained()
    [walk] = answer["enrolments"]
    assert (walk["state"], walk["occurrence"], walk["arms"], walk["deliveries"]) == ("open", 1, {"holdout": False}, [])
    await world.go(HOUR)
    await world.happen(ORDER, ago=MINUTE)
    answer = await world.explained()
    [walk] = answer["enrolments"]
    assert (walk["state"], walk["step"], walk["reason"]) == ("converted", "reminder", ORDER)
    assert answer["not_enrolled"] == [{"campaign": "winback", "reason": "converted", "at": walk["ended_at"]}]
    assert f"{ORDER} {walk['ended_at']}" in render_text(answer)


async def test_explain_marks_what_would_not_have_been_sent(opening: Opening) -> None:
    """The purchase happened before the message, and was told after it."""
    world = await opening()
    await enter(world)
    world.inner.clock.wall += HOUR
    await world.go()
    await world.happen(ORDER, ago=MINUTE)
    [walk] = (await world.explained())["enrolments"]
    assert walk["would_not_have_sent"] == ["reminder"]


# acts


async def test_a_step_sets_tags_and_traits(opening: Opening) -> None:
    """At once, and the walk goes on; whoever is held out gets none."""
    act = Step(name="club", channels=(), day=0, act=Act(kind="set", tags=("comeback",), traits={"points": 50}))
    steps = [act, Step(name="hello", channels=("email",), delay=0)]
    world = await opening(campaign(steps=steps, exit=Exit(events=(ORDER,)), enrol=Enrol(jobs=True, anchor="entered")))
    await world.drop(person("c-1", traits={"tags": ["vip"], "points": 1}), person("c-2"))
    await world.inner.do("UPDATE walk SET held_out = 1 WHERE person IN (SELECT id FROM recipient WHERE key = 'c-2')")
    await world.go(HOUR)
    traits = dict(await world.inner.sql("SELECT key, traits FROM recipient"))
    assert json.loads(traits["c-1"]) == {"tags": ["vip", "comeback"], "points": 50}
    assert not traits["c-2"]
    assert await world.steps("c-1") == [("hello", "accepted", None)]


async def test_a_task_is_done_elsewhere_and_is_no_contact(opening: Opening) -> None:
    """A row on the call list at once, whatever hour it is, without consent, under no cap and without a touch that counts; the next message
    does not keep its distance to it."""
    task = Step(name="call", channels=(), day=0, act=Act(kind="task", text="Call {{ recipient.id }}"))
    steps = [task, Step(name="hello", channels=("email",), delay=0, hours=("mon-sun 11:00-12:00",))]
    capped = CONFIG + '[[cap]]\nname = "weekly"\nlimit = 1\nrolling = "7d"\n'
    version = campaign(steps=steps, exit=Exit(events=(ORDER,)), enrol=Enrol(jobs=True, anchor="entered", min_gap=10 * DAY))
    world = await opening(version, config=capped)
    world.serving["export"] = "list"
    world.inner.clock.wall += 12 * HOUR  # 23:40 in Jakarta
    await world.drop(person("c-1"))
    await world.go()
    assert world.sent == [("c-1", "export")]
    plan = Plan.compile(version, {})
    assert plan.renderer.render("call", "export", None, {"recipient": {"id": "c-1"}}).text == "Call c-1"
    await world.go(DAY)
    assert world.sent == [("c-1", "export"), ("c-1", "email")]
    [at] = await world.inner.sql("SELECT at FROM touch WHERE channel = 'email'")
    assert (at[0] // HOUR + 7) % 24 == 11
    assert await world.one("SELECT count(*) FROM touch WHERE topic = '(act)'") == 1


async def test_an_act_is_done_by_the_provider_that_it_names(opening: Opening) -> None:
    """And by no other one of its channel: while that one fails it waits, where there is none it is held and comes back into its own lane."""
    call = Step(name="tell", channels=(), day=0, act=Act(kind="call", provider="crm"))
    task = Step(name="list", channels=(), delay=0, act=Act(kind="task", text="Call {{ recipient.id }}"))
    world = await opening(campaign(steps=[call, task], exit=Exit(events=(ORDER,)), enrol=Enrol(jobs=True, anchor="entered")))
    world.serving |= {"webhook": "hub", "webhook:hub": "hub", "export": "list"}
    await world.drop(person("c-1"))
    await world.go()
    assert await world.inner.sql("SELECT state, reason FROM delivery") == [("held", "channel_unavailable")]
    lane = "SELECT lane.channel FROM delivery JOIN lane ON lane.id = delivery.lane WHERE delivery.state = 'due'"
    world.serving["webhook:crm"] = ""  # it is there, and fails
    await world.inner.store.write(Lane.BULK, release_some_held, HeldWhere(), world.inner.clock.wall)
    assert await world.inner.sql(lane) == [("webhook:crm",)]
    await world.claim()
    assert await world.inner.sql("SELECT state, reason, json_extract(decision, '$.facts.channel') FROM delivery") == [("due", "breaker_open", "webhook")]
    world.serving["webhook:crm"] = "crm"
    await world.go(HOUR)
    done = await world.inner.sql("SELECT state, provider FROM delivery ORDER BY id")
    assert done == [("accepted", "crm"), ("accepted", "list")]
    assert await world.inner.sql("SELECT channel FROM wave ORDER BY id") == [("webhook",), ("export",)]


async def test_who_is_expected_to_bring_less_than_his_message_costs_gets_none(opening: Opening) -> None:
    """By his own orders, the shop's margin, the offer of the step and what the campaign expects of his tier; the walk goes on, `explain` has
    the numbers. Nothing is known of who never ordered, nor of what has no price: they are written to."""
    steps = [
        Step(name="hello", channels=("email",), day=0), Step(name="offer", channels=("email",), delay=DAY, offer={"default": "half"}),
        Step(name="text", channels=("sms",), delay=DAY),
    ]  # fmt: skip
    offers = {"half": Offer(name="half", rank=0, parts=(Part(kind=OfferKind.PERCENT, value=50),), valid=7 * DAY)}
    worth = Worth(expect={"default": 0.01, "high": 0.5})
    version = campaign(steps=steps, offers=offers, exit=Exit(events=("Support Ticket Opened",)), enrol=Enrol(jobs=True, anchor="entered"), value=worth)
    world = await opening(version, config=CONFIG + "[shop]\nmargin = 0.6\n")
    world.stage._costs = lambda: {"email": 0.1}
    for name, orders in (("c-1", (10,)), ("c-2", (40,)), ("c-3", (1, 600, 5))):
        for number, revenue in enumerate(orders):
            await world.happen(ORDER, name, ago=(50 + number) * DAY, id=f"{name} {number}", order_id=f"{name} {number}", revenue=revenue)
    await world.drop(*(person(f"c-{n}") for n in range(1, 5)))
    await world.go(8 * DAY)
    low = ("dropped", "below_cost")
    assert await world.steps("c-1") == [("hello", *low), ("offer", *low), ("text", "accepted", None)]  # 0.06 and 0.01 for 0.10
    assert await world.steps("c-2") == [("hello", "accepted", None), ("offer", *low), ("text", "accepted", None)]  # 0.24 and 0.04
    assert [state for _, state, _ in await world.steps("c-3")] == ["accepted"] * 3
    assert [state for _, state, _ in await world.steps("c-4")] == ["accepted"] * 3
    [told] = await world.inner.sql("SELECT decision FROM delivery WHERE reason = 'below_cost' AND person = :p", p=person_id("c-2"))
    facts = json.loads(told[0])["facts"]
    assert facts == {"tier": "low", "order": 40, "margin": 0.1, "expect": 0.01, "brings": 0.04, "cost": 0.1}
    found = await world.explain("c-2")
    assert "it costs 0.1 and is expected to bring 0.04" in str(found)


# audiences


async def test_who_walks_is_in_the_audience_of_his_step_until_he_leaves(opening: Opening) -> None:
    """From the offer on, while the walk is open; for a while after the last step; not after an exit, and never if he is held out."""
    world = await opening()
    people = ("c-1", "c-2", "c-3", "c-4")
    await enter(world, *people)
    await world.inner.do("UPDATE walk SET held_out = 1 WHERE person IN (SELECT id FROM recipient WHERE key = 'c-4')")
    numbers = {person_id(name): name for name in people}
    wanted = Wanted(providers=("meta",), names=(), fill=str, steps=frozenset(["offer", "last"]), stay=5 * DAY)

    async def inside() -> dict[str, int]:
        now = world.inner.clock.wall
        waves = await world.inner.store.read(waves_of, await world.one("SELECT id FROM campaign WHERE name = 'winback'"))
        found = await world.inner.store.read(walks_of, waves, list(numbers), wanted, now)
        return {numbers[person]: until for person, until in found.items()}

    await world.go(DAY)
    assert await inside() == {}
    await world.go(15 * DAY)
    assert await inside() == {"c-1": OPEN, "c-2": OPEN, "c-3": OPEN}
    await world.happen(ORDER, "c-1")
    await world.happen("Support Ticket Opened", "c-2")
    assert await inside() == {"c-3": OPEN}
    await world.go(31 * DAY)
    assert set(await inside()) == {"c-3"}
    await world.go(9 * DAY)
    assert await inside() == {}


# again


async def test_who_walked_walks_again_after_a_while(opening: Opening) -> None:
    """Counted from the end of the last walk; the second has its own deliveries."""
    entered = Enrol(jobs=True, anchor="entered")
    version = campaign(steps=[replace(THREE[0], day=0)], again=20 * DAY, exit=Exit(events=(ORDER,)), enrol=entered)
    world = await opening(version)
    await world.drop(person())
    await world.go(4 * DAY)
    await world.drop(person(), id="k")
    assert (await world.inner.job("k")).receipt.duplicate == 1
    await world.go(20 * DAY)
    await world.drop(person(), id="l")
    await world.go()
    assert await world.steps() == [("reminder", "accepted", None)] * 2
    assert [state for state, _, _ in await world.walks()] == ["finished", "open"]


# triggers


async def test_a_trigger_enrols_after_its_filter_and_its_delay(opening: Opening) -> None:
    """30 minutes after the event, only for a full cart."""
    world = await opening(CART)
    await world.drop(person("c-1"), person("c-2"), campaign="winback", id="known")
    sent = len(world.sent)
    await world.happen("Checkout Started", "c-1", value=150)
    await world.happen("Checkout Started", "c-2", value=50)
    await world.go(29 * MINUTE)
    assert (await world.walks("c-1", "cart"), await world.walks("c-2", "cart")) == ([("open", None, None)], [])
    await world.go(2 * MINUTE)
    assert ("nudge", "accepted", None) in await world.steps("c-1")
    assert len(world.sent) >= sent
    assert await world.one("SELECT count(*) FROM trigger_event") == 0


async def test_a_purchase_before_the_delay_is_over_calls_the_message_off(opening: Opening) -> None:
    """The exception event: also if it happened before the trigger was looked at."""
    world = await opening(CART)
    await world.happen("Checkout Started", value=150)
    await world.walk()
    await world.inner.do("UPDATE recipient SET email = 'a@example.com', zone = 'Asia/Jakarta'")
    world.inner.clock.wall += 10 * MINUTE
    await world.happen(ORDER)
    await world.go(DAY)
    assert await world.walks(name="cart") == [("converted", None, ORDER)]
    assert await world.steps() == []


async def test_many_triggers_begin_one_walk_that_waits_from_the_last(opening: Opening) -> None:
    """Each step of a checkout is an event; the message comes once, half an hour after the last."""
    world = await opening(CART)
    for number in range(3):
        await world.happen("Checkout Started", value=150 + number)
        await world.go(20 * MINUTE)
    assert await world.walks(name="cart") == [("open", None, None)]
    assert "152" in await world.one("SELECT event FROM walk")
    await world.go(11 * MINUTE)
    assert [step for step, _, _ in await world.steps()] == ["nudge"]


async def test_a_trigger_of_long_ago_is_late(opening: Opening) -> None:
    """Imported history sends nothing."""
    world = await opening(CART)
    await world.happen("Checkout Started", value=150, ago=4 * DAY)
    await world.go(DAY)
    assert await world.walks(name="cart") == []


async def test_a_trigger_is_kept_until_its_walk_is(opening: Opening) -> None:
    """One transaction: an error in the middle loses none, and brings none twice."""
    world = await opening(CART)
    await world.happen("Checkout Started", value=150)
    await world.walk()
    await world.happen("Checkout Started", "c-2", value=150)
    [one] = await world.inner.store.read(awaited)

    def fails(person: int, anchor: int | None, now: int) -> None:
        raise ZeroDivisionError

    entry = replace(entry_of(one.line.campaign, one.line.version, CART.campaign), begin=fails)
    with pytest.raises(ZeroDivisionError):
        await world.inner.store.write(Lane.BULK, take_triggers, entry, world.inner.clock.wall, 10, life=DAY, opens_at=0)
    await world.walk()
    assert await world.one("SELECT count(*) FROM trigger_event") == 0
    assert (len(await world.walks("c-1", "cart")), len(await world.walks("c-2", "cart"))) == (1, 1)


async def test_a_missing_reaction_is_a_trigger(opening: Opening) -> None:
    """Three days after the offer was accepted, for those who did not open it."""
    trigger = Trigger(absent="opened", of="winback.offer", after=3 * DAY)
    ignored = campaign("ignored", [Step(name="call", channels=("sms",), delay=0)], enrol=Enrol(trigger=trigger, anchor="event"))
    world = await opening(WITH_EXITS, ignored)
    await enter(world, "c-1", "c-2", "c-3", days=60)
    await world.go(16 * DAY)
    await world.inner.do(
        "INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at)"
        " SELECT delivery.person, delivery.id, x'', 'opened', 'relay', '', 1, 'email', :now FROM delivery JOIN wave ON wave.id = delivery.wave"
        " JOIN recipient ON recipient.id = delivery.person WHERE wave.step = 'offer' AND recipient.key = 'c-2'",
        now=world.inner.clock.wall,
    )
    await world.happen(ORDER, "c-3")
    await world.go(4 * DAY)
    assert await world.walks("c-2", "ignored") == []
    assert await world.walks("c-3", "ignored") == []
    assert [(state, step) for state, step, _ in await world.walks("c-1", "ignored")] == [("finished", "call")]
    assert ("call", "accepted", None) in await world.steps("c-1")


async def test_a_queue_that_is_cancelled_says_which_walks_go_on(opening: Opening) -> None:
    """Those of the jobs that it cancels end; those of a job of before are their campaign's."""
    world = await opening(WITH_EXITS)
    await enter(world, "c-1", "c-2")
    await world.go()
    store, queue = world.inner.store, await world.one("SELECT queue FROM job WHERE source = 'walks'")
    assert await store.read(walks_left, queue) == {"winback": 2}
    assert await store.read(walks_left, "another") == {}
    key = await world.one("SELECT key FROM job WHERE source <> 'walks'")
    await store.write(Lane.EXIT, cancel_job, key)
    assert await store.read(walks_left, queue) == {}


# holdout, sunset, after


async def test_who_is_held_out_passes_everything_and_ends_in_a_ghost(opening: Opening) -> None:
    """Nothing is sent, the time is the same, and the ghost counts for his caps."""
    capped = CONFIG + '[[cap]]\nname = "weekly"\nlimit = 1\nrolling = "7d"\n'
    world = await opening(campaign(holdout=1.0, goal=Goal(event=ORDER)), config=capped)
    await enter(world)
    await world.go()
    assert world.sent == []
    assert await world.steps() == [("reminder", "held_out", "held_out")]
    assert await world.inner.sql("SELECT ghost, channel FROM touch") == [(1, "email")]
    await world.go(16 * DAY)
    assert [state for _, state, _ in await world.steps()] == ["held_out", "held_out"]
    assert await world.one("SELECT first_touch_at FROM walk") is not None
    [_, first] = await world.explain()
    assert ["holdout", "ghost"] in first["checks"]


async def test_a_global_holdout_holds_out_of_every_campaign(opening: Opening) -> None:
    """[holdout] share."""
    world = await opening(WITH_EXITS, config=CONFIG + "[holdout]\nshare = 1\n")
    await enter(world)
    await world.go()
    assert await world.steps() == [("reminder", "held_out", "held_out")]


async def test_who_reacts_to_nothing_gets_no_more_marketing(opening: Opening) -> None:
    """`finish = "sunset"`, a week after the last message."""
    world = await opening(campaign(steps=[THREE[0]], after=After(finish="sunset"), exit=Exit(events=(ORDER,))))
    await enter(world, "c-1", "c-2")
    await world.go()
    await world.inner.do(
        "INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at)"
        " SELECT delivery.person, delivery.id, x'', 'clicked', 'relay', '', 1, 'email', :now FROM delivery"
        " JOIN recipient ON recipient.id = delivery.person WHERE recipient.key = 'c-2'",
        now=NOW,
    )
    await world.go(8 * DAY)
    assert await world.walks("c-1") == [("finished", "reminder", "sunset")]
    assert await world.walks("c-2") == [("finished", "reminder", "completed")]
    assert await world.inner.sql("SELECT DISTINCT scope, reason FROM suppression") == [("marketing", "sunset")]


SUNSET = campaign(steps=[THREE[0]], after=After(finish="sunset"), exit=Exit(events=("Support Ticket Opened",)))
"""An order does not end its walks."""


@pytest.mark.parametrize("said", ["after the end", "of before the end, told later", "before the end was settled", "of before the walk", "a refund"])
async def test_an_order_ends_the_silence_of_who_reacted_to_nothing(opening: Opening, said: str) -> None:
    """Whenever it is told; but one of before the walk was known of when he was let go."""
    world = await opening(SUNSET)
    await enter(world)
    await world.go(DAY)
    if said == "before the end was settled":
        await world.happen(ORDER, id="o", revenue=5)
    await world.go(8 * DAY)
    assert await world.walks("c-1") == [("finished", "reminder", "sunset")]
    if said in ("after the end", "a refund"):
        await world.go(DAY)
        await world.happen(ORDER if said != "a refund" else "Order Refunded", id="o", revenue=5, order_id="o")
    elif said.startswith("of"):
        await world.happen(ORDER, ago=(7 if "walk" not in said else 70) * DAY, id="o", revenue=5)
    kept = said in ("of before the walk", "a refund")
    assert await world.one("SELECT count(*) FROM suppression") == (2 if kept else 0)


async def test_the_silence_that_somebody_else_asked_for_outlives_an_order(opening: Opening) -> None:
    """An operator's word on the address, on the same row as that of the sunset."""
    world = await opening(SUNSET)
    await enter(world)
    await world.go(9 * DAY)
    [(hash,)] = await world.inner.sql("SELECT email_hash FROM recipient WHERE key = 'c-1'")
    entry = SuppressionEntry(hash, "*", "marketing", "suppressed", world.inner.clock.wall, "cli")
    await world.inner.store.write(Lane.EXIT, add_suppressions, [entry])
    await world.happen(ORDER, id="o", revenue=5)
    assert await world.inner.sql("SELECT hash, reason FROM suppression") == [(hash, "suppressed")]


async def test_who_came_home_goes_on_in_the_campaign_for_those(opening: Opening) -> None:
    """`after.goal`: once, on conversion, not on other exits."""
    steps = [Step(name="thanks", channels=("email",), day=3)]
    thanks = campaign("thanks", steps, enrol=Enrol(jobs=True, anchor="entered"), exit=Exit(events=("Unsubscribed",)))
    before = CampaignVersion.of(replace(WITH_EXITS.campaign, after=After(goal="thanks")), WITH_EXITS.files)
    world = await opening(before, thanks)
    await enter(world, "c-1", "c-2")
    await world.go(DAY)
    await world.happen(ORDER, "c-1")
    await world.happen("Support Ticket Opened", "c-2")
    await world.go(2 * DAY)
    assert await world.walks("c-1", "thanks") == [("open", None, None)]
    assert await world.walks("c-2", "thanks") == []
    await world.go(2 * DAY)
    assert [step for step, _, _ in await world.steps("c-1")] == ["reminder", "thanks"]

