"""Counts what goes with what and what sells best, once a day and after an import of the catalogue, for `recommendations` in messages.

A page of products a look, by a reader; only differences are written, in the bulk lane. What a stop breaks off begins anew: it is the same
until something else was bought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.model.delivery import DAY, MINUTE, Instant
from daemon.service import Service
from daemon.store import matching
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

SECONDS = 60.0
EVERY = DAY
QUIET = MINUTE
"""After an import: its files may come in several."""
PAGE, PAIRS = 500, 20
"""Products of one look, at their buyers and at what else those bought: some 10 ms of a reader."""
SHELVES = 20
"""Categories of one transaction."""


class Recommending(Service):
    """`trusted()`: the clock is."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, seconds: float = SECONDS, trusted: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__("recommending")
        self._store, self._clock, self._log, self._seconds, self._trusted = store, clock, log, seconds, trusted

    async def run(self) -> None:
        self.mark_ready()
        while await self.rest(self._seconds):
            try:
                if self._trusted() and await self._store.read(matching.to_count, self._clock.instant(), EVERY, QUIET):
                    await self.count()
            except StoreUnavailableError as error:
                self._log.error("recommendations_put_off", error=str(error))

    async def count(self) -> None:
        """All of it, as of now."""
        now, began = self._clock.instant(), self._clock.monotonic()
        counted = await self._pages(PAGE, now=now)
        for some in _shelves(await self._store.read(matching.best_sellers)):
            await self._store.write(Lane.BULK, matching.put_sellers, some)
        paired = await self._pages(PAIRS, now=None)
        if not self.stopping.is_set():
            await self._store.write(Lane.BULK, matching.note_counted, now)
            seconds = round(self._clock.monotonic() - began, 3)
            self._log.info("recommendations_counted", sales_changed=counted, pairs_changed=paired, seconds=seconds)

    async def _pages(self, limit: int, *, now: Instant | None) -> int:
        """All products: how many bought each (as of `now`), or (None) what goes with it. Returns how many changed."""
        after: str | None = ""
        changed = 0
        while after is not None and not self.stopping.is_set():
            if now is not None:
                page = await self._store.read(matching.count_buyers, after, limit, now)
            else:
                page = await self._store.read(matching.count_pairs, after, limit)
            if page.buyers or page.pairs:
                await self._store.write(Lane.BULK, matching.put_counted, page)
            changed += len(page.buyers) + len(page.pairs)
            after = page.upto
        return changed


def _shelves(found: Mapping[str, Sequence[str]]) -> list[dict[str, Sequence[str]]]:
    names = sorted(found)
    return [{name: found[name] for name in names[start : start + SHELVES]} for start in range(0, len(names), SHELVES)]
