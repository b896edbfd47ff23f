"""Claim, handover and record: what may be sent, once, and what counts."""

from __future__ import annotations

import asyncio

import pytest

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store.flight import Kind
from daemon.store.held import HeldWhere, cancel_some_held
from daemon.store.recover import accept_clock, begin
from daemon.store.release import ToSweep, sweep_some
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome


@pytest.mark.promise("P2")
async def test_an_accepted_delivery_is_claimed_handed_over_and_recorded_once(world: World) -> None:
    """The plain life: due, claimed, handed over, accepted; one touch; nothing left in flight."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    assert await world.step(grants=[claimed]) == {1}
    world.now += 5
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED, provider_id="250 ok")])
    assert await world.sql("SELECT state, provider, provider_id, handed_over_at, ended_at, attempts FROM delivery") == [
        ("accepted", "relay", "250 ok", NOW, NOW + 5, 1)
    ]
    assert await world.sql("SELECT person, at, delivery, zone FROM touch") == [(7, NOW, 1, "Asia/Jakarta")]
    assert await world.sql("SELECT * FROM flight") == []
    assert (await world.claim()).taken == 0
    assert await world.tally() == {("accepted", ""): 1}


@pytest.mark.promise("P2")
async def test_a_grant_is_given_once(world: World) -> None:
    """Asking twice for the same claim, or after it was recorded, gives nothing."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    both = await asyncio.gather(world.step(grants=[claimed]), world.step(grants=[claimed]))
    assert sorted(map(len, both)) in ([0, 1], [1, 1])  # joined into one transaction, both callers are the same claim
    assert await world.sql("SELECT count(*) FROM touch") == [(1,)]
    await world.step(outcomes=[outcome(claimed, Kind.ACCEPTED)])
    assert await world.step(grants=[claimed]) == frozenset()


@pytest.mark.promise("P2")
async def test_what_is_handed_over_is_not_granted_again(world: World) -> None:
    """A sender that lost the answer to its first ask must not start: somebody may have."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    assert await world.step(grants=[claimed]) == {1}
    assert await world.step(grants=[claimed]) == frozenset()
    assert await world.sql("SELECT count(*) FROM touch") == [(1,)]
    assert await world.tally() == {("claimed", ""): 1}


GUARDS = {
    "person": "UPDATE recipient SET guard = guard + 1 WHERE id = 7",
    "campaign": "UPDATE campaign SET guard = guard + 1",
    "job": "UPDATE job SET guard = guard + 1",
    "queue": "INSERT INTO queue (name, paused, guard) VALUES ('q', 0, 1)",
}


@pytest.mark.promise("F44", "P6")
@pytest.mark.parametrize("guard", sorted(GUARDS))
async def test_a_guard_raised_between_claim_and_handover_refuses_it(world: World, guard: str) -> None:
    """What may forbid a send raises a guard; the claim's copy no longer fits, so the row is due again, decided anew."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.sql(GUARDS[guard])
    assert await world.step(grants=[claimed]) == frozenset()
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]
    [again] = (await world.claim()).claimed
    assert again.epoch != claimed.epoch
    assert await world.step(grants=[again]) == {1}


@pytest.mark.promise("P5")
async def test_a_grant_is_refused_from_the_instant_at_which_the_window_closes(world: World) -> None:
    """`closes` is half-open: one microsecond before is inside, the instant itself is not."""
    world.decide = lambda row: Decision(verdict=Verdict.SEND, closes=NOW + 10)
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    first, second = (await world.claim()).claimed
    world.now = NOW + 9
    assert await world.step(grants=[first]) == {first.row.delivery}
    world.now = NOW + 10
    assert await world.step(grants=[second]) == frozenset()


@pytest.mark.promise("F42", "P8")
async def test_nothing_is_granted_while_the_gate_is_shut(world: World) -> None:
    """Kill switch: outcomes are still recorded, grants are refused, the row stays due."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    first, second = (await world.claim()).claimed
    assert await world.step(grants=[first])
    world.shut = True
    assert await world.step(outcomes=[outcome(first, Kind.ACCEPTED)], grants=[second]) == frozenset()
    assert await world.state(1) == ("accepted", None)
    assert await world.tally() == {("accepted", ""): 1, ("due", ""): 1}


@pytest.mark.promise("F37", "P2")
async def test_an_outcome_under_another_epoch_is_stale(world: World) -> None:
    """A zombie's report about a claim that was taken from it changes nothing."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [old] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    [new] = (await world.claim()).claimed
    await world.step(outcomes=[outcome(old, Kind.ACCEPTED)])
    assert await world.state(1) == ("due", None)
    assert await world.step(grants=[old]) == frozenset()
    assert await world.step(grants=[new]) == {1}


async def test_a_stale_outcome_does_not_hide_the_one_that_comes_with_it(world: World) -> None:
    """A report that is brought again meets the report of the next claim in one commit: only that one counts, whatever their order."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [old] = (await world.claim()).claimed
    await world.step(outcomes=[outcome(old, Kind.DEFERRED, again_at=NOW)])
    [new] = (await world.claim()).claimed
    assert await world.step(grants=[new]) == {1}
    await world.step(outcomes=[outcome(new, Kind.ACCEPTED), outcome(old, Kind.DEFERRED, again_at=NOW)])
    assert await world.state(1) == ("accepted", None)
    assert await world.sql("SELECT * FROM flight") == []
    assert await world.tally() == {("accepted", ""): 1}


async def test_a_sure_failure_gives_the_touch_back_and_wakes_who_waits_for_the_slot(world: World) -> None:
    """Rejected sends do not count; the person's delivery that waited for the slot is due in the same transaction."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    world.decide = lambda row: (
        Decision(verdict=Verdict.SEND, closes=LATER)
        if row.delivery == 1
        else Decision(verdict=Verdict.DEFER, reason=Reason.CAP_REACHED, until=NOW + 10**9)
    )
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    assert (await world.claim()).taken == 0
    await world.step(outcomes=[outcome(claimed, Kind.REJECTED, scope="message", code="550")])
    assert await world.state(1) == ("rejected", "rejected_by_provider")
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]
    assert (await world.claim()).taken == 1


async def test_an_address_rejection_suppresses_it_and_stops_what_is_in_flight(world: World) -> None:
    """Scope `address`: suppressed as bounced for all messages; another person with that address is refused at handover."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    await world.sql("UPDATE recipient SET email_hash = (SELECT email_hash FROM recipient WHERE id = 7) WHERE id = 8")
    first, second = (await world.claim()).claimed
    await world.step(grants=[first])
    await world.step(outcomes=[outcome(first, Kind.REJECTED, scope="address", code="550 5.1.1")])
    assert await world.sql("SELECT channel, scope, reason, source FROM suppression") == [("email", "all", "bounced", "provider:relay")]
    assert await world.step(grants=[second]) == frozenset()
    await world.claim()
    assert world.seen_known[8].suppressions[0][1].reason == "bounced"


async def test_an_address_that_gets_no_marketing_and_turns_out_dead_gets_nothing_at_all(world: World) -> None:
    """A hard refusal of a transactional message widens what an unsubscribe had written; a provider's STOP never narrows it again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [first] = (await world.claim()).claimed
    await world.sql("INSERT INTO suppression SELECT email_hash, 'email', 'marketing', 'suppressed', 1, 'unsubscribe:page' FROM recipient WHERE id = 7")
    await world.step(grants=[first])
    await world.step(outcomes=[outcome(first, Kind.REJECTED, scope="address", code="550 5.1.1")])
    bounced = [("email", "all", "bounced", NOW + 1, "provider:relay")]
    assert await world.sql("SELECT channel, scope, reason, at, source FROM suppression") == bounced
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    [second] = (await world.claim()).claimed
    await world.step(grants=[second])
    world.now += 1
    await world.step(outcomes=[outcome(second, Kind.REJECTED, scope="address", code="unsubscribed")])
    assert await world.sql("SELECT channel, scope, reason, at, source FROM suppression") == bounced


async def test_an_address_that_told_its_provider_to_stop_is_closed_for_marketing_until_start(world: World) -> None:
    """Scope `address` with the code `unsubscribed`: no dead address, but a STOP that the provider keeps."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    await world.sql("UPDATE recipient SET email_hash = (SELECT email_hash FROM recipient WHERE id = 7) WHERE id = 8")
    first, second = (await world.claim()).claimed
    await world.step(grants=[first])
    await world.step(outcomes=[outcome(first, Kind.REJECTED, scope="address", code="unsubscribed")])
    assert await world.sql("SELECT channel, scope, reason, source FROM suppression") == [("email", "marketing", "suppressed", "stop:relay")]
    assert await world.step(grants=[second]) == frozenset()


@pytest.mark.promise("P2", "P3", "P4", "F7")
async def test_doubt_counts_and_is_never_due_again(world: World) -> None:
    """Unknown after the handover: in doubt, its touch stays, its evidence is kept, it is not claimed again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN, code="timeout", detail="no answer to the dot")])
    assert await world.state(1) == ("in_doubt", None)
    assert await world.sql("SELECT count(*) FROM touch") == [(1,)]
    assert await world.sql("SELECT outcome, code, detail FROM attempt") == [("unknown", "timeout", "no answer to the dot")]
    assert (await world.claim()).taken == 0


async def test_a_second_copy_that_surely_fails_leaves_the_doubt(world: World) -> None:
    """`on_doubt = "resend_once"`: one more attempt; rejected, the first one's doubt stands; accepted, it is accepted."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    for first in (await world.claim()).claimed:
        await world.step(grants=[first])
        await world.step(outcomes=[outcome(first, Kind.UNKNOWN, resend=True)])
    one, two = (await world.claim()).claimed
    assert one.row.doubted and two.row.doubted
    await world.step(grants=[one, two])
    await world.step(outcomes=[outcome(one, Kind.REJECTED), outcome(two, Kind.ACCEPTED)])
    assert (await world.state(one.row.delivery))[0] == "in_doubt"
    assert (await world.state(two.row.delivery))[0] == "accepted"


@pytest.mark.promise("F1", "F2", "F3", "F4", "F5", "P2", "P3")
async def test_a_dead_incarnation_leaves_claims_due_and_handovers_in_doubt(world: World) -> None:
    """Recovery: what was only claimed is sent once later; what was handed over is in doubt, with its evidence."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9])
    first, second, third = (await world.claim()).claimed
    await world.step(grants=[first, second])
    await world.step(outcomes=[outcome(first, Kind.ACCEPTED)])
    began = await world.store.write(Lane.BULK, begin, NOW + 5, "node", "other")
    assert (began.nonce, began.returned, list(began.doubts), began.last_heartbeat) == ("nonce", 1, [second.row.delivery], NOW)
    assert (await world.state(second.row.delivery))[0] == "in_doubt"
    world.now += 5
    [again] = (await world.claim()).claimed
    assert again.row.delivery == third.row.delivery
    assert await world.tally() == {("accepted", ""): 1, ("in_doubt", ""): 1, ("claimed", ""): 1}


async def test_a_deferred_delivery_is_due_again_at_its_instant_and_only_then(world: World) -> None:
    """Back-off is a row: not_before moves, the attempt is counted if it was burnt."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.DEFERRED, scope="message", code="451", again_at=NOW + 1000)])
    assert (await world.claim()).next_due == NOW + 1000
    world.now = NOW + 1000
    [again] = (await world.claim()).claimed
    assert again.row.attempts == 1


async def test_a_claim_says_whether_more_is_due_and_when_the_next_will_be(world: World) -> None:
    """A claim that took all that was due is not followed by an empty one; one that left some is followed at once."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9])
    some = await world.claim(2)
    assert (some.taken, some.drained) == (2, False)
    rest = await world.claim(2)
    assert (rest.taken, rest.drained, rest.next_due) == (1, True, None)
    await world.step(grants=rest.claimed)
    await world.step(outcomes=[outcome(rest.claimed[0], Kind.DEFERRED, scope="message", code="451", again_at=NOW + 1000)])
    await world.store.write(Lane.BULK, add_job, 2, people=[10], first_id=11)
    last = await world.claim()
    assert (last.taken, last.drained, last.next_due) == (1, True, NOW + 1000)


async def test_held_and_dropped_rows_leave_the_due_queue_with_their_reason(world: World) -> None:
    """Hold and Drop end the row's time in the queue; history and tally say why."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    reasons = {1: (Verdict.HOLD, Reason.ZONE_UNKNOWN), 2: (Verdict.DROP, Reason.SUPPRESSED)}
    world.decide = lambda row: Decision(verdict=reasons[row.delivery][0], reason=reasons[row.delivery][1], key="recipient:p-7")
    await world.claim()
    assert await world.state(1) == ("held", "zone_unknown")
    assert await world.state(2) == ("dropped", "suppressed")
    assert await world.tally() == {("held", "zone_unknown"): 1, ("dropped", "suppressed"): 1}
    assert await world.sql("SELECT delivery, reason, count FROM reason_history ORDER BY 1") == [
        (1, "zone_unknown", 1),
        (2, "suppressed", 1),
    ]
    assert (await world.claim()).taken == 0


@pytest.mark.parametrize(
    "stop",
    [
        "UPDATE campaign SET status = 'paused'",
        "UPDATE job SET state = 'paused'",
        "INSERT INTO queue (name, paused, guard) VALUES ('q', 1, 1)",
    ],
)
async def test_what_is_paused_stays_in_the_queue_untouched(world: World, stop: str) -> None:
    """A bulk pause is one row: no delivery is written, nothing is claimed, resuming needs nothing else."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql(stop)
    assert (await world.claim()).taken == 0
    assert await world.sql("SELECT count(*) FROM due") == [(1,)]


async def test_the_persons_other_due_deliveries_are_seen_as_rivals(world: World) -> None:
    """A slot goes to the highest priority among what is due now, also when the claim took only the other one."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7], priority=10)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], priority=90, first_id=100)
    await world.claim(share=lambda lanes: [(1, 10)])
    assert world.rivals == {100}
    assert await world.sql("SELECT delivery FROM due") == [(100,)]


@pytest.mark.promise("P4")
async def test_a_reserved_slot_is_seen_before_the_handover(world: World) -> None:
    """A claimed delivery counts for the cap though its touch is not written yet."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.claim()
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    await world.claim()
    assert [touch.at for touch in world.seen_known[7].touches] == [NOW]


async def doubted(world: World) -> None:
    """One delivery whose fate is not known and that waits for the one more copy its campaign allows."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN, code="lost", resend=True)])
    assert await world.state(1) == ("due", None)


async def test_a_doubt_whose_second_copy_comes_too_late_stays_a_doubt(world: World) -> None:
    """The first may have arrived: it must not be shown as expired, which says that nothing was sent."""
    await doubted(world)
    world.decide = lambda row: Decision(verdict=Verdict.DROP, reason=Reason.LATE)
    await world.claim()
    assert await world.state(1) == ("in_doubt", None)
    assert await world.tally() == {("in_doubt", ""): 1}
    assert await world.sql("SELECT count(*) FROM due") == [(0,)]


async def test_a_doubt_whose_second_copy_is_cancelled_stays_a_doubt(world: World) -> None:
    """Cancelling the job ends what was not sent; this one may have been."""
    await doubted(world)
    await world.sql("UPDATE job SET state = 'cancelled', first_id = 1, last_id = 1")
    await world.store.write(Lane.BULK, sweep_some, ToSweep(1, "cancelled", 1, 1), 0, NOW, 100)
    assert await world.state(1) == ("in_doubt", None)
    assert await world.tally() == {("in_doubt", ""): 1}


async def test_a_doubt_whose_second_copy_was_held_stays_a_doubt_when_that_is_cancelled(world: World) -> None:
    """The same for one that an operator cancels while it is held."""
    await doubted(world)
    world.decide = lambda row: Decision(verdict=Verdict.HOLD, reason=Reason.RENDER_ERROR)
    await world.claim()
    assert await world.store.write(Lane.BULK, cancel_some_held, HeldWhere(), NOW) == 1
    assert await world.state(1) == ("in_doubt", None)
    assert await world.tally() == {("in_doubt", ""): 1}


@pytest.mark.parametrize("together", [False, True])
async def test_what_was_claimed_before_a_send_that_no_cap_stops_is_counted_anew(world: World, together: bool) -> None:
    """A transactional message goes whatever the caps say, and counts: an older claim, judged with one touch less, loses its leave."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [older] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    world.uncapped = True
    [newer] = (await world.claim()).claimed
    if together:
        assert await world.step(grants=[older, newer]) == {100}
    else:
        assert await world.step(grants=[newer]) == {100}
        assert await world.step(grants=[older]) == frozenset()
    [again] = (await world.claim()).claimed
    assert again.row.delivery == 1
    assert len(world.seen_known[7].touches) == 1
    assert await world.step(grants=[again]) == {1}


async def test_two_sends_that_no_cap_stops_leave_each_other_alone(world: World) -> None:
    """Each would have the other counted anew, in turns and for ever."""
    world.uncapped = True
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [older] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    [newer] = (await world.claim()).claimed
    assert await world.step(grants=[older, newer]) == {1, 100}


async def test_what_was_claimed_before_a_send_within_the_caps_keeps_its_leave(world: World) -> None:
    """The later claim has counted the earlier one's reservation: both may go, in any order."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [older] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, add_job, 2, people=[7], first_id=100)
    [newer] = (await world.claim()).claimed
    assert await world.step(grants=[newer]) == {100}
    assert await world.step(grants=[older]) == {1}


async def test_what_was_claimed_by_an_untrusted_clock_is_decided_anew_when_the_clock_is_accepted(world: World) -> None:
    """Its window and its caps were read from a wrong time; the gate alone would let it go once it is open again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.store.write(Lane.BULK, accept_clock, NOW)
    assert await world.step(grants=[claimed]) == frozenset()
    [again] = (await world.claim()).claimed
    assert await world.step(grants=[again]) == {1}
