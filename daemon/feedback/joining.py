"""Feedback: joins reports that came too early with their deliveries, as soon as these are known or their outcome is recorded.

A provider may tell how a message went before its answer to our own request has been stored. Rests while nothing is parked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.feedback.ingest import Ingesting
from daemon.pacing.stride import Stride
from daemon.service import Service
from daemon.store.feedback import JOINED, any_parked, join_parked
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

FIRST_SECONDS = 1.0
LAST_SECONDS = 60.0
"""Parked reports are looked at after a second, and then ever more seldom, until another one is parked."""


class Joining(Service):
    """`ingesting` tells what was joined; `poke` when something was parked."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, ingesting: Callable[[], Ingesting], channels: Callable[[], Sequence[str]]
    ) -> None:  # fmt: skip
        super().__init__("feedback")
        self._store, self._clock, self._log = store, clock, log
        self._ingesting, self._channels = ingesting, channels
        self._news = asyncio.Event()
        self._stride = Stride(clock.monotonic, first=25, least=5, most=JOINED)

    def poke(self) -> None:
        self._news.set()

    async def stop(self) -> None:
        self.stopping.set()
        self._news.set()
        await super().stop()

    async def run(self) -> None:
        self._news.set()  # something may be left from before
        self.mark_ready()
        while not self.stopping.is_set():
            await self._news.wait()
            self._news.clear()
            pause = FIRST_SECONDS
            while not self.stopping.is_set() and await self._left():
                pause = FIRST_SECONDS if await self._rest(pause) else min(2 * pause, LAST_SECONDS)

    async def _rest(self, seconds: float) -> bool:
        """True: something was parked meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def _left(self) -> bool:
        """Join what can be joined; True if something is left to wait for."""
        try:
            await self.join()
            return await self._store.read(any_parked)
        except StoreUnavailableError as error:
            self._log.error("feedback_put_off", error=str(error))
            return True

    async def join(self) -> None:
        """Try all that is parked, once."""
        after: int | None = 0
        while after is not None and not self.stopping.is_set():
            act = self._stride.counted(join_parked, lambda joined: joined.looked)
            joined = await self._store.write(
                Lane.BULK, act, after, channels=self._channels(), now=self._clock.instant(), limit=self._stride.rows()
            )  # fmt: skip
            self._ingesting().tell(joined.heard)
            after = joined.after
