"""What providers report: once, in whatever order, under the person's guard; never a way to send again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from daemon.model.delivery import HOUR, MINUTE, Decision, Reason, State, Verdict
from daemon.store.erase import erase_recipient
from daemon.store.feedback import Heard, Joined, Report, any_parked, feedback_of, hear, join_parked
from daemon.store.flight import Kind
from daemon.store.recipients import person_id
from daemon.store.reconcile import Answer, settle_doubts
from daemon.store.suppressions import SuppressionEntry, add_suppressions
from daemon.store.unsubscribe import unsubscribe
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome

CHANNELS = ("call", "email", "sms")
H7 = b"h7"
SAID = NOW - 5 * MINUTE


def report(kind: str, delivery: int | None = 1, *, at: int = SAID, **more: Any) -> Report:
    return Report(**{"provider": "relay", "channel": "email", "kind": kind, "at": at, "delivery": delivery, **more})


async def told(world: World, *reports: Report) -> Sequence[Heard]:
    return await world.store.write(Lane.EXIT, hear, reports, channels=CHANNELS, now=world.now)


async def join(world: World) -> Joined:
    return await world.store.write(Lane.BULK, join_parked, 0, channels=CHANNELS, now=world.now)


async def handed_over(world: World, kind: Kind | None = Kind.UNKNOWN, *, people: Sequence[int] = (7,), **more: Any) -> Any:
    """A job of which the first delivery was handed over, and what came of it was recorded (None: not yet)."""
    await world.store.write(Lane.BULK, add_job, 1, people=people)
    claimed = (await world.claim()).claimed
    await world.step(grants=claimed)
    if kind is not None:
        await world.step(outcomes=[outcome(one, kind, **more) for one in claimed])
    return claimed[0]


async def touches(world: World) -> int:
    [(n,)] = await world.sql("SELECT count(*) FROM touch")
    return int(n)


@pytest.mark.parametrize(
    ("kind", "state", "reason", "left"),
    [
        ("accepted", "accepted", None, 1),
        ("delivered", "accepted", None, 1),
        ("failed", "rejected", "rejected_by_provider", 0),
        ("bounced", "rejected", "rejected_by_provider", 0),
        ("opened", "in_doubt", None, 1),
        ("clicked", "in_doubt", None, 1),
    ],
)
async def test_a_doubt_is_settled_by_what_the_provider_says(world: World, kind: str, state: str, reason: str | None, left: int) -> None:
    """Had: accepted, and it counts. Surely failed: rejected, and its touch is free again. The tallies move along."""
    await handed_over(world)
    assert await world.state(1) == ("in_doubt", None)
    [heard] = await told(world, report(kind, provider_id="SM1"))
    assert heard.how == "recorded"
    assert await world.state(1) == (state, reason)
    assert await touches(world) == left
    assert await world.tally() == {(state, reason or ""): 1}
    [(row_kind, at)] = [(row.kind, row.at) for row in await world.store.read(feedback_of, 7)]
    assert (row_kind, at) == (kind, SAID)


async def test_the_evidence_says_who_settled_a_doubt(world: World) -> None:
    """As an operator's word does; the provider's own id comes along."""
    await handed_over(world)
    await told(world, report("delivered", provider_id="SM1"))
    assert await world.sql("SELECT n, provider, outcome, detail FROM attempt WHERE n = 2") == [
        (2, "relay", "feedback_accepted", "relay reported: delivered")
    ]
    assert await world.sql("SELECT provider_id FROM delivery") == [("SM1",)]


async def test_a_freed_slot_wakes_who_waits_for_it(world: World) -> None:
    """A touch given back is a slot: a delivery that was put off by the cap is due now."""
    await handed_over(world)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=9)
    world.decide = lambda row: Decision(verdict=Verdict.DEFER, reason=Reason.CAP_REACHED, until=LATER - 5)
    await world.claim()
    await told(world, report("failed"))
    assert await world.sql("SELECT not_before FROM due WHERE delivery = 9") == [(world.now,)]


async def test_an_accepted_delivery_stays_accepted(world: World) -> None:
    """It failed after the provider had taken it: recorded, and it counts as a contact."""
    await handed_over(world, Kind.ACCEPTED, provider_id="SM1")
    await told(world, report("failed", code="30003"), report("delivered", at=SAID + 1))
    assert await world.state(1) == ("accepted", None)
    assert await touches(world) == 1
    assert [(row.kind, row.code) for row in await world.store.read(feedback_of, 7)] == [("failed", "30003"), ("delivered", None)]
    assert await world.sql("SELECT count(*) FROM suppression") == [(0,)]


@pytest.mark.promise("F21", "B52")
async def test_the_same_report_a_thousand_times_is_one(world: World) -> None:
    """By the provider's id of it, and without one by what it says."""
    await handed_over(world, Kind.ACCEPTED)
    assert (await told(world, report("delivered", event="e1")))[0].how == "recorded"
    again = await told(world, *[report("delivered", event="e1", at=SAID + n) for n in range(1000)])
    assert {heard.how for heard in again} == {"known"}
    await told(world, *[report("opened", at=SAID + n) for n in range(5, 0, -1)])
    assert [(row.kind, row.at) for row in await world.store.read(feedback_of, 7)] == [("delivered", SAID), ("opened", SAID + 1)]


async def test_one_event_may_say_two_things(world: World) -> None:
    """A provider that bounces and unsubscribes under one id means both."""
    await handed_over(world, Kind.ACCEPTED)
    heard = await told(world, report("bounced", event="e1"), report("unsubscribed", event="e1"))
    assert [one.how for one in heard] == ["recorded", "recorded"]


async def test_the_providers_own_id_finds_the_delivery(world: World) -> None:
    """Kept at acceptance for providers that give feedback, and for those only."""
    claimed = await handed_over(world, None, people=[7, 8])
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED, provider_id="SM1", traced=True)])
    assert await world.sql("SELECT provider, provider_id, delivery FROM provider_ref") == [("relay", "SM1", 1)]
    [heard] = await told(world, report("delivered", None, provider_id="SM1"))
    assert (heard.how, heard.delivery) == ("recorded", 1)
    assert (await told(world, report("delivered", None, provider_id="SM1", provider="other")))[0].how == "parked"


async def test_mail_pays_nothing_for_ids_that_nobody_asks_for(world: World) -> None:
    """A provider without feedback: no row."""
    await handed_over(world, Kind.ACCEPTED, provider_id="queue-1")
    assert await world.sql("SELECT count(*) FROM provider_ref") == [(0,)]


@pytest.mark.promise("F20", "B52")
async def test_feedback_before_our_own_commit_is_parked_and_joined(world: World) -> None:
    """An unknown id waits; when the acceptance is recorded it is joined, once, and forgotten after three days otherwise."""
    claimed = await handed_over(world, None)
    assert [one.how for one in await told(world, report("delivered", None, provider_id="SM1"), report("delivered", None, provider_id="SM2"))] == [
        "parked", "parked",
    ]  # fmt: skip
    assert (await join(world)).heard == []
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED, provider_id="SM1", traced=True)])
    [(joined, heard)] = (await join(world)).heard
    assert (joined.provider_id, heard.how, heard.delivery) == ("SM1", "recorded", 1)
    assert [row.kind for row in await world.store.read(feedback_of, 7)] == ["delivered"]
    assert await world.store.read(any_parked)
    world.now += 73 * HOUR
    await join(world)
    assert not await world.store.read(any_parked)


async def test_what_comes_during_a_handover_is_settled_after_its_outcome(world: World) -> None:
    """The callback was quicker than our own timeout: the doubt is settled as soon as there is one."""
    claimed = await handed_over(world, None)
    [heard] = await told(world, report("delivered"))
    assert (heard.how, heard.settled, heard.waits) == ("recorded", None, True)
    assert (await join(world)).heard == []
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN, code="timeout")])
    assert await world.state(1) == ("in_doubt", None)
    [(_, heard)] = (await join(world)).heard
    assert heard.settled is State.ACCEPTED
    assert await world.state(1) == ("accepted", None)
    assert not await world.store.read(any_parked)


async def test_a_later_word_that_it_was_taken_undoes_an_earlier_failure(world: World) -> None:
    """Out of order: states go one way, and the contact counts again."""
    await handed_over(world)
    await told(world, report("failed"))
    assert await touches(world) == 0
    await told(world, report("delivered"))
    assert await world.state(1) == ("accepted", None)
    assert await touches(world) == 1
    assert await world.tally() == {("accepted", ""): 1}
    assert await world.sql("SELECT handed_over_at IS NOT NULL FROM delivery") == [(1,)]


async def test_a_rejection_of_the_providers_own_stays(world: World) -> None:
    """It answered that it does not take it: a strange report later is kept and changes nothing."""
    await handed_over(world, Kind.REJECTED)
    await told(world, report("delivered"))
    assert await world.state(1) == ("rejected", "rejected_by_provider")


@pytest.mark.promise("P2")
@pytest.mark.parametrize("claim_first", [False, True])
async def test_no_second_copy_goes_once_the_first_is_known_to_have_arrived(world: World, claim_first: bool) -> None:
    """`resend_once`: the copy that is due, or claimed, is taken back; a grant that is asked for later finds nothing."""
    await handed_over(world, Kind.UNKNOWN, resend=True)
    assert await world.sql("SELECT state, key FROM delivery") == [("due", "doubt")]
    claimed = (await world.claim()).claimed if claim_first else []
    [heard] = await told(world, report("delivered"))
    assert heard.settled is State.ACCEPTED
    assert await world.step(grants=claimed) == frozenset()
    assert (await world.claim()).taken == 0
    assert await world.state(1) == ("accepted", None)
    assert await touches(world) == 1
    assert await world.tally() == {("accepted", ""): 1}


async def test_with_two_copies_in_doubt_one_failure_says_nothing(world: World) -> None:
    """Nobody knows which of them failed, so both go on counting."""
    await handed_over(world, Kind.UNKNOWN, resend=True)
    [second] = (await world.claim()).claimed
    world.now += MINUTE
    await world.step(grants=[second])
    await world.step(outcomes=[outcome(second, Kind.UNKNOWN)])
    assert await touches(world) == 2
    await told(world, report("failed"))
    assert await world.state(1) == ("in_doubt", None)
    assert await touches(world) == 2
    await told(world, report("delivered"))
    assert await world.state(1) == ("accepted", None)


@pytest.mark.promise("B52")
async def test_a_provider_that_never_had_a_delivery_says_nothing_of_it(world: World) -> None:
    """Neither another provider, nor anyone about a delivery that was never handed over or does not exist."""
    await handed_over(world)
    await world.store.write(Lane.BULK, add_job, 2, people=[8], first_id=9)
    heard = await told(
        world, report("complained", provider="other"), report("delivered", 9), report("delivered", 77), report("delivered", None)
    )  # fmt: skip
    assert {one.how for one in heard} == {"foreign"}
    assert await world.state(1) == ("in_doubt", None)
    assert await world.sql("SELECT count(*) FROM feedback") == [(0,)]
    assert await world.sql("SELECT count(*) FROM suppression") == [(0,)]


async def test_a_bounce_kills_the_address_for_everything_on_its_channel(world: World) -> None:
    """Also for transactional messages, at once: what is claimed for the same address is not handed over."""
    await handed_over(world, Kind.ACCEPTED)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=9)
    claimed = (await world.claim()).claimed
    await told(world, report("bounced"))
    assert await world.step(grants=claimed) == frozenset()
    assert await world.sql("SELECT hash, channel, scope, reason, source FROM suppression") == [(H7, "email", "all", "bounced", "feedback:relay")]


async def test_the_address_that_bounced_is_suppressed_not_the_one_that_came_since(world: World) -> None:
    """A provider that names the address says which one is dead."""
    await handed_over(world, Kind.ACCEPTED)
    await told(world, report("bounced", hash=b"old"))
    assert await world.sql("SELECT hash FROM suppression") == [(b"old",)]


@pytest.mark.promise("P6")
async def test_a_complaint_closes_every_channel_for_good(world: World) -> None:
    """All addresses of the person, consent of all channels; a later START opens nothing."""
    await handed_over(world, Kind.ACCEPTED)
    await world.sql("UPDATE recipient SET phone_hash = CAST('t7' AS BLOB)")
    await told(world, report("complained"))
    await told(world, report("unsubscribed"), report("resubscribed", at=SAID + 1))
    assert await world.sql("SELECT hash, channel, scope, reason FROM suppression WHERE channel = '*' ORDER BY hash") == [
        (b"h7", "*", "all", "complained"), (b"t7", "*", "all", "complained"),
    ]  # fmt: skip
    assert await world.sql("SELECT channel, state, source FROM consent ORDER BY channel") == [
        (channel, "withdrawn", "complaint:relay") for channel in CHANNELS
    ]  # fmt: skip


@pytest.mark.promise("P6")
async def test_an_unsubscribe_by_the_provider_is_one_like_that_of_a_link(world: World) -> None:
    """Consent, suppression for marketing, guard: what was claimed before does not go; what waits is dropped now."""
    await handed_over(world, Kind.ACCEPTED)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=9)
    claimed = (await world.claim()).claimed
    await told(world, report("unsubscribed"))
    assert await world.step(grants=claimed) == frozenset()
    assert await world.sql("SELECT channel, topic, state, source FROM consent") == [("email", "*", "withdrawn", "stop:relay")]
    assert await world.sql("SELECT channel, scope, reason, source FROM suppression") == [("email", "marketing", "suppressed", "stop:relay")]


@pytest.mark.promise("P6")
async def test_a_stop_from_an_address_reaches_everyone_who_has_it(world: World) -> None:
    """By the address alone: whoever has it is suppressed, also who is claimed just now; START lifts that again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    await world.sql("UPDATE recipient SET email_hash = x'AA'")
    claimed = (await world.claim()).claimed
    assert (await told(world, report("unsubscribed", None, hash=b"\xaa")))[0].how == "recorded"
    assert await world.step(grants=claimed) == frozenset()
    await world.claim()
    assert all((kind, row.reason) == ("email", "suppressed") for known in world.seen_known.values() for kind, row in known.suppressions)
    assert set(world.seen_known) == {7, 8}
    await told(world, report("resubscribed", None, hash=b"\xaa", at=SAID + 1))
    assert await world.sql("SELECT count(*) FROM suppression") == [(0,)]


async def test_a_start_lifts_the_stop_of_its_channel_and_nothing_else(world: World) -> None:
    """Not another channel's, not an operator's, not a bounce; nor what the person said by a link."""
    await handed_over(world, Kind.ACCEPTED)
    others = [("sms", "marketing", "suppressed", "stop:twilio"), ("call", "all", "suppressed", "import"), ("push", "all", "bounced", "feedback:relay")]
    for channel, scope, reason, source in others:
        await world.sql("INSERT INTO suppression VALUES (CAST('h7' AS BLOB), :c, :s, :r, 1, :o)", c=channel, s=scope, r=reason, o=source)
    await told(world, report("unsubscribed"))
    await told(world, report("resubscribed", at=SAID + 1))
    assert sorted(await world.sql("SELECT channel, scope, reason, source FROM suppression")) == sorted(others)
    assert await world.sql("SELECT state, source FROM consent") == [("granted", "start:relay")]


@pytest.mark.parametrize("who", ["link", "list"])
async def test_what_others_forbid_too_no_start_allows(world: World, who: str) -> None:
    """A link's unsubscribe, or an operator's list, after a STOP takes it over."""
    await handed_over(world, Kind.ACCEPTED)
    await told(world, report("unsubscribed"))
    if who == "link":
        await world.store.write(Lane.EXIT, unsubscribe, 1, now=world.now, how="page")
    else:
        entry = SuppressionEntry(H7, "email", "marketing", "suppressed", world.now, "import")
        await world.store.write(Lane.EXIT, add_suppressions, [entry])
    await told(world, report("resubscribed", at=SAID + 1))
    assert await world.sql("SELECT count(*) FROM suppression") == [(1,)]


@pytest.mark.parametrize(("said", "left"), [(1, 0), (-1, 1)])
async def test_a_start_lifts_what_a_refusal_of_the_provider_closed(world: World, said: int, left: int) -> None:
    """The STOP itself never came here: said after the refusal, START opens the address; said before it, it does not."""
    await handed_over(world, Kind.REJECTED, scope="address", code="unsubscribed")
    await world.sql("UPDATE suppression SET at = :at", at=SAID)
    await told(world, report("resubscribed", None, hash=H7, at=SAID + said))
    assert await world.sql("SELECT count(*) FROM suppression") == [(left,)]
    assert await world.sql("SELECT count(*) FROM consent") == [(0,)]


async def test_a_new_stop_after_a_start_counts(world: World) -> None:
    """The last word by when it was said: STOP, START, STOP is a STOP; an old STOP that comes late is none."""
    await handed_over(world, Kind.ACCEPTED)
    await told(world, report("unsubscribed", at=SAID), report("resubscribed", at=SAID + 2))
    await told(world, report("unsubscribed", at=SAID + 1, event="late"))
    assert await world.sql("SELECT count(*) FROM suppression") == [(0,)]
    await told(world, report("unsubscribed", at=SAID + 3, event="new"))
    assert await world.sql("SELECT reason, source FROM suppression") == [("suppressed", "stop:relay")]
    assert await world.sql("SELECT state FROM consent") == [("withdrawn",)]


@pytest.mark.promise("P6")
async def test_a_new_stop_counts_also_where_no_report_has_an_id(world: World) -> None:
    """Providers without ids for replies: the second STOP is not taken for the first one come again; a START that comes again is."""
    await handed_over(world, Kind.ACCEPTED)
    stop, start = report("unsubscribed", None, hash=H7, at=SAID), report("resubscribed", None, hash=H7, at=SAID + 1)
    await told(world, stop, start)
    assert await world.sql("SELECT count(*) FROM suppression") == [(0,)]
    await told(world, stop._replace(at=SAID + 2))
    await told(world, start._replace(at=SAID + 3), stop)
    assert await world.sql("SELECT reason, source FROM suppression") == [("suppressed", "stop:relay")]
    assert await world.sql("SELECT count(*) FROM feedback") == [(2,)]


async def test_a_start_without_a_stop_grants_nothing(world: World) -> None:
    """It lifts; it never widens consent by itself."""
    await handed_over(world, Kind.ACCEPTED)
    await told(world, report("resubscribed"))
    assert await world.sql("SELECT count(*) FROM consent") == [(0,)]


async def test_late_feedback_for_an_erased_person_changes_nothing(world: World) -> None:
    """The suppression that erasing left stays, no row is written."""
    await handed_over(world)
    await world.sql("UPDATE recipient SET erased = 1, email = NULL, email_hash = NULL")
    await world.sql("INSERT INTO suppression VALUES (CAST('h7' AS BLOB), '*', 'all', 'erased', 1, 'erase')")
    heard = await told(world, report("delivered"), report("resubscribed"), report("complained"))
    assert {one.how for one in heard} == {"erased"}
    await told(world, report("resubscribed", None, hash=H7))
    assert await world.sql("SELECT reason FROM suppression") == [("erased",)]
    assert await world.sql("SELECT count(*) FROM consent") == [(0,)]
    assert await world.state(1) == ("in_doubt", None)


async def test_an_erasure_takes_the_words_of_replies_too(world: World) -> None:
    """Of what names a delivery, and of what names the address alone; that something was said, and what it forbids, stays."""
    await handed_over(world, Kind.ACCEPTED)
    person = person_id("p-7")
    await world.sql("UPDATE recipient SET id = :p WHERE id = 7", p=person)
    await world.sql("UPDATE delivery SET person = :p", p=person)
    await told(world, report("replied", detail="Aiko, flat 7"), report("replied", None, hash=H7, detail="and my sister's number"))
    await told(world, report("replied", None, hash=b"else", detail="another one"))
    await world.store.write(Lane.EXIT, erase_recipient, "p-7", now=world.now, source="test")
    assert await world.sql("SELECT hash, detail FROM feedback ORDER BY hash") == [(b"", None), (b"else", "another one"), (H7, None)]


async def test_a_clock_ahead_at_the_provider_is_cut_to_ours(world: World) -> None:
    """A report cannot be of the future: else a STOP could never be undone."""
    await handed_over(world, Kind.ACCEPTED)
    await told(world, report("delivered", at=world.now + HOUR))
    assert [row.at for row in await world.store.read(feedback_of, 7)] == [world.now]


async def test_human_opens_and_clicks_count_for_the_profile_in_any_order(world: World) -> None:
    """One delivery is one open and one click, however often; machines do not count."""
    await handed_over(world)
    said = [
        report("opened", event="1", at=NOW - HOUR), report("opened", event="2", at=NOW - 2 * HOUR), report("clicked", event="3", at=NOW - 3 * HOUR),
        report("opened", event="4", at=NOW - MINUTE, human=False),
    ]  # fmt: skip
    seen = []
    for order in (said, said[::-1]):
        await told(world, *order, *order)
        seen.append(await world.sql("SELECT person, score, last_open_at, last_click_at, last_visit_at, last_seen_at FROM profile"))
        await world.sql("DELETE FROM profile")
        await world.sql("DELETE FROM feedback")
    assert seen == [[(7, 3, NOW - HOUR, NOW - 3 * HOUR, NOW - 3 * HOUR, NOW - HOUR)]] * 2


WORDS = "call me on +49 30 123456"


async def erased_while(world: World, kind: Kind | None) -> Any:
    """A delivery of a person that has been erased since its handover, and what came of it."""
    claimed = await handed_over(world, kind, people=[person_id("p-x")])
    await world.store.write(Lane.BULK, lambda conn: conn.exec_driver_sql("UPDATE recipient SET key = 'p-x', email_hash = x'6837'"))
    await world.store.write(Lane.EXIT, erase_recipient, "p-x", now=world.now, source="test")
    return claimed


async def test_what_waits_for_its_delivery_waits_without_words(world: World) -> None:
    """Whose they are is not known yet, so an erasure could not take them away; after it nothing is joined."""
    claimed = await handed_over(world, None, people=[person_id("p-x")])
    await told(world, report("replied", None, provider_id="SM1", detail=WORDS), report("failed", detail=WORDS))
    items = [item for (item,) in await world.sql("SELECT item FROM feedback_parked")]
    assert len(items) == 2 and not any("call me" in item for item in items)
    await world.store.write(Lane.BULK, lambda conn: conn.exec_driver_sql("UPDATE recipient SET key = 'p-x'"))
    await world.store.write(Lane.EXIT, erase_recipient, "p-x", now=world.now, source="test")
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN, provider_id="SM1", traced=True)])
    await join(world)
    assert not await world.store.read(any_parked)
    assert await world.sql("SELECT kind, detail FROM feedback WHERE detail IS NOT NULL") == []


async def test_words_that_were_recorded_are_not_lost_when_their_report_is_joined(world: World) -> None:
    """It came during the handover: kept at once with its words, parked without; the same again, with or without them, changes nothing."""
    claimed = await handed_over(world, None)
    await told(world, report("failed", detail=WORDS))
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN)])
    [(_, heard)] = (await join(world)).heard
    assert heard.settled is State.REJECTED
    assert await world.sql("SELECT kind, detail FROM feedback") == [("failed", WORDS)]


@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.REJECTED, Kind.DEFERRED])
async def test_a_late_outcome_keeps_no_words_of_who_was_erased(world: World, kind: Kind) -> None:
    """A provider's refusal often names the number; what kind of answer it was stays."""
    claimed = await erased_while(world, None)
    await world.step(outcomes=[outcome(claimed, kind, code="30003", detail=WORDS, again_at=LATER)])
    assert await world.sql("SELECT code, detail FROM attempt") == [("30003", None)]


async def test_a_doubt_that_is_looked_up_keeps_no_words_of_who_was_erased(world: World) -> None:
    """Asked after the erasure; the answer settles it all the same."""
    await erased_while(world, Kind.UNKNOWN)
    answer = Answer(1, State.REJECTED, "message", "30003", WORDS)
    assert await world.store.write(Lane.BULK, settle_doubts, "relay", [answer], world.now) == {1: State.REJECTED}
    assert "call me" not in str(await world.sql("SELECT detail FROM attempt"))


async def test_a_late_reply_of_who_was_erased_keeps_no_words(world: World) -> None:
    """It names the address alone; that there was one is kept."""
    await erased_while(world, Kind.ACCEPTED)
    await told(world, report("unsubscribed", None, hash=H7, detail=WORDS), report("unsubscribed", None, hash=b"h9", detail=WORDS))
    assert await world.sql("SELECT hash, detail FROM feedback ORDER BY hash") == [(b"h7", None), (b"h9", WORDS)]
