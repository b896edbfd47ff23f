"""Everything through which the daemon meets the world, in one bundle: the machine's own here, simulated ones in `daemon/simulate`.

The daemon is made from these and from nothing else, so what runs in production and in a simulation is the same code. A port that
holds threads is made anew for each run of a daemon and closed after it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from daemon.audience.desired import EVERY_SECONDS
from daemon.clock import Clock
from daemon.disk import Disk, SystemDisk
from daemon.dispatch.sync import LOOK_SECONDS
from daemon.dns import Dns, SystemDns
from daemon.executor import Executor, ThreadExecutor
from daemon.ids import Ids, SystemIds
from daemon.log import configure, get_log
from daemon.metrics import Metrics
from daemon.net import Net, SystemNet
from daemon.store.engine import StateLock
from daemon.store.writer import KeptStore, Store
from plugins.contract import Log
from plugins.http import open_http

Bell = Callable[[Callable[[], object]], Callable[[], object]]
"""Call it with what is to be rung hourly; what it gives back ends that."""


class Lock(Protocol):
    """The hold on a state folder."""

    def acquire(self) -> None:
        """StateHeldError when another has it."""
        ...

    def lost(self) -> bool:
        """The lock was taken away or replaced: another may hold the state folder too."""
        ...

    def release(self) -> None: ...


class OpenStore(Protocol):
    """Opens the store file. `after_join`: see `Store.open`."""

    def __call__(self, path: Path, *, after_join: Callable[[Sequence[Any]], None]) -> KeptStore: ...


@dataclass(slots=True, kw_only=True)
class Pace:
    """How often the daemon looks around when nothing calls it. Read anew each time: a simulation of days looks less often."""

    tick_seconds: float = 1.0
    heartbeat_ticks: int = 5
    observe_ticks: int = 5
    audit_seconds: float = 60.0
    reconcile_seconds: float = 15.0
    poll_seconds: float = 1.0
    room_seconds: float = 0.05
    gather_seconds: float = 0.05
    """What falls due within so long is claimed together: a claim of one row costs nearly as much as one of twenty."""
    walk_seconds: float = 0.0
    """Walks that are to be moved within so long are moved together."""
    audience_seconds: float = EVERY_SECONDS
    """Who should be in which retargeting audience."""
    sync_seconds: float = LOOK_SECONDS
    """What the platforms have to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """`files`, `reading`, `slow`: executors of intake, expansion, journal · `open_log`: the log, given the key of its hashes ·
    `open_http`: see `plugins.http` · `doors`: open the web doors · `signals`: obey SIGTERM and SIGHUP · `settle`: called when all
    runs · `metrics`: where everything is counted."""

    clock: Clock
    ids: Ids
    disk: Disk
    dns: Dns
    net: Net
    files: Executor
    reading: Executor
    slow: Executor
    lock: Callable[[Path], Lock]
    open_store: OpenStore
    open_log: Callable[[bytes], Log]
    bell: Bell
    open_http: Callable[..., Any]
    node: str
    close_dns: Callable[[], Any]
    pace: Pace = field(default_factory=Pace)
    doors: bool = True
    signals: bool = True
    settle: Callable[[], object] = lambda: None
    metrics: Callable[[Clock], Metrics] = Metrics

    async def close(self) -> None:
        """End the threads."""
        await self.close_dns()
        for executor in (self.files, self.reading, self.slow):
            executor.close()


def system_ports(clock: Clock, environ: Mapping[str, str]) -> Ports:
    """The machine's own. What stands when all runs (modules, mostly) is never looked at again by the garbage collector: each full
    round of it held every thread for 55 ms (measured while a job was taken in), and now holds them for less than one."""

    def open_log(key: bytes) -> Log:
        configure(stream=sys.stderr, clock=clock, key=key, environ=environ)
        return get_log()

    dns = SystemDns(clock)
    return Ports(
        clock=clock, ids=SystemIds(), disk=SystemDisk(), dns=dns, net=SystemNet(dns), files=ThreadExecutor(threads=2, name="files"),
        reading=ThreadExecutor(threads=1, name="expand"), slow=ThreadExecutor(threads=1, name="journal"), lock=StateLock,
        open_store=Store.open, open_log=open_log, bell=hourly, open_http=open_http, node=os.uname().nodename, close_dns=dns.close,
        settle=gc.freeze,
    )  # fmt: skip


def hourly(ring: Callable[[], object]) -> Callable[[], object]:
    """APScheduler's bell, on the running loop."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    scheduler = AsyncIOScheduler(
        timezone="UTC", event_loop=asyncio.get_running_loop(),
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )  # fmt: skip
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # a bell that rings is no news
    scheduler.add_job(ring, "interval", hours=1)
    scheduler.start()
    return lambda: scheduler.shutdown(wait=False)
