"""POLICY, preferred hours: which of the instants that the windows allow is the best one (`[window] prefer`).

A preference ranks and never widens: what it names is intersected with every window that applies, and where nothing of it lies in the
message's life, the first instant of the windows is taken as if there were none. `"own"` in the list means the recipient's own
best hour (journey.timing), on the days that the other items name. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from daemon.model.campaign import OWN_HOUR
from daemon.model.delivery import HOUR, Instant
from daemon.policy.hours import ALL_DAYS, MAX_ITEMS, Range, WindowError, WindowRule, parse_range
from daemon.policy.tz import local_hour
from daemon.policy.window import SEARCH, first_open

ROOM = HOUR
"""A preferred instant must leave so much of the message's life behind it: a retry, a slow destination."""


class Preference(NamedTuple):
    """`rule`: the hours that are named, None where only `own` is."""

    rule: WindowRule | None = None
    own: bool = False


@functools.lru_cache(maxsize=1024)
def parse_prefer(texts: tuple[str, ...]) -> Preference:
    """`("tue-thu 09:00-12:00", "own")`. Raises `WindowError` with the key `prefer`."""
    if len(texts) > MAX_ITEMS:
        raise WindowError("prefer", f"has {len(texts)} items; at most {MAX_ITEMS}")
    ranges = tuple(sorted({parse_range("prefer", text) for text in texts if text != OWN_HOUR}))
    return Preference(WindowRule(ranges=ranges) if ranges else None, OWN_HOUR in texts)


@functools.lru_cache(maxsize=1024)
def ranks(preference: Preference, hour: int | None = None) -> tuple[WindowRule, ...]:
    """The rules to try in turn, the best first. `hour`: the recipient's own best one, 0-23 by the local clock, or None."""
    found = []
    if preference.own and hour is not None:
        days = functools.reduce(lambda bits, item: bits | item.days, preference.rule.ranges, 0) if preference.rule else ALL_DAYS
        found.append(WindowRule(ranges=(Range(days, hour * 3600, (hour + 1) * 3600),)))
    if preference.rule is not None:
        found.append(preference.rule)
    return tuple(found)


def first_preferred(
    windows: tuple[WindowRule, ...], zones: tuple[str, ...], at: Instant, limit: Instant, rules: Sequence[WindowRule], life: int = SEARCH
) -> tuple[Instant, Instant] | None:
    """The stretch [opens, closes) to send in: the first one of the best rule that has any inside the windows and the life, else the
    first of the windows themselves; None if they never open in [at, limit).

    `life`: how long the message lives from the windows' first opening on, in microseconds. `closes` of a preferred stretch is where the
    preference ends: spreading stays inside it, but the claim asks the windows alone, so that being late is no reason to wait.
    """
    plain = first_open(windows, zones, at, min(limit, at + SEARCH))
    if plain is None or not zones:
        return plain
    last = min(limit, plain[0] + life) - ROOM
    for rule in rules:
        found = first_open((*windows, rule), zones, plain[0], last)
        if found is not None:
            return found
    return plain


def local_hours(instants: Sequence[Instant], zone: str) -> list[int]:
    """The hours of the wall clock at these instants, for `journey.timing.best_hour`."""
    return [local_hour(at, zone) for at in instants]
