"""What orders do to codes: a coupon that matches a code redeems its offer; and the books: issued, open, redeemed, expired, returned.

The state of an offer follows from the set of what was told about orders, so that late, repeated and out-of-order events end in the same
rows: the earliest order counts, a cancelled one does not, a refunded one stays redeemed (the code is used up). Called in the transaction
that takes the events in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, case, func, literal_column, null, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.codes import coupons_of
from daemon.journey.events import CANCELLED_ORDER, ORDER, ORDERS, REFUND, Happening
from daemon.journey.profile import order_key
from daemon.model.delivery import Instant
from daemon.model.offer import IssueState
from daemon.store import schema as s
from daemon.store.codes import lose_codes
from daemon.store.event_row import EventRow
from daemon.store.sql import fetch, ids, in_list, many

_R, _I = s.redemption.c, s.issue.c
_told = upsert(s.redemption)
_TELL = _told.on_conflict_do_update(
    index_elements=[_R.code, _R.order_key], set_={"at": func.min(_R.at, _told.excluded.at)},
)  # fmt: skip
_MINE = select(_R.person, _R.code, _R.order_key, _R.refunded, _R.cancelled).where(in_list(_R.person, "persons"))
_UNDONE = (
    select(s.event.c.person, s.event_name.c.name, s.event.c.id, s.event.c.at, s.event.c.properties)
    .join(s.event_name, s.event_name.c.id == s.event.c.name)
    .where(in_list(s.event.c.person, "persons"), s.event.c.name.in_(
        select(s.event_name.c.id).where(or_(s.event_name.c.name == REFUND, s.event_name.c.name == CANCELLED_ORDER))
    ))
)  # fmt: skip
_FLAG = (
    update(s.redemption)
    .where(_R.code == bindparam("b_code"), _R.order_key == bindparam("b_order"))
    .values(refunded=bindparam("b_refunded"), cancelled=bindparam("b_cancelled"))
)


def note_orders(conn: Connection, rows: Iterable[EventRow]) -> set[str]:
    """New events, some of them about orders, with what follows for codes. Returns the codes of which there is news."""
    orders = [row for row in rows if row.name in ORDERS]
    if not orders:
        return set()
    told = []
    for row in orders:
        if row.name == ORDER and row.properties is not None and '"coupon"' in row.properties:
            happened = row.happening
            told += [(code, order_key(happened), row.person, row.at) for code in coupons_of(happened.properties)]
    many(conn, _TELL, ("code", "order_key", "person", "at"), told)
    touched = {code for code, _, _, _ in told} | _flag(conn, sorted({row.person for row in orders}))
    if touched:
        restate(conn, sorted(touched))
    return touched


_HIS = update(s.redemption).where(_R.person == bindparam("b_other")).values(person=bindparam("b_person"))


def inherit_redemptions(conn: Connection, other: int, person: int) -> None:
    """The orders of one are another's now, with the codes that they named: after his events and offers."""
    many(conn, _HIS, ("b_other", "b_person"), [(other, person)])
    codes = {code for _, code, *_ in fetch(conn, _MINE, ("persons",), (ids([person]),))}
    if codes := codes | _flag(conn, [person]):
        restate(conn, sorted(codes))


def _flag(conn: Connection, persons: Sequence[int]) -> set[str]:
    """Mark which orders of these persons were refunded or cancelled. Returns the codes of which that is news."""
    mine = fetch(conn, _MINE, ("persons",), (ids(persons),))
    if not mine:
        return set()
    undone: set[tuple[int, str, str]] = set()
    for person, name, number, at, properties in fetch(conn, _UNDONE, ("persons",), (ids(sorted({row[0] for row in mine})),)):
        undone.add((person, name, order_key(Happening(name, at, number, json.loads(properties or "{}")))))
    news = []
    for person, code, order, refunded, cancelled in mine:
        flags = int((person, REFUND, order) in undone), int((person, CANCELLED_ORDER, order) in undone)
        if flags != (refunded, cancelled):
            news.append((code, order, *flags))
    many(conn, _FLAG, ("b_code", "b_order", "b_refunded", "b_cancelled"), news)
    return {code for code, *_ in news}


_later = s.issue.alias("given_later")
_NEXT_GIVEN = (
    select(func.min(_later.c.accepted_at))
    .where(
        _I.person != literal_column("0"), _later.c.person == _I.person, _later.c.campaign == _I.campaign, _later.c.id != _I.id,
        _later.c.accepted_at >= _I.accepted_at, _later.c.apart == literal_column("0"), _I.apart == literal_column("0"),
    )
    .correlate(s.issue)
    .scalar_subquery()
)  # fmt: skip
"""When the person was given the next offer of the campaign: while one is redeemed nothing replaces it, but if that order is cancelled
it must not come back beside the other."""
_ISSUES = select(_I.id, _I.code, _I.state, _I.accepted_at, _I.ends_at, _I.ended_at, _NEXT_GIVEN).where(
    in_list(_I.code, "codes"), _I.apart != literal_column("1")
)
_USES = (
    select(_R.code, _R.at, _R.order_key)
    .where(in_list(_R.code, "codes"), _R.cancelled == literal_column("0"))
    .order_by(_R.code, _R.at, _R.order_key)
)  # fmt: skip
_STATE = (
    update(s.issue)
    .where(_I.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), redeemed_at=bindparam("b_at"), order_key=bindparam("b_order"), ended_at=bindparam("b_ended"))
)


def restate(conn: Connection, codes: Sequence[str]) -> None:
    """Make the states of what these codes belong to anew, from all that orders said."""
    uses: dict[str, tuple[Instant, str]] = {}
    for code, at, order in fetch(conn, _USES, ("codes",), (ids(codes),)):
        uses.setdefault(code, (at, order))
    changes: list[tuple[Any, ...]] = []
    for number, code, state, accepted, ends, ended, following in fetch(conn, _ISSUES, ("codes",), (ids(codes),)):
        replaced = ended if ended != ends else None
        if replaced is None and following is not None and (ends is None or following < ends) and code not in uses:
            replaced = following
        if (used := uses.get(code)) is not None:
            changes.append((number, IssueState.REDEEMED.value, *used, replaced))
        elif state == IssueState.REDEEMED:
            changes.append((number, _before(accepted, replaced).value, None, None, replaced))
    many(conn, _STATE, ("b_id", "b_state", "b_at", "b_order", "b_ended"), changes)
    lose_codes(conn, sorted(uses))


def _before(accepted: Instant | None, replaced: Instant | None) -> IssueState:
    """What an offer is whose only order was cancelled. What is past its end is expired by the next sweep."""
    if accepted is None:
        return IssueState.RESERVED
    return IssueState.OPEN if replaced is None else IssueState.REPLACED


class Line(NamedTuple):
    """The books of one offer: how many are in each state. `issued` is the sum of the others."""

    campaign: str
    offer: str
    issued: int
    reserved: int
    open: int
    redeemed: int
    expired: int
    replaced: int
    returned: int


def _count(state: IssueState) -> Any:
    return func.sum(case((_I.state == state.value, 1), else_=0))


_BOOKS = (
    select(s.campaign.c.name, _I.offer, func.count(), *(_count(IssueState(name)) for name in Line._fields[3:]))
    .join(s.campaign, s.campaign.c.id == _I.campaign)
    .group_by(s.campaign.c.name, _I.offer)
    .order_by(s.campaign.c.name, func.min(_I.rank))
)


def books(conn: Connection, campaign: str | None = None) -> list[Line]:
    """Each offer that was ever issued."""
    query = _BOOKS if campaign is None else _BOOKS.where(s.campaign.c.name == campaign)
    return [Line._make(row) for row in conn.execute(query)]


class Strange(NamedTuple):
    """A use of a code that the books do not explain. `what`: unknown (no code of ours) | not_issued | another (its order is of another
    person) | own (a code for others, used by its owner) | twice (by more than one order) | late (after its end) | replaced."""

    what: str
    code: str
    key: str
    recipient: str | None
    at: Instant

    @property
    def order(self) -> str:
        """The shop's own number of it, or of its event."""
        return self.key[1:]


_all = s.redemption.alias("all_uses")
_SEVERAL = select(_all.c.code).where(_all.c.cancelled == 0).group_by(_all.c.code).having(func.count() > 1)
_WHAT = case(
    (s.code.c.id.is_(null()), "unknown"),
    (_I.id.is_(null()), "not_issued"),
    (and_(_I.apart == 1, _I.person == _R.person, _I.person != 0), "own"),
    (and_(_I.apart != 1, _I.person != _R.person, _R.person != 0, _I.person != 0), "another"),
    (and_(_I.apart != 1, _R.code.in_(_SEVERAL)), "twice"),
    (_R.at > _I.ends_at, "late"),
    (_I.ended_at < _R.at, "replaced"),
)
_STRANGE: Select[Any] = (
    select(_WHAT.label("what"), _R.code, _R.order_key, s.recipient.c.key, _R.at)
    .select_from(s.redemption)
    .outerjoin(s.code, s.code.c.code == _R.code)
    .outerjoin(s.issue, s.issue.c.code == _R.code)
    .outerjoin(s.recipient, s.recipient.c.id == _R.person)
    .where(
        _R.cancelled == 0, _WHAT.is_not(null()),
        or_(_R.code > bindparam("code"), and_(_R.code == bindparam("code"), _R.order_key > bindparam("order"))),
    )
    .order_by(_R.code, _R.order_key)
    .limit(bindparam("n"))
)  # fmt: skip


def strange_uses(conn: Connection, after: tuple[str, str], limit: int) -> list[Strange]:
    """Uses that the books do not explain, behind (code, order), in that order."""
    found = conn.execute(_STRANGE, {"code": after[0], "order": after[1], "n": limit})
    return [Strange._make(row) for row in found]


def unbalanced(lines: Iterable[Line]) -> Mapping[tuple[str, str], int]:
    """(campaign, offer) -> how many issues are in no known state; empty = issued = reserved + open + redeemed + expired + replaced +
    returned."""
    return {(line.campaign, line.offer): off for line in lines if (off := line.issued - sum(line[3:]))}
