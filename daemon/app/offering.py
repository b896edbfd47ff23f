"""Keeps the books of offers: what reached nobody is given back, what is past its end has expired, what waited for a code goes on.

Looks every ten seconds whether there is anything to do, and does it a stretch a transaction in the bulk lane. All of it follows from rows:
a look that is missed is made up by the next.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.service import Service
from daemon.store.codes import MADE, list_pools, wake_for_codes
from daemon.store.issues import STRETCH, expire, settle, to_settle, unsettled
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

SECONDS = 10.0


class Offering(Service):
    """`woken`: something that waited has become due. `trusted()`: the clock is."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, woken: Callable[[], object], seconds: float = SECONDS,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        super().__init__("offering")
        self._store, self._clock, self._log, self._woken, self._seconds = store, clock, log, woken, seconds
        self._trusted = trusted

    async def run(self) -> None:
        self.mark_ready()
        while await self.rest(self._seconds):
            try:
                if self._trusted() and await self._store.read(to_settle, self._clock.instant()):
                    await self.look()
            except StoreUnavailableError as error:
                self._log.error("offers_put_off", error=str(error))

    async def look(self) -> None:
        """One round over all that is set aside or past its end."""
        returned = opened = woken = 0
        after: int | None = 0
        while after is not None and not self.stopping.is_set():
            some, following = await self._store.read(unsettled, after, self._clock.instant())
            if some:
                done = await self._store.write(Lane.BULK, settle, after, self._clock.instant())
                returned, opened, woken = returned + done.returned, opened + done.opened, woken + done.woken
            after = following
        expired = ended = await self._store.write(Lane.BULK, expire, self._clock.instant())
        while ended == STRETCH and not self.stopping.is_set():
            ended = await self._store.write(Lane.BULK, expire, self._clock.instant())
            expired += ended
        if returned:
            woken += await self._free()
        if returned or opened or expired:
            self._log.info("offers_settled", returned=returned, opened=opened, expired=expired, woken=woken)
        if woken:
            self._woken()

    async def _free(self) -> int:
        """Codes came back: whoever was held for want of one goes on."""
        woken = 0
        for pool in await self._store.read(list_pools):
            after: int | None = 0 if pool.free and pool.name != MADE else None
            while after is not None:
                some, after = await self._store.write(Lane.BULK, wake_for_codes, pool.name, after, self._clock.instant())
                woken += some
        return woken
