"""FLOOR 7, simulate: the clock of a simulated world. Monotonic time is the loop's; the wall clock may be made to jump.

Both start where the world says and move only when the loop does. Fulfils `daemon.clock.Clock`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from daemon.clock import to_datetime, to_instant

SECOND = 1_000_000
START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
"""A Monday, 09:00 in Jakarta."""


class VirtualClock:
    """`loop` is any loop whose `time()` starts at 0: a `SimLoop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, start: datetime = START) -> None:
        self._loop = loop
        self._start = to_instant(start)
        self._offset = 0

    def now(self) -> datetime:
        return to_datetime(self.instant())

    def instant(self) -> int:
        return self._start + self._offset + round(self._loop.time() * SECOND)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    def jump(self, seconds: float) -> None:
        """Somebody set the wall clock; monotonic time does not notice."""
        self._offset += round(seconds * SECOND)
