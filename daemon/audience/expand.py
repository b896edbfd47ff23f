"""AUDIENCE, expansion: reads the bodies of accepted jobs chunk by chunk, plans their deliveries, and releases them.

One service for all open jobs, in turn, so that a small job is not stuck behind a huge one. The next batch is merged (or timed)
while the last is being committed. Where it stands is in the store; row errors go to the job's errors file before the commit.
"""

from __future__ import annotations

import asyncio
import errno
import functools
from collections.abc import Callable
from dataclasses import dataclass

from daemon.audience.courtesy import Courtesy
from daemon.audience.errors_file import Errors
from daemon.audience.planning import Bodies, Planning, Progress
from daemon.audience.runs import LostError
from daemon.audience.timing import Outline, time_rows
from daemon.clock import Clock
from daemon.config.load import Config
from daemon.disk import Disk
from daemon.errors import StoreUnavailableError
from daemon.executor import Executor
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.model.delivery import Instant
from daemon.pacing.stride import Stride
from daemon.policy.rules import Rules
from daemon.service import Service, Signals
from daemon.store.campaigns import body_of
from daemon.store.expansion_end import Limits, end_expansion, fail_job
from daemon.store.experiments import decided
from daemon.store.jobs import finish_jobs, read_job
from daemon.store.plan import Batch, Chunk, Target, Work, note_reading, plan_chunk, start_over
from daemon.store.release import Timed, ToSweep, find_work, read_planned, release_chunk, sweep_some
from daemon.store.walk_jobs import release_walks
from daemon.store.waves import ID_BITS
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

RELEASE_ROWS = 2000
"""At most so many rows in one transaction (see `stride`)."""
SWEEP_ROWS = 400
"""Rows in one transaction: about 10 ms of the writer (measured: tests/bench)."""
RESERVE_BYTES = 48 * 1024 * 1024
"""Below so much free space nothing more is planned (F22); intake stops before, sending goes on with what is left."""
TURN = 8
"""Chunks of one job before the next has its turn."""
POLL_SECONDS = 1.0


@dataclass(slots=True)
class _Expanding:
    """A body that is being expanded; `ahead`: the batch that was merged while the last one was committed."""

    planning: Planning
    target: Target
    errors: Errors
    ahead: Batch | None = None


class Expansion(Service):
    """Signals: `job_expanded(job, state)`, `job_released(job)`, `job_finished(job)`, `idle`. `poke()` = look now."""

    def __init__(
        self,
        *,
        store: Writes,
        bodies: Bodies,
        config: Config,
        rules: Rules,
        disk: Disk,
        clock: Clock,
        ids: Ids,
        executor: Executor,
        log: Log,
        signals: Signals | None = None,
        expanded: Callable[[], None] = lambda: None,
        released: Callable[[], None] = lambda: None,
        metrics: Metrics | None = None,
        poll_seconds: float = POLL_SECONDS,
        scarce: Callable[[], str | None] = lambda: None,
        commits: Callable[[], int] = lambda: 0,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        """`expanded()` when a job's receipt is final (spool), `released()` when rows fell due (dispatch). `executor` has one
        thread of its own: bodies are read in it, and let others at the writer go first by `give_way()`. `commits()`: the store's
        transactions so far, by which it rests when others are busy."""
        super().__init__("expansion")
        self._store, self._bodies, self._disk, self._clock, self._ids = store, bodies, disk, clock, ids
        self._executor, self._log = executor, log
        self._signals = signals or Signals.off()
        self._expanded, self._released = expanded, released
        self._poll_seconds, self._metrics = poll_seconds, metrics
        self._bell = asyncio.Event()
        self._open: dict[int, _Expanding] = {}
        self._outlines: dict[tuple[int, int], Outline] = {}
        self._swept: dict[int, int] = {}
        self._put_off = False
        self._scarce = scarce
        self._planning, self._releasing = Stride(clock.monotonic), Stride(clock.monotonic)
        self._courtesy, self._give_way = Courtesy(clock, commits), give_way
        self._config, self._rules = config, rules

    def configure(self, config: Config, rules: Rules) -> None:
        """Take another config and its rules (reload)."""
        self._config, self._rules = config, rules

    def poke(self) -> None:
        """There may be work."""
        self._bell.set()

    async def stop(self) -> None:
        self._bell.set()
        await super().stop()

    async def run(self) -> None:
        self.mark_ready()
        try:
            while not self.stopping.is_set():
                self._bell.clear()
                if not await self._try_round():
                    self._signals.emit("idle")
                    await self._pause()
        finally:
            for job in list(self._open):
                self._close(job)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._bell.wait()
        except TimeoutError:
            return

    async def _try_round(self) -> bool:
        """A full disk or a store out of reach ends the round, not the daemon: everything is behind a cursor."""
        try:
            if (why := self._scarce()) is not None:
                raise OSError(errno.ENOSPC, why)
            if await self._executor.run(self._disk.free, self._config.homing.state_dir) < RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "the disk of the state folder is nearly full")
            done = await self.round()
        except (OSError, StoreUnavailableError) as error:
            if not self._put_off:
                self._log.error("expansion_put_off", error=str(error))
            self._put_off = True
            for job in list(self._open):
                self._close(job)
            return False
        self._put_off = False
        return done

    async def round(self) -> bool:
        """A turn for each open job. False = there was nothing to do."""
        work = await self._store.read(find_work)
        for job in self._open.keys() - {item.id for item in work.expand}:
            self._close(job)
        for item in work.expand:
            await self._expand(item)
        for item in work.release:
            await (self._let_go(item) if item.enrols else self._release(item))
        swept = [await self._sweep(item) for item in work.sweep]
        if work.ended:
            for key in await self._store.write(Lane.BULK, finish_jobs, self._clock.instant()):
                self._log.info("job_finished", job=key)
                self._signals.emit("job_finished", job=key)
        return bool(work.expand or work.release or any(swept) or work.ended)

    async def _outline(self, work: Work) -> Outline:
        key = work.campaign, work.version
        if key not in self._outlines:
            while len(self._outlines) >= 100:
                self._outlines.pop(next(iter(self._outlines)))
            self._outlines[key] = Outline.of(await self._store.read(body_of, *key))
        return self._outlines[key]

    async def _expand(self, work: Work) -> None:
        """A turn of one body. An error over what stands in it ends the job, not the daemon, whose next start would only meet it again."""
        try:
            await self._turn(work)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
            self._log.error("expansion_failed", job=work.key, exc_info=error)
            await self._fail(work, "internal", f"an error inside Homing over a row ({type(error).__name__}); the log has it", None)

    async def _turn(self, work: Work) -> None:
        """Read on, or plan on; at its end the receipt is made final."""
        expanding = self._open.get(work.id) or await self._begin(work)
        if expanding is None:
            return
        try:
            for _ in range(TURN):
                one = self._plan if expanding.planning.progress.read else self._read
                self._courtesy.begin()
                if self.stopping.is_set() or not await one(expanding):
                    return
                await self._courtesy.rest()
        except LostError as error:
            await self._start_over(work, expanding.planning.progress, error)

    async def _begin(self, work: Work) -> _Expanding | None:
        outline = await self._outline(work)
        try:
            planning = await self._executor.run(Planning, work, self._bodies, self._disk, outline.one_per_address)
        except FileNotFoundError:
            await self._fail(work, "body_lost", "the body of the job is gone from the state folder", None)
            return None
        except LostError as error:
            await self._start_over(work, Progress.of(work), error)
            return None
        errors = await self._executor.run(Errors, self._disk, self._bodies.errors_path(work.key), work.noted)
        self._open[work.id] = _Expanding(planning=planning, target=await self._target(outline, work), errors=errors)
        return self._open[work.id]

    async def _target(self, outline: Outline, work: Work) -> Target:
        won = await self._store.read(decided, work.campaign) if outline.campaign.has_walks else None
        return outline.target(work, self._clock.instant(), self._config.holdout.share, won)

    async def _start_over(self, work: Work, progress: Progress, error: LostError) -> None:
        self._log.warning("expansion_starts_over", job=work.key, error=str(error))
        self._close(work.id)
        again = progress.over_again(work.line)
        await self._store.write(Lane.BULK, start_over, work, *again.start, again.to_json())

    async def _read(self, expanding: _Expanding) -> bool:
        """A piece of the first pass. False = this job's turn ends."""
        planning = expanding.planning
        chunk = await self._executor.run(planning.read_some, self._give_way)
        if await self._breaks_off(planning, chunk):
            return False
        if chunk.ended or planning.full:
            reading = await self._executor.run(functools.partial(planning.report, ended=chunk.ended))
            if not await self._store.write(Lane.BULK, note_reading, planning.work, reading, expanding.errors.note):
                await self._drop(planning)
                return False
        return True

    async def _breaks_off(self, planning: Planning, chunk: Chunk) -> bool:
        """Does the body end badly here?"""
        most = self._config.intake.max_recipients
        if chunk.broken is not None:
            await self._fail(planning.work, *chunk.broken)
        elif planning.seen > most:
            await self._fail(planning.work, "ceiling_exceeded", f"more than {most} recipients, which [intake] max_recipients allows", None)
        else:
            return False
        return True

    async def _plan(self, expanding: _Expanding) -> bool:
        """A batch of the second pass. False = this job's turn ends."""
        planning = expanding.planning
        batch = expanding.ahead if expanding.ahead is not None else await self._next_batch(planning)
        expanding.ahead = None
        bits = self._ids.rng().getrandbits(ID_BITS)
        act = self._planning.timed(plan_chunk, len(batch.rows))
        commit = self._store.write(
            Lane.BULK, act, planning.work, batch, expanding.target, self._clock.instant(), bits, expanding.errors.note
        )
        if batch.last:
            done = await commit
        else:
            done, expanding.ahead = await asyncio.gather(commit, self._next_batch(planning))
        if not done:
            await self._drop(planning)
            return False
        if batch.last:
            await self._finish(planning)
        return not batch.last

    async def _next_batch(self, planning: Planning) -> Batch:
        return await self._executor.run(planning.next_batch, self._planning.rows())

    async def _drop(self, planning: Planning) -> None:
        """The job was cancelled: nobody reads its body any more."""
        self._close(planning.work.id)
        await self._executor.run(planning.clean)
        await self._executor.run(self._bodies.remove, planning.work)

    async def _finish(self, planning: Planning) -> None:
        work = planning.work
        queue = self._config.queues.get(work.queue)
        limits = Limits(queue=queue.max_recipients if queue else 0, unexpected=self._config.intake.unexpected_max)
        await self._store.write(Lane.BULK, end_expansion, work.id, limits)
        await self._told(work)

    async def _fail(self, work: Work, code: str, detail: str, line: int | None) -> None:
        await self._store.write(Lane.BULK, fail_job, work.id, code, detail, line)
        await self._told(work)

    async def _told(self, work: Work) -> None:
        """The receipt is final: body and scratch files go, and who waits for the receipt is told."""
        expanding = self._open.get(work.id)
        if expanding is not None:
            await self._drop(expanding.planning)
        else:
            await self._executor.run(self._bodies.remove, work)
        view = await self._store.read(read_job, work.key)
        if view is None:
            return
        receipt = view.receipt
        self._log.info(
            "job_expanded", job=work.key, queue=work.queue, state=receipt.state.value, reason=receipt.reason, rows=receipt.rows,
            accepted=receipt.accepted, duplicate=receipt.duplicate, rejected=receipt.rejected,
        )  # fmt: skip
        if self._metrics is not None:
            for result, n in (("accepted", receipt.accepted), ("duplicate", receipt.duplicate), ("rejected", receipt.rejected)):
                self._metrics.rows(result, n)
        self._signals.emit("job_expanded", job=work.key, state=receipt.state.value)
        self._expanded()

    def _close(self, job: int) -> None:
        expanding = self._open.pop(job, None)
        if expanding is not None:
            expanding.planning.close()
            expanding.errors.close()

    async def _release(self, work: Work) -> None:
        """Some chunks of planned rows fall due."""
        outline = await self._outline(work)
        timed, cursor = await self._time(work, outline, work.release_cursor or 0)
        for _ in range(TURN):
            if self.stopping.is_set():
                return
            self._courtesy.begin()
            act = self._releasing.timed(release_chunk, len(timed))
            commit = self._store.write(Lane.BULK, act, work.id, timed, cursor, self._clock.instant())
            if cursor == work.last_id:
                done = await commit
                self._released()
                if done:
                    self._signals.emit("job_released", job=work.key)
                return
            done, (timed, cursor) = await asyncio.gather(commit, self._time(work, outline, cursor))
            self._released()
            if not done:
                return
            await self._courtesy.rest()

    async def _let_go(self, work: Work) -> None:
        """Some chunks of walks that stood still may go."""
        cursor: int | None = work.release_cursor or 0
        for _ in range(TURN):
            if self.stopping.is_set() or cursor is None:
                break
            self._courtesy.begin()
            most = min(self._releasing.rows(), RELEASE_ROWS)
            cursor = await self._store.write(Lane.BULK, release_walks, work.id, cursor, self._clock.instant(), most)
            self._released()
            await self._courtesy.rest()
        if cursor is None:
            self._signals.emit("job_released", job=work.key)

    async def _time(self, work: Work, outline: Outline, after: int) -> tuple[list[Timed], int]:
        """The next planned rows with their instants, and the cursor behind them."""
        last = work.last_id or 0
        most = min(self._releasing.rows(), RELEASE_ROWS)
        rows = await self._store.read(read_planned, work.id, after, last, most)
        now: Instant = self._clock.instant()
        timed = await self._executor.run(time_rows, rows, work, outline, self._rules, now)
        return timed, rows[-1].delivery if len(rows) == most else last

    async def _sweep(self, job: ToSweep) -> bool:
        """End what a cancelled job has left, forget what a failed one planned."""
        for _ in range(TURN):
            swept = await self._store.write(Lane.BULK, sweep_some, job, self._swept.get(job.id, 0), self._clock.instant(), SWEEP_ROWS)
            self._swept[job.id] = swept.cursor
            if not swept.ended:
                self._swept.pop(job.id, None)
                return False
        return True
