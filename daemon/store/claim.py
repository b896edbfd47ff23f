"""Claim: due rows become flights, or wait, are held, or end, by what the rules say (design: life of a delivery, 2).

One transaction: take the heads of the chosen lanes, read what is known of their persons, let `decide` judge each person's
deliveries together, write the verdicts. Decides nothing itself: lanes are chosen by `share`, rows are judged by `judge`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Decision, Instant, Reason, State, Verdict
from daemon.model.journey import ACT_TOPIC
from daemon.store import schema as s
from daemon.store.campaigns import body_of
from daemon.store.codes import Mint
from daemon.store.due import DueKey, put_due, take_heads
from daemon.store.facts import NO_NEEDS, PUSHED, DueRow, Known, Needs, due_rows, known_of, rivals_of
from daemon.store.follow import Then, follow
from daemon.store.issues import Reserved, Wanted, no_codes, reserve
from daemon.store.lanes import DueLane, first_lanes, heads_of
from daemon.store.outlay import Cost, set_aside
from daemon.store.pauses import pauses_over
from daemon.store.profiles import read_profiles
from daemon.store.push import PushAddress
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.wake import due_waves


class Judged(NamedTuple):
    """A verdict to be written, and the state that it leads to. For Send: `topic` and `zone` go into the touch, `address_hash`
    fences suppression; `uncapped`: it goes whatever the caps say, and counts; `push`: the subscriptions that it goes to."""

    row: DueRow
    decision: Decision
    state: State
    topic: str | None = None
    zone: str | None = None
    provider: str = ""
    address_hash: bytes | None = None
    uncapped: bool = False
    push: Sequence[PushAddress] = ()
    then: Then | None = None
    """Of a Drop: where the person may be reached instead."""
    offer: Wanted | None = None
    """Of a Send: the offer that it carries, to be set aside."""
    variant: str | None = None
    """The winner of an experiment that it waited for."""
    cost: Cost | None = None
    """Of a Send of a campaign with a budget: what is to be set aside."""


class Claimed(NamedTuple):
    """A delivery that this incarnation may send, under this epoch. `zone`: the person's possible zones, with commas between."""

    row: DueRow
    epoch: int
    provider: str
    closes: Instant
    zone: str | None
    push: Sequence[PushAddress] = ()
    offer: Reserved | None = None


class Send(NamedTuple):
    """What goes by a verdict, on its way to be written. `raised`: its person's guard was raised by this claim."""

    item: Judged
    claimed: Claimed
    raised: bool


Profiles = Mapping[int, Mapping[str, Any]]
"""Person -> what its events add up to."""
Settle = Callable[[Connection, Sequence[Send], Profiles], tuple[Sequence[Send], bool]]
"""(what goes, profiles) -> what is left to be claimed; may the ends of the rest have made something due in another lane?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    claimed: Sequence[Claimed]
    judged: Mapping[tuple[Verdict, Reason | None], int]
    """Counts by verdict and reason, for metrics."""
    taken: int
    """Due rows looked at; 0 = nothing was due."""
    next_due: Instant | None
    """The earliest due instant left in lanes that may run, or None."""
    drained: bool = True
    """Nothing more was due then: to claim again at once would find nothing."""
    profiles: Profiles = field(default_factory=dict)
    """Of the persons of those claimed whose words ask for it; who is not there has none."""


Share = Callable[[Sequence[DueLane]], Sequence[tuple[int, int]]]
Fetch = Callable[[int, int], str]
"""(campaign, version) -> the stored body of a campaign version."""
Prepare = Callable[[frozenset[tuple[int, int]], Fetch], Needs | None]
"""Gets the (campaign, version) pairs that are about to be judged, to load what it does not have yet. Returns what has to be known of their
deliveries' persons beside."""
Judge = Callable[[Sequence[DueRow], Mapping[int, Known], frozenset[int]], Sequence[Judged]]
"""(rows by person together, what is known, ids that are rivals only) -> verdicts for the rows that are not rivals."""

_HEADS = (
    select(s.due.c.lane, s.due.c.not_before, s.due.c.delivery)
    .where(s.due.c.lane == bindparam("lane"), s.due.c.not_before <= bindparam("now"))
    .order_by(s.due.c.not_before, s.due.c.delivery)
    .limit(bindparam("n"))
)
_INSERT_FLIGHT = insert(s.flight)
_FLIGHT_NAMES = (
    "delivery", "wave", "person", "job", "handed_over", "epoch", "owner", "person_guard", "campaign_guard", "job_guard", "queue_guard",
    "closes", "channel", "topic", "zone", "provider", "address_hash", "claimed_at", "handed_over_at", "campaign", "lane", "attempts",
    "doubted", "uncapped", "issue",
)  # fmt: skip
_DECIDED = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"), reason=bindparam("b_reason"), not_before=bindparam("b_not_before"), decided_at=bindparam("b_now"),
        decision=bindparam("b_decision"), key=bindparam("b_key"), ended_at=bindparam("b_ended"),
    )
)  # fmt: skip
_DECIDED_NAMES = ("b_id", "b_state", "b_reason", "b_not_before", "b_now", "b_decision", "b_key", "b_ended")


_history = upsert(s.reason_history)
_HISTORY = _history.on_conflict_do_update(
    index_elements=[s.reason_history.c.delivery, s.reason_history.c.reason],
    set_={"last": _history.excluded.last, "count": s.reason_history.c.count + literal_column("1")},
)
_GHOST = insert(s.touch)
_GHOST_NAMES = ("person", "at", "delivery", "channel", "campaign", "topic", "zone", "ghost")
"""Whom a holdout keeps from a message was not contacted, but counts as if he had been: so all caps treat him as the others."""
_VARIANT = update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(variant=bindparam("b_variant"))
_HISTORY_NAMES = ("delivery", "reason", "first", "last", "count")


def claim_due(
    conn: Connection, *, now: Instant, owner: int, epoch: int, horizon: Instant, share: Share, judge: Judge, contest: bool,
    prepare: Prepare, pushed: AbstractSet[str] = PUSHED, mint: Mint = no_codes, wants_profile: Callable[[DueRow], bool] = lambda _: False,
    settle: Settle | None = None,
) -> ClaimResult:  # fmt: skip
    """Take what `share` picks of the due lanes and write what `judge` says. `contest`: a cap exists, so look for rivals; `mint` makes the
    codes of offers; `wants_profile`: do the words of this one say what the person's profile knows? `settle`: brings those that need not be
    in anybody's hands to their end, and leaves the rest to be claimed."""
    lanes = first_lanes(conn, now)
    heads: list[DueKey] = []
    lasts: list[DueKey] = []
    drained = set()
    for lane, count in share(lanes.due) if lanes.due else ():
        if found := fetch(conn, _HEADS, ("lane", "now", "n"), (lane, now, count)):
            if len(found) < count:
                drained.add(lane)
            heads += found
            lasts.append(heads[-1])
    if not heads:
        return ClaimResult(claimed=(), judged={}, taken=0, next_due=lanes.next_due, drained=not lanes.due)
    rows = due_rows(conn, (head[2] for head in heads))
    over = len(drained) == len(lanes.due) and not lanes.more
    rivals: list[DueRow] = []
    if contest and not over and len(lanes.due) > 1:  # where all that is due was taken there are none
        rivals = rivals_of(conn, rows, due_waves(conn), now)
    shapes = {(row.campaign, row.version, row.newest) for row in (*rows, *rivals)}
    versions = frozenset((campaign, version) for campaign, *both in shapes for version in both)
    needs = prepare(versions, partial(body_of, conn)) or NO_NEEDS
    only_rivals = frozenset([row.delivery for row in rivals])
    judged = judge([*rows, *rivals], known_of(conn, [*rows, *rivals], horizon, pushed, needs), only_rivals)
    take_heads(conn, lasts)
    if len(rows) != len(heads):
        mine = {row.delivery for row in rows}
        raise LookupError(f"due rows without a delivery: {[head[2] for head in heads if head[2] not in mine][:5]}")
    sends: Sequence[Send] = write_verdicts(conn, name_pauses(conn, judged, now), now=now, epoch=epoch, mint=mint)
    others = [item.decision for item in judged if item.decision.verdict is not Verdict.SEND]
    counts: Counter[tuple[Verdict, Reason | None]] = Counter([(decision.verdict, decision.reason) for decision in others])
    if sends:
        counts[Verdict.SEND, None] = len(sends)
    profiles = _profiles(conn, sends, wants_profile)
    followed = bool(others) and any(item.then is not None for item in judged)
    if settle is not None and sends:
        sends, also = settle(conn, sends, profiles)
        followed = followed or also
    write_flights(conn, sends, now, owner)
    next_due = lanes.next_due
    if over and followed:  # in a lane that may be new (on another channel), even at once
        lanes = first_lanes(conn, now)
        over, next_due = not lanes.due, lanes.next_due
    for head in heads_of(conn, drained) if over and not followed else ():  # a verdict may have put something back to due, even at once
        over = over and head > now
        next_due = head if next_due is None else min(next_due, head)
    return ClaimResult(
        claimed=[send.claimed for send in sends], judged=counts, taken=len(heads), next_due=next_due if over else None, drained=over,
        profiles=profiles,
    )  # fmt: skip


def _profiles(conn: Connection, sends: Sequence[Send], wants: Callable[[DueRow], bool]) -> Profiles:
    persons = sorted({each.claimed.row.person for each in sends if wants(each.claimed.row)})
    return read_profiles(conn, persons) if persons else {}


_CAPPED = select(s.flight.c.person).where(s.flight.c.handed_over == 0, s.flight.c.uncapped == 0)
_COUNT_ANEW = (
    update(s.recipient)
    .where(in_list(s.recipient.c.id, "persons"), s.recipient.c.id.in_(_CAPPED))
    .values(guard=s.recipient.c.guard + literal_column("1"))
    .returning(s.recipient.c.id)
)


def _count_anew(conn: Connection, persons: Collection[int]) -> Collection[int]:
    """What is claimed for these persons already, and must respect the caps, was judged with one touch less in its count than there
    will be: it loses its leave, and is decided anew. Returns those whose guard was raised."""
    return {person for (person,) in fetch(conn, _COUNT_ANEW, ("persons",), (ids(sorted(persons)),))} if persons else ()


def name_pauses(conn: Connection, judged: Sequence[Judged], now: Instant) -> Sequence[Judged]:
    """What is late because its campaign, queue or job was paused says so in its facts."""
    late = [item.row for item in judged if item.decision.reason is Reason.LATE and item.row.expires_at <= now]
    over = pauses_over(conn, late) if late else {}
    if not over:
        return judged
    return [
        item if (pause := over.get(item.row.delivery)) is None
        else item._replace(decision=item.decision._replace(facts={**item.decision.facts, **pause}))
        for item in judged
    ]  # fmt: skip


def write_verdicts(conn: Connection, judged: Sequence[Judged], *, now: Instant, epoch: int, mint: Mint = no_codes) -> list[Send]:
    """New due rows for Defer; ended or held deliveries for Hold and Drop. The old due rows are gone already. Returns what goes, of which
    nothing is written yet but the offers."""
    tallies = Tallies()
    sends: list[Send] = []
    again: list[DueKey] = []
    decided: list[tuple[Any, ...]] = []
    history: list[tuple[Any, ...]] = []
    followed: dict[int, Then] = {}
    send = Verdict.SEND
    raised = _count_anew(conn, {item.row.person for item in judged if item.uncapped and item.decision.verdict is send})
    wanted = {item.row.delivery: item.offer for item in judged if item.offer is not None and item.decision.verdict is send}
    reserved = reserve(conn, wanted, mint, now) if wanted else {}
    for item in judged:
        row, decision = item.row, item.decision
        if decision.verdict is send:
            closes = row.expires_at if decision.closes is None or decision.closes > row.expires_at else decision.closes
            claimed = Claimed(row, epoch, item.provider, closes, item.zone, item.push, reserved.get(row.delivery))
            sends.append(Send(item, claimed, row.person in raised))
            continue
        reason = decision.reason
        if reason is None:
            raise ValueError(f"the verdict {decision.verdict} on delivery {row.delivery} names no reason")
        said: str | None = reason.value
        state, not_before = item.state, row.not_before
        if decision.verdict is Verdict.DEFER:
            not_before = decision.until if decision.until is not None else now
            again.append((row.lane, not_before, row.delivery))
        elif decision.verdict is Verdict.DROP and row.doubted:  # no second copy goes: the first one's fate is as unknown as before
            state, said = State.IN_DOUBT, None
            tallies.move(row.job, State.DUE, "", state, "")
        else:
            tallies.move(row.job, State.DUE, "", state, reason.value)
            if item.then is not None:
                followed[row.delivery] = item.then
        ended = None if state in (State.DUE, State.HELD, State.IN_DOUBT) else now
        key = "doubt" if row.doubted else decision.key
        decided.append((row.delivery, state.value, said, not_before, now, decision_json(decision), key, ended))
        history.append((row.delivery, reason.value, now, now, 1))
    many(conn, _VARIANT, ("b_id", "b_variant"), [(item.row.delivery, item.variant) for item in judged if item.variant is not None])
    if costs := [item.cost for item in judged if item.cost is not None and item.decision.verdict is send]:
        set_aside(conn, costs)
    put_due(conn, again)
    many(conn, _DECIDED, _DECIDED_NAMES, decided)
    many(conn, _HISTORY, _HISTORY_NAMES, history)
    many(conn, _GHOST, _GHOST_NAMES, _ghosts(judged, now))
    tallies.write(conn)
    follow(conn, followed, now)
    return sends


def write_flights(conn: Connection, sends: Sequence[Send], now: Instant, owner: int) -> None:
    """What goes is in the hands of `owner` from now on."""
    tallies = Tallies()
    flights: list[tuple[Any, ...]] = []
    for item, claimed, raised in sends:
        row, offer = item.row, claimed.offer
        flights.append((
            row.delivery, row.wave, row.person, row.job, 0, claimed.epoch, owner, row.person_guard + raised, row.campaign_guard,
            row.job_guard, row.queue_guard, claimed.closes, row.channel, item.topic, item.zone, item.provider, item.address_hash, now, None,
            row.campaign, row.lane, row.attempts, row.doubted, item.uncapped,
            offer and offer.issue,
        ))  # fmt: skip
    for job, n in Counter([send.claimed.row.job for send in sends]).items():
        tallies.move(job, State.DUE, "", State.CLAIMED, "", n)
    many(conn, _INSERT_FLIGHT, _FLIGHT_NAMES, flights)
    tallies.write(conn)


def _ghosts(judged: Sequence[Judged], now: Instant) -> list[tuple[Any, ...]]:
    """The contacts that there would have been, of messages alone."""
    held_out = [item for item in judged if item.state is State.HELD_OUT and item.topic != ACT_TOPIC]
    return [(i.row.person, now, i.row.delivery, i.row.channel, i.row.campaign, i.topic, i.zone, 1) for i in held_out]


def decision_json(decision: Decision) -> str:
    """The decision as kept in `delivery.decision` and read by explain."""
    return json.dumps({
        "verdict": decision.verdict.value,
        "reason": decision.reason.value if decision.reason else None,
        "until": decision.until,
        "key": decision.key,
        "rule": list(decision.rule) if decision.rule else None,
        "facts": dict(decision.facts),
        "checks": [list(check) for check in decision.checks],
    }, separators=(",", ":"), default=str)  # fmt: skip
