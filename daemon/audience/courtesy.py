"""AUDIENCE, courtesy: when bulk work rests, so that sending does not feel an import.

Python at work in one thread slows all others, so while others commit, bulk work rests as long as it works. Knows a clock and a counter,
nothing else. How long one transaction may be: `pacing.stride`.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.clock import Clock

MOST_REST = 0.05


class Courtesy:
    """`begin` before a piece of work that commits at most once, `rest` after it. `commits()`: transactions of the store so far."""

    def __init__(self, clock: Clock, commits: Callable[[], int]) -> None:
        self._clock, self._commits = clock, commits
        self._began, self._seen = 0.0, 0

    def begin(self) -> None:
        self._began, self._seen = self._clock.monotonic(), self._commits()

    async def rest(self) -> None:
        """Nothing, if nobody else committed anything meanwhile."""
        if self._commits() - self._seen > 1:
            await self._clock.sleep(min(self._clock.monotonic() - self._began, MOST_REST))
