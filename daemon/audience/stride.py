"""AUDIENCE, strides: how many rows a bulk transaction takes, and when bulk work rests, so that sending does not feel an import.

A transaction keeps the one writer for about 10 ms on any machine, learned from what the last ones took: handovers and unsubscribes
are served between two of them. And Python at work in one thread slows all others, so while others commit, bulk work rests as long as
it works. Knows a clock and a counter, nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from daemon.clock import Clock

P = ParamSpec("P")
T = TypeVar("T")

AIM_SECONDS = 0.008
"""Of the act itself; its commit comes on top."""
LEAST, FIRST = 50, 500
_SHRINK, _GROW = 0.5, 1.25
MOST_REST = 0.05


class Stride:
    """`rows()`: for the next transaction; `timed(act, rows)`: the act, watched."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._rows = monotonic, float(FIRST)

    def rows(self) -> int:
        """For the next transaction."""
        return int(self._rows)

    def timed(self, act: Callable[P, T], rows: int) -> Callable[P, T]:
        """`act` over so many rows, timed where it runs: waiting for the writer does not count."""

        @functools.wraps(act)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            start = self._monotonic()
            result = act(*args, **kwargs)
            self._learn(rows, self._monotonic() - start)
            return result

        return run

    def _learn(self, rows: int, seconds: float) -> None:
        if rows < self._rows * _SHRINK:
            return  # the last ones of a job, or what is the most elsewhere: they say little
        change = min(max(AIM_SECONDS / max(seconds, 1e-6), _SHRINK), _GROW)
        self._rows = min(max(self._rows * change, LEAST), 100_000)


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
