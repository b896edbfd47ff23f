"""An independent judge of windows: reads the wall clock of one instant with `datetime.fromtimestamp` and compares strings' numbers.

Knows nothing of the code under test: it parses the window table by itself and has no table of transitions.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import daemon.policy.tz  # noqa: F401  (turns the system's zone files off: judge and judged must read the same data)

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> int:
    """An instant from ISO text with its offset."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


@cache
def zone_info(zone: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(zone)


def wall(zone: str, instant: int) -> datetime:
    """The wall clock, without its zone."""
    second, micro = divmod(instant, SECOND)
    return datetime.fromtimestamp(second, zone_info(zone)).replace(tzinfo=None, fold=0, microsecond=micro)


def offset(zone: str, second: int) -> int:
    """UTC offset in seconds."""
    found = datetime.fromtimestamp(second, zone_info(zone)).utcoffset()
    assert found is not None
    return int(found.total_seconds())


@cache
def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        index = NAMES.index(first)
        found.add(index)
        while last and NAMES[index] != last:
            index = (index + 1) % 7
            found.add(index)
    return frozenset(found)


@cache
def _range(text: str) -> tuple[frozenset[int], int, int]:
    days, _, hours = text.rpartition(" ")
    (h1, m1), (h2, m2) = (part.split(":") for part in hours.split("-"))
    return _days(days) if days else frozenset(range(7)), int(h1) * 60 + int(m1), int(h2) * 60 + int(m2)


def ranges_of(table: Mapping[str, Any]) -> list[str]:
    if "hours" in table:
        return list(table["hours"])
    days = ",".join(table["days"]) + " " if "days" in table else ""
    return [f"{days}{table['start']}-{table['end']}"]


def inside(table: Mapping[str, Any], local: datetime) -> bool:
    """Is the wall time inside the window, by the words of the contract?"""
    closed = list(table.get("closed", ()))
    dates = {date.fromisoformat(item) for item in closed if item[0].isdigit() and item[4:5] == "-"}
    shut = [item for item in closed if not (item[0].isdigit() and item[4:5] == "-")]
    if local.date() in dates or any(_in_range(item, local, frozenset()) for item in shut):
        return False
    return any(_in_range(item, local, frozenset(dates)) for item in ranges_of(table))


def _in_range(text: str, local: datetime, dates: frozenset[date]) -> bool:
    days, start, end = _range(text)
    minute = local.hour * 60 + local.minute
    if start < end:
        return local.weekday() in days and start <= minute < end
    yesterday = local.date() - timedelta(days=1)
    return (local.weekday() in days and minute >= start) or (minute < end and yesterday.weekday() in days and yesterday not in dates)


def is_inside(tables: Sequence[Mapping[str, Any]], zones: Sequence[str], instant: int) -> bool:
    return all(inside(table, wall(zone, instant)) for table in tables for zone in zones)


def next_inside(tables: Sequence[Mapping[str, Any]], zones: Sequence[str], instant: int, days: int) -> int | None:
    """The first instant inside, minute by minute: all edges of windows and, since 2024, of offsets lie on whole minutes."""
    if is_inside(tables, zones, instant):
        return instant
    minute = -(-instant // MINUTE) * MINUTE
    for step in range(days * 1440):
        if is_inside(tables, zones, minute + step * MINUTE):
            return minute + step * MINUTE
    return None


@cache
def transitions(zone: str, first: int = 2024, last: int = 2030) -> tuple[int, ...]:
    """The seconds at which the offset changes, by looking each day and then halving (no zone changes twice in a day)."""
    found = []
    begin = int(datetime(first, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(last + 1, 1, 1, tzinfo=UTC).timestamp())
    step = 86_400
    before = offset(zone, begin)
    for second in range(begin + step, end + 1, step):
        after = offset(zone, second)
        if after == before:
            continue
        low, high = second - step, second
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if offset(zone, middle) == after else (middle, high)
        found.append(high)
        before = after
    return tuple(found)
