"""AUDIENCE, strides: how many rows a bulk transaction takes, so that it keeps the one writer for about 10 ms on any machine.

Learned from what the last ones took. The writer serves handovers and unsubscribes between two bulk transactions: this is how long
they may have to wait for one. Knows a clock and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

AIM_SECONDS = 0.008
"""Of the act itself; its commit comes on top."""
LEAST, FIRST = 50, 500
_SHRINK, _GROW = 0.5, 1.25


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
