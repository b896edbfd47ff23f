"""POLICY, windows: when a set of rules is open in a set of zones. The wall clock is the rule (design §5).

An instant is inside when its local wall time is inside, in every zone and for every rule. The open stretches are made
from the zone's changes of offset, so a window inside a skipped hour does not exist that day, one that starts in it opens
at the jump, and one inside a repeated hour is open twice. Tables of open stretches are kept per (rules, zones) and block
of 32 days, built when asked for; a question is one bisect. Pure; the caches are bounded and safe between threads.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_right
from typing import NamedTuple

from daemon.model.delivery import DAY, Instant
from daemon.policy.hours import Range, WindowError, WindowRule, parse_quiet_hours, parse_window
from daemon.policy.tz import zone_table

__all__ = [
    "SEARCH", "Range", "WindowError", "WindowRule", "closes_at", "first_open", "is_open", "next_open", "parse_quiet_hours", "parse_window",
]  # fmt: skip

SEARCH = 400 * DAY
"""How far ahead an opening is looked for: every week and every change of a year lies inside."""

_BLOCK = 32 * DAY


class _Open(NamedTuple):
    """Open stretches [starts[i], ends[i]) of one block, in order, none touching the next."""

    starts: array[int]
    ends: array[int]


_SHUT = _Open(array("q"), array("q"))


def first_open(rules: tuple[WindowRule, ...], zones: tuple[str, ...], at: Instant, limit: Instant) -> tuple[Instant, Instant] | None:
    """The first open stretch at or after `at`, cut to [at, limit): (opens, closes), or None.

    No rules: open all the time. No zones: never, for nobody knows what the wall clock shows.
    """
    if not rules:
        return (at, limit) if at < limit else None
    block = at // _BLOCK
    while block * _BLOCK < limit and zones:
        starts, ends = _block(rules, zones, block)
        index = bisect_right(ends, at)
        if index < len(ends):
            closes = ends[index]
            opens = starts[index]
            if opens < at:  # noqa: PLR1730  (max() and min() here would double the price of a question)
                opens = at
            if opens >= limit:
                return None
            if closes == (block + 1) * _BLOCK:
                closes = _follow(rules, zones, block, closes, limit)
            return opens, (closes if closes < limit else limit)  # noqa: FURB136
        block += 1
    return None


def next_open(rules: tuple[WindowRule, ...], zones: tuple[str, ...], now: Instant, limit: Instant | None = None) -> Instant | None:
    """The first instant in [now, limit) at which all rules are open in all zones; `now` itself when open. Default: 400 days."""
    found = first_open(rules, zones, now, now + SEARCH if limit is None else limit)
    return found[0] if found else None


def closes_at(rules: tuple[WindowRule, ...], zones: tuple[str, ...], now: Instant, limit: Instant | None = None) -> Instant:
    """When what is open at `now` closes, at most `limit`; `now` when it is not open."""
    found = first_open(rules, zones, now, now + SEARCH if limit is None else limit)
    return found[1] if found and found[0] == now else now


def is_open(rules: tuple[WindowRule, ...], zones: tuple[str, ...], at: Instant) -> bool:
    """Are all rules open in all zones?"""
    return next_open(rules, zones, at, at + 1) is not None


def _follow(rules: tuple[WindowRule, ...], zones: tuple[str, ...], block: int, closes: Instant, limit: Instant) -> Instant:
    """A stretch that runs to the end of its block may go on in the next."""
    while closes < limit and closes == (block + 1) * _BLOCK:
        block += 1
        starts, ends = _block(rules, zones, block)
        if not starts or starts[0] != closes:
            break
        closes = ends[0]
    return closes


@functools.lru_cache(maxsize=4096)
def _block(rules: tuple[WindowRule, ...], zones: tuple[str, ...], block: int) -> _Open:
    """Where all rules are open in all zones, in one block."""
    found: _Open | None = None
    for rule in rules:
        for zone in zones:
            one = _single(rule, zone, block)
            found = one if found is None else _both(found, one)
            if not found.starts:
                return _SHUT
    return found or _SHUT


@functools.lru_cache(maxsize=4096)
def _single(rule: WindowRule, zone: str, block: int) -> _Open:
    """Where one rule is open in one zone: each local day's stretches, laid on each piece of the UTC line with one offset."""
    starts, ends = array("q"), array("q")
    for begin, stop, offset in zone_table(zone).pieces(block * _BLOCK, (block + 1) * _BLOCK):
        first, last = begin + offset, stop + offset
        for day in range(first // DAY, (last - 1) // DAY + 1):
            for low, high in rule.day(day):
                opens, closes = max(day * DAY + low, first) - offset, min(day * DAY + high, last) - offset
                if opens >= closes:
                    continue
                if ends and ends[-1] == opens:
                    ends[-1] = closes
                else:
                    starts.append(opens)
                    ends.append(closes)
    return _Open(starts, ends)


def _both(left: _Open, right: _Open) -> _Open:
    """The intersection of two tables."""
    starts, ends = array("q"), array("q")
    i = j = 0
    while i < len(left.starts) and j < len(right.starts):
        opens, closes = max(left.starts[i], right.starts[j]), min(left.ends[i], right.ends[j])
        if opens < closes:
            starts.append(opens)
            ends.append(closes)
        if left.ends[i] <= right.ends[j]:
            i += 1
        else:
            j += 1
    return _Open(starts, ends)
