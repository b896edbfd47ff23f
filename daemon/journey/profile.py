"""JOURNEY, profile: what a person's events add up to. Made from the set of the events, so neither their order nor repeats matter.

Money is in millionths. An order without a rate for its currency, or without a usable sum, counts as an order and not as value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from daemon.clock import to_instant
from daemon.journey import events as e
from daemon.journey.events import Happening
from daemon.model.delivery import DAY, Instant

MICROS = 1_000_000
MOST = 10**11
"""Units of money that one order may be worth; more is a mistake of its sender."""
MOST_VALUE = 2**62
SCORE_PERIOD = 30 * DAY
POINTS = {"order": 3, "clicked": 2, "opened": 1}
MOST_TEXT = 200
_ENDING = frozenset({e.CANCELLED, e.TICKET_CLOSED, e.CANCELLED_ORDER})
PRODUCT_KEYS = ("product_id", "sku", "name", "brand", "category", "variant", "price", "url", "image_url")


class Tier(NamedTuple):
    """Thresholds of a value tier: orders, and money in the shop's currency."""

    orders: int
    value: float


class Shop(NamedTuple):
    """`rates`: units of `currency` for one of another. `bands`: name -> days since the last order at which it starts. `zone`: of the
    shop's days (birthdays)."""

    currency: str = "USD"
    rates: Mapping[str, float] = {}
    tiers: Mapping[str, Tier] = {"high": Tier(3, 500), "low": Tier(1, 100)}
    bands: Mapping[str, int] = {"early": 30, "mid": 60, "late": 90, "deep": 180}
    zone: str = "UTC"


class Order(NamedTuple):
    """One order, however often it was told. `value` None: no rate for `currency`, or no usable sum. Net of refunds."""

    key: str
    at: Instant
    value: int | None
    discounted: bool
    refunded: bool
    product: Mapping[str, Any] | None
    currency: str | None


class Standing(NamedTuple):
    """The columns of a profile that are made from the weighty events; names as in the table."""

    orders: int = 0
    value: int = 0
    unvalued: int = 0
    returns: int = 0
    discount_orders: int = 0
    first_order_at: Instant | None = None
    previous_order_at: Instant | None = None
    last_order_at: Instant | None = None
    last_product: str | None = None
    tickets_open: int = 0
    subscription_active: int = 0
    subscription_ends_at: Instant | None = None
    lapse_reason: str | None = None
    nps: int | None = None
    last_survey_at: Instant | None = None


def add_up(happenings: Iterable[Happening], shop: Shop) -> Standing:
    """What all weighty events of a person come to."""
    rows = in_order(happenings)
    orders = orders_of(rows, shop)
    instants = [order.at for order in orders]
    valued = [order.value for order in orders if order.value is not None]
    active, ends = _subscriptions(rows)
    reason, nps, surveyed = _answers(rows)
    return Standing(
        orders=len(orders), value=min(sum(valued), MOST_VALUE), unvalued=len(orders) - len(valued),
        returns=sum(order.refunded for order in orders), discount_orders=sum(order.discounted for order in orders),
        first_order_at=instants[0] if instants else None, previous_order_at=instants[-2] if len(instants) > 1 else None,
        last_order_at=instants[-1] if instants else None,
        last_product=_spell(next((order.product for order in reversed(orders) if order.product), None)),
        tickets_open=_tickets(rows), subscription_active=int(active), subscription_ends_at=ends, lapse_reason=reason, nps=nps,
        last_survey_at=surveyed,
    )  # fmt: skip


def in_order(happenings: Iterable[Happening]) -> list[Happening]:
    """As they happened; what ends something comes after what begins it at the same instant."""
    return sorted(happenings, key=lambda row: (row.at, row.name in _ENDING, row.name, row.id))


def orders_of(rows: Sequence[Happening], shop: Shop = Shop()) -> list[Order]:  # noqa: B008 - a constant
    """The orders in the order of their instants. `rows` in order; an order told twice (by page and by server) counts once, as the earlier
    one says; a cancelled one does not count."""
    refunds: dict[str, list[Happening]] = {}
    for row in rows:
        if row.name == e.REFUND:
            refunds.setdefault(order_key(row), []).append(row)
    return [_order(key, row, refunds.get(key, ()), shop) for key, row in _told(rows).items()]


def ordered_at(happenings: Iterable[Happening]) -> list[Instant]:
    """The instants of `orders_of`, of rows in any order, without what they were worth."""
    return [row.at for row in _told(in_order(row for row in happenings if row.name in e.ORDERS)).values()]


def _told(rows: Iterable[Happening]) -> dict[str, Happening]:
    told: dict[str, Happening] = {}
    gone: set[str] = set()
    for row in rows:
        if row.name == e.ORDER:
            told.setdefault(order_key(row), row)
        elif row.name == e.CANCELLED_ORDER:
            gone.add(order_key(row))
    return {key: row for key, row in told.items() if key not in gone} if gone else told


def _order(key: str, row: Happening, refunds: Sequence[Happening], shop: Shop) -> Order:
    said = row.properties
    value = money(said, shop)
    if value is not None:
        value = max(0, value - sum(_taken_off(refund.properties, value, shop) for refund in refunds))
    discount = number(said.get("discount"))
    products = said.get("products")
    product = products[0] if isinstance(products, list) and products and isinstance(products[0], dict) else None
    return Order(
        key, row.at, value, bool(discount) or bool(said.get("coupon")), bool(refunds),
        {name: product[name] for name in PRODUCT_KEYS if product.get(name) is not None} if product else None, currency_of(said),
    )  # fmt: skip


def money(said: Mapping[str, Any], shop: Shop) -> int | None:
    """The worth of an order or refund in millionths of the shop's currency; None if it cannot be told."""
    amount = _amount(said)
    currency = currency_of(said)
    rate = 1.0 if currency in (None, shop.currency) else shop.rates.get(str(currency))
    return None if amount is None or rate is None or amount * rate > MOST else round(amount * rate * MICROS)


def _amount(said: Mapping[str, Any]) -> float | None:
    return next((found for name in ("revenue", "total", "value") if (found := number(said.get(name))) is not None), None)


def _taken_off(refund: Mapping[str, Any], value: int, shop: Shop) -> int:
    """Of an order that is worth so much. A refund without a sum is of all of it; one without a rate takes nothing off."""
    return value if _amount(refund) is None else money(refund, shop) or 0


def currency_of(said: Mapping[str, Any]) -> str | None:
    """The currency that an event names; None = the shop's."""
    found = said.get("currency")
    return found.strip().upper()[:MOST_TEXT] or None if isinstance(found, str) else None


def number(value: Any) -> float | None:
    """A sum as shops send it, a number or its text; None for what is none, and below zero."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def order_key(row: Happening) -> str:
    """What an order, its refund and its cancellation have in common."""
    return _key(row, "order_id")


def _key(row: Happening, name: str) -> str:
    """What the event is about, by the shop's own id; each event its own where it has none."""
    found = row.properties.get(name)
    return f"={found}"[:MOST_TEXT] if isinstance(found, str | int) and found != "" else f"#{row.id}"


def _subscriptions(rows: Sequence[Happening]) -> tuple[bool, Instant | None]:
    """(one runs, when the last of those that run ends; None = without end). One that is cancelled runs to the end that it names."""
    last: dict[str, Happening] = {}
    ends: dict[str, Instant | None] = {}
    for row in rows:
        if row.name in (e.STARTED, e.RENEWED, e.CANCELLED):
            found = row.properties.get("subscription_id")
            key = str(found)[:MOST_TEXT] if isinstance(found, str | int) else ""
            last[key], ends[key] = row, moment(row.properties.get("ends_at"))
    running = [key for key, row in last.items() if row.name != e.CANCELLED or ends[key] is not None]
    known = [end for key in running if (end := ends[key]) is not None]
    return bool(running), max(known) if running and len(known) == len(running) else None


def _tickets(rows: Sequence[Happening]) -> int:
    """Tickets that are open; those without an id are one."""
    state: dict[str, bool] = {}
    for row in rows:
        if row.name in (e.TICKET_OPENED, e.TICKET_CLOSED):
            found = row.properties.get("ticket_id")
            opened = row.name == e.TICKET_OPENED
            state[str(found)[:MOST_TEXT] if isinstance(found, str | int) else ""] = opened
    return sum(state.values())


def _answers(rows: Sequence[Happening]) -> tuple[str | None, int | None, Instant | None]:
    """(why they left, 0-10 how likely they recommend, when they last answered): each as last said."""
    reason: str | None = None
    nps: int | None = None
    at: Instant | None = None
    for row in rows:
        if row.name == e.SURVEY:
            at = row.at
            said = row.properties.get("lapse_reason", row.properties.get("reason"))
            reason = said[:MOST_TEXT] if isinstance(said, str) and said else reason
            score = number(row.properties.get("nps"))
            nps = int(score) if score is not None and score <= 10 and score == int(score) else nps
    return reason, nps, at


def score(orders: Iterable[Instant], clicks: Iterable[Instant], opens: Iterable[Instant], now: Instant) -> tuple[int, Instant | None]:
    """(engagement over the last 30 days, until when it stays that if nothing comes). Instants of (now - 30 d, now] count."""
    counted = [
        (POINTS[kind], at)
        for kind, found in (("order", orders), ("clicked", clicks), ("opened", opens))
        for at in found
        if now - SCORE_PERIOD < at <= now
    ]
    return sum(points for points, _ in counted), min((at + SCORE_PERIOD for _, at in counted), default=None)


def moment(text: Any) -> Instant | None:
    """The instant of an ISO 8601 date or date and time (without an offset: UTC); None for what is none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if found is None else to_instant(found if found.tzinfo else found.replace(tzinfo=UTC))


def _spell(product: Mapping[str, Any] | None) -> str | None:
    return None if product is None else json.dumps(product, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
