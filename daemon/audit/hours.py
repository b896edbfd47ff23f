"""AUDIT, hours: was the wall clock inside the hours that a window's text names? One instant, one zone, plain comparison.

Written from the contract, not from `daemon.policy`: the local time is asked of zoneinfo, and each range is looked at with the day
that shows and the day before. Zone rules are the tzdata package's, never the machine's.
"""

from __future__ import annotations

import functools
import json
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

zoneinfo.reset_tzpath(())

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_TIMES = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*-\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*$")
_ONE_DAY = timedelta(days=1)


class UnreadableError(ValueError):
    """A text that this reading does not understand: nothing is judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From `start` to `end` (seconds of the wall clock) on these weekdays; `end` not after `start`: into the next morning."""

    days: frozenset[int]
    start: int
    end: int

    def has(self, weekday: int, second: float, *, carried: bool = True) -> bool:
        """`carried`: the hours after midnight that the evening before opened count too."""
        overnight = self.end <= self.start
        if weekday in self.days and second >= self.start and (overnight or second < self.end):
            return True
        return carried and overnight and (weekday - 1) % 7 in self.days and second < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A window as its text says it."""

    open: tuple[Stretch, ...]
    shut: tuple[Stretch, ...]
    shut_dates: frozenset[date]

    @property
    def always(self) -> bool:
        """Does it never close, whatever the zone?"""
        return _WHOLE in self.open and not self.shut and not self.shut_dates

    def open_at(self, local: datetime) -> bool:
        """Is it open when the wall clock shows this?"""
        today, weekday = local.date(), local.weekday()
        second = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        if today in self.shut_dates or any(stretch.has(weekday, second) for stretch in self.shut):
            return False
        carried = today - _ONE_DAY not in self.shut_dates
        return any(stretch.has(weekday, second, carried=carried) for stretch in self.open)


@functools.lru_cache(maxsize=256)
def wall_clock(at: int, zone: str) -> datetime:
    """What the clock on the wall shows at an instant (microseconds of UTC). UnreadableError for a zone that nobody knows."""
    try:
        return (_EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnreadableError(f'no zone "{zone}"') from error


@functools.lru_cache(maxsize=1024)
def read_hours(text: str) -> Hours:
    """A window table as JSON text: start, end and days, or hours; closed. UnreadableError."""
    table = json.loads(text)
    if not isinstance(table, Mapping):
        raise UnreadableError("a window is a table")
    try:
        shut, dates = _read_closed(table.get("closed") or ())
        return Hours(open=tuple(_read_open(table)), shut=shut, shut_dates=dates)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"a window that cannot be read: {error}") from error


def read_quiet_hours(value: Sequence[str] | str) -> Hours:
    """A recipient's own quiet hours: open at all other times. UnreadableError."""
    texts = [value] if isinstance(value, str) else list(value)
    try:
        return Hours(open=(_WHOLE,), shut=tuple(map(_read_stretch, texts)), shut_dates=frozenset())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(f"quiet hours that cannot be read: {error}") from error


_WHOLE = Stretch(days=frozenset(range(7)), start=0, end=86_400)


def _read_open(table: Mapping[str, Any]) -> list[Stretch]:
    if table.get("hours"):
        hours = table["hours"]
        return [_read_stretch(text) for text in ([hours] if isinstance(hours, str) else hours)]
    start, end = _seconds(table.get("start") or "00:00"), _seconds(table.get("end") or "24:00")
    days = table.get("days")
    words = days.split(",") if isinstance(days, str) else days
    return [Stretch(days=_read_days(words) if words else _WHOLE.days, start=start, end=end)]


def _read_stretch(text: str) -> Stretch:
    """`mon-fri 09:00-12:00`."""
    match = _TIMES.search(text)
    if match is None:
        raise UnreadableError(f'no hours in "{text}"')
    named = text[: match.start()].strip()
    return Stretch(days=_read_days(named.split(",")) if named else _WHOLE.days, start=_clock(match, 1), end=_clock(match, 4))


def _clock(match: re.Match[str], group: int) -> int:
    return int(match[group]) * 3600 + int(match[group + 1]) * 60 + int(match[group + 2] or 0)


def _seconds(text: str) -> int:
    hour, minute, *rest = (int(part) for part in text.strip().split(":"))
    return hour * 3600 + minute * 60 + (rest[0] if rest else 0)


def _read_days(words: Sequence[str]) -> frozenset[int]:
    """`["mon", "wed-fri"]`, `["fri-mon"]`."""
    found: set[int] = set()
    for word in words:
        ends = [_DAYS[part.strip().lower()[:3]] for part in word.split("-")]
        day = ends[0]
        found.add(day)
        while day != ends[-1]:
            day = (day + 1) % 7
            found.add(day)
    return frozenset(found)


def _read_closed(values: Any) -> tuple[tuple[Stretch, ...], frozenset[date]]:
    stretches, dates = [], set()
    for value in [values] if isinstance(values, str) else values:
        text = str(value).strip()
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            dates.add(date.fromisoformat(text))
        elif any(sign.isdigit() for sign in text):
            stretches.append(_read_stretch(text))
        else:
            stretches.append(Stretch(days=_read_days(text.split(",")), start=0, end=86_400))
    return tuple(stretches), frozenset(dates)
