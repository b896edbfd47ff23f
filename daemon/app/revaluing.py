"""Makes the value of people anew when the shop's rates have changed, a stretch a transaction in the bulk lane; else rests.

The store keeps for which rates all profiles were made. That is written when a sweep has ended, so one that is broken off begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.journey.profile import Shop
from daemon.service import Service
from daemon.store.profiles import revalue, valued_for
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

STRETCH = 50
"""Profiles of one transaction: some 4 ms."""


class Revaluing(Service):
    """`shop()`: what money is counted in now; `poke` when that may have changed."""

    def __init__(self, *, store: Writes, clock: Clock, log: Log, shop: Callable[[], Shop]) -> None:
        super().__init__("revaluing")
        self._store, self._clock, self._log, self._shop = store, clock, log, shop
        self._news = asyncio.Event()

    def poke(self) -> None:
        self._news.set()

    async def stop(self) -> None:
        self.stopping.set()
        self._news.set()
        await super().stop()

    async def run(self) -> None:
        self._news.set()
        self.mark_ready()
        while not self.stopping.is_set():
            await self._news.wait()
            self._news.clear()
            if self.stopping.is_set():
                return
            try:
                await self._sweep()
            except StoreUnavailableError as error:
                self._log.error("revaluing_put_off", error=str(error))

    async def _sweep(self) -> None:
        shop = self._shop()
        if await self._store.read(valued_for, shop):
            return
        after: int | None = 0
        done = 0
        while after is not None and not self.stopping.is_set():
            after, count = await self._store.write(Lane.BULK, revalue, after, STRETCH, shop, self._clock.instant())
            done += count
        if done:
            self._log.info("revalued", people=done)
