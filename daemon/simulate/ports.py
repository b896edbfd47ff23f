"""FLOOR 7, simulate: the bundle of ports with which a simulated process is started: the real composition in a simulated world."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.app.ports import Pace, Ports
from daemon.errors import StateHeldError
from daemon.simulate.memory import SimStore, StoreFaults
from daemon.simulate.process import Process, disk_of
from daemon.simulate.world import World
from daemon.store.memory import MemoryFile
from plugins.contract import Log

BELL_SECONDS = 6 * 3600.0
"""Hourly in production; what it rings for is looked up in the store."""


class NoHttp:
    """In place of a session: who uses it reaches for the world."""

    async def close(self) -> None:
        """There is nothing."""




class QuietLog:
    """A log that only says what `say` is given for; None: nothing."""

    def __init__(self, say: Callable[[str, str, dict[str, Any]], object] | None = None, **bound: Any) -> None:
        self._say, self._bound = say, bound

    def bind(self, **fields: Any) -> QuietLog:
        return QuietLog(self._say, **{**self._bound, **fields}) if self._say else self

    def _told(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if self._say is not None:
            self._say(level, event, {**self._bound, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        self._told("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._told("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._told("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._told("error", event, fields)


class SimLock:
    """The lock on the state folder: the kernel lets it go when its process dies."""

    holder: Process | None = None

    def __init__(self, process: Process) -> None:
        self._process = process

    def acquire(self) -> None:
        if SimLock.holder is not None and SimLock.holder.alive:
            raise StateHeldError("two simulated daemons on one state folder")
        SimLock.holder = self._process

    def lost(self) -> bool:
        return SimLock.holder is not self._process

    def release(self) -> None:
        SimLock.holder = None


def make_ports(
    world: World, process: Process, file: MemoryFile, faults: StoreFaults, *, pace: Pace, log: Log | None = None
) -> Ports:  # fmt: skip
    """What `process` sees of the world."""
    rng = random.Random(f"store {world.seed} {process.number}")

    def open_store(path: Path, *, after_join: Callable[[Sequence[Any]], None]) -> SimStore:
        if file.path is not None and file.path != path:
            raise ValueError(f"{path}: this world's store is {file.path}")
        file.path = path
        return SimStore(file, process, world.loop, rng, faults, after_join)

    def bell(ring: Callable[[], object]) -> Callable[[], object]:
        async def each_hour() -> None:
            while True:
                await asyncio.sleep(BELL_SECONDS)
                ring()

        return world.loop.create_task(each_hour(), name="bell").cancel

    async def nothing() -> None:
        """The names are the world's."""

    return Ports(
        clock=world.clock, ids=world.ids, disk=disk_of(process, world.disk), dns=world.dns, net=world.net, files=world.executor,
        reading=world.executor, slow=world.executor, lock=lambda _: SimLock(process), open_store=open_store,
        open_log=lambda _: log or QuietLog(), bell=bell,
        open_http=lambda **_: NoHttp(), node="sim", close_dns=nothing, pace=pace, doors=False, signals=False,
    )  # fmt: skip
