"""SANDBOX, the shop's markets: where its customers live, what they are called, and when people there buy more or less.

Seasons bend time: a day counts as much as its weight. What happens at even intervals of that bent time happens more often before a
feast. The dates of Ramadan and Nowruz are those of the years 2023 to 2028. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from itertools import accumulate
from typing import NamedTuple

FIRST_DAY = date(2022, 6, 1)
LAST_DAY = date(2031, 12, 31)
DAY = 86_400


class Market(NamedTuple):
    """`offset`: hours that its wall clock is ahead of UTC, near enough to draw daytimes by. `phone`: how a number begins, then seven digits
    follow; "" = the shop has none. `seasons`: of `SEASONS`."""

    name: str
    share: float
    zone: str
    offset: float
    country: str
    languages: tuple[str, ...]
    phone: str
    seasons: str


MARKETS: tuple[Market, ...] = (
    Market("Jakarta", 0.27, "Asia/Jakarta", 7, "ID", ("id", "id-ID", "en"), "+62861", "lebaran"),
    Market("Makassar", 0.06, "Asia/Makassar", 8, "ID", ("id",), "+62862", "lebaran"),
    Market("Jayapura", 0.02, "Asia/Jayapura", 9, "ID", ("id",), "+62863", "lebaran"),
    Market("Kuala Lumpur", 0.20, "Asia/Kuala_Lumpur", 8, "MY", ("ms", "ms-MY", "en"), "+6012", "lebaran"),
    Market("Kuching", 0.04, "Asia/Kuching", 8, "MY", ("ms", "en"), "+6019", "lebaran"),
    Market("Tehran", 0.25, "Asia/Tehran", 3.5, "IR", ("fa", "fa-IR"), "+98912", "nowruz"),
    Market("Singapore", 0.04, "Asia/Singapore", 8, "SG", ("en",), "", "year_end"),
    Market("Sydney", 0.03, "Australia/Sydney", 10, "AU", ("en",), "", "year_end"),
    Market("Berlin", 0.03, "Europe/Berlin", 1, "DE", ("en",), "", "year_end"),
    Market("New York", 0.04, "America/New_York", -5, "US", ("en",), "", "year_end"),
    Market("Los Angeles", 0.02, "America/Los_Angeles", -8, "US", ("en",), "", "year_end"),
)
SHARES = tuple(accumulate(market.share for market in MARKETS))

RAMADAN_ENDS: tuple[date, ...] = (
    date(2023, 4, 21), date(2024, 4, 9), date(2025, 3, 30), date(2026, 3, 19), date(2027, 3, 9), date(2028, 2, 25),
)  # fmt: skip
"""Its last days: people buy in the two weeks before."""


def _weight(season: str, day: date) -> float:
    """How much more is bought on a day than on any other."""
    if season == "nowruz":
        month = (day.month, day.day)
        return 1.8 if (2, 25) <= month <= (3, 19) else 0.5 if (3, 20) <= month <= (4, 2) else 1.0
    if season == "year_end":
        month = (day.month, day.day)
        return 1.7 if (11, 20) <= month <= (12, 23) else 0.7 if day.month == 1 else 1.0
    for last in RAMADAN_ENDS:
        if last - timedelta(days=14) <= day <= last - timedelta(days=1):
            return 2.0
        if last <= day <= last + timedelta(days=9):
            return 0.5
    return 1.25 if day.month in (11, 12) and day.day == day.month else 1.0


class Calendar(NamedTuple):
    """`bent[n]`: bent days before the n-th day since `FIRST_DAY`."""

    bent: Sequence[float]

    def bend(self, at: float) -> float:
        """Seconds of the epoch -> bent days."""
        day, rest = divmod(at / DAY - EPOCH_DAY, 1)
        n = int(day)
        return self.bent[n] + rest * (self.bent[n + 1] - self.bent[n])

    def unbend(self, bent: float) -> float:
        """Bent days -> seconds of the epoch; what lies behind the last day falls on it."""
        n = min(bisect_right(self.bent, bent) - 1, len(self.bent) - 2)
        rest = (bent - self.bent[n]) / (self.bent[n + 1] - self.bent[n])
        return (EPOCH_DAY + n + min(rest, 1.0)) * DAY


EPOCH_DAY = (FIRST_DAY - date(1970, 1, 1)).days


@cache
def calendar_of(season: str) -> Calendar:
    """The bent time of one kind of season."""
    days = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days)]
    return Calendar([0.0, *accumulate(_weight(season, day) for day in days)])


def market_of(draw: float) -> Market:
    """By a number from 0 to 1."""
    return MARKETS[min(bisect_right(SHARES, draw * SHARES[-1]), len(MARKETS) - 1)]
