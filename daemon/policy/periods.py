"""POLICY, calendar periods: which local day, ISO week or month an instant belongs to in a zone, and when that changes.

A period is known by its number (days since 1970, weeks since 1970 from Monday, year x 12 + month), never by two instants:
where a zone turns its clock back over midnight, a local date comes in two pieces. Pure.
"""

from __future__ import annotations

import functools
from datetime import date
from enum import StrEnum

from daemon.model.delivery import DAY, HOUR, Instant
from daemon.policy.tz import day_date, day_number, first_instant_of, local_day, zone_table


class Calendar(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


REACH: dict[Calendar, int] = {Calendar.DAY: 54 * HOUR, Calendar.WEEK: 9 * DAY, Calendar.MONTH: 33 * DAY}
"""No instant further back than this is in the current period of any zone: its length, the 26 hours that zones lie apart, and
some hours more for clocks turned back."""


def period_of(calendar: Calendar, zone: str, at: Instant) -> int:
    """The number of the period that the wall clock of a zone shows at an instant."""
    return _period_of_day(calendar, (at + zone_table(zone).offset(at)) // DAY)


@functools.lru_cache(maxsize=4096)
def period_now(calendar: Calendar, zone: str, now: Instant) -> tuple[int, Instant]:
    """The period of an instant, and the first instant that can be in it. Kept: a claim asks for one `now` again and again."""
    period = period_of(calendar, zone, now)
    day = local_day(zone, now)
    if calendar is Calendar.WEEK:
        day -= (day + 3) % 7
    elif calendar is Calendar.MONTH:
        day -= day_date(day).day - 1
    return period, first_instant_of(day_date(day), zone)


@functools.lru_cache(maxsize=4096)
def period_end(calendar: Calendar, zone: str, at: Instant) -> Instant:
    """The first instant after `at` at which the wall clock shows another period. Kept like `period_now`."""
    table = zone_table(zone)
    period = period_of(calendar, zone, at)
    boundary = _first_day_after(calendar, (at + table.offset(at)) // DAY) * DAY
    for begin, stop, offset in table.pieces(at, at + REACH[calendar]):
        if _period_of_day(calendar, (begin + offset) // DAY) != period:
            return begin
        if begin <= boundary - offset < stop:
            return boundary - offset
    raise AssertionError("a period is shorter than its reach")


def _period_of_day(calendar: Calendar, day: int) -> int:
    if calendar is Calendar.DAY:
        return day
    if calendar is Calendar.WEEK:
        return (day + 3) // 7  # 1970-01-01 was a Thursday
    at = day_date(day)
    return at.year * 12 + at.month


def _first_day_after(calendar: Calendar, day: int) -> int:
    """The first day of the next period."""
    if calendar is Calendar.DAY:
        return day + 1
    if calendar is Calendar.WEEK:
        return (day + 3) // 7 * 7 + 4
    at = day_date(day)
    return day_number(date(at.year + at.month // 12, at.month % 12 + 1, 1))
