"""GROUND: the parts of the daemon that run for as long as it does, started in order, watched, drained and stopped in reverse.

A `Service` is one task with `start`, `ready` and `stop`; stopping one that never started, or twice, is no error. The `Supervisor`
runs them in one TaskGroup and ends when it is told to (SIGTERM, SIGINT), or when a service fails; the drain has a deadline.
`Signals` is what tests wait on instead of sleeping. Knows no domain.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from daemon.clock import Clock
from daemon.errors import ConfigError, HomingError
from daemon.notify import Notifier
from plugins.contract import Log

DRAIN_SECONDS = 45.0
"""Below the TimeoutStopSec of systemd/homing.service."""
LAST_SECONDS = 1.0
"""What each service still gets to end by itself when the drain's time is up."""
START_SECONDS = 30.0
"""What a plugin gets to start: those behind it wait, and at a reload the sending too."""


async def in_time(starting: Awaitable[None]) -> None:
    """A plugin's `start`. TimeoutError, with words, if it takes longer than START_SECONDS; else what it raises."""
    limit = asyncio.timeout(START_SECONDS)
    try:
        async with limit:
            await starting
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"start() did not end within {START_SECONDS:g} s") from None
        raise


class Signals:
    """Named events that a test waits for. `Signals.off()` is what the daemon runs with: emitting does nothing."""

    def __init__(self, *, listening: bool = True) -> None:
        self._listening = listening
        self._seen: dict[str, list[dict[str, Any]]] = {}
        self._read: dict[str, int] = {}
        self._news = asyncio.Event()

    @classmethod
    def off(cls) -> Signals:
        return cls(listening=False)

    def emit(self, name: str, **facts: Any) -> None:
        """Something happened; `facts` are for the test."""
        if self._listening:
            self._seen.setdefault(name, []).append(facts)
            self._news.set()

    async def wait(self, name: str, *, timeout: float = 10.0, **match: Any) -> dict[str, Any]:
        """The facts of the next emission of this name, not waited for before, that has these facts. TimeoutError tells what was."""
        try:
            async with asyncio.timeout(timeout):
                while (facts := self._next(name, match)) is None:
                    self._news.clear()
                    await self._news.wait()
                return facts
        except TimeoutError:
            counts = {key: len(value) for key, value in self._seen.items()}
            raise TimeoutError(f"no signal {name} {match or ''} in {timeout:g} s; there were {counts}") from None

    def seen(self, name: str) -> Sequence[dict[str, Any]]:
        """All of this name so far."""
        return tuple(self._seen.get(name, ()))

    def _next(self, name: str, match: dict[str, Any]) -> dict[str, Any] | None:
        seen = self._seen.get(name, [])
        while (position := self._read.get(name, 0)) < len(seen):
            self._read[name] = position + 1
            if match.items() <= seen[position].items():
                return seen[position]
        return None


class Service:
    """A part that runs until it is stopped. Write `run`: call `self.mark_ready()` when others may rely on it, end soon after
    `self.stopping` is set. Ending before that, or raising, is a failure and ends the daemon."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopping = asyncio.Event()
        self.failure: Exception | None = None
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """The service's work."""
        raise NotImplementedError

    def mark_ready(self) -> None:
        self._ready.set()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set() and not self.ended

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    async def rest(self, seconds: float) -> bool:
        """So long, or until it is to stop. Returns whether it goes on."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass
        return not self.stopping.is_set()

    async def start(self, group: asyncio.TaskGroup | None = None) -> None:
        """Begin to run, in a group or (tests) alone. RuntimeError if it was started or stopped before."""
        if self._task is not None or self.stopping.is_set():
            raise RuntimeError(f"the service {self.name} was started or stopped before")
        create_task = group.create_task if group else asyncio.create_task
        self._task = create_task(self._main(), name=self.name)

    async def ready(self) -> None:
        """Return when it is ready; raise what it failed with if it ended before."""
        if self._task is None:
            raise RuntimeError(f"the service {self.name} was not started")
        await self._ready.wait()
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Ask it to end, wait for that, and raise what it failed with. Never started or stopped before: nothing to do."""
        self.stopping.set()
        if self._task is None:
            return
        await self._ended.wait()
        if self.failure is not None:
            raise self.failure

    def when_ended(self, then: Callable[[], object]) -> None:
        """Call `then` when it ends, for whatever reason (at once if it has)."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: then())

    def cancel(self) -> None:
        """End it now, in the middle of what it does."""
        self.stopping.set()
        if self._task is not None:
            self._task.cancel()

    async def _main(self) -> None:
        """Failures are kept for whoever waits: raised here they would cut the other services off in mid-sentence."""
        try:
            await self.run()
            if not self.stopping.is_set():
                self.failure = HomingError(f"the service {self.name} ended by itself")
        except Exception as error:  # noqa: BLE001 - supervision
            self.failure = error
        finally:
            self._ended.set()
            self._ready.set()


class Supervisor:
    """Runs services until it is told to stop. `run()` returns after a clean drain and raises what a service failed with.

    Emits `ready`, `reloaded(ok)`, `stopping`, `stopped`.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        clock: Clock,
        log: Log,
        notifier: Notifier,
        reload: Callable[[], Awaitable[None]] | None = None,
        healthy: Callable[[], bool] = lambda: True,
        drain_seconds: float = DRAIN_SECONDS,
        signals: Signals | None = None,
        settled: Callable[[], object] = lambda: None,
    ) -> None:
        """`settled()` is called once, when all run."""
        self._services, self._settled = services, settled
        self._clock = clock
        self._log = log
        self._notifier = notifier
        self._reload = reload
        self._healthy = healthy
        self._drain_seconds = drain_seconds
        self._signals = signals or Signals.off()
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stop = asyncio.Event()
        self._reload_wanted = False

    def request_stop(self, why: str = "asked to") -> None:
        """Drain and end; asked again, cut the drain short."""
        if self._stop.is_set():
            self._hurry.set()
        self._log.info("stop_requested", why=why, again=self._stop.is_set())
        self._stop.set()
        self._news.set()

    def request_reload(self) -> None:
        """Reload once what is under way is done."""
        self._reload_wanted = True
        self._news.set()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT stop, a second one hurries; SIGHUP reloads. Needs the main thread."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self.request_reload)

    async def run(self) -> None:
        """Start all in order, each once the former is ready; watch; drain in reverse."""
        async with asyncio.TaskGroup() as group:
            watchdog = None
            try:
                if await self._start(group):
                    watchdog = group.create_task(self._notifier.watch(self._healthy), name="watchdog")
                    self._notifier.ready()
                    self._signals.emit("ready")
                    self._settled()
                    await self._watch()
            finally:
                self._notifier.stopping()
                self._signals.emit("stopping")
                await self._drain()
                if watchdog:
                    watchdog.cancel()
        self._signals.emit("stopped")
        for service in self._services:
            if service.failure is not None:
                raise service.failure

    async def _start(self, group: asyncio.TaskGroup) -> bool:
        """False when one failed, or a stop was wanted, on the way."""
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            for service in self._services:
                await service.start(group)
                ready = asyncio.ensure_future(service.ready())
                await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    ready.cancel()
                    return False
                if ready.exception() is not None:
                    return False
        finally:
            stop.cancel()
        return True

    async def _watch(self) -> None:
        """Until a stop is wanted or a service ends."""
        for service in self._services:
            service.when_ended(self._news.set)
        while not self._stop.is_set() and not any(service.ended for service in self._services):
            if self._reload_wanted:
                self._reload_wanted = False
                await self._reload_now()
                continue
            self._news.clear()
            await self._news.wait()

    async def _reload_now(self) -> None:
        """The old config stays in force when the new one is bad."""
        self._notifier.reloading()
        ok = True
        try:
            if self._reload is not None:
                await self._reload()
            self._log.info("reloaded")
        except ConfigError as error:
            ok = False
            self._log.error("reload_refused", problems=[str(problem) for problem in error.problems] or [str(error)])
        except Exception as error:  # noqa: BLE001 - supervision: a failed reload must not end what runs well
            ok = False
            self._log.error("reload_failed", error=repr(error))
        self._notifier.ready("running" if ok else "running with the old config: the new one is bad, see the log")
        self._signals.emit("reloaded", ok=ok)

    async def _drain(self) -> None:
        """Stop in reverse order; what is left at the deadline, or when hurried, is cancelled."""
        hurry = asyncio.ensure_future(self._hurry.wait())
        deadline = self._clock.monotonic() + self._drain_seconds
        try:
            for service in reversed(self._services):
                stop = asyncio.ensure_future(service.stop())
                left = max(deadline - self._clock.monotonic(), 0.0)
                await asyncio.wait({stop, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not stop.done():
                    await asyncio.wait({stop}, timeout=LAST_SECONDS)
                if not stop.done():
                    self._log.warning("drain_cut_short", service=service.name, seconds=self._drain_seconds)
                    service.cancel()
                    await asyncio.wait({stop})
                if (error := stop.exception()) is not None:
                    self._log.error("service_failed", service=service.name, error=repr(error))
        finally:
            hurry.cancel()
