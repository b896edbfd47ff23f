"""A step of several channels: on which a recipient is reached, what takes the place of what failed, and that nobody gets it twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.ids import decode_id
from daemon.model.campaign import Escalation, Mode, Purpose, Step
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.policy.rules import compile_rules
from daemon.store.doubts import resolve_doubt
from daemon.store.feedback import Report, hear
from daemon.store.flight import Step as FlightStep
from daemon.store.jobs import cancel_job
from daemon.store.recipients import person_id
from daemon.store.recover import begin, mark_journaled
from daemon.store.wake import wake
from daemon.store.writer import Lane
from plugins.contract import Accepted, Deferred, Outcome, Rejected, Unknown
from tests.stages.intake_world import NOW
from tests.stages.several_world import CONFIG, SeveralWorld, person, winback

FIRST = Step(name="offer", channels=("email", "sms"))
ALL = Step(name="offer", channels=("email", "sms"), mode=Mode.ALL)
Opening = Callable[..., Awaitable[SeveralWorld]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[SeveralWorld] = []

    async def make(step: Step = FIRST, **more: Any) -> SeveralWorld:
        worlds.append(await SeveralWorld.open(tmp_path, step, **more))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


def dead(one: Any) -> Outcome:
    """Mail addresses do not exist; telephones do."""
    return Rejected(scope="address", code="5.1.1") if one.row.channel == "email" else Accepted()


# mode "first"


async def test_the_first_channel_is_enough(opening: Opening) -> None:
    """Who has both addresses gets one message, over the step's first channel."""
    world = await opening()
    await world.drop(person())
    await world.send()
    assert await world.rows() == [("email", "accepted", None)]
    assert await world.counts() == {"accepted": 1}


async def test_the_recipients_preference_goes_before_the_steps_order(opening: Opening) -> None:
    """The trait `preferred_channels`; what it does not name comes after, and channels that the step has not are nothing to it."""
    world = await opening()
    await world.drop(person(traits={"preferred_channels": ["push", "sms"]}), person("c-2", traits={"preferred_channels": ["email"]}))
    await world.send()
    assert await world.rows() == [("sms", "accepted", None)]
    assert await world.rows("c-2") == [("email", "accepted", None)]


async def test_a_preference_that_the_store_knows_counts_too(opening: Opening) -> None:
    """It need not come with the job's row."""
    world = await opening()
    await world.drop(person(traits={"preferred_channels": ["sms"]}), queue="lapsed-45")
    await world.send()
    await world.inner.load(winback(FIRST, again=1))
    world.inner.clock.wall += DAY
    await world.drop(person(), id="j2")
    await world.send()
    assert [channel for channel, _, _ in await world.rows()] == ["sms", "sms"]


async def test_who_has_no_address_there_falls_due_on_the_next_channel(opening: Opening) -> None:
    """No delivery is made for a channel on which there is nothing to write to; without any address the first says so."""
    world = await opening()
    await world.drop(person(email=False), person("c-2", email=False, phone=False))
    await world.send()
    assert await world.rows() == [("sms", "accepted", None)]
    assert await world.rows("c-2") == [("email", "dropped", "no_address")]


async def test_a_channel_without_permission_is_passed_by_at_the_claim(opening: Opening) -> None:
    """An address that was suppressed since: the delivery is dropped with that reason, and its place is taken by the next channel."""
    world = await opening()
    await world.drop(person())
    await world.inner.do("INSERT INTO suppression SELECT email_hash, 'email', 'marketing', 'suppressed', 1, NULL FROM recipient")
    (waiting,) = await world.explain()
    assert waiting["text"] == "Will not be sent: the address asked not to be contacted. sms will take its place when it falls due."
    await world.send()
    assert await world.rows() == [("email", "dropped", "suppressed"), ("sms", "accepted", None)]
    assert await world.counts() == {"dropped": 1, "accepted": 1}
    second, first = await world.explain()
    assert (first["facts"]["others"], second["state"]) == ({"sms": "pass"}, "accepted")


async def test_consent_that_comes_before_the_claim_counts(opening: Opening) -> None:
    """The choice is the claim's: what was not permitted when the job came in may be permitted when it falls due."""
    world = await opening(Step(name="offer", channels=("sms", "email")), config=CONFIG.replace('sms = "implied"', 'sms = "explicit"'))
    await world.drop(person(), person("c-2"))
    await world.inner.do("INSERT INTO consent SELECT id, 'sms', '*', 'granted', 1, NULL, NULL FROM recipient WHERE key = 'c-1'")
    await world.send()
    assert await world.rows() == [("sms", "accepted", None)]
    assert await world.rows("c-2") == [("sms", "dropped", "no_consent"), ("email", "accepted", None)]


async def test_nobody_is_reached_where_nothing_is_permitted(opening: Opening) -> None:
    """One row, its own reason, and what each other channel would have said."""
    world = await opening()
    await world.drop(person(phone=False))
    await world.inner.do("INSERT INTO suppression SELECT email_hash, '*', 'all', 'complained', 1, NULL FROM recipient")
    await world.send()
    assert await world.rows() == [("email", "dropped", "complained")]
    [only] = await world.explain()
    assert only["facts"]["others"] == {"sms": "no_address"}


async def test_an_address_that_dies_is_replaced_by_the_next_channel(opening: Opening) -> None:
    """A sure refusal of the address: the next channel's delivery is there as soon as the outcome is, and goes."""
    world = await opening()
    await world.drop(person())
    await world.send(dead)
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "accepted", None)]
    assert world.sent == [("c-1", "email"), ("c-1", "sms")]
    assert await world.inner.sql("SELECT channel FROM touch") == [("sms",)]
    assert await world.counts() == {"rejected": 1, "accepted": 1}


@pytest.mark.promise("P2")
@pytest.mark.parametrize(
    "answer",
    [
        Unknown(code="timeout"),
        Rejected(scope="message", code="5.7.1"),
        Deferred(scope="provider"),
        Deferred(scope="operator"),
        Deferred(scope="message", after=1),
        Deferred(nothing_sent=True, after=60),
    ],
)
async def test_nothing_takes_the_place_of_what_did_not_surely_fail_at_the_address(opening: Opening, answer: Outcome) -> None:
    """A doubt least of all: it may have arrived. A refused content would be refused again, or cost a telephone bill."""
    world = await opening()
    await world.drop(person())
    claimed = await world.settle()
    await world.send(lambda one: answer, claimed)
    assert [channel for channel, _, _ in await world.rows()] == ["email"]


async def test_an_address_that_fails_at_each_attempt_is_replaced(opening: Opening) -> None:
    """A mailbox that is full five times over, each time for sure."""
    world = await opening(Step(name="offer", channels=("email", "sms"), valid=30 * DAY))
    await world.drop(person())
    for _ in range(60):
        await world.send(lambda one: Deferred(scope="address", code="4.2.2") if one.row.channel == "email" else Accepted())
        world.inner.clock.wall += HOUR
    assert await world.rows() == [("email", "rejected", "attempts_exhausted"), ("sms", "accepted", None)]


@pytest.mark.promise("P2")
async def test_a_dead_daemon_leaves_a_doubt_and_no_replacement(opening: Opening) -> None:
    """Killed between handover and outcome: nobody knows whether the first one arrived."""
    world = await opening()
    await world.drop(person())
    await world.send(lambda one: None)
    await world.inner.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    await world.send(dead)
    assert await world.rows() == [("email", "in_doubt", None)]


@pytest.mark.promise("P2")
async def test_an_outcome_that_is_told_twice_has_one_replacement(opening: Opening) -> None:
    """The record is repeated after a failure of the store: the second time changes nothing."""
    world = await opening()
    await world.drop(person())
    claimed = await world.settle()
    await world.send(dead, claimed)
    await world.record(dead, claimed)
    assert [channel for channel, _, _ in await world.rows()] == ["email", "sms"]
    await world.send()
    assert world.sent == [("c-1", "email"), ("c-1", "sms")]


async def test_each_channel_is_tried_once(opening: Opening) -> None:
    """When all addresses are dead it ends: no channel comes twice, whatever the recipient prefers by then."""
    world = await opening()
    await world.drop(person())
    claimed = await world.settle()
    await world.inner.do("UPDATE recipient SET traits = '{\"preferred_channels\": [\"sms\"]}'")
    await world.send(lambda one: Rejected(scope="address", code="gone"), claimed)
    await world.send(lambda one: Rejected(scope="address", code="gone"))
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "rejected", "rejected_by_provider")]
    assert len(world.sent) == 2
    await world.inner.settle()
    assert (await world.inner.job("j")).receipt.state.value == "finished"


async def test_the_walk_is_open_until_the_last_channel_is_done(opening: Opening) -> None:
    """Between one channel and the next nobody can be enrolled a second time, and the job does not finish."""
    world = await opening(again=1)
    world.inner.clock.wall = NOW + 9 * HOUR  # 20:40: mail may go, SMS not before 10:00
    await world.drop(person())
    await world.send(dead)
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "due", "window_closed")]
    await world.inner.settle()
    assert (await world.inner.job("j")).receipt.state.value == "accepted"
    await world.drop(person(), id="j2")
    assert (await world.inner.job("j2")).receipt.duplicate == 1


async def test_windows_are_those_of_the_channel(opening: Opening) -> None:
    """A message that moves to SMS in the evening waits for the SMS window of the next day, spread behind its opening."""
    world = await opening()
    world.inner.clock.wall = NOW + 9 * HOUR
    await world.drop(*(person(f"c-{i}") for i in range(1, 21)))
    await world.inner.do("INSERT INTO suppression SELECT email_hash, 'email', 'marketing', 'suppressed', 1, NULL FROM recipient")
    await world.send()
    assert world.sent == []
    opens = NOW - 4 * HOUR - 40 * MINUTE - 11_120_000 + DAY + 3 * HOUR  # 10:00 in Jakarta
    due = [at for (at,) in await world.inner.sql("SELECT not_before FROM due")]
    assert min(due) >= opens
    assert opens < max(due) < opens + 30 * MINUTE
    assert len(set(due)) == 20
    world.inner.clock.wall = max(due)
    await world.send()
    assert len(world.sent) == 20


async def test_planning_spreads_each_channel_over_its_own_window(opening: Opening) -> None:
    """At 06:40: mail falls due from 09:00 on, SMS from 10:00 on."""
    world = await opening(ALL)
    world.inner.clock.wall = NOW - 5 * HOUR
    await world.drop(*(person(f"c-{i}") for i in range(1, 9)))
    found = await world.inner.sql("SELECT lane.channel, min(not_before), max(not_before) FROM due JOIN lane ON lane.id = due.lane GROUP BY 1")
    nine = NOW - 2 * HOUR - 40 * MINUTE - 11_120_000
    opens = {"email": nine, "sms": nine + HOUR}
    assert {channel for channel, _, _ in found} == {"email", "sms"}
    for channel, first, last in found:
        assert opens[channel] <= first < last < opens[channel] + 30 * MINUTE


async def test_a_cap_over_all_channels_counts_both(opening: Opening) -> None:
    """One touch in 7 days, whatever the channel: in mode "all" the second one waits until the slot is free."""
    world = await opening(ALL, config=CONFIG + '[[cap]]\nname = "any"\nlimit = 1\nrolling = "2d"\n')
    await world.drop(person())
    await world.send()
    assert sorted(state for _, state, _ in await world.rows()) == ["accepted", "due"]
    waiting = next(reason for _, state, reason in await world.rows() if state == "due")
    assert waiting in ("cap_reached", "yielded_to_priority")
    world.inner.clock.wall += 2 * DAY
    await world.send()
    assert sorted(world.sent) == [("c-1", "email"), ("c-1", "sms")]


async def test_a_refused_message_gives_its_slot_to_its_replacement(opening: Opening) -> None:
    """What surely failed is no touch: the cap of one lets the next channel go at once."""
    world = await opening(config=CONFIG + '[[cap]]\nname = "any"\nlimit = 1\nrolling = "7d"\n')
    await world.drop(person())
    await world.send(dead)
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "accepted", None)]


async def test_a_full_cap_never_moves_a_message_to_another_channel(opening: Opening) -> None:
    """Caps say when, not where: a dropping cap on mail is no way to a telephone."""
    config = CONFIG + '[[cap]]\nname = "mail"\nlimit = 1\nrolling = "7d"\nchannels = ["email"]\non_cap = "drop"\n'
    world = await opening(config=config, again=1)
    await world.drop(person())
    await world.send()
    world.inner.clock.wall += DAY
    await world.drop(person(), id="j2")
    await world.send()
    assert await world.rows() == [("email", "accepted", None), ("email", "dropped", "cap_reached")]


async def test_a_job_that_was_cancelled_is_not_continued(opening: Opening) -> None:
    """In flight when an operator cancels: its outcome is recorded, and nothing takes its place."""
    world = await opening()
    await world.drop(person())
    claimed = await world.settle()
    await world.inner.store.join(Lane.HANDOVER, world.flights.step, FlightStep(grants=[(c.row.delivery, c.epoch) for c in claimed]))
    await world.inner.store.write(Lane.EXIT, cancel_job, "j")
    await world.record(dead, claimed)
    await world.inner.settle()
    assert await world.rows() == [("email", "rejected", "rejected_by_provider")]


async def test_held_replacements_of_a_cancelled_job_end_with_it(opening: Opening) -> None:
    """Their numbers lie beyond those that the job was planned with; the sweep finds them all the same."""
    world = await opening()
    world.serving = {"email": "relay"}
    await world.drop(*(person(f"c-{i}") for i in range(1, 6)))
    await world.send(dead)
    assert await world.counts() == {"rejected": 5, "held": 5}
    await world.inner.store.write(Lane.EXIT, cancel_job, "j")
    await world.inner.settle()
    assert await world.counts() == {"rejected": 5, "cancelled": 5}
    await world.inner.settle()
    assert (await world.inner.job("j")).finished_at is not None


async def test_explain_says_which_channel_took_whose_place(opening: Opening) -> None:
    """In words and with the ids, both ways."""
    world = await opening()
    await world.drop(person())
    await world.send(dead)
    second, first = await world.explain()
    assert (first["facts"]["instead"], second["facts"]["instead_of"]) == (second["id"], first["id"])
    assert first["text"] == "Not sent: relay refused it for good: 5.1.1. sms takes its place."
    assert second["text"].endswith("It takes the place of email.")


# mode "all"


async def test_all_means_a_delivery_on_each_channel(opening: Opening) -> None:
    """Each by itself: no channel waits for another, none takes another's place; the receipt counts people once, deliveries each."""
    world = await opening(ALL)
    await world.drop(person(), person("c-2", phone=False))
    await world.send(dead)
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "accepted", None)]
    assert await world.rows("c-2") == [("email", "rejected", "rejected_by_provider"), ("sms", "dropped", "no_address")]
    view = await world.inner.job("j")
    assert (view.receipt.rows, view.receipt.accepted) == (2, 2)
    assert await world.counts() == {"rejected": 2, "accepted": 1, "dropped": 1}


async def test_a_large_job_over_all_channels_is_planned_and_released_whole(opening: Opening) -> None:
    """More rows than a batch has: each person a delivery on each channel, in lanes of their own."""
    world = await opening(ALL)
    await world.drop(*(person(f"c-{i}") for i in range(1, 1201)), expected_count=1200)
    assert await world.counts() == {"due": 2400}
    assert await world.inner.sql("SELECT channel, count(*) FROM due JOIN lane ON lane.id = due.lane GROUP BY channel") == [
        ("email", 1200), ("sms", 1200),
    ]  # fmt: skip


# escalation

ESCALATED = Step(name="offer", channels=("email",), escalate=Escalation(to=("sms",), after=3 * DAY))


async def reacts(world: SeveralWorld, kind: str, *, human: bool = True) -> None:
    """The newest accepted mail's provider reports it."""
    [(delivery,)] = await world.inner.sql("SELECT id FROM delivery WHERE state = 'accepted' ORDER BY id LIMIT 1")
    report = Report(provider="relay", channel="email", kind=kind, at=world.inner.clock.wall, delivery=delivery, human=human)
    await world.inner.store.write(Lane.EXIT, hear, [report], channels=("email", "sms"), now=world.inner.clock.wall)


async def test_an_escalation_goes_when_nothing_came_of_the_first(opening: Opening) -> None:
    """Planned with the acceptance, three days later; until then the walk is open, and explain says what it waits for."""
    world = await opening(ESCALATED)
    await world.drop(person())
    await world.send()
    assert await world.rows() == [("email", "accepted", None), ("sms", "due", None)]
    waiting, first = await world.explain()
    assert waiting["next_possible_at"] == "2026-11-25T04:40:11.120000Z"
    assert waiting["text"].endswith("It goes after email, unless the recipient reacts to that before.")
    assert (first["facts"]["then"], waiting["facts"]["after"]) == (waiting["id"], first["id"])
    world.inner.clock.wall += 3 * DAY - 1
    await world.send()
    assert world.sent == [("c-1", "email")]
    world.inner.clock.wall += 1
    await world.send()
    assert await world.rows() == [("email", "accepted", None), ("sms", "accepted", None)]
    await world.inner.settle()
    assert (await world.inner.job("j")).receipt.state.value == "finished"


async def test_whatever_is_learned_of_a_person_brings_no_escalation_forward(opening: Opening) -> None:
    """A purchase, or another zone, wakes what waits for a rule; an escalation waits for a reaction that may yet come."""
    world = await opening(ESCALATED)
    await world.drop(person())
    await world.send()
    world.inner.clock.wall += HOUR
    assert await world.inner.store.write(Lane.EXIT, wake, [person_id("c-1")], world.inner.clock.wall) == 0
    await world.send()
    assert world.sent == [("c-1", "email")]


@pytest.mark.parametrize("others", [0, 1])
async def test_whatever_is_learned_of_a_person_lets_nothing_go_before_its_job_may_begin(opening: Opening, others: int) -> None:
    """Also of a job for one recipient, which is looked for in another way."""
    world = await opening(Step(name="offer", channels=("email",)))
    begins = datetime.fromtimestamp((NOW + DAY) / 1_000_000, UTC).isoformat()
    await world.drop(person(), *[person(f"c-{n}") for n in range(2, 2 + others)], not_before=begins)
    assert await world.inner.store.write(Lane.EXIT, wake, [person_id("c-1")], NOW) == 0
    await world.send()
    assert world.sent == []
    world.inner.clock.wall = NOW + DAY + HOUR
    await world.send()
    assert ("c-1", "email") in world.sent


@pytest.mark.parametrize(("kind", "human", "needed"), [
    ("opened", True, False), ("clicked", True, False), ("opened", False, True), ("delivered", True, True),
])  # fmt: skip
async def test_a_reaction_of_a_person_calls_the_escalation_off(opening: Opening, kind: str, human: bool, needed: bool) -> None:
    """An open that a machine made, or a receipt, is none."""
    world = await opening(ESCALATED)
    await world.drop(person())
    await world.send()
    await reacts(world, kind, human=human)
    world.inner.clock.wall += 3 * DAY
    await world.send()
    assert await world.rows() == [("email", "accepted", None), ("sms", "accepted", None) if needed else ("sms", "dropped", "not_needed")]
    if not needed:
        last, first = await world.explain()
        assert (last["facts"]["reaction"], last["facts"]["after"]) == (kind, first["id"])
        assert f"it was not needed, the recipient {kind} what was sent before" in last["text"]


@pytest.mark.parametrize("where", ["traits.club = 'gold'", "traits.club = 'gold' and (score_30d >= 0 or score_30d is null)"])
async def test_an_escalation_goes_to_those_only_whom_it_is_for(opening: Opening, where: str) -> None:
    """`where` is asked as it is claimed; the others' is dropped, and explain, which only reads, says for whom it is."""
    world = await opening(replace(ESCALATED, escalate=Escalation(to=("sms",), after=3 * DAY, where=where)))
    await world.drop(person("c-1", traits={"club": "gold"}), person("c-2", traits={"club": "tin"}), person("c-3"))
    await world.send()
    for name in ("c-1", "c-2"):  # a score that has aged meanwhile
        await world.inner.do("INSERT INTO profile (person, score, score_until) VALUES (:p, 1, :at)", p=person_id(name), at=NOW + DAY)
    world.inner.clock.wall += 3 * DAY
    waiting = (await world.explain("c-2"))[0]
    assert (waiting["decision"], waiting["reason"]) == ("drop", "not_needed")
    await world.send()
    assert sorted(world.sent) == [("c-1", "email"), ("c-1", "sms"), ("c-2", "email"), ("c-3", "email")]
    assert [(await world.rows(name))[1] for name in ("c-2", "c-3")] == [("sms", "dropped", "not_needed")] * 2
    last = (await world.explain("c-2"))[0]
    assert last["facts"]["where"] == where
    assert f"only for those with {where}." in last["text"]


@pytest.mark.promise("P6")
async def test_a_reaction_stops_an_escalation_that_is_claimed_already(opening: Opening) -> None:
    """Committed before the handover: the handover is refused, and it is decided anew."""
    world = await opening(ESCALATED)
    await world.drop(person())
    await world.send()
    world.inner.clock.wall += 3 * DAY
    claimed = await world.settle()
    assert [one.row.channel for one in claimed] == ["sms"]
    await reacts(world, "clicked")
    await world.send(claimed=claimed)
    await world.send()
    assert world.sent == [("c-1", "email")]
    assert (await world.rows())[1] == ("sms", "dropped", "not_needed")


async def test_an_escalation_turns_to_its_own_next_channel(opening: Opening) -> None:
    """Without permission on the first of `to` it goes over the next; it has no escalation of its own, and is called off as well."""
    world = await opening(Step(name="offer", channels=("email",), escalate=Escalation(to=("sms", "push"), after=DAY)))
    world.kinds["push"], world.serving["push"] = "recipient", "browsers"
    await world.drop(person(phone=False))
    await world.send()
    world.inner.clock.wall += DAY
    world.rules = compile_rules(world.inner.config)
    await world.inner.do("INSERT INTO consent SELECT id, 'push', '*', 'granted', 1, NULL, NULL FROM recipient")
    await world.send()
    assert await world.rows() == [("email", "accepted", None), ("sms", "dropped", "no_address"), ("push", "accepted", None)]
    third, _, first = await world.explain()
    assert third["text"].endswith("It takes the place of sms.")
    assert await world.inner.sql("SELECT escalates FROM delivery ORDER BY id") == [(None,), (decode_id(first["id"]),), (decode_id(first["id"]),)]


async def test_a_replacement_that_is_accepted_escalates_too(opening: Opening) -> None:
    """The mail address is dead, the SMS arrives: what follows, follows the SMS. An escalation to a channel that was tried has nowhere to go."""
    world = await opening(Step(name="offer", channels=("email", "sms"), escalate=Escalation(to=("sms",), after=DAY)))
    await world.drop(person(), person("c-2"))
    await world.send(lambda one: dead(one) if one.row.recipient == "c-1" else Accepted())
    assert await world.rows() == [("email", "rejected", "rejected_by_provider"), ("sms", "accepted", None)]
    assert await world.rows("c-2") == [("email", "accepted", None), ("sms", "due", None)]


@pytest.mark.promise("P2")
async def test_a_doubt_escalates_only_once_it_is_known_to_have_arrived(opening: Opening) -> None:
    """Nothing follows a doubt; once an operator or a report says that it was sent, the escalation counts from the handover."""
    world = await opening(ESCALATED)
    await world.drop(person())
    await world.send(lambda one: Unknown(code="timeout"))
    assert await world.rows() == [("email", "in_doubt", None)]
    await world.inner.settle()
    world.inner.clock.wall += DAY
    [(delivery,)] = await world.inner.sql("SELECT id FROM delivery")
    await world.inner.store.write(Lane.EXIT, partial(resolve_doubt, sent=True), delivery, world.inner.clock.wall)
    assert await world.rows() == [("email", "accepted", None), ("sms", "due", None)]
    [(due,)] = await world.inner.sql("SELECT not_before FROM due")
    assert abs(due - (NOW + 3 * DAY)) < MINUTE
    await world.inner.check()
    world.inner.clock.wall += 2 * DAY + MINUTE
    await world.send()
    assert (await world.rows())[1] == ("sms", "accepted", None)


@pytest.mark.promise("P2")
async def test_a_doubt_that_a_report_calls_rejected_has_no_replacement(opening: Opening) -> None:
    """A later report may take that back, and then there would be two."""
    world = await opening()
    await world.drop(person())
    await world.send(lambda one: Unknown(code="timeout"))
    [(delivery,)] = await world.inner.sql("SELECT id FROM delivery")
    for kind in ("bounced", "delivered"):
        report = Report(provider="relay", channel="email", kind=kind, at=world.inner.clock.wall, delivery=delivery)
        await world.inner.store.write(Lane.EXIT, hear, [report], channels=("email", "sms"), now=world.inner.clock.wall)
        await world.send()
    assert await world.rows() == [("email", "accepted", None)]


async def test_nothing_follows_after_the_jobs_own_end(opening: Opening) -> None:
    """A job that ends in two days has no escalation in three."""
    world = await opening(ESCALATED)
    await world.drop(person(), expires_at="2026-11-24T04:00:00Z")
    await world.send()
    assert await world.rows() == [("email", "accepted", None)]


@pytest.mark.promise("P2")
async def test_a_second_copy_that_fails_leaves_the_doubt_and_no_replacement(opening: Opening) -> None:
    """A receipt may be sent twice; if the second copy's address fails, the first copy may still have arrived."""
    world = await opening(purpose=Purpose.TRANSACTIONAL, on_doubt="resend_once")
    await world.drop(person())
    await world.send(lambda one: Unknown(code="timeout"), await world.settle())
    world.inner.clock.wall += MINUTE
    await world.send(dead)
    assert world.sent == [("c-1", "email"), ("c-1", "email")]
    assert await world.rows() == [("email", "in_doubt", None)]


@pytest.mark.promise("P11")
async def test_a_restored_copy_replaces_and_escalates_nothing_that_may_have_been(opening: Opening) -> None:
    """The journal knows of a send that the copy has never heard of: it may have been what took this one's place. New jobs go on as ever."""
    world = await opening()
    await world.drop(person())
    [(delivery,)] = await world.inner.sql("SELECT id FROM delivery")
    await world.inner.store.write(Lane.EXIT, mark_journaled, {delivery + 1: NOW}, NOW)
    await world.send(dead)
    assert await world.rows() == [("email", "rejected", "rejected_by_provider")]
    await world.drop(person("c-2"), id="j2")
    await world.send(dead)
    assert await world.rows("c-2") == [("email", "rejected", "rejected_by_provider"), ("sms", "accepted", None)]
