"""Handover and record: the point of no return, and what came of it (design: life of a delivery, 5 and 6).

`step` is the one act of a sending connection: the outcome of its last message and the leave for its next one are the
same transaction, so a connection never has two messages handed over without a stored outcome. Steps of all connections
that wait are joined. Not granted = back to due, decided anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.follow import Then, follow
from daemon.store.issues import open_issues
from daemon.store.push import REMOVE as REMOVE_PUSH
from daemon.store.spend import Cost, add_costs
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.unsubscribe import closing_of
from daemon.store.wake import WAITS_FOR_SLOT, wake

Claim = tuple[int, int]
"""(delivery, epoch)"""


class Kind(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    HELD = "held"
    """Never left the daemon: no template variable, no room. Back under an operator's eye."""


class Result(NamedTuple):
    """What became of one claimed delivery. For `deferred`: `again_at` = when to ask again, `burnt` = it used up an attempt.
    `gone`: push subscriptions that are to be removed. `traced`: its provider will name it by `provider_id` in its feedback."""

    delivery: int
    epoch: int
    kind: Kind
    scope: str | None = None
    code: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    reason: Reason | None = None
    again_at: Instant | None = None
    burnt: bool = True
    exhausted: bool = False
    resend: bool = False
    decision: str | None = None
    gone: Sequence[bytes] = ()
    traced: bool = False
    then: Then | None = None
    """What follows on another channel if it ends so: an escalation of what was accepted, a replacement of what surely failed."""


class Step(NamedTuple):
    """One connection's turn: outcomes to be recorded, and (delivery, epoch) pairs that it asks leave to send. `costs`: what those of
    them cost that have a price; counted if they are granted."""

    outcomes: Sequence[Result] = ()
    grants: Sequence[tuple[int, int]] = ()
    costs: Sequence[tuple[Claim, Cost]] = ()


class StepDone(NamedTuple):
    """`granted`: handed over, durably. `commit`, `at`: the commit's number and instant, for the send journal."""

    granted: frozenset[int]
    commit: int
    at: Instant


class _Flight(NamedTuple):
    delivery: int
    wave: int
    person: int
    job: int
    handed_over: int
    epoch: int
    provider: str
    channel: str
    topic: str | None
    zone: str | None
    address_hash: bytes | None
    claimed_at: int
    handed_over_at: int | None
    campaign: int
    lane: int
    attempts: int
    doubted: int
    issue: int | None


_FLIGHTS = select(*(s.flight.c[name] for name in _Flight._fields))
_THESE = _FLIGHTS.where(in_list(s.flight.c.delivery, "ids"))
_LEAVE = (
    select(
        s.flight.c.delivery, s.flight.c.epoch, s.flight.c.person, s.flight.c.channel, s.flight.c.campaign, s.flight.c.topic,
        s.flight.c.zone,
    )
    .join(s.recipient, s.recipient.c.id == s.flight.c.person)
    .join(s.job, s.job.c.id == s.flight.c.job)
    .join(s.campaign, s.campaign.c.id == s.flight.c.campaign)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
    .where(
        in_list(s.flight.c.delivery, "ids"),
        s.flight.c.handed_over == 0,
        s.flight.c.claimed_at <= bindparam("now"),  # a clock that went back since: judged for an instant that has not come yet
        s.flight.c.closes > bindparam("now"),
        s.flight.c.person_guard == s.recipient.c.guard,
        s.flight.c.campaign_guard == s.campaign.c.guard,
        s.flight.c.job_guard == s.job.c.guard,
        s.flight.c.queue_guard == func.coalesce(s.queue.c.guard, 0),
    )
)
_HAND_OVER = (
    update(s.flight)
    .where(in_list(s.flight.c.delivery, "ids"))
    .values(handed_over=literal_column("1"), handed_over_at=bindparam("b_now"))
)
_INSERT_TOUCH = insert(s.touch)
_TOUCH_NAMES = ("person", "at", "delivery", "channel", "campaign", "topic", "zone")
_DELETE_TOUCH = delete(s.touch).where(
    s.touch.c.person == bindparam("b_person"), s.touch.c.at == bindparam("b_at"), s.touch.c.delivery == bindparam("b_id")
)
_DELETE_FLIGHTS = delete(s.flight).where(in_list(s.flight.c.delivery, "ids"))
_HANDED_OVER_AT: ColumnElement[Any] = func.coalesce(
    bindparam("b_handed_over_at"), case((s.delivery.c.key == literal_column("'doubt'"), s.delivery.c.handed_over_at))
)
"""A second copy that surely failed does not take away when the first one was handed over."""
_RECORD = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"), reason=bindparam("b_reason"), not_before=bindparam("b_not_before"), attempts=bindparam("b_attempts"),
        provider=bindparam("b_provider"), provider_id=bindparam("b_provider_id"), handed_over_at=_HANDED_OVER_AT,
        ended_at=bindparam("b_ended_at"), key=bindparam("b_key"), decision=func.coalesce(bindparam("b_decision"), s.delivery.c.decision),
    )
)  # fmt: skip
_RECORD_NAMES = (
    "b_id", "b_state", "b_reason", "b_not_before", "b_attempts", "b_provider", "b_provider_id", "b_handed_over_at", "b_ended_at", "b_key",
    "b_decision",
)  # fmt: skip
_ERASED = select(s.recipient.c.id).where(in_list(s.recipient.c.id, "persons"), s.recipient.c.erased == literal_column("1"))
_attempt_insert = upsert(s.attempt)
_ATTEMPT = _attempt_insert.on_conflict_do_nothing()
_ATTEMPT_NAMES = ("delivery", "n", "at", "provider", "outcome", "scope", "code", "detail", "handed_over_at")
_suppress_insert = upsert(s.suppression)
_SUPPRESS = _suppress_insert.on_conflict_do_update(
    index_elements=[s.suppression.c.hash, s.suppression.c.channel],
    set_={name: _suppress_insert.excluded[name] for name in ("scope", "reason", "at", "source")},
    where=(s.suppression.c.scope == literal_column("'marketing'")) & (_suppress_insert.excluded.scope == literal_column("'all'")),
)
"""A dead address is dead for transactional messages too, whatever was said of marketing there before."""
_ref_insert = upsert(s.provider_ref)
_TRACE = _ref_insert.on_conflict_do_nothing()
_RAISE_GUARDS = (
    update(s.recipient)
    .where(s.recipient.c.id.in_(select(s.flight.c.person).where(in_list(func.hex(s.flight.c.address_hash), "hashes"))))
    .values(guard=s.recipient.c.guard + literal_column("1"))
)
ATTEMPT_COUNT = (
    select(s.attempt.c.delivery, func.max(s.attempt.c.n)).where(in_list(s.attempt.c.delivery, "ids")).group_by(s.attempt.c.delivery)
)
_LAST_COMMIT = select(s.meta.c.value).where(s.meta.c.key == "commit")
_NEW_COMMIT = update(s.meta).where(s.meta.c.key == "commit").values(value=bindparam("b_value"))


class _Writes:
    """The rows that one step transaction writes, gathered so that each table is written once."""

    def __init__(self, now: Instant) -> None:
        self.now = now
        self.gone: list[int] = []
        self.untouched: list[tuple[int, int, int]] = []
        self.touched: list[tuple[Any, ...]] = []
        self.freed: set[int] = set()
        """Persons one of whose slots is free again: a touch given back, or a claim's reservation that came to nothing."""
        self.recorded: list[tuple[Any, ...]] = []
        self.attempts: list[tuple[Any, ...]] = []
        self.due: list[tuple[int, int, int]] = []
        self.suppressed: list[tuple[Any, ...]] = []
        self.removed: list[tuple[bytes]] = []
        self.traced: list[tuple[str, str, int]] = []
        self.followed: dict[int, Then] = {}
        self.opened: dict[int, Instant] = {}
        """Offers that were accepted with their message, or may have been: issue -> when."""
        self.tallies = Tallies()

    def write(self, conn: Connection) -> None:
        if self.gone:
            many(conn, _DELETE_FLIGHTS, ("ids",), [(ids(self.gone),)])
        many(conn, _DELETE_TOUCH, ("b_person", "b_at", "b_id"), self.untouched)
        many(conn, _INSERT_TOUCH, _TOUCH_NAMES, self.touched)
        many(conn, _RECORD, _RECORD_NAMES, self.recorded)
        many(conn, _ATTEMPT, _ATTEMPT_NAMES, self.attempts)
        put_due(conn, self.due)
        many(conn, _SUPPRESS, ("hash", "channel", "scope", "reason", "at", "source"), self.suppressed)
        many(conn, _TRACE, ("provider", "provider_id", "delivery"), self.traced)
        raise_guards(conn, [row[0] for row in self.suppressed])
        many(conn, REMOVE_PUSH, ("b_hash",), self.removed)
        self.tallies.write(conn)
        if self.opened:
            open_issues(conn, self.opened)
        follow(conn, self.followed, self.now)
        if self.freed:
            wake(conn, self.freed, self.now, WAITS_FOR_SLOT)


class Flights:
    """The flight acts of one store, bound to the clock and to the gate that may forbid all sending."""

    def __init__(self, clock: Callable[[], Instant], shut: Callable[[Instant, Instant], bool]) -> None:
        """`clock()` = now in microseconds, read inside the transaction; `shut(now, highest)` = no handover may be granted
        (kill switch, untrusted clock), where `highest` is the latest `now` that this store has committed."""
        self._clock, self._shut = clock, shut

    def step(self, conn: Connection, steps: Sequence[Step]) -> Sequence[StepDone]:
        """Record the outcomes, then grant or refuse, for all connections that wait."""
        commit, highest = last_commit(conn)
        clock = self._clock()
        shut = self._shut(clock, highest)
        now = max(clock, highest + 1)  # each commit has an instant of its own, also while a clock is slewed back
        outcomes = [outcome for step in steps for outcome in step.outcomes]
        if outcomes:
            record(conn, outcomes, now)
        wanted = {pair for step in steps for pair in step.grants}
        granted = grant(conn, wanted, now, shut=shut, refused_at=min(clock, now)) if wanted else frozenset()
        if granted:
            add_costs(conn, [cost for step in steps for pair, cost in step.costs if pair in granted])
        many(conn, _NEW_COMMIT, ("b_value",), [(f"{commit + 1} {now}",)])
        return [StepDone(frozenset([pair[0] for pair in step.grants if pair in granted]), commit + 1, now) for step in steps]


def raise_guards(conn: Connection, hashes: Sequence[bytes]) -> None:
    """Whoever is in flight to one of these addresses is decided anew before a handover. Reads the flights once."""
    if hashes:
        many(conn, _RAISE_GUARDS, ("hashes",), [(ids(hash.hex().upper() for hash in hashes),)])


def last_commit(conn: Connection) -> tuple[int, Instant]:
    """(number of the last step commit, the highest `now` ever committed); `recover.begin` makes the row."""
    [(value,)] = fetch(conn, _LAST_COMMIT)
    number, highest = value.split()
    return int(number), int(highest)


def grant(conn: Connection, wanted: AbstractSet[Claim], now: Instant, *, shut: bool, refused_at: Instant) -> frozenset[Claim]:
    """Hand over what may still go; put the rest back to due, to be decided anew. Returns what was granted.

    `refused_at`: when the rest is due: what the clock says, also where `now` lies ahead of it because the clock once did.
    """
    granted: list[tuple[Any, ...]] = []
    given: set[Claim] = set()
    if not shut:
        for delivery, epoch, person, channel, campaign, topic, zone in fetch(conn, _LEAVE, ("ids", "now"), (_deliveries(wanted), now)):
            if (delivery, epoch) in wanted:
                given.add((delivery, epoch))
                granted.append((person, now, delivery, channel, campaign, topic, zone))
    if granted:
        many(conn, _HAND_OVER, ("ids", "b_now"), [(ids([row[2] for row in granted]), now)])
        many(conn, _INSERT_TOUCH, _TOUCH_NAMES, granted)
    if refused := wanted - given:
        release(conn, refused, refused_at)
    return frozenset(given)


def _deliveries(claims: AbstractSet[Claim]) -> str:
    return ids(sorted({delivery for delivery, _ in claims}))


def release(conn: Connection, claims: AbstractSet[Claim], now: Instant) -> None:
    """Claimed deliveries that were not handed over go back to due, now."""
    writes = _Writes(now)
    for row in fetch(conn, _THESE, ("ids",), (_deliveries(claims),)):
        flight = _Flight._make(row)
        if (flight.delivery, flight.epoch) in claims and not flight.handed_over:
            back_to_due(writes, flight, now)
    writes.write(conn)


def back_to_due(writes: _Writes, flight: _Flight, at: Instant) -> None:
    writes.gone.append(flight.delivery)
    writes.freed.add(flight.person)
    writes.due.append((flight.lane, at, flight.delivery))
    key = "doubt" if flight.doubted else None
    writes.recorded.append((flight.delivery, State.DUE.value, None, at, flight.attempts, None, None, None, None, key, None))
    writes.tallies.move(flight.job, State.CLAIMED, "", State.DUE, "")


def record(conn: Connection, outcomes: Sequence[Result], now: Instant) -> None:
    """Write what became of claimed or handed-over deliveries. An outcome under another epoch than its flight's is stale."""
    results = {(result.delivery, result.epoch): result for result in outcomes}
    told: list[tuple[_Flight, Result]] = []
    for row in fetch(conn, _THESE, ("ids",), (_deliveries(results.keys()),)):
        flight = _Flight._make(row)
        if (result := results.get((flight.delivery, flight.epoch))) is not None:
            told.append((flight, result))
    tried: dict[int, int] = defaultdict(int)
    troubled = [flight.delivery for flight, result in told if result.kind is not Kind.ACCEPTED]
    if troubled:
        tried.update(dict(fetch(conn, ATTEMPT_COUNT, ("ids",), (ids(troubled),))))
        told = _wordless(conn, told)
    writes = _Writes(now)
    for flight, result in told:
        _record_one(writes, flight, result, now, tried[flight.delivery])
    writes.write(conn)


def _wordless(conn: Connection, told: Sequence[tuple[_Flight, Result]]) -> list[tuple[_Flight, Result]]:
    """A provider's words often hold the address: none are kept of whoever was erased while the message was on its way."""
    persons = sorted({flight.person for flight, result in told if result.detail is not None})
    erased = {row[0] for row in fetch(conn, _ERASED, ("persons",), (ids(persons),))} if persons else ()
    return [(flight, result._replace(detail=None) if flight.person in erased else result) for flight, result in told]


def _record_one(writes: _Writes, flight: _Flight, result: Result, now: Instant, tried: int) -> None:
    writes.gone.append(flight.delivery)
    writes.removed += [(hash,) for hash in result.gone]
    surely_failed = result.kind in (Kind.REJECTED, Kind.DEFERRED, Kind.HELD)
    if surely_failed:
        writes.freed.add(flight.person)
    if surely_failed and flight.handed_over_at is not None:
        writes.untouched.append((flight.person, flight.handed_over_at, flight.delivery))
    if result.kind not in (Kind.ACCEPTED, Kind.HELD) and (flight.handed_over or result.scope is not None):
        writes.attempts.append(
            (
                flight.delivery,
                tried + 1,
                now,
                flight.provider,
                result.kind.value,
                result.scope,
                result.code,
                result.detail,
                flight.handed_over_at,
            )
        )
    if result.kind is Kind.REJECTED and result.scope == "address" and flight.address_hash is not None:
        scope, why, source = closing_of(flight.provider, result.code)
        writes.suppressed.append((flight.address_hash, flight.channel, scope, why.value, now, source))
    state, reason, not_before, ended = _new_state(flight, result, now)
    attempts = flight.attempts + (1 if result.burnt or result.kind in (Kind.ACCEPTED, Kind.REJECTED, Kind.UNKNOWN) else 0)
    handed_over_at = None if surely_failed else flight.handed_over_at
    if not surely_failed and handed_over_at is None:  # sent without leave: the plugin broke its contract, but the contact counts
        handed_over_at = now
        writes.touched.append((flight.person, now, flight.delivery, flight.channel, flight.campaign, flight.topic, flight.zone))
    key = "doubt" if flight.doubted or result.resend else None
    provider = flight.provider if result.kind is not Kind.HELD else None
    if result.traced and result.provider_id is not None:
        writes.traced.append((flight.provider, result.provider_id, flight.delivery))
    writes.recorded.append((
        flight.delivery, state.value, reason.value if reason else None, not_before, attempts, provider, result.provider_id, handed_over_at,
        ended, key, result.decision,
    ))  # fmt: skip
    if flight.issue is not None and state in (State.ACCEPTED, State.IN_DOUBT):
        writes.opened[flight.issue] = handed_over_at or now
    if state is State.DUE:
        writes.due.append((flight.lane, not_before, flight.delivery))
    elif result.then is not None and state is (State.ACCEPTED if result.then.escalates else State.REJECTED):
        writes.followed[flight.delivery] = result.then
    tallied = reason.value if reason and state is not State.DUE else ""
    writes.tallies.move(flight.job, State.CLAIMED, "", state, tallied)


def _new_state(flight: _Flight, result: Result, now: Instant) -> tuple[State, Reason | None, Instant, Instant | None]:
    """(state, reason, not_before, ended_at) that the outcome leads to."""
    doubt = (State.IN_DOUBT, None, now, None)
    match result.kind:
        case Kind.ACCEPTED:
            return State.ACCEPTED, None, now, now
        case Kind.HELD:
            return State.HELD, result.reason or Reason.RENDER_ERROR, now, None
        case Kind.UNKNOWN:
            return (State.DUE, None, now, None) if result.resend else doubt
        case Kind.REJECTED:
            return doubt if flight.doubted else (State.REJECTED, Reason.REJECTED_BY_PROVIDER, now, now)
        case Kind.DEFERRED if result.exhausted:
            return doubt if flight.doubted else (State.REJECTED, Reason.ATTEMPTS_EXHAUSTED, now, now)
        case Kind.DEFERRED:
            return State.DUE, result.reason, result.again_at if result.again_at is not None else now, None
    raise AssertionError(result.kind)
