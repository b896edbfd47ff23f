"""Tells people's journeys, after an import of the catalogue, what is there again and what is new (`store.arrivals`), a page of people at a
time. What a stop breaks off goes on from the place that was committed.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.journey.profile import Shop
from daemon.service import Service
from daemon.store.arrivals import next_page, tell
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

SECONDS = 60.0


class Arriving(Service):
    """`shop()`: what money is counted in now; `walks`: some may begin, or have ended; `trusted()`: the clock is."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, shop: Callable[[], Shop], walks: Callable[[], None], seconds: float = SECONDS,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        super().__init__("arriving")
        self._store, self._clock, self._log, self._shop, self._walks = store, clock, log, shop, walks
        self._seconds, self._trusted = seconds, trusted

    async def run(self) -> None:
        self.mark_ready()
        while await self.rest(self._seconds):
            try:
                if self._trusted():
                    await self.tell()
            except StoreUnavailableError as error:
                self._log.error("arrivals_put_off", error=str(error))

    async def tell(self) -> int:
        """All that is to be told now. Returns how many people were told something."""
        told = 0
        while not self.stopping.is_set() and (page := await self._store.read(next_page, self._clock.instant())) is not None:
            taken = await self._store.write(Lane.BULK, tell, page, self._shop(), self._clock.instant())
            told += taken.how.count("kept")
            if taken.walks:
                self._walks()
        if told:
            self._log.info("arrivals_told", people=told)
        return told
