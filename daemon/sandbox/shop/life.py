"""SANDBOX, a customer's life: when one buys, and whether one still will. Gaps and drop-out are those of BG/NBD, in the market's bent time.

Each order is the last one with the person's own `dropout`; else the next one comes after a gap of the person's own cycle. So the
truth is known: who has left for good, and when the others come back by themselves. Pure: a person is a function of (seed, number, until).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from daemon.errors import UsageError
from daemon.sandbox.shop.catalogue import CATEGORIES, LINES, products
from daemon.sandbox.shop.markets import DAY, FIRST_DAY, calendar_of
from daemon.sandbox.shop.persona import Nature, draw_nature, draw_row

MOST = 5_000_000
"""Recipients: numbers of phones have seven digits."""
PAST_DAYS = 3 * 365
FUTURE_DAYS = 400
"""So far back people became customers, and so far ahead is known when they buy by themselves."""
OWN_CATEGORY = 0.75
COUPONS = (10, 15, 20)
HOURS = (8.0, 22.0)
"""Local hours in which people are about; most of them in the evening."""


class Order(NamedTuple):
    """`at`: seconds of the epoch; `percent`: the coupon's, 0 = none. `revenue`, `discount`: US dollars."""

    at: int
    category: int
    line: int
    quantity: int
    percent: int

    @property
    def full(self) -> float:
        return products()[self.category][self.line].price * self.quantity

    @property
    def discount(self) -> float:
        return round(self.full * self.percent / 100, 2)

    @property
    def revenue(self) -> float:
        return round(self.full - self.discount, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One person. `orders`: all until `FUTURE_DAYS` after `until`, in order; the first `past` of them lie before it. `alive`: at `until`,
    will order again without being asked."""

    nature: Nature
    row: Mapping[str, Any]
    orders: tuple[Order, ...]
    past: int
    alive: bool
    until: int

    @property
    def last_order_at(self) -> int:
        return self.orders[self.past - 1].at

    @property
    def coming(self) -> tuple[Order, ...]:
        """Those that come by themselves."""
        return self.orders[self.past :]

    def p_alive(self) -> float:
        """How likely a customer of this nature is alive after so long a silence: what the best possible model would say."""
        nature = self.nature
        calendar = calendar_of(nature.market.seasons)
        silent = calendar.bend(self.until) - calendar.bend(self.last_order_at)
        x = silent / nature.cycle * nature.regular
        survives, term = 0.0, math.exp(-x)
        for n in range(nature.regular):
            survives += term
            term *= x / (n + 1)
        stays = (1 - nature.dropout) * survives
        return stays / (stays + nature.dropout)


class Shop:
    """`until`: the instant at which the world is looked at. `customer(number)`, 1 .. size."""

    def __init__(self, seed: int, size: int, until: datetime) -> None:
        if not 1 <= size <= MOST:
            raise UsageError(f"a world has 1 to {MOST:,} recipients")
        if seed < 0:
            raise UsageError("a seed is 0 or more")
        first = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
        if not first.replace(year=first.year + 3) <= until <= first.replace(year=first.year + 7):
            raise UsageError(f"a world ends between {first.year + 3} and {first.year + 7}")
        self.seed, self.size, self.until = seed, size, int(until.timestamp())

    def customers(self) -> Iterator[Customer]:
        """All, in the order of their ids, one at a time."""
        rng = random.Random()
        for number in range(1, self.size + 1):
            yield self.customer(number, rng)

    def customer(self, number: int, rng: random.Random | None = None) -> Customer:
        """`rng`: left at the place from which the person's events are drawn."""
        rng = self.stream(number, 0, rng)
        nature = draw_nature(rng, number)
        orders, past, alive = _orders(rng, nature, self.until)
        row = draw_row(rng, nature, iso(orders[0].at))
        return Customer(nature=nature, row=row, orders=orders, past=past, alive=alive, until=self.until)

    def stream(self, number: int, which: int, rng: random.Random | None = None) -> random.Random:
        """A person's own draws. `which`: of several streams that have nothing to do with each other."""
        rng = rng or random.Random()
        rng.seed(((self.seed * 8 + which) << 40) | number)
        return rng


def _orders(rng: random.Random, nature: Nature, until: int) -> tuple[tuple[Order, ...], int, bool]:
    calendar = calendar_of(nature.market.seasons)
    joined = until - (3 + rng.random() * (PAST_DAYS - 3)) * DAY
    at = calendar.bend(joined)
    end = calendar.bend(until + FUTURE_DAYS * DAY)
    orders: list[Order] = []
    alive = True
    while at < end:
        order = _order(rng, nature, calendar.unbend(at))
        orders.append(order)
        if rng.random() < nature.dropout:
            alive = order.at > until
            break
        at += max(rng.gammavariate(nature.regular, nature.cycle / nature.regular), 0.05)
    orders.sort()
    return tuple(orders), max(sum(order.at <= until for order in orders), 1), alive


def _order(rng: random.Random, nature: Nature, at: float) -> Order:
    category = nature.category if rng.random() < OWN_CATEGORY else int(rng.random() * len(CATEGORIES))
    draw = rng.random()
    percent = 0
    if nature.hunter or draw < 0.12:
        percent = COUPONS[int(rng.random() * len(COUPONS))]
    quantity = 1 + (rng.random() < 0.25)
    return Order(in_daytime(rng, nature, at), category, int(rng.random() * len(LINES)), quantity, percent)


def in_daytime(rng: random.Random, nature: Nature, at: float) -> int:
    """An instant of the same local day at which people are up."""
    offset = nature.market.offset * 3600
    day = (at + offset) // DAY
    hour = HOURS[0] + (HOURS[1] - HOURS[0]) * max(rng.random(), rng.random())
    return int(day * DAY + hour * 3600 - offset)


_DAYS: dict[int, str] = {}


def iso(at: int) -> str:
    """2026-11-22T02:00:00Z"""
    day, rest = divmod(at, DAY)
    text = _DAYS.get(day)
    if text is None:
        text = _DAYS[day] = f"{datetime.fromtimestamp(day * DAY, UTC):%Y-%m-%d}"
    return f"{text}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"
