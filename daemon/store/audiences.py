"""Who should be in which audience: the desired set as rows, changed by difference only (ADR 0008).

A member's `want` and `state` move apart and the platform's batches (`audience_batches`) bring them together. Whoever may not be in (any
unsubscribe, suppression, erasure, missing consent) is refused here, in the transaction that would put it in. `leave_audiences` is for
whoever ends a walk: a purchase, an exit event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, case, exists, func, insert, literal_column, or_, select, union_all, update

from daemon.model.audience import MemberState
from daemon.model.delivery import DAY, Instant, Reason
from daemon.model.job import JobState
from daemon.policy.retargeting import refuse
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many, pour, pouring
from daemon.store.writer import redone

WALK, DOOR = "walk", "door"
EXPIRED = "expired"
RETURNS = DAY
"""Who comes back within it was in all the while, for the units of contact pressure."""
ZERO: ColumnElement[Any] = literal_column("0")
ONE: ColumnElement[Any] = literal_column("1")
"""Written into the statements: what is bound must be named where they run (`store.sql`)."""


def _word(state: MemberState) -> ColumnElement[Any]:
    return literal_column(str(state.value))


OUT, IN, ADD, REMOVE = map(_word, (MemberState.OUT, MemberState.IN, MemberState.ADD, MemberState.REMOVE))
ADDING, REMOVING, REFUSED = map(_word, (MemberState.ADDING, MemberState.REMOVING, MemberState.REFUSED))
_M, _A, _R = s.audience_member.c, s.audience.c, s.recipient.c


class Want(NamedTuple):
    """Somebody who should be in. `until`: leaves by itself then, None = when the walk ends. `job`: of the delivery that asks for it; 0 = a
    walk does."""

    audience: int
    person: int
    until: Instant | None
    job: int = 0


class Leaving(NamedTuple):
    """Somebody who should be out, and why."""

    audience: int
    person: int
    reason: str


class Standing(NamedTuple):
    """May this person be in an audience? `address`: what is known of its addresses, to be compared, never to be read."""

    refused: Reason | None
    guard: int
    address: bytes


_FIND = select(_A.id).where(_A.campaign == bindparam("campaign"), _A.provider == bindparam("provider"), _A.name == bindparam("name"))
_OF_CAMPAIGN = select(_A.id, _A.provider, _A.name, _A.origin).where(_A.campaign == bindparam("campaign"))


def open_audience(
    conn: Connection, campaign: int, provider: str, name: str, *, origin: str, description: str, now: Instant
) -> int:  # fmt: skip
    """The audience of this name, made if there is none."""
    found: int | None = conn.execute(_FIND, {"campaign": campaign, "provider": provider, "name": name}).scalar()
    if found is not None:
        return found
    number = (conn.execute(select(func.max(_A.id))).scalar() or 0) + 1
    conn.execute(insert(s.audience).values(
        id=number, campaign=campaign, provider=provider, name=name, origin=origin, description=description, made_at=now
    ))  # fmt: skip
    return number


def audiences_of(conn: Connection, campaign: int, origin: str) -> dict[tuple[str, str], int]:
    """(provider, name) -> audience of a campaign."""
    rows = conn.execute(_OF_CAMPAIGN, {"campaign": campaign})
    return {(row.provider, row.name): row.id for row in rows if row.origin == origin}


_PEOPLE = select(
    _R.id, _R.guard, _R.erased, _R.email_hash, _R.phone_hash, or_(_R.email.is_not(None), _R.phone.is_not(None))
).where(in_list(_R.id, "persons"))  # fmt: skip
_BARRED = union_all(*(
    select(_R.id, s.suppression.c.reason).join(s.suppression, s.suppression.c.hash == column).where(in_list(_R.id, "persons"))
    for column in (_R.email_hash, _R.phone_hash)
))  # fmt: skip
_CONSENTS = select(s.consent.c.person, s.consent.c.channel, s.consent.c.topic, s.consent.c.state).where(
    in_list(s.consent.c.person, "persons")
)


def address_of(email_hash: bytes | None, phone_hash: bytes | None) -> bytes:
    """16 bytes of each hash: enough to see that an address has changed."""
    return (email_hash or b"")[:16].ljust(16, b"\0") + (phone_hash or b"")[:16].ljust(16, b"\0")


def standings_of(conn: Connection, persons: Collection[int], *, topic: str | None, rule: str) -> dict[int, Standing]:
    """May they be in an audience? A person that is not known is not there. `rule`: of `[consent] audience`."""
    listed = ids(sorted(persons))
    barred: dict[int, list[Reason]] = {}
    for person, reason in fetch(conn, _BARRED, ("persons",), (listed,)):
        barred.setdefault(person, []).append(Reason(reason))
    consents: dict[int, dict[tuple[str, str], str]] = {}
    for person, channel, of, state in fetch(conn, _CONSENTS, ("persons",), (listed,)):
        consents.setdefault(person, {})[channel, of] = state
    nothing: Mapping[Any, Any] = {}
    return {
        person: Standing(
            refuse(
                erased=bool(erased), addressed=bool(addressed), suppressed=barred.get(person, ()), consents=consents.get(person, nothing),
                topic=topic, rule=rule,
            ),
            guard, address_of(email_hash, phone_hash),
        )
        for person, guard, erased, email_hash, phone_hash, addressed in fetch(conn, _PEOPLE, ("persons",), (listed,))
    }  # fmt: skip


_CURRENT = select(_M.audience, _M.person, _M.want, _M.state, _M.until, _M.since, _M.left_at, _M.address, _M.reason).where(
    in_list(_M.audience, "audiences"), in_list(_M.person, "persons")
)
_JOIN = pouring(s.audience_member, ("audience", "person", "want", "state", "until", "since", "changed_at", "guard", "job"))
_CHANGE = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"))
    .values(
        want=ONE, state=bindparam("b_state"), until=bindparam("b_until"), since=bindparam("b_since"), left_at=bindparam("b_left_at"),
        changed_at=case((_M.state == bindparam("b_state"), _M.changed_at), else_=bindparam("b_now")),
        guard=case((_M.state == ADDING, _M.guard), else_=bindparam("b_guard")),
        reason=bindparam("b_reason"), job=bindparam("b_job"),
    )
)  # fmt: skip
_CHANGE_NAMES = ("b_audience", "b_person", "b_state", "b_until", "b_since", "b_left_at", "b_now", "b_guard", "b_reason", "b_job")


@redone
def put_members(conn: Connection, wants: Sequence[Want], *, topic: str | None, rule: str, now: Instant) -> dict[int, Reason]:
    """Want them in. Returns who may not be, and why. Safe to repeat: the next comparison, or a handover that came to nothing, does."""
    standings = standings_of(conn, {want.person for want in wants}, topic=topic, rule=rule)
    listed = ids(sorted({want.audience for want in wants})), ids(sorted({want.person for want in wants}))
    current = {tuple(row[:2]): row[2:] for row in fetch(conn, _CURRENT, ("audiences", "persons"), listed)}
    refused: dict[int, Reason] = {}
    fresh: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    for audience, person, until, job in sorted(set(wants)):
        standing = standings.get(person)
        if standing is None or standing.refused is not None:
            refused[person] = Reason.NO_ADDRESS if standing is None or standing.refused is None else standing.refused
            continue
        old = current.get((audience, person))
        if old is None:
            fresh.append((audience, person, 1, MemberState.ADD.value, until, now, now, standing.guard, job or None))
            continue
        _, _, _, since, left_at, _, reason = old
        state = _state_wanted(old, standing.address)
        again = left_at is not None and now - left_at > RETURNS
        changed.append((
            audience, person, state.value, until, now if again else since, None, now, standing.guard,
            reason if state is MemberState.REFUSED else None, job or None,
        ))  # fmt: skip
    pour(conn, _JOIN, fresh)
    many(conn, _CHANGE, _CHANGE_NAMES, changed)
    return refused


def _state_wanted(old: tuple[Any, ...], address: bytes) -> MemberState:
    """Where somebody who is known goes when wanted."""
    want, state, sent = old[0], MemberState(old[1]), old[5]
    if state is MemberState.OUT:
        return MemberState.ADD
    if state is MemberState.REMOVE and not want and sent == address:
        return MemberState.ADD  # whether it is still there, or ever came there, nobody knows: adding is safe to repeat
    if state is MemberState.IN and sent != address:
        return MemberState.REMOVE  # and put in anew after that
    if state is MemberState.REFUSED and sent != address:
        return MemberState.ADD
    return state


_LEAVE = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), _M.want == ONE)
    .values(
        want=ZERO, left_at=bindparam("b_now"), reason=bindparam("b_reason"),
        changed_at=case((_M.state == IN, bindparam("b_now")), else_=_M.changed_at),
        state=case(
            (_M.state == IN, REMOVE),
            (_M.state.in_([ADD, REFUSED]), OUT),
            else_=_M.state,
        ),
    )
)  # fmt: skip


def unwant_members(conn: Connection, leaving: Sequence[Leaving], now: Instant) -> int:
    """Want them out. Returns how many were wanted in."""
    rows = [(audience, person, now, reason) for audience, person, reason in sorted(leaving)]
    return many(conn, _LEAVE, ("b_audience", "b_person", "b_now", "b_reason"), rows)


_WHERE_IN = (
    select(_M.audience, _M.person).join(s.audience, _A.id == _M.audience).where(in_list(_M.person, "persons"), _M.want == ONE)
)  # fmt: skip


def leave_audiences(conn: Connection, persons: Collection[int], reason: str, now: Instant, *, campaign: int | None = None) -> int:
    """These persons leave all audiences, or those of one campaign: for the transaction in which they bought, exited or were erased."""
    query = _WHERE_IN if campaign is None else _WHERE_IN.where(_A.campaign == campaign)
    found = conn.execute(query, {"persons": ids(sorted(persons))})
    return unwant_members(conn, [Leaving(row.audience, row.person, reason) for row in found], now)


_STAYS = select(_M.audience, _M.since, _M.left_at, _M.state).where(_M.person == bindparam("person"))
_HIS = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_other"))
    .values(person=bindparam("b_person"), guard=literal_column("-1"))
)
_STAYED = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"))
    .values(since=bindparam("b_since"), left_at=bindparam("b_left"))
)
_TRAVELS = (MemberState.ADDING.value, MemberState.REMOVING.value)


def inherit_stays(conn: Connection, other: int, person: int, now: Instant) -> int:
    """The stays of one are another's now, who is looked at anew there. Where both are, and where the other travels just now (under the
    addresses that it had), the other leaves; of two stays there is one, from the earlier beginning to the later end. Returns how many
    leave."""
    theirs, mine = ({row[0]: row[1:] for row in fetch(conn, _STAYS, ("person",), (one,))} for one in (other, person))
    moving = sorted(audience for audience, (*_, state) in theirs.items() if audience not in mine and state not in _TRAVELS)
    many(conn, _HIS, ("b_audience", "b_other", "b_person"), [(audience, other, person) for audience in moving])
    many(conn, _STAYED, ("b_audience", "b_person", "b_since", "b_left"), [
        (audience, person, min(theirs[audience][0], since), None if left is None else max(left, theirs[audience][1] or now))
        for audience, (since, left, _) in sorted(mine.items()) if audience in theirs
    ])  # fmt: skip
    leaving = sorted(theirs.keys() - set(moving))
    return unwant_members(conn, [Leaving(audience, other, Reason.MERGED.value) for audience in leaving], now)


_CALLED_OFF = exists(select(ONE).where(s.job.c.id == _M.job, s.job.c.state == literal_column(f"'{JobState.CANCELLED.value}'")))
"""Put in by a job that was cancelled after that."""
_REVOKED = select(_M.person).where(_M.audience == bindparam("audience"), in_list(_M.person, "persons"), _CALLED_OFF)


def _barred(column: Any) -> Any:
    return exists(select(ONE).where(s.suppression.c.hash == column))


_STRAYS = (
    select(_M.person)
    .outerjoin(s.recipient, _R.id == _M.person)
    .where(
        _M.audience == bindparam("audience"), _M.person > bindparam("after"), _M.want == ONE,
        or_(
            _M.until <= bindparam("now"), _R.id.is_(None), _R.erased != ZERO, _R.guard != _M.guard, _barred(_R.email_hash),
            _barred(_R.phone_hash), _CALLED_OFF,
        ),
    )
    .order_by(_M.person)
    .limit(bindparam("limit"))
)  # fmt: skip
_WITH_MEMBERS = select(_A.id, _A.campaign, _A.origin).where(exists(select(ONE).where(_M.audience == _A.id))).order_by(_A.id)


def watched_audiences(conn: Connection) -> list[tuple[int, int, str]]:
    """(audience, campaign, origin) of those that have members."""
    return [(row.id, row.campaign, row.origin) for row in conn.execute(_WITH_MEMBERS)]


def find_strays(conn: Connection, audience: int, after: int, limit: int, now: Instant) -> list[int]:
    """Members whose time is up, or of whom something has changed that may forbid their being there. Reads all members (about 2 µs each)."""
    return [row[0] for row in fetch(conn, _STRAYS, ("audience", "after", "now", "limit"), (audience, after, now, limit))]


_JUDGED = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), _M.want == ONE)
    .values(
        guard=case((_M.state == ADDING, _M.guard), else_=bindparam("b_guard")),  # who travels is looked at again after that
        state=case(
            ((_M.state == IN) & (_M.address != bindparam("b_address")), REMOVE),
            ((_M.state == REFUSED) & (_M.address != bindparam("b_address")), ADD),
            else_=_M.state,
        ),
    )
)


def judge_strays(
    conn: Connection, audience: int, persons: Sequence[int], *, topic: str | None, rule: str, ended: Collection[int], now: Instant
) -> int:
    """Look at these members again: who may not be in leaves, as does whom a cancelled job put in; whose address has changed is taken out
    and put in anew. `ended`: those whose walk is over. Returns how many leave."""
    revoked = {row[0] for row in fetch(conn, _REVOKED, ("audience", "persons"), (audience, ids(persons)))}
    standings = standings_of(conn, persons, topic=topic, rule=rule)
    rows = fetch(conn, _CURRENT, ("audiences", "persons"), (ids([audience]), ids(persons)))
    leaving: list[Leaving] = []
    judged: list[tuple[Any, ...]] = []
    for _, person, want, _, until, *_ in rows:
        standing = standings.get(person)
        if not want:
            continue
        if standing is None or standing.refused is not None:
            reason = Reason.ERASED if standing is None or standing.refused is None else standing.refused
            leaving.append(Leaving(audience, person, reason.value))
        elif until is not None and until <= now:
            leaving.append(Leaving(audience, person, EXPIRED))
        elif person in revoked:
            leaving.append(Leaving(audience, person, Reason.OPERATOR.value))
        elif person in ended:
            leaving.append(Leaving(audience, person, Reason.EXITED.value))
        else:
            judged.append((audience, person, standing.guard, standing.address))
    many(conn, _JUDGED, ("b_audience", "b_person", "b_guard", "b_address"), judged)
    return unwant_members(conn, leaving, now)


_RETIRE = select(_M.person).where(_M.audience == bindparam("audience"), _M.want == ONE).order_by(_M.person).limit(bindparam("limit"))


def retire_some(conn: Connection, audience: int, limit: int, now: Instant) -> int:
    """Some of the members of an audience that no campaign asks for any more leave. 0 = none is left."""
    persons = fetch(conn, _RETIRE, ("audience", "limit"), (audience, limit))
    return unwant_members(conn, [Leaving(audience, row[0], Reason.CAMPAIGN_ENDED.value) for row in persons], now)


def wanted_in(conn: Connection, audiences: Iterable[int], persons: Collection[int]) -> dict[tuple[int, int], Instant | None]:
    """(audience, person) -> until, of those that are wanted in."""
    listed = ids(sorted(audiences)), ids(sorted(persons))
    return {(row[0], row[1]): row[4] for row in fetch(conn, _CURRENT, ("audiences", "persons"), listed) if row[2]}
