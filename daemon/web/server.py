"""Web: the two listeners and the control socket as one service of the daemon.

`admin` (API, metrics, health) and `public` (links) never share a port; the control socket answers the same API as `admin`
without a token. The composition root hands in everything that the routes call. Stopping takes no new connections, lets what is
under way end, and closes the rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from daemon.clock import Clock
from daemon.config.schema import HttpTable
from daemon.config.values import Address
from daemon.errors import HomingError
from daemon.feedback.ingest import Ingesting
from daemon.feedback.push import Pushing
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.ids import Ids
from daemon.links import Links
from daemon.metrics import Metrics
from daemon.service import Service
from daemon.store.writer import Writes
from daemon.web import openapi
from daemon.web.accepting import Accepting
from daemon.web.access import Access
from daemon.web.answering import Answering
from daemon.web.api_churn import ChurnApi, ChurnDoor
from daemon.web.api_jobs import JobDoor, JobsApi
from daemon.web.api_offers import OfferDoor, OffersApi
from daemon.web.api_operate import OperateApi
from daemon.web.api_people import Explainer, PeopleApi
from daemon.web.api_products import CatalogueDoor, ProductsApi
from daemon.web.api_push import PushApi
from daemon.web.api_recipients import PeopleDoor, RecipientsApi
from daemon.web.api_reports import ReportDoor, ReportsApi
from daemon.web.api_segments import SegmentsApi, SegmentsDoor
from daemon.web.api_suppressions import SuppressionDoor, SuppressionsApi
from daemon.web.api_system import SystemApi
from daemon.web.api_track import TrackApi, TrackDoor
from daemon.web.connection import Limits, Listening, Runner
from daemon.web.control import open_socket, remove_socket
from daemon.web.countdown import CountdownImages
from daemon.web.fields import Cursors
from daemon.web.hooks import HookPages
from daemon.web.operations import Operations
from daemon.web.preference_pages import PreferencePages
from daemon.web.public import PublicPages
from daemon.web.push_pages import PushPages
from daemon.web.route import Route, Routing
from plugins.contract import Log

BACKLOG = 512
DRAIN_SECONDS = 10.0
ADMIN = Limits()
PUBLIC = Limits(body_bytes=16 * 1024, connections=4000, bad_tokens=60)


class SegmentsAndChurn(SegmentsDoor, ChurnDoor, Protocol):
    """One desk for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the listeners call, handed in by the composition root.

    `not_ready()`: why the daemon takes no jobs or sends nothing, in words, None when all is well · `changed()`: jobs were paused,
    resumed or cancelled, so the loops need not wait for their timers.
    """

    store: Writes
    intake: JobDoor
    operations: Operations
    explainer: Explainer
    unsubscribing: Unsubscribing
    pushing: Pushing
    suppressions: SuppressionDoor
    offers: OfferDoor
    products: CatalogueDoor
    reports: ReportDoor
    people: PeopleDoor
    tracker: TrackDoor
    segments: SegmentsAndChurn
    links: Links
    not_ready: Callable[[], str | None]
    changed: Callable[[], None] = lambda: None
    degraded: Callable[[], str | None] = lambda: None
    ingesting: Ingesting | None = None
    """None: no daemon runs, so nobody listens to providers."""


class WebServer(Service):
    """The listeners. `admin_address`, `public_address`: where they listen once it is ready (port 0 = the system chose)."""

    def __init__(
        self, *, doors: Doors, http: HttpTable, state_dir: Path, clock: Clock, ids: Ids, log: Log, metrics: Metrics, version: str,
        admin_limits: Limits = ADMIN, public_limits: Limits = PUBLIC, drain_seconds: float = DRAIN_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__("web")
        self._doors, self._http, self._state_dir, self._version = doors, http, state_dir, version
        self._clock, self._ids, self._log, self._metrics = clock, ids, log, metrics
        self._admin_limits, self._public_limits, self._drain_seconds = admin_limits, public_limits, drain_seconds
        self.admin_address: Address | None = None
        self.public_address: Address | None = None
        self.routes: Sequence[Route] = ()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(Accepting(self._clock, self._log).handle)
        admin = self._runner("admin", self._admin_limits, self._admin_app)
        public = self._runner("public", self._public_limits, self._public_app)
        try:
            self.admin_address = await self._listen(admin, self._http.listen, "listen")
            self.public_address = await self._listen(public, self._http.public_listen, "public_listen")
            await web.SockSite(admin, open_socket(self._state_dir)).start()
            self._log.info("listening", admin=str(self.admin_address), public=str(self.public_address))
            self.mark_ready()
            await self._watch((admin, public))
        finally:
            loop.set_exception_handler(before)
            await asyncio.gather(admin.cleanup(), public.cleanup())
            remove_socket(self._state_dir)

    async def _watch(self, runners: Sequence[Runner]) -> None:
        """Close what is overdue, until the daemon stops."""
        pause = min(self._admin_limits.sweep_seconds, self._public_limits.sweep_seconds)
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            while not stopping.done():
                for runner in runners:
                    runner.sweep()
                await asyncio.wait({stopping}, timeout=pause)
        finally:
            stopping.cancel()

    async def _listen(self, runner: Runner, address: Address, key: str) -> Address:
        await runner.setup()
        try:
            await web.TCPSite(runner, address.host, address.port, backlog=BACKLOG).start()
        except OSError as error:
            raise HomingError(f'[http] {key} = "{address}": cannot listen there: {error.strerror or error}') from error
        return Address(address.host, int(runner.addresses[0][1]))

    def _runner(self, name: str, limits: Limits, build: Callable[[Answering, Limits], web.Application]) -> Runner:
        answering = Answering(name, clock=self._clock, ids=self._ids, metrics=self._metrics, log=self._log)
        listening = Listening(
            name=name, limits=limits, clock=self._clock, log=self._log, metrics=self._metrics, trusted=self._http.trusted_proxies,
            problem=answering.problem, peers=Counter(),
        )  # fmt: skip
        return Runner(build(answering, limits), listening, drain_seconds=self._drain_seconds)

    def _public_app(self, answering: Answering, limits: Limits) -> web.Application:
        app = web.Application(middlewares=[answering.middleware()])
        doors = self._doors
        PublicPages(
            links=doors.links, unsubscribing=doors.unsubscribing, clock=self._clock, limits=limits, trusted=self._http.trusted_proxies
        ).add_to(app)
        CountdownImages(
            links=doors.links, store=doors.store, clock=self._clock, limits=limits, trusted=self._http.trusted_proxies
        ).add_to(app)
        PreferencePages(
            links=doors.links, door=doors.unsubscribing, clock=self._clock, limits=limits, trusted=self._http.trusted_proxies
        ).add_to(app)
        if doors.ingesting is not None:
            HookPages(
                links=doors.links, ingesting=doors.ingesting, clock=self._clock, limits=limits, trusted=self._http.trusted_proxies
            ).add_to(app)
        PushPages(
            pushing=doors.pushing, home=self._http.public_base, clock=self._clock, limits=limits, trusted=self._http.trusted_proxies
        ).add_to(app)
        return app

    def _admin_app(self, answering: Answering, limits: Limits) -> web.Application:
        app = web.Application(middlewares=[answering.middleware()])
        doors, cursors = self._doors, Cursors(self._ids)
        access = Access(doors.store, self._clock, self._http.trusted_proxies, limits.bad_tokens)
        jobs = JobsApi(
            intake=doors.intake, store=doors.store, clock=self._clock, limits=limits, cursors=cursors, changed=doors.changed
        )  # fmt: skip
        system = SystemApi(
            store=doors.store, operations=doors.operations, access=access, clock=self._clock, ids=self._ids, metrics=self._metrics,
            not_ready=doors.not_ready, degraded=doors.degraded, document=self._document,
        )  # fmt: skip
        people = PeopleApi(store=doors.store, explainer=doors.explainer, cursors=cursors)
        push = PushApi(pushing=doors.pushing)
        operate = OperateApi(operations=doors.operations, cursors=cursors)
        listed = SuppressionsApi(door=doors.suppressions, clock=self._clock, limits=limits, cursors=cursors)
        reports = ReportsApi(door=doors.reports)
        offers = OffersApi(door=doors.offers, clock=self._clock, limits=limits, cursors=cursors)
        products = ProductsApi(door=doors.products, clock=self._clock, limits=limits)
        known = RecipientsApi(door=doors.people, clock=self._clock, limits=limits)
        named = SegmentsApi(door=doors.segments, clock=self._clock, limits=limits)
        churn = ChurnApi(door=doors.segments)
        track = TrackApi(door=doors.tracker, access=access, clock=self._clock, limits=limits)
        apis = (jobs, people, known, named, churn, track, push, listed, offers, products, reports, operate, system)
        self.routes = tuple(route for api in apis for route in api.routes())
        Routing(access=access, clock=self._clock, limits=limits).add(app, self.routes)
        return app

    def _document(self) -> dict[str, Any]:
        return openapi.describe(self.routes, self._version)
