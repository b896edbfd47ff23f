"""The slow beat of the daemon: journal sync, heartbeat, clock watch, finished jobs, saved buckets, retention, metrics.

Ticks once a second. The bell rings hourly; what is due is looked up in the store, so a bell that is missed
does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from daemon.app.ports import Bell, Lock, Pace
from daemon.app.sending import Sending, World
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal
from daemon.errors import StateHeldError, StoreBrokenError, StoreUnavailableError
from daemon.executor import Executor
from daemon.model.delivery import DAY
from daemon.room import Room
from daemon.service import Service
from daemon.store.recover import end, heartbeat, prune_touches, save_gate
from daemon.store.writer import KeptStore, Lane

BELL_TICKS = 60
"""The bell is hung up later: it brings a scheduler with it, and the first claim does not wait for that."""
SAVE_TICKS = 10
TOUCHES_KEPT = 60 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the daemon rests on and others can take away."""

    store: KeptStore
    lock: Lock
    room: Room


class Housekeeping(Service):
    """`observe` publishes a reading for /metrics; `horizon()` = how far back caps look, in microseconds; `executor`: for the journal;
    `forget`: does hourly what retention asks for."""

    def __init__(
        self, world: World, *, owner: int, gate: Gate, journal: Journal, sending: Sending, horizon: Callable[[], int],
        observe: Callable[[float], Awaitable[None]], executor: Executor, bell: Bell, pace: Pace, watched: Watched,
        forget: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        super().__init__("housekeeping")
        self._world, self._owner, self._gate, self._journal, self._sending = world, owner, gate, journal, sending
        self._horizon, self._observe, self._watched = horizon, observe, watched
        self._executor, self._bell, self._pace, self._forget = executor, bell, pace, forget
        self._news = asyncio.Event()
        self._was_scarce = False
        self._saved_gate = gate.latched()
        self._killed = False
        self._prune_now = asyncio.Event()

    async def run(self) -> None:
        clock = self._world.clock
        hush: Callable[[], object] | None = None
        pruning = asyncio.create_task(self._prune(), name="prune")
        self.mark_ready()
        ticks = 0
        try:
            while not self.stopping.is_set():
                asked = clock.monotonic()
                await self._wait(self._pace.tick_seconds)
                ticks += 1
                if ticks == BELL_TICKS:
                    hush = self._bell(self._prune_now.set)
                lag = max(0.0, clock.monotonic() - asked - self._pace.tick_seconds)
                self._gate.watch()
                self._see_that_it_is_ours()
                try:
                    await self._tick(ticks, lag)
                except StoreUnavailableError as error:  # a full disk passes, and the next tick does it all again
                    self._world.log.error("housekeeping_put_off", error=str(error))
        finally:
            if hush is not None:
                hush()
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)
            if self._watched.store.broken is None:
                await self._end()
        if self._watched.store.broken is not None:
            raise self._watched.store.broken

    async def _end(self) -> None:
        self._journal.sync()
        try:
            await self._world.store.write(Lane.BULK, end, self._owner, self._world.clock.instant())
        except StoreUnavailableError as error:
            self._world.log.error("end_not_recorded", service=self.name, error=str(error))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def stop(self) -> None:
        self._news.set()
        await super().stop()

    def broke(self) -> None:
        """The store is broken: end now, with its error."""
        self._news.set()

    def _see_that_it_is_ours(self) -> None:
        """The store's files are those that were opened (F45), and the state folder is still held by this process alone."""
        store = self._watched.store
        store.check_file()
        if store.broken is not None:
            raise store.broken
        if self._watched.lock.lost():
            raise StateHeldError("another daemon may hold the state folder: the lock file was replaced or deleted; this one ends")

    async def _look_for_room(self) -> None:
        room = self._watched.room
        await self._executor.run(room.look)
        if (room.scarce is not None) != self._was_scarce:
            self._was_scarce = room.scarce is not None
            if room.scarce is not None:
                self._world.log.error("disk_scarce", detail=room.scarce)
            else:
                self._world.log.info("disk_has_room")
                self._sending.wake()

    async def _tick(self, ticks: int, lag: float) -> None:
        store, now = self._world.store, self._world.clock.instant()
        try:
            await self._executor.run(self._journal.sync)
        except StoreBrokenError as error:
            self._watched.store.condemn(error)
            raise
        await self._look_for_room()
        killed = self._gate.killed()
        if killed != self._killed:
            self._killed = killed
            self._world.log.warning("kill_switch", on=killed)
            self._sending.wake()
        if (latched := self._gate.latched()) != self._saved_gate:
            for reason in latched.keys() - self._saved_gate.keys():
                self._world.log.error("sending_is_held", reason=reason, detail=latched[reason])
            await store.write(Lane.EXIT, save_gate, latched)
            self._saved_gate = latched
            self._sending.wake()
        if ticks % self._pace.heartbeat_ticks == 0 and not await store.write(Lane.BULK, heartbeat, self._owner, now):
            raise StateHeldError("another daemon has begun on this store, and has settled what this one had in hand: this one ends")
        if ticks % self._pace.observe_ticks == 0:
            await self._observe(lag)
        if ticks % SAVE_TICKS == 0:
            await self._sending.save()

    async def _prune(self) -> None:
        """Touches older than the longest cap (and two months) go, a stretch a transaction; then whatever else is too old."""
        while True:
            await self._prune_now.wait()
            self._prune_now.clear()
            now, kept = self._world.clock.instant(), max(self._horizon(), TOUCHES_KEPT)
            cursor: int | None = -1
            try:
                while cursor is not None and not self._gate.latched():  # an untrusted clock forgets nothing
                    cursor = await self._world.store.write(Lane.BULK, prune_touches, now, kept, cursor)
                await self._forget()
            except StoreUnavailableError as error:
                self._world.log.error("prune_put_off", error=str(error))
            except Exception as error:  # noqa: BLE001 - supervision: nobody waits for this task; the next bell tries again
                self._world.log.error("prune_failed", error=f"{type(error).__name__}: {error}")
