"""A line's senders: the tasks that each carry one batch at a time to the channel, as many as it has places, and its spare ones.

They know nothing of what is in a batch. Whoever has nothing to do waits to be called; a spare one stands in where others hang.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from daemon.dispatch.work import Envelope
from plugins.contract import Log

Batch = list[Envelope]


class Senders:
    """`call(most)`: let idle ones look for something to begin. `busy` of them have a batch, of `places`; `idle` wait and are not called
    yet."""

    def __init__(
        self, *, provider: str, places: int, spare: int, hanging: Callable[[], int], next_batch: Callable[[], Batch],
        send: Callable[[Batch], Coroutine[Any, Any, None]], ended: Callable[[], None], log: Log,
    ) -> None:  # fmt: skip
        """`hanging()`: busy ones that make no use of their places · `next_batch()`: empty = nothing for one more sender now · `ended`: a
        batch is over."""
        self.places, self.busy, self.idle = places, 0, deque[asyncio.Future[None]]()
        self._provider, self._spare, self._hanging, self._log = provider, spare, hanging, log
        self._next_batch, self._send, self._ended = next_batch, send, ended
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        for number in range(self.places + self._spare):
            self._tasks.append(asyncio.get_running_loop().create_task(self._run(), name=f"send-{self._provider}-{number}"))

    def close(self) -> None:
        """Nothing new is begun."""
        self._closing = True
        self.call(len(self.idle))

    async def end(self, seconds: float) -> None:
        """After `close`: let those that run end, cancel what is left after `seconds`."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def call(self, most: int) -> None:
        while self.idle and most > 0:
            waiting = self.idle.popleft()
            if not waiting.done():
                waiting.set_result(None)
                most -= 1

    def free(self) -> int:
        """How many more may have a batch now: those that hang make no use of their places, so the channel's spare ones stand in."""
        if self.busy < self.places or not self._spare:
            return self.places - self.busy
        return self.places + min(self._spare, self._hanging()) - self.busy

    async def _run(self) -> None:
        while True:
            batch = self._next_batch()
            while not batch and not self._closing:
                waiting = asyncio.get_running_loop().create_future()
                self.idle.append(waiting)
                try:
                    await waiting
                finally:
                    if waiting in self.idle:
                        self.idle.remove(waiting)
                batch = self._next_batch()
            if not batch:
                return
            self.busy += 1
            try:
                await self._send(batch)
            except Exception as failure:  # noqa: BLE001 - supervision: a sender outlives a failing store; its flights stay claimed
                self._log.error("send_failed", provider=self._provider, error=f"{type(failure).__name__}: {failure}", deliveries=len(batch))
            finally:
                self.busy -= 1
                self._ended()
