"""Differences on their way to a platform: which members travel in which batch, and what became of it (ADR 0008).

A batch is filled, then sent until the platform takes it: after a crash it is the same batch with the same place in its series. Members
that were taken are in (or out) from then on; where the platform answers later, they keep the batch's number until it has. Acts over many
members go a slice a transaction, and each can be done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from daemon.model.audience import AUDIENCE, MemberState
from daemon.model.delivery import MINUTE, Instant, Reason
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.audience_marks import note_failures
from daemon.store.audiences import ADD, ADDING, IN, ONE, OUT, REFUSED, REMOVE, REMOVING, ZERO
from daemon.store.sql import fetch, ids, in_list, many, rows, value
from daemon.store.writer import redone

SESSION_LIFE = 80 * MINUTE
"""A series is not continued later than this: Meta forgets it after 90 minutes."""
AWAITED = 50
"""At most so many batches of one audience whose result is not known."""
COUNTED = 1_000_000
_M, _A, _B, _R, _C = s.audience_member.c, s.audience.c, s.audience_batch.c, s.recipient.c, s.consent.c
FILLING, READY, TAKEN, SENT, PROVED, FAILED, GIVEN_UP, DONE = (
    "filling", "ready", "taken", "sent", "proved", "failed", "given_up", "done"
)  # fmt: skip
"""Being filled · whole, sent until it is taken · taken · taken, its result awaited · its result was good · the platform did nothing of it,
so its members wait again, or (given up) are not offered again · over."""
PENDING = _M.state.in_([literal_column("2"), literal_column("3")])
"""Literals, as the partial index has them."""
ABOARD = _M.state.in_([literal_column("4"), literal_column("5")])


class Batch(NamedTuple):
    """An open batch with its audience."""

    id: int
    audience: int
    adds: int
    state: str
    session: int
    sequence: int
    last: int
    total: int
    members: int
    began_at: Instant
    next_at: Instant
    tries: int
    request: str | None
    name: str
    """At the platform."""
    description: str
    remote_id: str | None
    blocked: str | None = None
    """Why the platform does not take its audience: then nobody is added, and removals are tried now and again."""
    sent_at: Instant | None = None


class Rider(NamedTuple):
    """A member that waits or travels, with what is known of its person."""

    person: int
    want: int
    key: str | None
    email: str | None
    phone: str | None
    country: str | None
    traits: str | None
    email_hash: bytes | None
    phone_hash: bytes | None
    guard: int | None
    granted: str | None
    address: bytes | None
    handle: bytes | None
    barred: str | None
    """Why the person may be in no audience at all any more, though the watch has not been round yet."""


class Boarding(NamedTuple):
    """A member that goes with a batch. `handle`: by what it can be taken out again (adding only)."""

    person: int
    address: bytes
    handle: bytes


_namesake, _of = s.audience.alias(), s.campaign.c
_TAKEN_NAME = exists(select(ONE).where(_namesake.c.provider == _A.provider, _namesake.c.name == _A.name, _namesake.c.id < _A.id))
_CAMPAIGN = select(_of.name).where(_of.id == _A.campaign).scalar_subquery()
_NAME = case((_TAKEN_NAME, _A.name + literal_column("' ('") + func.coalesce(_CAMPAIGN, "") + literal_column("')'")), else_=_A.name)
"""Two campaigns may give one name; at the platform each has a set of its own."""
_OPEN = (
    select(
        _B.id, _B.audience, _B.adds, _B.state, _B.session, _B.sequence, _B.last, _B.total, _B.members, _B.began_at, _B.next_at, _B.tries,
        _B.request, _NAME.label("name"), _A.description, _A.remote_id,
        _A.blocked, _B.sent_at,
    )
    .join(s.audience, _A.id == _B.audience)
    .where(_B.state != literal_column(f"'{DONE}'"), _A.provider == bindparam("provider"))
    .order_by(_B.id)
)  # fmt: skip
_PENDING_STATES = {1: MemberState.ADD.value, 0: MemberState.REMOVE.value}


def open_batches(conn: Connection, provider: str) -> list[Batch]:
    """All that are not done, oldest first."""
    return [Batch(*row) for row in fetch(conn, _OPEN, ("provider",), (provider,))]


_HAS = select(_M.person).where(_M.audience == _A.id, _M.state == bindparam("state"), PENDING).limit(1)
_NEXT = (
    select(_A.id, _NAME.label("name"), _A.description, _A.remote_id)
    .where(
        _A.provider == bindparam("provider"), ~in_list(_A.id, "busy"), exists(_HAS),
        case(
            (bindparam("state") == REMOVE, (_A.blocked.is_(None) | _A.remote_id.is_not(None)) & (_A.removals_at <= bindparam("now"))),
            else_=_A.blocked.is_(None) & (_A.next_at <= bindparam("now")),
        ),
    )
    .order_by(_A.synced_at, _A.id)
    .limit(1)
)  # fmt: skip


class Waiting(NamedTuple):
    """An audience in which somebody waits to be added or removed."""

    audience: int
    adds: int
    name: str
    description: str
    remote_id: str | None


Busy = Mapping[int, Sequence[int]]


def next_audience(conn: Connection, provider: str, now: Instant, *, busy: Busy, kinds: Sequence[int]) -> Waiting | None:
    """The audience with somebody waiting that was synced longest ago, its pause past. One that is blocked takes nobody in, but is asked
    to let people out. `kinds`: 0 = removals, 1 = additions, in the
    order in which they are looked for; `busy`: of each kind, not these."""
    for adds in kinds:
        found = fetch(conn, _NEXT, ("provider", "now", "busy", "state"), (provider, now, ids(busy.get(adds, ())), _PENDING_STATES[adds]))
        if found:
            return Waiting(found[0][0], adds, *found[0][1:])
    return None


_LAST_OF = (
    select(_B.session, _B.sequence, _B.last, _B.began_at)
    .where(_B.audience == bindparam("audience"), _B.adds == bindparam("adds"))
    .order_by(_B.id.desc())
    .limit(1)
)  # fmt: skip


def make_batch(conn: Connection, audience: int, adds: int, *, session: int, total: int, now: Instant) -> int:
    """A new batch to be filled; the next one of a series that is not over, else the first of series `session`."""
    before = rows(conn, _LAST_OF, ("audience", "adds"), (audience, adds))
    sequence, began_at = 1, now
    if before and not before[0].last and now - before[0].began_at < SESSION_LIFE:
        session, sequence, began_at, total = before[0].session, before[0].sequence + 1, before[0].began_at, 0
    number = (conn.execute(select(func.max(_B.id))).scalar() or 0) + 1
    conn.execute(insert(s.audience_batch).values(
        id=number, audience=audience, adds=adds, state=FILLING, session=session, sequence=sequence, total=total, began_at=began_at,
        made_at=now,
    ))  # fmt: skip
    return number


_GRANTED = (
    select(_C.state)
    .where(_C.person == _M.person, _C.channel == literal_column(f"'{AUDIENCE}'"), _C.topic == literal_column(f"'{ANY}'"))
    .scalar_subquery()
)
_LISTED = s.suppression.c.hash.in_([_R.email_hash, _R.phone_hash])
_SUPPRESSED = select(s.suppression.c.reason).where(_LISTED).limit(1).correlate(s.recipient).scalar_subquery()
_WITHDRAWN = (
    select(literal_column(f"'{Reason.NO_CONSENT.value}'"))
    .where(_C.person == _M.person, _C.topic == literal_column(f"'{ANY}'"), _C.state == literal_column("'withdrawn'"))
    .limit(1)
    .scalar_subquery()
)
_BARRED = case((_R.erased != ZERO, literal_column(f"'{Reason.ERASED.value}'")), else_=func.coalesce(_SUPPRESSED, _WITHDRAWN))
_RIDERS = (
    select(
        _M.person, _M.want, _R.key, _R.email, _R.phone, _R.country, _R.traits, _R.email_hash, _R.phone_hash, _R.guard,
        _GRANTED.label("granted"), _M.address, _M.handle, _BARRED.label("barred"),
    )
    .outerjoin(s.recipient, _R.id == _M.person)
    .order_by(_M.person)
)  # fmt: skip
_waits = s.audience_member.alias("waits")
_FEW = (
    select(_waits.c.person)
    .where(
        _waits.c.audience == bindparam("audience"), _waits.c.state == bindparam("state"),
        _waits.c.state.in_([literal_column("2"), literal_column("3")]), _waits.c.person > bindparam("after"),
    )
    .order_by(_waits.c.person)
    .limit(bindparam("limit"))
)  # fmt: skip
_WAITING = _RIDERS.where(_M.audience == bindparam("audience"), _M.person.in_(_FEW))
"""By way of the index alone: asked for all at once, SQLite walks the whole audience."""
_ABOARD = _RIDERS.where(_M.batch == bindparam("batch"), ABOARD, _M.person > bindparam("after")).limit(bindparam("limit"))


def waiting_members(conn: Connection, audience: int, adds: int, after: int, limit: int) -> list[Rider]:
    """Who waits, from a person on."""
    found = fetch(conn, _WAITING, ("audience", "state", "after", "limit"), (audience, _PENDING_STATES[adds], after, limit))
    return [Rider(*row) for row in found]


def riders(conn: Connection, batch: int, after: int, limit: int) -> list[Rider]:
    """Who travels in a batch that was not taken yet, from a person on."""
    return [Rider(*row) for row in fetch(conn, _ABOARD, ("batch", "after", "limit"), (batch, after, limit))]


_SOME = select(_M.person).where(_M.audience == bindparam("audience"), _M.state == bindparam("state"), PENDING).limit(COUNTED)
_COUNT = select(func.count()).select_from(_SOME.subquery())


def count_waiting(conn: Connection, audience: int, adds: int) -> int:
    """How many wait, at most COUNTED."""
    return int(value(conn, _COUNT, ("audience", "state"), (audience, _PENDING_STATES[adds])))


def _board(adding: bool) -> Any:
    waits, goes = (MemberState.ADD, MemberState.ADDING) if adding else (MemberState.REMOVE, MemberState.REMOVING)
    sent: dict[str, Any] = {"address": bindparam("b_address"), "handle": bindparam("b_handle")} if adding else {}
    return (
        update(s.audience_member)
        .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), _M.state == literal_column(str(waits.value)))
        .values(batch=bindparam("b_batch"), state=literal_column(str(goes.value)), **sent)
    )


_BOARD_ADDING, _BOARD_REMOVING = _board(True), _board(False)
_REFUSE = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"))
    .values(
        state=case((_M.want == ONE, REFUSED), else_=OUT),
        reason=bindparam("b_reason"), batch=null(), address=func.coalesce(bindparam("b_address"), _M.address),
    )
)  # fmt: skip


@redone
def board(conn: Connection, batch: int, audience: int, adds: int, boarding: Sequence[Boarding]) -> int:
    """These go with the batch, if they still wait. Returns how many."""
    if adds:
        names = ("b_audience", "b_person", "b_address", "b_handle", "b_batch")
        return many(conn, _BOARD_ADDING, names, [(audience, each.person, each.address, each.handle, batch) for each in boarding])
    return many(conn, _BOARD_REMOVING, ("b_audience", "b_person", "b_batch"), [(audience, each.person, batch) for each in boarding])


def refuse_members(conn: Connection, audience: int, refused: Sequence[tuple[int, bytes | None, str]]) -> None:
    """The platform takes none of these (person, address, reason): they stay out and are not offered again as they are."""
    many(
        conn, _REFUSE, ("b_audience", "b_person", "b_address", "b_reason"),
        [(audience, person, address, reason) for person, address, reason in refused],
    )  # fmt: skip


def seal(conn: Connection, batch: int, *, last: bool) -> int:
    """The batch is whole. Returns its members; with none it is gone."""
    aboard = select(func.count()).select_from(s.audience_member).where(_M.batch == batch, ABOARD)
    members = int(conn.execute(aboard).scalar_one())
    if members:
        conn.execute(update(s.audience_batch).where(_B.id == batch).values(state=READY, members=members, last=int(last)))
    else:
        conn.execute(delete(s.audience_batch).where(_B.id == batch))
    return members


_TAKEN = select(_M.audience, _M.person).where(
    _M.batch == bindparam("batch"), ABOARD, _M.person > bindparam("after")
).order_by(_M.person).limit(bindparam("limit"))  # fmt: skip
_KEEP: BindParameter[int] = bindparam("b_keep", type_=Integer)
_SETTLE = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), ABOARD)
    .values(
        state=case(
            ((_M.state == ADDING) & (_M.want == ONE), IN),
            (_M.state == ADDING, REMOVE),
            (_M.want == ONE, ADD),
            else_=OUT,
        ),
        changed_at=bindparam("b_now"),
        batch=case((_KEEP == ONE, _M.batch), else_=null()),
        handle=case(((_M.state == REMOVING) & (_M.want == ZERO) & (_KEEP == ZERO), null()), else_=_M.handle),  # of no use once it is out
    )
)  # fmt: skip


@redone
def settle_some(conn: Connection, batch: int, limit: int, now: Instant, *, awaited: bool) -> int:
    """The platform took the batch: some of its members are in, or out, from now on. 0 = none is left. `awaited`: its result comes later."""
    found = fetch(conn, _TAKEN, ("batch", "after", "limit"), (batch, -1, limit))
    many(conn, _SETTLE, ("b_audience", "b_person", "b_now", "b_keep"), [(*row, now, int(awaited)) for row in found])
    return len(found)


_UNWANTED = (
    select(_M.audience, _M.person)
    .where(_M.batch == bindparam("batch"), _M.state == literal_column("4"), _M.want == ZERO)
    .limit(bindparam("limit"))
)  # fmt: skip
_SET_DOWN = (
    update(s.audience_member)
    .where(
        _M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), _M.batch == bindparam("b_batch"), _M.state == ADDING,
        _M.want == ZERO,
    )
    .values(state=REMOVE, batch=null())
)  # fmt: skip


def unwanted_aboard(conn: Connection, batch: int, limit: int) -> list[tuple[int, int]]:
    """Some of those who travel in a batch of additions and should no longer be in."""
    return [(row[0], row[1]) for row in fetch(conn, _UNWANTED, ("batch", "limit"), (batch, limit))]


def set_down(conn: Connection, batch: int, unwanted: Sequence[tuple[int, int]]) -> int:
    """They wait to be removed: the batch may not go for long, and it may have been taken though no answer came."""
    return many(conn, _SET_DOWN, ("b_audience", "b_person", "b_batch"), [(*each, batch) for each in unwanted])


def note_taken(
    conn: Connection, batch: Batch, *, request: str | None, received: int | None, invalid: int, detail: str | None, now: Instant,
    poll_at: Instant | None,
) -> None:  # fmt: skip
    """The platform said that it took it; its members are settled after this. `poll_at`: when to ask what became of it."""
    state = SENT if poll_at is not None else TAKEN
    conn.execute(update(s.audience_batch).where(_B.id == batch.id).values(
        state=state, request=request, received=received, invalid=invalid, detail=detail, sent_at=now, next_at=poll_at or 0
    ))  # fmt: skip
    conn.execute(update(s.audience).where(_A.id == batch.audience).values(synced_at=now, trouble=None))
    if invalid:
        note_failures(conn, batch.audience, {"invalid": invalid}, now)
    if received is not None and batch.last:
        conn.execute(update(s.audience).where(_A.id == batch.audience).values(received=_A.received + received))


def put_off(conn: Connection, batch: int, until: Instant, *, detail: str | None, burnt: bool) -> None:
    """Try the batch again at `until`. `burnt`: it counts as a try."""
    conn.execute(update(s.audience_batch).where(_B.id == batch).values(next_at=until, detail=detail, tries=_B.tries + int(burnt)))


def new_series(conn: Connection, batch: int, session: int, now: Instant) -> None:
    """The platform lost the batch's series: it becomes the first of another one."""
    conn.execute(update(s.audience_batch).where(_B.id == batch).values(
        session=session, sequence=1, began_at=now, total=_B.members, tries=_B.tries + 1
    ))  # fmt: skip
