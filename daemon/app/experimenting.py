"""Looks at the experiments of all campaigns once a day, keeps what they came to, and raises its voice when one must not go on as it is.

The tests may be looked at as often as one likes (`journey.trial`), so a look that is missed or made twice does no harm. Reads by stretches
of people, a pause for others between them; writes one row for each slice. What is decided is not looked at again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.journey.profile import Shop
from daemon.journey.trial import Finding
from daemon.metrics import Metrics
from daemon.model.delivery import DAY, HOUR, SECOND
from daemon.reports.experiments import Counting, Trial, trials_of
from daemon.service import Service
from daemon.store.experiments import Result, keep_results, looks, running, told_of_orders, tried, versions_of
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

LOOK = DAY
ROUND = HOUR
"""So often it asks whether a look is due."""
_SAID = {Finding.INVALID.value: "experiment_invalid", Finding.STOPPED.value: "experiment_stopped"}


class Experimenting(Service):
    """`shop()`, `margin()`: what money is counted in, and the share of it that is margin. `decided()`: a winner is known."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, metrics: Metrics, shop: Callable[[], Shop], margin: Callable[[], float],
        decided: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        super().__init__("experimenting")
        self._store, self._clock, self._log, self._metrics = store, clock, log, metrics
        self._shop, self._margin, self._decided = shop, margin, decided
        self._alarmed: set[tuple[int, str, str]] = set()
        self._trials: dict[tuple[int, int], list[Trial]] = {}

    async def run(self) -> None:
        self.mark_ready()
        while await self.rest(ROUND / SECOND):
            try:
                await self.round()
            except StoreUnavailableError as error:
                self._log.error("experiments_put_off", error=str(error))

    async def round(self) -> int:
        """Look at all that were not looked at for a day. Returns how many."""
        now = self._clock.instant()
        looked = 0
        if not (under_way := await self.under_way()):
            return looked
        known = {(one.campaign, one.step, one.trial): one for one in await self._store.read(looks)}
        for trial in under_way:
            before = known.get((trial.campaign, trial.step, trial.digest))
            if before is None or (before.decided_at is None and now - before.looked_at >= LOOK):
                await self.look(trial)
                looked += 1
        if looked:
            found = [one.finding for one in await self._store.read(looks)]
            self._metrics.experiments({finding.value: 0 for finding in Finding} | Counter(found))
        return looked

    async def under_way(self) -> list[Trial]:
        """What is tried now. The versions of a campaign are read once for each that becomes its newest."""
        kept: dict[tuple[int, int], list[Trial]] = {}
        for number, newest in await self._store.read(running):
            trials = self._trials.get((number, newest))
            if trials is None:
                trials = trials_of(number, newest, await self._store.read(versions_of, number))
            kept[number, newest] = trials
        self._trials = kept
        return [trial for trials in kept.values() for trial in trials]

    async def look(self, trial: Trial) -> list[Result]:
        """Count all people of an experiment, and keep what that says."""
        counting = Counting(trial, self._shop(), self._margin())
        after: int | None = -1
        while after is not None and not self.stopping.is_set():
            page = await self._store.read(tried, trial.campaign, trial.step, after, everyone=trial.everyone)
            told = await self._store.read(told_of_orders, counting.buyers(page.tried))
            counting.take(page.tried, told)
            after = page.after
        found = counting.results(self._clock.instant())
        if self.stopping.is_set():
            return []
        await self._store.write(Lane.BULK, keep_results, found)
        self._tell(trial, found[0])
        return found

    def _tell(self, trial: Trial, found: Result) -> None:
        body = json.loads(found.body)
        told = {"campaign": trial.name, "step": trial.step}
        if found.finding in _SAID:
            key = trial.campaign, trial.step, trial.digest
            if key not in self._alarmed:
                self._log.error(_SAID[found.finding], alarms=body["alarms"], **told)
            self._alarmed.add(key)
        elif found.finding == Finding.WINNER:
            self._log.info("experiment_decided", winner=found.winner, **told)
        else:
            people = {arm["name"]: arm["people"] for arm in body["arms"]}
            self._log.info("experiment_looked_at", people=people, **told)
        if found.winner is not None:
            self._decided()
