"""Codes that are there to be passed on (an offer with `referral = true`): who brought whom, as events of the inviter.

An order of somebody else with the code is a `Referral Completed` of its owner, once a friend; when all of the friend's orders with it were
cancelled or refunded, a `Referral Undone`. Both follow from what was told about orders, under ids of their own, so that late and repeated
events make none twice. They say nothing of who the friend is. Called in the transaction that takes the orders in.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select

from daemon.journey.events import ORDER, REFERRED, UNREFERRED, event_id
from daemon.journey.profile import order_key
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.sql import fetch, ids, in_list

_I, _R = s.issue.c, s.redemption.c
_ONE: ColumnElement[Any] = literal_column("1")
_SHARED = (
    select(_I.code, _I.person, s.recipient.c.key, s.campaign.c.name, _I.offer, _I.reserved_at, _I.ends_at)
    .join(s.recipient, s.recipient.c.id == _I.person)
    .join(s.campaign, s.campaign.c.id == _I.campaign)
    .where(in_list(_I.code, "codes"), _I.apart == _ONE, s.recipient.c.erased == literal_column("0"))
)
_USES = (
    select(_R.code, _R.person, _R.order_key, _R.at, or_(_R.refunded == _ONE, _R.cancelled == _ONE))
    .where(in_list(_R.code, "codes"), _R.person != literal_column("0"))
    .order_by(_R.code, _R.at, _R.order_key)
)
_ORDERS = select(s.profile.c.person, s.profile.c.orders).where(in_list(s.profile.c.person, "persons"))


class _Shared(NamedTuple):
    code: str
    person: int
    key: str
    campaign: str
    offer: str
    since: Instant
    ends: Instant | None


class _Use(NamedTuple):
    code: str
    person: int
    order: str
    at: Instant
    undone: bool


def referrals_of(conn: Connection, codes: Collection[str], kept: Iterable[EventRow], now: Instant) -> list[EventRow]:
    """The inviters' events that follow from what orders said of these codes. `kept`: the events that are being taken in."""
    shared = {one.code: one for one in map(_Shared._make, fetch(conn, _SHARED, ("codes",), (ids(sorted(codes)),)))}
    if not shared:
        return []
    uses: dict[tuple[str, int], list[_Use]] = {}
    for use in map(_Use._make, fetch(conn, _USES, ("codes",), (ids(sorted(shared)),))):
        owner = shared[use.code]
        if use.person != owner.person and owner.since <= use.at and (owner.ends is None or use.at < owner.ends):
            uses.setdefault((use.code, use.person), []).append(use)
    orders = dict(fetch(conn, _ORDERS, ("persons",), (ids(sorted({friend for _, friend in uses})),)))
    told = [(row.person, row.happening) for row in kept if row.name == ORDER]
    said = {(person, order_key(order)): order.properties for person, order in told}
    return [_event(shared[code], friend, mine, orders.get(friend, 0), said, now) for (code, friend), mine in sorted(uses.items())]


def _event(
    owner: _Shared, friend: int, uses: Sequence[_Use], orders: int, said: Mapping[tuple[int, str], Mapping[str, Any]], now: Instant
) -> EventRow:  # fmt: skip
    """What one friend's orders are for the owner of the code."""
    about: dict[str, Any] = {"code": owner.code, "campaign": owner.campaign, "offer": owner.offer}
    standing = next((use for use in uses if not use.undone), None)
    if standing is None:
        number = event_id(f"referral undone {owner.code} {friend}")
        return EventRow(owner.person, owner.key, UNREFERRED, number, now, json.dumps(about), seen=False)
    order = said.get((friend, standing.order), {})
    about |= {"first_order": orders <= 1, **{name: order[name] for name in ("revenue", "currency") if name in order}}
    number = event_id(f"referral {owner.code} {friend}")
    return EventRow(owner.person, owner.key, REFERRED, number, standing.at, json.dumps(about), seen=False)


class ReferralLine(NamedTuple):
    """One offer whose codes are passed on. `used`: codes with an order of a friend; `friends`, `orders` that stand; `undone`: orders that
    were cancelled or refunded."""

    campaign: str
    offer: str
    inviters: int
    used: int
    friends: int
    orders: int
    undone: int


_STANDS = and_(_R.code.is_not(None), _R.refunded == literal_column("0"), _R.cancelled == literal_column("0"))
_FRIEND = _R.code + literal_column("' '") + _R.person
_LINES = (
    select(
        s.campaign.c.name, _I.offer, func.count(_I.person.distinct()), func.count(case((_STANDS, _R.code)).distinct()),
        func.count(case((_STANDS, _FRIEND)).distinct()), func.count(case((_STANDS, _ONE))),
        func.count(case((and_(_R.code.is_not(None), ~_STANDS), _ONE))),
    )
    .select_from(s.issue)
    .join(s.campaign, s.campaign.c.id == _I.campaign)
    .outerjoin(s.redemption, and_(
        _R.code == _I.code, _R.person != _I.person, _R.person != literal_column("0"), _R.at >= _I.reserved_at,
        or_(_I.ends_at.is_(None), _R.at < _I.ends_at),
    ))
    .where(_I.apart == _ONE, _I.code.is_not(None))
    .group_by(s.campaign.c.name, _I.offer)
    .order_by(s.campaign.c.name, _I.offer)
)  # fmt: skip


def referral_lines(conn: Connection) -> list[ReferralLine]:
    """Each offer with `referral = true` that was ever given out."""
    return [ReferralLine._make(row) for row in conn.execute(_LINES)]
