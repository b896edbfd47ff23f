"""POLICY, zone arithmetic: where on the UTC line a zone changes its offset, and what the wall clock shows.

The data is the tzdata package's, never the system's: tz 2026b-f changed Vancouver, Edmonton, Winnipeg, Casablanca and
Havana, so system files of 2025 are wrong. Importing this module therefore turns the system's files off for the whole
process. Tables are per zone, built once, extended lazily. Instants and offsets are integer microseconds.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import struct
import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from daemon.model.delivery import DAY, HOUR, SECOND, Instant

zoneinfo.reset_tzpath(())
zoneinfo.ZoneInfo.clear_cache()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_FIRST = -2_208_988_800  # 1900-01-01, in seconds
_LAST = 7_258_118_400  # 2200-01-01, in seconds: after it the last offset goes on, so that `ends = 9999-12-31` costs nothing
_CHUNK = 10 * 366 * 86_400  # a table grows by ten years at a time
_STEP = 7 * 86_400  # probing step where only a yearly rule speaks; its two changes lie weeks apart
_HEADER = struct.Struct(">4sc15x6l")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def tzdata_version() -> str:
    """The IANA version whose rules are used, as `2026f`."""
    return str(importlib.import_module("tzdata").IANA_VERSION)


class ZoneTable:
    """One zone's changes: from `changes[i]` on the offset is `offsets[i]`."""

    __slots__ = ("_fixed", "_info", "_table", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._info = zoneinfo.ZoneInfo(name)
        explicit, self._fixed = _read_changes(name)
        changes, offsets = [_FIRST * SECOND], [self._probe(_FIRST)]
        for second in explicit:
            if _FIRST < second < _LAST and (offset := self._probe(second)) != offsets[-1]:
                changes.append(second * SECOND)
                offsets.append(offset)
        self._table = (changes, offsets, max(_FIRST, min(explicit[-1], _LAST)) if explicit else _FIRST)

    def offset(self, at: Instant) -> int:
        """UTC offset at an instant: local wall time is `at + offset`."""
        changes, offsets, known = self._table
        if at >= known * SECOND and not self._fixed:
            changes, offsets = self._extend(at)
        return offsets[max(bisect_right(changes, at) - 1, 0)]

    def pieces(self, start: Instant, end: Instant) -> Iterator[tuple[Instant, Instant, int]]:
        """(from, to, offset) of each stretch of one offset inside [start, end)."""
        changes, offsets, known = self._table
        if end > known * SECOND and not self._fixed:
            changes, offsets = self._extend(end)
        first = max(bisect_right(changes, start) - 1, 0)
        last = bisect_right(changes, end - 1)
        edges = [start, *changes[first + 1 : last], end]
        for index, (begin, stop) in enumerate(pairwise(edges)):
            yield begin, stop, offsets[first + index]

    def _extend(self, at: Instant) -> tuple[list[int], list[int]]:
        """Grow the table past `at` by probing the yearly rule. The table is swapped whole: threads may race here."""
        changes, offsets, known = self._table
        until = min(at // SECOND + _CHUNK, _LAST)
        if until <= known:
            return changes, offsets
        changes, offsets = list(changes), list(offsets)
        for begin in range(known, until, _STEP):
            end = min(begin + _STEP, until)
            if (offset := self._probe(end)) != offsets[-1]:
                changes.append(self._find_change(begin, end) * SECOND)
                offsets.append(offset)
        self._table = (changes, offsets, until)
        return changes, offsets

    def _find_change(self, low: int, high: int) -> int:
        """The second in (low, high] from which the offset is that of `high`."""
        wanted = self._probe(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._probe(middle) == wanted:
                high = middle
            else:
                low = middle
        return high

    def _probe(self, second: int) -> int:
        offset = (_EPOCH + timedelta(seconds=second)).astimezone(self._info).utcoffset()
        assert offset is not None  # noqa: S101  (ZoneInfo always knows one)
        return (offset.days * 86_400 + offset.seconds) * SECOND


def _read_changes(name: str) -> tuple[list[int], bool]:
    """The change seconds written out in a zone's file (RFC 9636, version 2 block), and whether nothing changes after them."""
    data = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).read_bytes()
    _, _, utc, std, leap, times, types, chars = _HEADER.unpack_from(data)
    second = _HEADER.size + times * 5 + types * 6 + chars + leap * 8 + std + utc
    _, _, utc, std, leap, times, types, chars = _HEADER.unpack_from(data, second)
    body = second + _HEADER.size
    changes = list(struct.unpack_from(f">{times}q", data, body))
    footer = data[body + times * 9 + types * 6 + chars + leap * 12 + std + utc :]
    return changes, b"," not in footer


@functools.cache
def zone_table(name: str) -> ZoneTable:
    """The table of a known zone; there are fewer than 600. Unknown name: KeyError (zoneinfo.ZoneInfoNotFoundError)."""
    return ZoneTable(name)


def local_day(zone: str, at: Instant) -> int:
    """The local date at an instant, as days since 1970-01-01."""
    return (at + zone_table(zone).offset(at)) // DAY


def local_hour(at: Instant, zone: str) -> int:
    """The hour that the wall clock shows, 0-23."""
    return (at + zone_table(zone).offset(at)) % DAY // HOUR


def day_number(day: date) -> int:
    """A date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def day_date(number: int) -> date:
    """The date of a day number."""
    return date.fromordinal(number + _EPOCH_ORDINAL)


def first_instant_of(day: date, zone: str) -> Instant:
    """The first instant at which the wall clock shows `day` or later: 00:00, or the jump where the zone skipped it."""
    midnight = day_number(day) * DAY
    for begin, end, offset in zone_table(zone).pieces(midnight - 2 * DAY, midnight + 2 * DAY):
        at = max(begin, midnight - offset)
        if at < end:
            return at
    raise AssertionError("no zone is two days off")


def utc_text(at: Instant) -> str:
    """`2026-11-22T02:00:00Z`; a fraction only where there is one."""
    return (_NAIVE_EPOCH + timedelta(microseconds=at)).isoformat() + "Z"


def instant_of(moment: datetime) -> Instant:
    """An aware datetime as an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
