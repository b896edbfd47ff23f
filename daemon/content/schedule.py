"""CONTENT: when a segment is evaluated: "06:00" daily, a cron line, or "demand". Pure; APScheduler's trigger reads cron lines.

Times are of one zone. A daily time that a change of clocks leaves out comes when the gap is over; one that comes twice counts once
(APScheduler's cron leaves such a day out: facts, traps 3).
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from daemon.clock import to_datetime, to_instant
from daemon.config.values import BadValue, text
from daemon.model.delivery import Instant
from daemon.model.segment import DEMAND

_DAILY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_EXAMPLES = '"06:00" (daily), a cron line such as "0 6 * * mon", or "demand"'


def parse_every(value: Any) -> str:
    """The schedule as it is kept. BadValue when it is none."""
    written = " ".join(text(value).lower().split())
    if written == DEMAND or _DAILY.fullmatch(written):
        return written
    if len(written.split(" ")) != 5:
        raise BadValue(f'must be {_EXAMPLES} (got "{value}")', f"0{written}" if _DAILY.fullmatch(f"0{written}") else None)
    try:
        _trigger(written, "UTC")
    except (ValueError, TypeError, LookupError) as error:
        raise BadValue(f'is no cron line of minute, hour, day, month, weekday: {error} (got "{value}")') from None
    return written


@lru_cache(maxsize=512)
def next_due(every: str, after: Instant, zone: str) -> Instant | None:
    """The first time of the schedule later than `after`; None: only on demand."""
    if every == DEMAND:
        return None
    local = zoneinfo.ZoneInfo(zone)
    start = to_datetime(after).astimezone(local)
    if (daily := _DAILY.fullmatch(every)) is not None:
        at = time(int(daily[1]), int(daily[2]))
        days = (start.date() + timedelta(days=n) for n in range(3))
        return next(found for day in days if (found := _on_day(datetime.combine(day, at, local))) > after)
    found = _trigger(every, zone).get_next_fire_time(None, start + timedelta(microseconds=1))
    return None if found is None else to_instant(found.astimezone(UTC))


def _on_day(wall: datetime) -> Instant:
    """The instant of a local time; of one that is left out: when the gap is over (PEP 495: with fold 0 it lies an hour behind it)."""
    found = wall.astimezone(UTC)
    if found.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return to_instant(found)
    before, behind = wall.replace(fold=1).utcoffset(), wall.replace(fold=0).utcoffset()
    gap = (before or timedelta()) - (behind or timedelta())
    naive = wall.replace(tzinfo=None)
    minute = next(n for n in range(int(gap.total_seconds() // 60) + 1) if _exists(naive + timedelta(minutes=n), wall.tzinfo))
    return to_instant((naive + timedelta(minutes=minute)).replace(tzinfo=wall.tzinfo).astimezone(UTC))


def _exists(naive: datetime, zone: Any) -> bool:
    return naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == naive


def _trigger(line: str, zone: str) -> Any:
    from apscheduler.triggers.cron import CronTrigger

    minute, hour, day, month, weekday = line.split(" ")
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=zoneinfo.ZoneInfo(zone)
    )  # fmt: skip


def _weekdays(field: str) -> str:
    """cron's weekdays (0 and 7 are Sunday) as names: APScheduler counts from Monday, and knows no range over Sunday."""
    if field == "*":
        return field
    found: set[int] = set()
    for item in field.split(","):
        span, stepped, step = item.partition("/")
        if stepped and (not step.isdecimal() or not 1 <= int(step) <= 7):
            raise ValueError(f'"{item}": behind / stands each how many days, 1 to 7')
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        start, end = _weekday(first), _weekday(last) if dash else _weekday(first)
        days = [(start + n) % 7 for n in range((end - start) % 7 + 1)]
        found.update(days[:: int(step) if step else 1])
    return ",".join(_DAYS[day] for day in sorted(found))


def _weekday(word: str) -> int:
    if word in _DAYS:
        return _DAYS.index(word)
    if not word.isdigit() or int(word) > 7:
        raise ValueError(f'"{word}" is no weekday')
    return int(word) % 7
