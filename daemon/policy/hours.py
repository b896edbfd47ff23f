"""POLICY, hours: what a window table says, as one immutable rule (`[window]`, campaign, job, recipient's quiet hours).

Text in, `WindowRule` out; every refusal is a `WindowError` that names the key. What a rule means on the UTC line is
`daemon/policy/window.py`. A range belongs to the day on which it opens; `end` before `start` means the next morning.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, NamedTuple, TypeVar

from daemon.errors import nearest
from daemon.model.delivery import DAY, SECOND
from daemon.policy.tz import day_number

T = TypeVar("T")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL_DAYS = 0b1111111
_LONG = {name: index for index, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))}
_NUMBER = {**{name: index for index, name in enumerate(DAYS)}, **_LONG}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_RANGE = re.compile(r"(?:(?P<days>[a-z][a-z,\s-]*?)\s+)?(?P<start>[\d:]+)\s*-\s*(?P<end>[\d:]+)", re.IGNORECASE)
_KEYS = ("start", "end", "days", "hours", "closed")
MAX_TEXT, MAX_ITEMS, MAX_QUIET = 100, 500, 50
"""Longer texts and lists are refused unread: the pattern of a range takes quadratic time, and rows and jobs come from outside."""

Spans = tuple[tuple[int, int], ...]
"""Stretches of one local day, [from, to) in microseconds of wall time since 00:00."""


class WindowError(ValueError):
    """A window that cannot be understood: the key, what is wrong, and perhaps what was meant. `others`: what is wrong beside that."""

    def __init__(self, key: str, what: str, suggestion: str | None = None) -> None:
        super().__init__(f"{key}: {what}" + (f'; did you mean "{suggestion}"?' if suggestion else ""))
        self.key = key
        self.what = what
        self.suggestion = suggestion
        self.others: tuple[WindowError, ...] = ()


class Range(NamedTuple):
    """A weekly stretch: `days` = bits from Monday, `start` and `end` = seconds of wall time (end <= start: overnight)."""

    days: int
    start: int
    end: int

    def __str__(self) -> str:
        hours = f"{_clock_text(self.start)}-{_clock_text(self.end)}"
        return hours if self.days == ALL_DAYS else f"{_days_text(self.days)} {hours}"


WHOLE_WEEK = Range(ALL_DAYS, 0, 86_400)
_NEVER_CLOSED: tuple[tuple[Range, ...], tuple[date, ...]] = (), ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """Open in any of `ranges`, but not in a `closed` range nor on a closed date, all by the local wall clock.

    A closed date closes the whole date and every range that opens on it, the hours after its midnight too.
    """

    ranges: tuple[Range, ...]
    closed: tuple[Range, ...] = ()
    closed_dates: tuple[date, ...] = ()
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.ranges, self.closed, self.closed_dates)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def full(cls) -> WindowRule:
        """Always open."""
        return _FULL

    @property
    def always(self) -> bool:
        """Does it never close, whatever the zone?"""
        return self.ranges == _FULL.ranges and not self.closed and not self.closed_dates

    def without_dates(self) -> WindowRule:
        """The same week without closed dates."""
        return WindowRule(ranges=self.ranges, closed=self.closed)

    def texts(self) -> list[str]:
        """The rule in the words of the config: `["mon-fri 09:00-12:00", "closed 2027-03-20"]`."""
        shut = [f"closed {item}" for item in (*self.closed, *self.closed_dates)]
        return [*map(str, self.ranges), *shut]

    def day(self, number: int) -> Spans:
        """The open stretches of the local date with this day number (days since 1970-01-01)."""
        week, dates = _week(self), _dates(self)
        if number in dates:
            return ()
        both, own = week[(number + 3) % 7]  # 1970-01-01 was a Thursday
        return own if number - 1 in dates else both


_FULL = WindowRule(ranges=(WHOLE_WEEK,))


@functools.lru_cache(maxsize=4096)
def _dates(rule: WindowRule) -> frozenset[int]:
    return frozenset(map(day_number, rule.closed_dates))


@functools.lru_cache(maxsize=4096)
def _week(rule: WindowRule) -> tuple[tuple[Spans, Spans], ...]:
    """For each weekday: its open stretches, and the same without what the evening before carried over."""
    week = []
    for weekday in range(7):
        shut = _on(rule.closed, weekday, carried=True)
        both = _minus(_on(rule.ranges, weekday, carried=True), shut)
        own = _minus(_on(rule.ranges, weekday, carried=False), shut)
        week.append((both, own))
    return tuple(week)


def _on(ranges: Iterable[Range], weekday: int, *, carried: bool) -> Spans:
    """The union of the ranges on one weekday."""
    found = []
    for days, start, end in ranges:
        overnight = end <= start
        if days >> weekday & 1:
            found.append((start * SECOND, DAY if overnight else end * SECOND))
        if carried and overnight and end and days >> (weekday - 1) % 7 & 1:
            found.append((0, end * SECOND))
    merged: list[tuple[int, int]] = []
    for begin, stop in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((begin, stop))
    return tuple(merged)


def _minus(spans: Spans, holes: Spans) -> Spans:
    for low, high in holes:
        spans = tuple(
            piece for begin, stop in spans for piece in ((begin, min(stop, low)), (max(begin, high), stop)) if piece[0] < piece[1]
        )
    return spans


def parse_window(table: Mapping[str, Any], *, start: str = "00:00", end: str = "24:00") -> WindowRule:
    """A window table: start/end/days or hours (exactly one form), and closed. `start`, `end`: the defaults of the first form.

    The WindowError is of the first key that is wrong, and has those of the other keys as its `others`.
    """
    wrong: list[WindowError] = []

    def read(parse: Callable[..., T], *given: Any, otherwise: T) -> T:
        try:
            return parse(*given)
        except WindowError as error:
            wrong.append(error)
            return otherwise

    for key in table:
        read(_check_key, key, table, otherwise=None)
    _raise_all(wrong)
    if "hours" in table:
        ranges = read(_parse_ranges, "hours", table["hours"], parse_range, otherwise=_FULL.ranges)
    else:
        begin = read(_parse_start, table.get("start", start), otherwise=0)
        stop = read(_parse_end, table.get("end", end), otherwise=86_400)
        days = read(_parse_days, "days", table["days"], otherwise=ALL_DAYS) if "days" in table else ALL_DAYS
        ranges = _FULL.ranges if wrong else (read(_new_range, "end", days, begin, stop, otherwise=WHOLE_WEEK),)
    closed, dates = read(_parse_closed, table.get("closed", ()), otherwise=_NEVER_CLOSED)
    _raise_all(wrong)
    rule = WindowRule(ranges=ranges, closed=closed, closed_dates=dates)
    if not any(own for _, own in _week(rule)):
        raise WindowError("closed", "leaves no open hour in the week")
    return rule


def _check_key(key: str, table: Mapping[str, Any]) -> None:
    if key == "prefer":
        raise WindowError("prefer", "is not supported yet")
    if key not in _KEYS:
        raise WindowError(str(key), "unknown key", nearest(str(key), _KEYS))
    if key == "hours" and (other := next((key for key in ("start", "end", "days") if key in table), None)):
        raise WindowError(other, "cannot stand beside hours: give either start, end and days, or hours")
    _refuse_long(key, table[key])


def _raise_all(wrong: Sequence[WindowError]) -> None:
    if wrong:
        wrong[0].others = tuple(wrong[1:])
        raise wrong[0]


def parse_quiet_hours(values: Sequence[str] | str) -> WindowRule:
    """A recipient's own quiet hours, `["22:00-08:00"]`: open at all other times."""
    _refuse_long("quiet_hours", values, MAX_QUIET)
    closed = _parse_ranges("quiet_hours", values, parse_range)
    rule = WindowRule(ranges=_FULL.ranges, closed=closed)
    if not any(own for _, own in _week(rule)):
        raise WindowError("quiet_hours", "leave no open hour in the week")
    return rule


def _refuse_long(key: str, value: Any, most: int = MAX_ITEMS) -> None:
    items = value if isinstance(value, (list, tuple)) else (value,)
    if len(items) > most:
        raise WindowError(key, f"has {len(items)} items; at most {most}")
    if any(isinstance(item, str) and len(item) > MAX_TEXT for item in items):
        raise WindowError(key, f"has a text of more than {MAX_TEXT} characters")


def parse_range(key: str, text: str) -> Range:
    """`"mon-fri 09:00-12:00"`, `"sat,sun 22:00-02:00"`, `"09:00-24:00"`."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise WindowError(key, f'a range is "mon-fri 09:00-12:00" or "09:00-12:00" (got "{text}")')
    days = _parse_days(key, match["days"]) if match["days"] else ALL_DAYS
    return _new_range(key, days, _parse_clock(key, match["start"], last=86_399), _parse_clock(key, match["end"], last=86_400))


def _new_range(key: str, days: int, start: int, end: int) -> Range:
    if start == end:
        raise WindowError(key, f"start and end are both {_clock_text(start)}; for the whole day write 00:00-24:00")
    return Range(days, start, end)


def _parse_ranges(key: str, value: Any, parse: Any) -> tuple[Range, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not values or not all(isinstance(item, str) for item in values):
        raise WindowError(key, 'must be a list of ranges such as ["mon-fri 09:00-12:00", "sat 22:00-02:00"]')
    return tuple(sorted({parse(key, item) for item in values}))


def _parse_closed(value: Any) -> tuple[tuple[Range, ...], tuple[date, ...]]:
    values = value if isinstance(value, (list, tuple)) else [value]
    ranges: set[Range] = set()
    dates: set[date] = set()
    for item in values:
        day = _closed_date(item)
        if day:
            dates.add(day)
        elif not isinstance(item, str):
            raise WindowError("closed", 'must be a list such as ["2027-03-20", "fri 11:30-13:30"]')
        elif item.strip().casefold() == "holidays":
            raise WindowError("closed", '"holidays" is not supported yet; list the dates, as "2027-03-20"')
        elif any(sign.isdigit() for sign in item):
            ranges.add(parse_range("closed", item))
        else:
            ranges.add(Range(_parse_days("closed", item), 0, 86_400))
    return tuple(sorted(ranges)), tuple(sorted(dates))


def _closed_date(item: Any) -> date | None:
    if isinstance(item, datetime):
        raise WindowError("closed", "takes whole dates, as 2027-03-20, or weekly ranges")
    if isinstance(item, date):
        return item
    if isinstance(item, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", item.strip()):
        try:
            return date.fromisoformat(item.strip())
        except ValueError:
            raise WindowError("closed", f'there is no such date (got "{item}")') from None
    return None


def _parse_clock(key: str, value: Any, *, last: int) -> int:
    """Seconds of wall time. 24:00 is an end, not a start."""
    if isinstance(value, time) and not value.microsecond and value.tzinfo is None:
        return value.hour * 3600 + value.minute * 60 + value.second
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise WindowError(key, f'must be a time of day such as "09:00" (got {value!r})')
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > last:
        limit = "23:59" if last < 86_400 else "24:00"
        raise WindowError(key, f'is a time of day from 00:00 to {limit} (got "{value}")')
    return seconds


def _parse_start(value: Any) -> int:
    return _parse_clock("start", value, last=86_399)


def _parse_end(value: Any) -> int:
    return _parse_clock("end", value, last=86_400)


def _parse_days(key: str, value: Any) -> int:
    """`"mon-fri"`, `"sat,sun"`, `["mon", "wed-fri"]`, `"fri-mon"` as bits."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not words:
        raise WindowError(key, f'must name days, as "mon-fri" or ["mon", "wed"] (got {value!r})')
    bits = 0
    for word in words:
        first, dash, last = str(word).casefold().partition("-")
        begin = _parse_day(key, first)
        stop = _parse_day(key, last) if dash else begin
        for step in range((stop - begin) % 7 + 1):
            bits |= 1 << (begin + step) % 7
    return bits


def _parse_day(key: str, word: str) -> int:
    name = word.strip()
    if name not in _NUMBER:
        raise WindowError(key, f'no such day (got "{name}")', nearest(name, DAYS))
    return _NUMBER[name]


def _clock_text(seconds: int) -> str:
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def _days_text(bits: int) -> str:
    """Runs of days: `mon-fri`, `mon,wed`, `sat-sun`."""
    parts = []
    index = 0
    while index < 7:
        if not bits >> index & 1:
            index += 1
            continue
        last = index
        while last < 6 and bits >> last + 1 & 1:
            last += 1
        parts.append(DAYS[index] if last == index else f"{DAYS[index]}-{DAYS[last]}")
        index = last + 1
    return ",".join(parts)
