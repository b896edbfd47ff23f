"""The listeners on free ports over a real store, intake, rules and links; only the operators' acts are played by hand."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from daemon.audience.segment_desk import SegmentDesk
from daemon.audience.segmenting import Segmenting
from daemon.config.values import Address
from daemon.content.segment_file import read_segments
from daemon.disk import SystemDisk
from daemon.dispatch.judge import Judging
from daemon.dispatch.work import PlanBook
from daemon.errors import GuardRefusedError, NotFoundError
from daemon.feedback.ingest import Ingesting, Receiver
from daemon.feedback.push import PROVEN_BY_CLICK, Pushing, Taker
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.ids import SystemIds
from daemon.intake.addresses import hash_text, load_pepper
from daemon.intake.catalogue import Catalogue
from daemon.intake.people import People
from daemon.intake.stocking import Stocking
from daemon.intake.suppressing import Suppressing
from daemon.intake.tracker import Tracker, shop_of
from daemon.links import KeyRing, Links
from daemon.metrics import Metrics
from daemon.policy.rules import compile_rules
from daemon.reports.explain import Explaining
from daemon.reports.named import Reporting
from daemon.store.tokens import create_token
from daemon.store.writer import Lane
from daemon.web.connection import Limits
from daemon.web.control import reachable_path, socket_path
from daemon.web.operations import Json, Page, Selection
from daemon.web.server import Doors, WebServer
from tests.stages.intake_world import CONFIG, IntakeWorld

QUICK = Limits(
    head_seconds=0.3, idle_seconds=0.6, read_seconds=0.3, body_start_seconds=0.3, sweep_seconds=0.05, connections=200, per_peer=20, bad_tokens=5,
    body_bytes=4096, job_bytes=500_000,
)  # fmt: skip
"""Deadlines that a test can wait for; for those only that do: on a busy machine anybody may miss them."""
PATIENT = replace(QUICK, head_seconds=20.0, idle_seconds=20.0, read_seconds=20.0, body_start_seconds=20.0)
ROOMY = replace(PATIENT, per_peer=200)
"""For a world that many tests share: each leaves its sessions open."""

SEGMENTS, _ = read_segments('[buyers]\nwhere = "orders >= 1"\n[partners]\nimported = true\n', "segments.toml")


class Operator:
    """Plays `Operations`: remembers what was asked, answers as the contract says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.shut: dict[str, str] = {}
        self.findings = 1

    async def list_queues(self) -> Sequence[Json]:
        return [{"queue": "lapsed-45", "paused": False}]

    async def pause_queue(self, name: str) -> Json:
        if name != "lapsed-45":
            raise NotFoundError("no queue is named so")
        self.asked.append(("pause_queue", name))
        return {"queue": name, "paused": True}

    async def resume_queue(self, name: str) -> Json:
        return {"queue": name, "paused": False}

    async def cancel_queue(self, name: str, *, expect: int | None) -> Json:
        if expect != 2:
            raise GuardRefusedError("this concerns 2 deliveries; say --expect 2")
        return {"queue": name, "cancelled": 1, "deliveries": 2}

    async def list_campaigns(self) -> Sequence[Json]:
        return [{"campaign": "winback"}]

    async def show_campaign(self, name: str) -> Json:
        return {"campaign": name}

    async def start_campaign(self, name: str) -> Json:
        return {"campaign": name, "status": "active"}

    async def pause_campaign(self, name: str) -> Json:
        return {"campaign": name, "status": "paused"}

    async def archive_campaign(self, name: str) -> Json:
        return {"campaign": name, "status": "archived"}

    async def move_campaign(self, name: str, *, dry_run: bool) -> Json:
        self.asked.append(("move", (name, dry_run)))
        return {"campaign": name, "to": 2, "from": [], "moved": 0}

    async def resume_campaign(self, name: str) -> Json:
        return {"campaign": name, "status": "active"}

    async def test_campaign(self, name: str, *, to: Sequence[str], locale: str | None, recipient: str | None) -> Json:
        self.asked.append(("test", (name, tuple(to), locale, recipient)))
        return {"campaign": name, "sent": list(to)}

    async def list_held(self, selection: Selection, *, after: Sequence[str | int] | None, limit: int) -> Page:
        start = int(after[0]) if after else 0
        items = [{"reason": "render_error", "n": number} for number in range(start, min(start + limit, 5))]
        return Page(items=items, next=[start + limit] if start + limit < 5 else None)

    async def release_held(self, selection: Selection, *, expect: int | None) -> Json:
        if expect != 3:
            raise GuardRefusedError("this concerns 3 deliveries; say --expect 3")
        self.asked.append(("release", selection))
        return {"released": 3}

    async def cancel_held(self, selection: Selection, *, expect: int | None) -> Json:
        return {"cancelled": 0}

    async def list_doubts(self, *, after: Sequence[str | int] | None, limit: int) -> Page:
        return Page(items=[])

    async def resolve_doubt(self, delivery: int, *, sent: bool) -> Json:
        raise NotFoundError("no delivery in doubt has this id")

    async def audiences(self, *, provider: str | None) -> Json:
        return {"providers": [], "audiences": []}

    async def sync_audiences(self, *, provider: str | None) -> Json:
        if provider not in (None, "meta"):
            raise NotFoundError(f'no provider of audiences is named "{provider}"')
        return await self.audiences(provider=provider)

    async def audit(self) -> Json:
        return {"audited_to": None, "judged": 0, "unjudged": 0, "found": 1, "open": self.findings, "findings": []}

    async def accept_findings(self, *, expect: int) -> Json:
        if expect != self.findings:
            raise GuardRefusedError(f"the audit has {self.findings} findings that wait, not {expect}")
        self.findings = 0
        return await self.audit()

    async def gate(self) -> Json:
        return {"open": not self.shut, "holds": dict(self.shut), "backlog": 2}

    async def stop_all(self, *, detail: str) -> Json:
        self.shut["kill_switch"] = detail
        return await self.gate()

    async def start_all(self, *, expect: int, accept_clock: bool, accept_restore: bool) -> Json:
        if expect != 2:
            raise GuardRefusedError("this concerns 2 deliveries; say --expect 2")
        self.shut.clear()
        return await self.gate()

    async def notices(self) -> Sequence[Json]:
        return []

    async def providers(self) -> Sequence[Json]:
        return [{"provider": "relay", "channel": "email", "breaker": "closed"}]

    async def reload(self) -> Json:
        return {"reloaded": True}


@dataclass
class Providers:
    """Plays the running providers for the hooks."""

    running: dict[str, Receiver] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def known(self, provider: str) -> bool:
        return provider in self.running or provider in self.names

    def receiver(self, provider: str) -> Receiver | None:
        return self.running.get(provider)


@dataclass
class WebWorld:
    """`admin`, `public`: where the listeners are. `control()`: a session over the control socket."""

    inner: IntakeWorld
    server: WebServer
    operator: Operator
    links: Links
    metrics: Metrics
    ready: list[str] = field(default_factory=list)
    sessions: list[aiohttp.ClientSession] = field(default_factory=list)
    tokens: int = 0
    receivers: Providers = field(default_factory=Providers)
    takers: list[Taker] = field(default_factory=list)
    """The provider that takes push subscriptions, if there is one."""

    @classmethod
    async def open(cls, folder: Path, *, limits: Limits = PATIENT, config: str = CONFIG, http: str = "") -> WebWorld:
        inner = await IntakeWorld.open(folder, config + http)
        ids, clock, metrics, operator = SystemIds(), inner.clock, Metrics(inner.clock), Operator()
        links = Links(KeyRing.fresh(ids), "https://go.example.com")
        rules = compile_rules(inner.config)
        plans = PlanBook({})
        judging = Judging(rules, {"email": "email"}, {})
        why: list[str] = []
        takers: list[Taker] = []
        receivers, pepper = Providers(), load_pepper(folder / "pepper.key", ids, SystemDisk())
        explaining = Explaining(
            store=inner.store, clock=clock, bind=lambda now: judging.bind(plans, {"email": "relay"}, {"email"}, now), rules=lambda: rules,
            gate=lambda: operator.shut,
        )  # fmt: skip
        ingesting = Ingesting(
            store=inner.store, clock=clock, log=inner.log, metrics=metrics, receivers=receivers,
            hash_address=functools.partial(hash_text, pepper), channels=lambda: ["email"],
        )  # fmt: skip
        tracker = Tracker(store=inner.store, pepper=pepper, clock=clock, log=inner.log, metrics=metrics, shop=lambda: shop_of(inner.config))
        segmenting = Segmenting(
            store=inner.store, clock=clock, log=inner.log, segments=SEGMENTS, shop=lambda: shop_of(inner.config), zone=lambda: "UTC"
        )  # fmt: skip
        segments = SegmentDesk(
            store=inner.store, clock=clock, segmenting=segmenting, shop=lambda: shop_of(inner.config), zone=lambda: "UTC"
        )  # fmt: skip
        doors = Doors(
            segments=segments, tracker=tracker, people=People(store=inner.store, pepper=pepper, clock=clock, log=inner.log, tracker=tracker),
            store=inner.store, intake=inner.intake, operations=operator, explainer=explaining, links=links,
            suppressions=Suppressing(store=inner.store, pepper=pepper, clock=clock),
            offers=Stocking(store=inner.store, clock=clock, changed=lambda: None), products=Catalogue(store=inner.store, clock=clock), reports=Reporting(store=inner.store),
            pushing=Pushing(
                store=inner.store, links=links, clock=clock, log=inner.log, metrics=metrics, taker=lambda: takers[0] if takers else None,
                clicked=lambda delivery: ingesting.take_of_device(delivery, PROVEN_BY_CLICK),
            ),
            unsubscribing=Unsubscribing(store=inner.store, clock=clock, log=inner.log, metrics=metrics, topics=lambda: inner.config.topics),
            ingesting=ingesting,
            not_ready=lambda: why[0] if why else None,
        )  # fmt: skip
        free = inner.config.http.model_copy(update={"listen": Address("127.0.0.1", 0), "public_listen": Address("127.0.0.1", 0)})
        server = WebServer(
            doors=doors, http=free, state_dir=folder, clock=clock, ids=ids, log=inner.log, metrics=metrics, version="0.1.0",
            admin_limits=limits, public_limits=replace(limits, body_bytes=2048), drain_seconds=1.0,
        )  # fmt: skip
        await server.start()
        await server.ready()
        return cls(inner, server, operator, links, metrics, why, takers=takers, receivers=receivers)

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()
        await self.server.stop()
        await self.inner.close()

    @property
    def admin(self) -> Address:
        assert self.server.admin_address is not None
        return self.server.admin_address

    @property
    def public(self) -> Address:
        assert self.server.public_address is not None
        return self.server.public_address

    async def token(self, *scopes: str, name: str = "") -> str:
        """A new token; each has a name of its own."""
        self.tokens += 1
        name = name or f"token-{self.tokens}"
        return await self.inner.store.write(
            Lane.BULK, create_token, name=name, scopes=frozenset(scopes), secret=SystemIds().token_bytes(32), now=self.inner.clock.wall
        )

    async def api(self, *scopes: str) -> aiohttp.ClientSession:
        """A session on the admin listener with a token of these scopes; none = without a token."""
        headers = {"Authorization": f"Bearer {await self.token(*scopes)}"} if scopes else {}
        return self._session(aiohttp.ClientSession(f"http://{self.admin}", headers=headers))

    async def outside(self) -> aiohttp.ClientSession:
        return self._session(aiohttp.ClientSession(f"http://{self.public}"))

    async def control(self) -> aiohttp.ClientSession:
        path, _ = reachable_path(socket_path(self.inner.folder))
        return self._session(aiohttp.ClientSession("http://control", connector=aiohttp.UnixConnector(path)))

    def _session(self, session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        self.sessions.append(session)
        return session

    async def raw(self, data: bytes, *, where: Address | None = None, more: Sequence[bytes] = (), pause: float = 0.0) -> bytes:
        """Send bytes (and `more`, with pauses), reading at the same time until the other side closes."""
        address = where or self.admin
        reader, writer = await asyncio.open_connection(address.host, address.port)
        answer = asyncio.create_task(_read_all(reader))
        writer.write(data)
        for piece in more:
            await asyncio.wait({answer}, timeout=pause)
            if answer.done():
                break
            writer.write(piece)
        try:
            async with asyncio.timeout(5):
                return await answer
        finally:
            writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """Everything until the end, or until the line breaks."""
    found = b""
    try:
        while piece := await reader.read(65536):
            found += piece
    except ConnectionError:
        pass
    return found
