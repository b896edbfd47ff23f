"""GROUND, a port: time. The only room that reads the machine's clocks; everything else is given a `Clock`.

Three readings: `now()` (aware UTC datetime, for plugins and texts), `instant()` (the same as integer microseconds: what the
daemon computes with and stores), `monotonic()` (seconds of a clock that never goes back: deadlines and ages inside this
process). The simulated one is `daemon/simulate/clock.py`. Holds no state, knows no domain.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Time as everyone in Homing sees it. Fulfils `plugins.contract.Clock` by shape."""

    def now(self) -> datetime:
        """The wall clock: an aware UTC datetime."""
        ...

    def instant(self) -> int:
        """The wall clock: microseconds of UTC since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long (0 or less: one turn of the loop)."""
        ...


class SystemClock:
    """The machine's own clocks. `offset_seconds`: the wall clock is set so far ahead, for `homing demo --at` only."""

    __slots__ = ("_offset",)

    def __init__(self, *, offset_seconds: int = 0) -> None:
        self._offset = offset_seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset)

    def instant(self) -> int:
        return time.time_ns() // 1000 + self._offset * 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))


def to_instant(moment: datetime) -> int:
    """Microseconds of UTC since 1970 of an aware datetime, exactly (no float). ValueError if it is naive."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no zone or offset")
    return (moment - EPOCH) // MICROSECOND


@lru_cache(maxsize=256)
def to_datetime(instant: int) -> datetime:
    """The aware UTC datetime of an instant, exactly. A message asks for `now` twice, and a batch for the close of one window."""
    return EPOCH + timedelta(microseconds=instant)


def iso(instant: int, *, digits: int = 3) -> str:
    """`2026-11-22T04:40:11.120Z`: how instants are written in receipts, explain and logs. `digits` 0 = whole seconds, cut off."""
    text = to_datetime(instant).replace(tzinfo=None).isoformat(timespec="microseconds")
    return (text[:-7] if digits == 0 else text[: len(text) - 6 + digits]) + "Z"
