"""PACING, strides: how many rows a bulk transaction takes, so that sending does not feel it.

A transaction keeps the one writer for about 10 ms on any machine, learned from what the last ones took: handovers and unsubscribes
are served between two of them. Knows a clock, nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

AIM_SECONDS = 0.008
"""Of the act itself; its commit comes on top."""
LEAST, FIRST, MOST = 50, 500, 100_000
_SHRINK, _GROW = 0.5, 1.25


class Stride:
    """`rows()`: for the next transaction; `timed(act, rows)`: the act, watched; `counted`: one that tells by its result how many it had.
    `first`, `least`, `most`: for acts of other weight than to write a row."""

    def __init__(self, monotonic: Callable[[], float], *, first: int = FIRST, least: int = LEAST, most: int = MOST) -> None:
        self._monotonic, self._rows, self._least, self._most = monotonic, float(first), least, most

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

    def counted(self, act: Callable[P, T], count: Callable[[T], int]) -> Callable[P, T]:
        """As `timed`, over as many rows as `count` says of the result."""

        @functools.wraps(act)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            start = self._monotonic()
            result = act(*args, **kwargs)
            self._learn(count(result), self._monotonic() - start)
            return result

        return run

    def _learn(self, rows: int, seconds: float) -> None:
        if rows < self._rows * _SHRINK:
            return  # the last ones of a job, or what is the most elsewhere: they say little
        change = min(max(AIM_SECONDS / max(seconds, 1e-6), _SHRINK), _GROW)
        self._rows = min(max(self._rows * change, self._least), self._most)
