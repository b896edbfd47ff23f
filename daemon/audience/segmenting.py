"""AUDIENCE, segmenting: keeps the members of segments up to date: by their schedules, on demand, and when their file has changed.

When a segment is due follows from the instant of its last evaluation, which the store keeps: what a stop let pass is made up for. Pages
are compared by a reader; only differences are written, in bulk transactions of some 8 ms, with a cursor, so that a crash costs a page.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from daemon.audience.courtesy import Courtesy
from daemon.clock import Clock
from daemon.content.schedule import next_due
from daemon.errors import NotFoundError, StoreUnavailableError, nearest
from daemon.journey.profile import Shop
from daemon.model.delivery import SECOND, Instant
from daemon.model.segment import DEMAND, Segment, Segments
from daemon.pacing.stride import Stride
from daemon.service import Service, Signals
from daemon.store.churn import adopted_forecast, adopted_model, foretell, put_forecasts, score_people
from daemon.store.profiles import age_scores
from daemon.store.segment_pages import Difference, Level, compare_page, make_levels
from daemon.store.segments import (
    Known,
    Moves,
    Run,
    begin_run,
    end_run,
    forget_segment,
    known_segments,
    note_members,
    open_run,
    put_cycles,
    read_cycles,
)
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

T = TypeVar("T")
PAGE = 5000
"""Recipients of one look: some 50 ms of a reader."""
AGED = 50
FORETOLD = 200
"""People of one look at all their signs: some 20 ms of Python."""
LONGEST_REST = 3600.0


class Segmenting(Service):
    """`shop()`: what tiers, bands and days are by; `zone()`: of schedules; `changed()`: members are as of now; `trusted()`: the clock is.
    `evaluate` works also where the service does not run. Signals: `segments_evaluated(names)`."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, segments: Segments, shop: Callable[[], Shop], zone: Callable[[], str],
        changed: Callable[[], object] = lambda: None, trusted: Callable[[], bool] = lambda: True,
        commits: Callable[[], int] = lambda: 0, signals: Signals | None = None,
    ) -> None:  # fmt: skip
        super().__init__("segmenting")
        self._store, self._clock, self._log, self.segments = store, clock, log, segments
        self._shop, self._zone, self._changed, self._trusted = shop, zone, changed, trusted
        self._signals = signals or Signals.off()
        self._courtesy = Courtesy(clock, commits)
        self._quiet = Stride(clock.monotonic, first=1000, most=20_000)
        self._moving = Stride(clock.monotonic, first=50, least=10, most=2000)
        self._scoring = Stride(clock.monotonic, first=500, most=10_000)
        self._aging = Stride(clock.monotonic, first=AGED, least=10, most=1000)
        self._bell = asyncio.Event()
        self._one = asyncio.Lock()

    def configure(self, segments: Segments) -> None:
        """Take another file of segments (reload)."""
        self.segments = segments
        self.poke()

    def poke(self) -> None:
        """Look what is due."""
        self._bell.set()

    async def stop(self) -> None:
        self.stopping.set()
        self._bell.set()
        await super().stop()

    async def run(self) -> None:
        self._bell.set()
        self.mark_ready()
        rest: float | None = None
        while not self.stopping.is_set():
            await self._wait(rest)
            self._bell.clear()
            if self.stopping.is_set():
                return
            try:
                rest = await self._round()
            except StoreUnavailableError as error:
                self._log.error("segments_put_off", error=str(error))
                rest = 60.0

    async def _wait(self, seconds: float | None) -> None:
        """For the bell, at most so long; None: as long as it takes."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return

    async def _round(self) -> float | None:
        """What is due now. Returns the seconds until something is again; None: nothing will be by itself."""
        async with self._one:
            await self._forget(await self._store.read(known_segments))
            if not self._trusted():
                return 60.0
            if (run := await self._store.read(open_run)) is not None and self._still(run):
                await self._evaluate(run.digests, run)
            known = await self._store.read(known_segments)
            if due := self._due(known, self._clock.instant()):
                await self._evaluate(due, None)
                known = await self._store.read(known_segments)
            now = self._clock.instant()
            return self._rest(known, now)

    def _still(self, run: Run) -> bool:
        """Is it of definitions that hold now?"""
        defined = self.segments.by_name
        return all(name in defined and defined[name].digest == digest for name, digest in run.digests.items())

    def _due(self, known: dict[str, Known], now: Instant) -> list[str]:
        """Those whose time has come, that are new, or whose definition has changed."""
        return [name for name, segment in self.segments.by_name.items() if self._is_due(segment, known.get(name), now)]

    def _is_due(self, segment: Segment, row: Known | None, now: Instant) -> bool:
        if segment.expression is None or segment.every == DEMAND:
            return False
        if row is None or row.evaluated_at is None or row.digest != segment.digest:
            return True
        at = next_due(segment.every, row.evaluated_at, self._zone())
        return at is not None and at <= now

    def _rest(self, known: dict[str, Known], now: Instant) -> float | None:
        instants = [
            at for name, segment in self.segments.by_name.items() if (row := known.get(name)) is not None and segment.expression is not None
            if (at := next_due(segment.every, row.evaluated_at or now, self._zone())) is not None
        ]  # fmt: skip
        return min(max((min(instants) - now) / SECOND, 0.001), LONGEST_REST) if instants else None

    async def evaluate(self, names: Sequence[str]) -> dict[str, int]:
        """Evaluate these now (none: all of the file), with all that they refer to. Segment -> how many are in it. NotFoundError."""
        for name in names:
            if name not in self.segments.by_name:
                near = nearest(name, self.segments.by_name)
                raise NotFoundError(f'no segment "{name}" in the file of segments' + (f'; did you mean "{near}"?' if near else ""))
        async with self._one:
            if (run := await self._store.read(open_run)) is not None and self._still(run):
                await self._evaluate(run.digests, run)
            return await self._evaluate(self.segments.with_references(list(names or self.segments.by_name)), None)

    async def _evaluate(self, names: Iterable[str], run: Run | None) -> dict[str, int]:
        """One evaluation of all of these; `run`: goes on with the one of just these that was broken off."""
        names = list(names) if run is not None else self._with_demanded(names)
        digests = {name: self.segments.by_name[name].digest for name in names}
        if not digests:
            return {}
        began = self._clock.monotonic()
        levels = make_levels(self.segments, names, self._shop())
        if run is None:
            await self._prepare(names)
            run = await self._store.write(Lane.BULK, begin_run, digests, self._clock.instant())
        if not await self._pages(run, levels):
            return {}
        members = await self._store.write(Lane.BULK, end_run, run)
        seconds = round(self._clock.monotonic() - began, 3)
        self._log.info("segments_evaluated", segments=len(members), members=sum(members.values()), seconds=seconds)
        self._signals.emit("segments_evaluated", names=tuple(members))
        self._changed()
        return members

    def _with_demanded(self, names: Iterable[str]) -> list[str]:
        """These, and those that they refer to which nothing else evaluates; in the order of references. Imported lists are not."""
        every = self.segments.with_references(list(names))
        wanted = set(names)
        return [
            name for name in every
            if (segment := self.segments.by_name[name]).expression is not None and (name in wanted or segment.every == DEMAND)
        ]  # fmt: skip

    async def _prepare(self, names: Sequence[str]) -> None:
        """What columns rest on is brought up to date first: scores, cycles of categories."""
        columns = {column for name in names if (found := self.segments.by_name[name].expression) is not None for column in found.columns}
        if "score_30d" in columns:
            now, aged = self._clock.instant(), 1
            while aged and not self.stopping.is_set():
                rows = self._aging.rows()
                self._courtesy.begin()
                aged = await self._store.write(Lane.BULK, self._aging.counted(age_scores, int), now, rows)
                await self._courtesy.rest()
        if "p_alive" in columns:
            await self.score()
        if "churn_probability" in columns:
            await self.foretell()
        if "cycle_days" in columns:
            cycles = await self._store.read(read_cycles)
            for start in range(0, len(cycles), 1000):
                await self._store.write(Lane.BULK, put_cycles, cycles[start : start + 1000])

    async def score(self) -> int:
        """Bring everybody's `p_alive` up to date by the model that was adopted, if one was. Returns how many were looked at."""
        adopted = await self._store.read(adopted_model)
        after: int | None = -1 if adopted is not None else None
        looked, now = 0, self._clock.instant()
        while after is not None and adopted is not None and not self.stopping.is_set():
            self._courtesy.begin()
            act = self._scoring.counted(score_people, operator.itemgetter(1))
            after, count = await self._store.write(Lane.BULK, act, after, self._scoring.rows(), adopted.model, now)
            looked += count
            await self._courtesy.rest()
        return looked

    async def foretell(self) -> int:
        """Bring everybody's `churn_probability` up to date by the model of signs that was adopted, if one was. Returns how many moved."""
        adopted, forecast = await self._store.read(adopted_model), await self._store.read(adopted_forecast)
        after: int | None = -1 if adopted is not None and forecast is not None else None
        moved, now = 0, self._clock.instant()
        while after is not None and adopted is not None and forecast is not None and not self.stopping.is_set():
            self._courtesy.begin()
            told, after = await self._store.read(foretell, after, FORETOLD, adopted.model, forecast, now)
            for some in _cut(told, self._scoring.rows()):
                await self._store.write(Lane.BULK, self._scoring.timed(put_forecasts, len(some)), some)
            moved += len(told)
            await self._courtesy.rest()
        return moved

    async def _pages(self, run: Run, levels: Sequence[Level]) -> bool:
        """All recipients, page by page. False: stopped before the end."""
        reached, last = run.reached, False
        while not last:
            if self.stopping.is_set():
                return False
            self._courtesy.begin()
            page = await self._store.read(compare_page, levels, run, reached, PAGE, self._shop())
            await self._note(run, page)
            await self._courtesy.rest()
            reached, last = page.upto, page.last
        return True

    async def _note(self, run: Run, page: Difference) -> None:
        """Write what a page changes; the cursor moves with the last piece."""
        shop, upto = self._shop(), None if page.last else page.upto
        pieces = [*_cut(page.moves.quiet, self._quiet.rows())]
        for some in pieces:
            act = self._quiet.timed(note_members, len(some))
            done = upto if some is pieces[-1] and not page.moves.entering and not page.moves.leaving else None
            await self._store.write(Lane.BULK, act, Moves(quiet=some), run, done, shop, self._clock.instant())
        rows = self._moving.rows()
        moves = [*(Moves(entering=some) for some in _cut(page.moves.entering, rows))]
        moves += [Moves(leaving=some) for some in _cut(page.moves.leaving, rows)]
        if not moves and not pieces and upto is not None:
            moves = [Moves()]
        for move in moves:
            act = self._moving.timed(note_members, len(move.entering) + len(move.leaving))
            done = upto if move is moves[-1] else None
            await self._store.write(Lane.BULK, act, move, run, done, shop, self._clock.instant())

    async def _forget(self, known: dict[str, Known]) -> None:
        """Segments that are no more in the file go, with their members; imported lists stay."""
        for name, row in known.items():
            if row.digest is None or name in self.segments.by_name:
                continue
            while not self.stopping.is_set() and not await self._store.write(Lane.BULK, forget_segment, name, self._quiet.rows()):
                pass
            self._log.info("segment_forgotten", segment=name)


def _cut(items: Sequence[T], rows: int) -> list[Sequence[T]]:
    return [items[start : start + rows] for start in range(0, len(items), rows)]
