"""The API for a command line without a daemon: the same routes, served by the command's own process under the state lock.

Nothing is sent and nothing is claimed here, and no incarnation begins: the next `homing run` judges the time since the last one.
Jobs are taken in and expanded, operators' words are done. Listens on a socket in a private temporary folder only.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from aiohttp import web

from daemon.app.desk import Desk, Hooks
from daemon.app.opening import FOLDERS, Opened, accept_store, examine, jobs_folder, mark_suspect, register_campaigns
from daemon.app.segmentation import Segmentation
from daemon.app.setup import Setup, read_setup
from daemon.audience.expand import Expansion
from daemon.clock import Clock, SystemClock
from daemon.content.roadmap import load_roadmap
from daemon.disk import Disk, SystemDisk
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal
from daemon.dispatch.judge import Judgement, Judging
from daemon.dispatch.stop_file import NAME as STOP_FILE
from daemon.dispatch.work import PlanBook
from daemon.errors import StoreUnavailableError
from daemon.executor import ThreadExecutor
from daemon.feedback.push import Pushing
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.ids import Ids, SystemIds
from daemon.intake.accept import Intake
from daemon.intake.addresses import load_pepper
from daemon.intake.body import Bodies
from daemon.intake.catalogue import Catalogue
from daemon.intake.people import People
from daemon.intake.stocking import Stocking
from daemon.intake.suppressing import Suppressing
from daemon.intake.tracker import Tracker, shop_of
from daemon.links import Links, open_ring
from daemon.log import configure, get_log
from daemon.metrics import Metrics
from daemon.model.delivery import Instant
from daemon.model.journey import ways_of
from daemon.reports.explain import Explaining
from daemon.reports.named import Reporting
from daemon.room import Room
from daemon.service import Signals
from daemon.store.engine import StateLock
from daemon.store.flight import last_commit
from daemon.store.meta import get_meta
from daemon.store.recover import Began, load_gate
from daemon.store.writer import Store
from daemon.web.control import open_socket, remove_socket
from daemon.web.server import ADMIN, Doors, WebServer


class ControlServer(WebServer):
    """The API on a control socket alone."""

    async def run(self) -> None:
        runner = self._runner("admin", ADMIN, self._admin_app)
        try:
            await runner.setup()
            await web.SockSite(runner, open_socket(self._state_dir)).start()
            self.mark_ready()
            await self.stopping.wait()
        finally:
            await runner.cleanup()
            remove_socket(self._state_dir)


@contextlib.asynccontextmanager
async def serve_offline(path: Path, *, lenient: bool = False) -> AsyncIterator[Path]:
    """Take the state lock and serve until the caller is done. Gives the folder of the control socket. StateHeldError, ConfigError..
    `lenient`: whatever is wrong with campaigns and segments, of which then nothing is told to the store."""
    setup = read_setup(path, os.environ, lenient=lenient)
    clock, ids, disk = SystemClock(), SystemIds(), SystemDisk()
    homing = setup.config.homing
    lock = StateLock(homing.state_dir)
    lock.acquire()
    try:
        for name in FOLDERS:
            disk.make_folder(homing.state_dir / name)
        pepper = load_pepper(homing.state_dir / "pepper.key", ids, disk)
        configure(stream=sys.stderr, clock=clock, key=pepper, level="warning", environ=os.environ)
        if (damage := examine(homing.state_dir, homing.database, disk)) is not None:
            raise StoreUnavailableError(damage)
        store = Store.open(homing.database)
        try:
            if not lenient:
                await register_campaigns(store, setup.catalogue.versions, clock.instant())
            gate = Gate(homing.state_dir / STOP_FILE, await store.read(load_gate))
            with tempfile.TemporaryDirectory(prefix="homing-") as folder:
                async with _served(Path(folder), setup, lock, store, gate, pepper, clock, ids, disk):
                    yield Path(folder)
        finally:
            if store.broken is not None:
                mark_suspect(homing.state_dir, str(store.broken), disk)
            await store.close()
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def _served(
    folder: Path, setup: Setup, lock: StateLock, store: Store, gate: Gate, pepper: bytes, clock: Clock, ids: Ids, disk: Disk
) -> AsyncIterator[None]:
    config, log, metrics = setup.config, get_log(), Metrics(clock)
    state_dir = config.homing.state_dir
    files, reading = ThreadExecutor(threads=1, name="files"), ThreadExecutor(threads=1, name="expand")
    expansion = Expansion(
        store=store, bodies=Bodies(jobs_folder(state_dir), disk, pepper), config=config, rules=setup.rules, disk=disk, clock=clock, ids=ids,
        executor=reading, log=log, signals=Signals.off(), expanded=lambda: None, released=lambda: None,
    )  # fmt: skip
    segmentation = Segmentation(store=store, clock=clock, log=log, setup=lambda: setup)
    intake = Intake(
        store=store, config=config, folder=jobs_folder(state_dir), disk=disk, clock=clock, ids=ids, executor=files,
        channels=lambda: {loaded.channel for loaded in setup.loading.channels}, log=log, accepted=expansion.poke,
        members=segmentation.desk.members,
    )  # fmt: skip
    await intake.prepare()

    async def accept_restore() -> None:
        await accept_store(await _opened(setup, lock, store, gate), ids, clock)

    hooks = Hooks(accept_restore=accept_restore, setup=lambda: setup)
    desk = Desk(store=store, clock=clock, gate=gate, disk=disk, config=lambda: config, hooks=hooks)
    links = Links(open_ring(state_dir / "links.key", disk, ids), config.http.public_base)
    tracker = Tracker(store=store, pepper=pepper, clock=clock, log=log, metrics=metrics, shop=lambda: shop_of(config))
    doors = Doors(
        store=store, intake=intake, operations=desk, explainer=_explaining(setup, store, gate, clock),
        unsubscribing=Unsubscribing(store=store, clock=clock, log=log, metrics=metrics, woken=lambda: None),
        suppressions=Suppressing(store=store, pepper=pepper, clock=clock),
        offers=Stocking(store=store, clock=clock, changed=lambda: None), products=Catalogue(store=store, clock=clock),
        reports=Reporting(store=store, ideas=lambda: load_roadmap(config.homing.campaigns)),
        not_ready=lambda: "no daemon runs", tracker=tracker,
        people=People(store=store, pepper=pepper, clock=clock, log=log, tracker=tracker),
        links=links, changed=expansion.poke, segments=segmentation.desk,
        pushing=Pushing(store=store, links=links, clock=clock, log=log, metrics=metrics, taker=lambda: None),
    )  # fmt: skip
    server = ControlServer(
        doors=doors, http=config.http, state_dir=folder, clock=clock, ids=ids, log=log, metrics=metrics, version=version("homing")
    )  # fmt: skip
    try:
        for service in (expansion, server):
            await service.start()
            await service.ready()
        yield
    finally:
        for service in (server, expansion):
            await service.stop()
        files.close()
        reading.close()


async def _opened(setup: Setup, lock: StateLock, store: Store, gate: Gate) -> Opened:
    """What `accept_store` needs, without an incarnation."""
    homing = setup.config.homing
    journal = Journal(homing.journal)
    nonce = await store.read(get_meta, "nonce") or ""
    commit, highest = await store.read(last_commit) if nonce else (0, 0)
    journal.open(nonce, commit)
    began = Began(id=0, nonce=nonce, commit=commit, highest=highest, last_heartbeat=None, overdue=False, returned=0, doubts=())
    room = Room(SystemDisk(), (homing.database.parent,))
    return Opened(lock=lock, store=store, journal=journal, gate=gate, began=began, room=room)


def _explaining(setup: Setup, store: Store, gate: Gate, clock: Clock) -> Explaining:
    """As the daemon would judge, were all providers well."""
    plans = PlanBook({"currency": setup.config.shop.currency})
    kinds = {loaded.channel: loaded.address for loaded in setup.loading.channels}
    serving = ways_of((loaded.channel, loaded.provider) for loaded in setup.loading.channels)

    def bind(now: Instant) -> Judgement:
        return Judging(setup.rules, kinds, {}, budgets=setup.budgets).bind(plans, serving, set(serving), now)

    return Explaining(store=store, clock=clock, bind=bind, rules=lambda: setup.rules, gate=gate.reasons)
