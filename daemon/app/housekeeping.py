"""The slow beat of the daemon: journal sync, heartbeat, clock watch, finished jobs, saved buckets, retention, metrics.

Ticks once a second on the clock port. The bell rings hourly; what is due is looked up in the store, so a bell that is missed
does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from daemon.app.ports import Bell, Pace
from daemon.app.sending import Sending, World
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal
from daemon.executor import Executor
from daemon.model.delivery import DAY
from daemon.service import Service
from daemon.store.recover import end, heartbeat, prune_touches, save_gate
from daemon.store.writer import Lane

HEARTBEAT_TICKS = 5
SAVE_TICKS = 10
TOUCHES_KEPT = 60 * DAY


class Housekeeping(Service):
    """`observe` publishes a reading for /metrics; `horizon()` = how far back caps look, in microseconds; `executor`: for the journal."""

    def __init__(
        self, world: World, *, owner: int, gate: Gate, journal: Journal, sending: Sending, horizon: Callable[[], int],
        observe: Callable[[float], Awaitable[None]], executor: Executor, bell: Bell, pace: Pace,
    ) -> None:  # fmt: skip
        super().__init__("housekeeping")
        self._world, self._owner, self._gate, self._journal, self._sending = world, owner, gate, journal, sending
        self._horizon, self._observe = horizon, observe
        self._executor, self._bell, self._pace = executor, bell, pace
        self._saved_gate = gate.latched()
        self._killed = False
        self._prune_now = asyncio.Event()

    async def run(self) -> None:
        clock = self._world.clock
        hush = self._bell(self._prune_now.set)
        pruning = asyncio.create_task(self._prune(), name="prune")
        self.mark_ready()
        ticks = 0
        try:
            while not self.stopping.is_set():
                asked = clock.monotonic()
                await self._wait(self._pace.tick_seconds)
                ticks += 1
                lag = max(0.0, clock.monotonic() - asked - self._pace.tick_seconds)
                self._gate.watch()
                await self._tick(ticks, lag)
        finally:
            hush()
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)
            self._journal.sync()
            await self._world.store.write(Lane.BULK, end, self._owner, clock.instant())

    async def _wait(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._world.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        stopping.cancel()

    async def _tick(self, ticks: int, lag: float) -> None:
        store, now = self._world.store, self._world.clock.instant()
        await self._executor.run(self._journal.sync)
        killed = self._gate.killed()
        if killed != self._killed:
            self._killed = killed
            self._world.log.warning("kill_switch", on=killed)
            self._sending.wake()
        if (latched := self._gate.latched()) != self._saved_gate:
            for reason in latched.keys() - self._saved_gate.keys():
                self._world.log.error("sending_is_held", reason=reason, detail=latched[reason])
            self._saved_gate = latched
            await store.write(Lane.EXIT, save_gate, latched)
            self._sending.wake()
        if ticks % HEARTBEAT_TICKS == 0:
            await store.write(Lane.BULK, heartbeat, self._owner, now)
            await self._observe(lag)
        if ticks % SAVE_TICKS == 0:
            await self._sending.save()

    async def _prune(self) -> None:
        """Touches older than the longest cap (and two months) go, a stretch a transaction."""
        while True:
            await self._prune_now.wait()
            self._prune_now.clear()
            now, kept = self._world.clock.instant(), max(self._horizon(), TOUCHES_KEPT)
            cursor: int | None = -1
            while cursor is not None and not self._gate.latched():  # an untrusted clock forgets nothing
                cursor = await self._world.store.write(Lane.BULK, prune_touches, now, kept, cursor)
