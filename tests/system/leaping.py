"""A real process in time that leaps: real sockets, threads, files and servers, and a clock that moves on only when all of them rest.

The loop is asyncio's own with a selector that, instead of waiting for the next timer, moves the clock to it, once nothing is to be
read or written and no thread of the loop's executors or of the store has work in hand. So a day takes as long as its work, and what is done
at one instant is done at that instant, however slow the machine is.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.clock import to_datetime, to_instant
from daemon.store.writer import Store

GRACE_SECONDS = 0.002
"""For what the kernel of this machine has in hand between two sockets of its own."""
LOOK_SECONDS = 0.05


class LeapingSelector(selectors.DefaultSelector):
    """`busy()`: some thread will still ring. `leap(seconds)`: the clock moves."""

    busy: Callable[[], bool]
    leap: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        found = super().select(LOOK_SECONDS if self.busy() or timeout is None else GRACE_SECONDS)
        if not found and not self.busy() and timeout is not None:
            self.leap(timeout)
        return found


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and is nobody else's."""

    def __init__(self) -> None:
        self.now, self.pending = 0.0, 0
        selector = LeapingSelector()
        selector.busy = lambda: self.pending > 0
        selector.leap = self._leap
        super().__init__(selector)

    def _leap(self, seconds: float) -> None:
        self.now += seconds

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        return self.counted(super().run_in_executor(executor, func, *args))

    def counted(self, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """A thread is at work on it."""
        self.pending += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: asyncio.Future[Any]) -> None:
        self.pending -= 1


class LeapingClock:
    """Wall clock and monotonic one of a `LeapingLoop`. Fulfils `daemon.clock.Clock`."""

    def __init__(self, loop: LeapingLoop, start: datetime) -> None:
        self._loop, self._start = loop, to_instant(start)

    def now(self) -> datetime:
        return to_datetime(self.instant())

    def instant(self) -> int:
        return self._start + round(self._loop.time() * 1_000_000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))


class CountedStore(Store):
    """The real store, whose writer's thread the loop waits for."""

    def _submit(self, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        future = super()._submit(*args, **kwargs)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        return loop.counted(future)


def open_counted(path: Path, *, after_join: Callable[..., None]) -> Store:
    return CountedStore.open(path, after_join=after_join)
