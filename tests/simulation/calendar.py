"""The checker's own windows and days: wall clocks by `zoneinfo`, tables as TOML gives them. Shares no code with the daemon."""

from __future__ import annotations

import functools
import importlib.resources
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

zoneinfo.reset_tzpath(to=())  # the rules of the tzdata package, as the contract says, not those of the machine

SECOND = 1_000_000
HOUR = 3600 * SECOND
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR}


def parse_span(text: str) -> int:
    """`90m` in microseconds."""
    return int(text[:-1]) * _UNITS[text[-1]]


@functools.cache
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


def wall(zone: str, at: int) -> datetime:
    """What the clock on the wall shows."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(_zone(zone)).replace(tzinfo=None)


@functools.cache
def country_zones(country: str) -> tuple[str, ...]:
    table = importlib.resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return tuple(sorted({row[2] for row in rows if row[0] == country}))


@dataclass(frozen=True, slots=True)
class Person:
    """Where somebody may live."""

    zones: tuple[str, ...]

    @classmethod
    def of(cls, zone: str | None, country: str | None, homing: Mapping[str, Any]) -> Person:
        """By what is known of them, else by what the config says of people of whom nothing is known."""
        if zone:
            return cls((zone,))
        if country:
            return cls(country_zones(country))
        if homing.get("unknown_zone") == "default":
            return cls((homing["default_zone"],))
        if homing.get("unknown_zone") == "hold":
            return cls(())
        return cls(tuple(name for code in homing.get("home_countries", ()) for name in country_zones(code)))

    def shut(self, tables: Sequence[Mapping[str, Any]], at: int) -> frozenset[str]:
        """The zones in which some window is shut at an instant."""
        return frozenset([zone for zone in self.zones if not _all_open(tables, wall(zone, at))])

    def same_day(self, zone: str, at: int, others: Sequence[int], slack: int) -> int:
        """How many of the others lie in the local day of `at`; none where midnight was just now."""
        day = wall(zone, at).date()
        if wall(zone, at - slack).date() != day:
            return 0
        return sum(wall(zone, other).date() == day and wall(zone, other - slack).date() == day for other in others)


def _all_open(tables: Sequence[Mapping[str, Any]], local: datetime) -> bool:
    return all(is_open(table, local) for table in tables)


def is_open(table: Mapping[str, Any], local: datetime) -> bool:
    """Is the wall time inside a `[window]` table?"""
    closed = list(table.get("closed", ()))
    dates = {item for item in closed if re.fullmatch(r"\d{4}-\d\d-\d\d", item)}
    if local.date().isoformat() in dates or any(_inside(item, local, set()) for item in closed if item not in dates):
        return False
    if "hours" in table:
        ranges = list(table["hours"])
    else:
        ranges = [f"{','.join(table.get('days', ['mon-sun']))} {table.get('start', '09:00')}-{table.get('end', '21:00')}"]
    return any(_inside(text, local, dates) for text in ranges)


def _inside(text: str, local: datetime, dates: set[str]) -> bool:
    days, start, end = _range(text)
    minute = local.hour * 60 + local.minute
    if start < end:
        return local.weekday() in days and start <= minute < end
    yesterday: date = local.date() - timedelta(days=1)
    late = local.weekday() in days and minute >= start
    return late or (minute < end and yesterday.weekday() in days and yesterday.isoformat() not in dates)


@functools.cache
def _range(text: str) -> tuple[frozenset[int], int, int]:
    days, _, hours = text.rpartition(" ")
    start, end = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
    found: set[int] = set()
    for part in days.split(",") if days else ("mon-sun",):
        first, _, last = part.strip().partition("-")
        index, stop = NAMES.index(first), NAMES.index(last or first)
        found.add(index)
        while index != stop:
            index = (index + 1) % 7
            found.add(index)
    return frozenset(found), start, end
