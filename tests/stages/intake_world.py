"""A real store, real files and the two stages from a dropped body to due rows; time is moved by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from daemon.audience.entering import uses_of
from daemon.audience.expand import Expansion
from daemon.clock import SystemClock, to_datetime
from daemon.config.load import Config, load_config
from daemon.content.version import CampaignVersion
from daemon.disk import SystemDisk
from daemon.executor import ThreadExecutor
from daemon.ids import SystemIds
from daemon.intake.accept import Arrival, Intake
from daemon.intake.addresses import load_pepper
from daemon.intake.body import Bodies
from daemon.intake.spool import Spool
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.job import Receipt
from daemon.policy.rules import compile_rules
from daemon.service import Signals
from daemon.store.campaigns import Loaded, register
from daemon.store.care import check_rows
from daemon.store.jobs import JobView, read_job
from daemon.store.writer import Lane, Store

NOW = 1_795_322_411_120_000  # 2026-11-22T04:40:11.120Z: 11:40 on a Sunday in Jakarta
CONFIG = """
[homing]
state_dir = "{state}"
default_zone = "Asia/Jakarta"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
[queues.lapsed-45]
campaign = "winback"
[queues.other]
campaign = "winback"
[queues.bare]
[queues.small]
campaign = "winback"
max_recipients = 5
"""


class SetClock(SystemClock):
    """The wall clock stands until it is moved; monotonic time and sleep are real."""

    def __init__(self, now: int = NOW) -> None:
        self.wall = now

    def instant(self) -> int:
        return self.wall

    def now(self) -> datetime:
        return to_datetime(self.wall).astimezone(UTC)


class NoLog:
    """Keeps (event, fields)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **fields: Any) -> NoLog:
        return self

    def info(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    debug = warning = error = info


def version(name: str = "winback", *, status: CampaignStatus = CampaignStatus.ACTIVE, **more: Any) -> CampaignVersion:
    campaign = Campaign(name=name, status=status, topic=name, steps=(Step(name="offer", channels=("email",)),), **more)
    return CampaignVersion.of(campaign, {"offer.email.liquid": "---\nsubject: Hi\n---\n<p>Hi</p>\n"})


@dataclass
class IntakeWorld:
    """Everything from the door to the due rows. `settle()` runs expansion until nothing is left to be done."""

    folder: Path
    store: Store
    config: Config
    clock: SetClock
    log: NoLog
    intake: Intake
    bodies: Bodies
    expansion: Expansion
    spool: Spool
    signals: Signals
    executors: list[ThreadExecutor] = field(default_factory=list)

    @classmethod
    async def open(cls, folder: Path, config: str = CONFIG, *, database: Path | None = None) -> IntakeWorld:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.toml"
        path.write_text(config.format(state=folder))
        loaded = load_config(path, {})
        store = Store.open(database or folder / "homing.db")
        clock, log, disk, ids, signals = SetClock(), NoLog(), SystemDisk(), SystemIds(), Signals()
        pepper = load_pepper(folder / "pepper.key", ids, disk)
        bodies = Bodies(folder / "jobs", disk, pepper)
        executors = [ThreadExecutor(threads=1, name=name) for name in ("intake", "expand", "spool")]
        intake = Intake(
            store=store, config=loaded, folder=folder / "jobs", disk=disk, clock=clock, ids=ids, executor=executors[0],
            channels=lambda: ("email",), log=log,
        )  # fmt: skip
        await intake.prepare()
        expansion = Expansion(
            store=store, bodies=bodies, config=loaded, rules=compile_rules(loaded), disk=disk, clock=clock, ids=ids, executor=executors[1],
            log=log, signals=signals,
        )  # fmt: skip
        spool = Spool(
            intake=intake, store=store, config=loaded, bodies=bodies, disk=disk, clock=clock, executor=executors[2], log=log, signals=signals,
        )  # fmt: skip
        world = cls(folder, store, loaded, clock, log, intake, bodies, expansion, spool, signals, executors)
        await world.load(version())
        return world

    async def load(self, loaded: CampaignVersion) -> None:
        item = Loaded(
            name=loaded.campaign.name, digest=loaded.digest, body=loaded.to_json(), status=loaded.campaign.status.value,
            uses=uses_of(loaded.campaign),
        )
        await self.store.write(Lane.INTAKE, register, [item], {}, self.clock.wall)

    async def drop(self, body: bytes | str | Mapping[str, Any], *, source: str = "http", pieces: int = 7000, **arrival: Any) -> Receipt:
        """A body through the door, in pieces."""
        if isinstance(body, Mapping):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body

        async def stream() -> AsyncIterator[bytes]:
            for start in range(0, len(data), pieces):
                yield data[start : start + pieces]

        return await self.intake.accept(stream(), Arrival(source=source, **arrival))

    async def settle(self) -> None:
        while await self.expansion.round():
            pass

    async def job(self, key: str) -> JobView:
        view = await self.store.read(read_job, key)
        assert view is not None
        return view

    async def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return await self.store.read(lambda conn: [tuple(row) for row in conn.execute(text(statement), values)])

    async def do(self, statement: str, **values: Any) -> None:
        await self.store.write(Lane.BULK, lambda conn: conn.execute(text(statement), values) and None)

    async def check(self) -> None:
        """What must be true in the store at all times."""
        assert await self.store.read(check_rows) == []

    async def close(self) -> None:
        for job in list(self.expansion._open):
            self.expansion._close(job)
        for executor in self.executors:
            executor.close()
        await self.store.close()


def people(count: int, *, first: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"c-{i}", "email": f"user{i}@example.com", "zone": "Asia/Jakarta", **more} for i in range(first, first + count)]


def job(count: int = 2, *, id: str = "lapsed-45-2026-11-22", queue: str = "lapsed-45", **more: Any) -> dict[str, Any]:
    return {"id": id, "queue": queue, "campaign": "winback", "recipients": people(count), **more}
