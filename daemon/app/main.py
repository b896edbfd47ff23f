"""`homing run`: opens the state, makes every part, runs them as services until SIGTERM, reloads on SIGHUP.

Started in this order, stopped in the reverse one: the public door (unsubscribes) opens before anything is sent and closes
last, sending starts before expansion and intake bring it work and ends after them.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from daemon.app.bookkeeping import Bookkeeping
from daemon.app.desk import Desk, Hooks
from daemon.app.forgetting import Forgetting
from daemon.app.housekeeping import Housekeeping, Watched
from daemon.app.interpreter import settle_interpreter
from daemon.app.opening import Opened, accept_store, jobs_folder, mark_suspect, open_state, register_campaigns
from daemon.app.ports import Ports, system_ports
from daemon.app.retargeting import Retargeting
from daemon.app.revaluing import Revaluing
from daemon.app.segmentation import Segmentation
from daemon.app.sending import Sending, World
from daemon.app.setup import Setup, read_setup
from daemon.app.trials import Trials
from daemon.audience.expand import Expansion
from daemon.audience.walking import MOST_SECONDS, Standing, WalkStage, standing_of
from daemon.audit.service import Audit
from daemon.clock import Clock, SystemClock
from daemon.dispatch.judge import Judgement, Judging
from daemon.dispatch.reconcile import Reconciling
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import PlanBook
from daemon.feedback.ingest import Ingesting
from daemon.feedback.joining import Joining
from daemon.feedback.push import PROVEN_BY_CLICK, Pushing
from daemon.feedback.unsubscribe import Unsubscribing
from daemon.intake.accept import Intake
from daemon.intake.addresses import hash_text, load_pepper
from daemon.intake.body import Bodies
from daemon.intake.people import People
from daemon.intake.spool import Spool
from daemon.intake.suppressing import Suppressing
from daemon.intake.tracker import Tracker, shop_of
from daemon.links import Links, open_ring
from daemon.metrics import Reading
from daemon.model.delivery import SECOND, Instant
from daemon.notify import Notifier
from daemon.reports.explain import Explaining
from daemon.service import Service, Signals, Supervisor
from daemon.store.flight import Flights
from daemon.store.read import read_overview
from daemon.store.unsubscribe import ADDRESS_KINDS
from daemon.web.server import Doors, WebServer


async def run(path: Path, environ: Mapping[str, str], *, clock: Clock | None = None, signals: Signals | None = None) -> None:
    """Run the daemon until it is told to stop. ConfigError, StateHeldError.. if it cannot start."""
    read = functools.partial(read_setup, path, environ)
    setup = read()
    settle_interpreter()
    notifier = functools.partial(Notifier, environ=environ, pid=os.getpid())
    await Daemon(setup, read, system_ports(clock or SystemClock(), environ), signals or Signals.off(), notifier).run()


class Daemon:
    """The whole of it, made of its ports. `read`: everything anew, for a reload; `notifier`: made with the clock. `run` once."""

    def __init__(
        self, setup: Setup, read: Callable[[], Setup], ports: Ports, signals: Signals, notifier: Callable[[Clock], Notifier]
    ) -> None:  # fmt: skip
        self.setup, self.read, self.ports, self.signals, self.notifier = setup, read, ports, signals, notifier
        self.clock, self.ids, self.disk = ports.clock, ports.ids, ports.disk
        self._reloading = asyncio.Lock()
        self.supervisor: Supervisor | None = None
        self.housekeeping: Housekeeping | None = None

    async def run(self) -> None:
        """Open, compose, serve, close."""
        state_dir = self.setup.config.homing.state_dir
        try:
            opened = await open_state(self.setup, self.ports)
            self._watch_store(opened)
            try:
                self.pepper = load_pepper(state_dir / "pepper.key", self.ids, self.disk)
                self.log = self.ports.open_log(self.pepper)
                await self._serve(opened)
            except Exception as error:  # noqa: BLE001 - supervision: what failed because the store broke must end as that
                raise opened.store.broken or error from None
            finally:
                if opened.store.broken is not None:
                    mark_suspect(state_dir, str(opened.store.broken), self.disk)
                await opened.close()
        finally:
            await self.ports.close()

    def _watch_store(self, opened: Opened) -> None:
        """A store that breaks ends the daemon at once: nothing can be handed over any more, and waiting for answers that cannot be
        recorded would only leave connections open."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            if self.housekeeping is not None and self.supervisor is not None:
                self.housekeeping.broke()
                self.supervisor.request_stop("the store is broken")
                self.supervisor.request_stop("the store is broken")  # the second cuts the drain short

        def broke() -> None:
            try:
                loop.call_soon_threadsafe(tell)
            except RuntimeError:
                return  # it has ended already

        opened.store.when_broken = broke

    async def _serve(self, opened: Opened) -> None:
        began = opened.began
        self.log.info("started", incarnation=began.id, returned=began.returned, in_doubt=len(began.doubts), config=self.setup.config.digest)
        for reason, detail in opened.gate.reasons().items():
            self.log.warning("sending_is_held", reason=reason, detail=detail)
        for warning in self.setup.warnings:
            self.log.warning("check", what=warning)
        if opened.damage is None:
            await register_campaigns(opened.store, self.setup.catalogue.versions, self.clock.instant())
        services = self._compose(opened)
        await self.intake.prepare()
        self.supervisor = Supervisor(
            services, clock=self.clock, log=self.log, notifier=self.notifier(self.clock),
            reload=self._reload if opened.damage is None else None, healthy=self.sending.alive, signals=self.signals,
            settled=self.ports.settle,
        )  # fmt: skip
        if self.ports.signals:
            self.supervisor.handle_signals()
        await self.supervisor.run()
        self.log.info("stopped", incarnation=began.id)

    def _compose(self, opened: Opened) -> Sequence[Service]:
        """All services, in the order of their start."""
        self.opened = opened
        self.metrics = self.ports.metrics(self.clock)
        world = World(
            store=opened.store, clock=self.clock, ids=self.ids, dns=self.ports.dns, net=self.ports.net, log=self.log, metrics=self.metrics,
            open_http=self.ports.open_http,
        )  # fmt: skip
        self.links = Links(
            open_ring(self.setup.config.homing.state_dir / "links.key", self.disk, self.ids), self.setup.config.http.public_base
        )  # fmt: skip
        self.kinds = {loaded.channel: loaded.address for loaded in self.setup.loading.channels}
        self._compose_sending(world)
        self.retargeting = Retargeting(world, self.setup, self.signals, self.opened.gate, self.ports.pace)
        self.sending.put_in_audience = self.retargeting.sync.wake
        self.walking = WalkStage(
            store=world.store, clock=self.clock, ids=self.ids, log=self.log, config=self.setup.config, rules=self.setup.rules,
            signals=self.signals, standing=self._standing, shop=lambda: shop_of(self.setup.config), released=self.sending.wake,
            scarce=self._scarce, trusted=opened.gate.trusted, costs=lambda: self.setup.costs,
            poll_seconds=max(MOST_SECONDS, self.ports.pace.poll_seconds), gather_seconds=self.ports.pace.walk_seconds,
        )  # fmt: skip
        self.segmentation = Segmentation(
            store=world.store, clock=self.clock, log=self.log, setup=lambda: self.setup, signals=self.signals,
            trusted=opened.gate.trusted, commits=lambda: self.opened.store.commits,
            changed=self.walking.poke,
        )  # fmt: skip
        self._compose_intake(world)
        self._compose_desk(world)
        self.doors = doors = self._compose_doors(world)
        self.audit = Audit(
            store=world.store, sent=opened.journal, clock=self.clock, executor=self.ports.slow, log=self.log, metrics=self.metrics,
            config=self.setup.config, look_seconds=self.ports.pace.audit_seconds,
            trusted=opened.gate.trusted,
        )  # fmt: skip
        if opened.damage is not None:
            return [self._compose_web(doors)]
        self.housekeeping = Housekeeping(
            world, owner=opened.began.id, gate=opened.gate, journal=opened.journal, sending=self.sending,
            horizon=lambda: self.setup.rules.horizon, observe=self._observe, executor=self.ports.slow, bell=self.ports.bell,
            pace=self.ports.pace, watched=Watched(store=opened.store, lock=opened.lock, room=opened.room),
            forget=Forgetting(world, opened.gate, lambda: self.setup.config).round,
        )  # fmt: skip
        services: list[Service] = [
            self.housekeeping, self.audit, self.sending, self.joining, self._compose_reconciling(world), *self.retargeting.services(),
            self.expansion, self.walking, self.spool, self.revaluing, *self.books.services(), self.segmentation.service,
        ]  # fmt: skip
        if self.ports.doors:
            services.insert(1, self._compose_web(doors))
        return services

    def _compose_sending(self, world: World) -> None:
        plans = PlanBook({"currency": self.setup.config.shop.currency})
        writer = MessageWriter(plans, self.links, self.kinds, self.clock, lambda: shop_of(self.setup.config))
        flights = Flights(self.clock.instant, self.opened.gate.shut)
        self.sending = Sending(
            world, self.setup, owner=self.opened.began.id, flights=flights, gate=self.opened.gate, writer=writer, plans=plans,
            pace=self.ports.pace, links=self.links, scarce=self._scarce,
        )  # fmt: skip

    def _compose_reconciling(self, world: World) -> Reconciling:
        plans = PlanBook({"currency": self.setup.config.shop.currency})
        return Reconciling(
            store=world.store, clock=self.clock, log=self.log, metrics=self.metrics, askers=self.sending, plans=plans,
            writer=MessageWriter(plans, self.links, self.kinds, self.clock, lambda: shop_of(self.setup.config)),
            settled=self.sending.wake, found=self.joining.poke,
            look_seconds=self.ports.pace.reconcile_seconds,
        )  # fmt: skip

    def _compose_intake(self, world: World) -> None:
        config, folder = self.setup.config, jobs_folder(self.setup.config.homing.state_dir)
        bodies = Bodies(folder, self.disk, self.pepper)
        self.expansion = Expansion(
            store=world.store, bodies=bodies, config=config, rules=self.setup.rules, disk=self.disk, clock=self.clock, ids=self.ids,
            executor=self.ports.reading, log=self.log, signals=self.signals, expanded=self._expanded, released=self._released,
            metrics=self.metrics, poll_seconds=self.ports.pace.poll_seconds, scarce=self._scarce,
            commits=lambda: self.opened.store.commits, give_way=self.opened.store.give_way,
        )  # fmt: skip
        self.intake = Intake(
            store=world.store, config=config, folder=folder, disk=self.disk, clock=self.clock, ids=self.ids, executor=self.ports.files,
            channels=lambda: set(self.kinds), log=self.log, accepted=self.expansion.poke, metrics=self.metrics,
            scarce=self._scarce, members=self.segmentation.desk.members,
        )  # fmt: skip
        self.spool = Spool(
            intake=self.intake, store=world.store, config=config, bodies=bodies, disk=self.disk, clock=self.clock,
            executor=self.ports.files, log=self.log, signals=self.signals, poll_seconds=self.ports.pace.poll_seconds,
        )  # fmt: skip
        self.spool.configure(config)

    def _compose_desk(self, world: World) -> None:
        trials = Trials(world, self.opened.gate, lambda: self.setup, self.sending, self.links)
        hooks = Hooks(
            wake=self._changed, providers=self.sending.status, reload=self._reload, accept_restore=self._accept_restore,
            clock_accepted=self._clock_accepted, test=trials.send, setup=lambda: self.setup, findings=self.metrics.audit_open,
            audiences=self.retargeting.sync.providers, sync_audiences=self.retargeting.sync_now,
            notices=lambda: self.books.notices.status(),  # noqa: PLW0108 - the books are opened later
        )  # fmt: skip
        self.desk = Desk(
            store=world.store, clock=self.clock, gate=self.opened.gate, disk=self.disk, config=lambda: self.setup.config, hooks=hooks
        )  # fmt: skip

    async def _clock_accepted(self) -> None:
        self.sending.clock_accepted()
        await self.audit.clock_accepted()

    def _compose_doors(self, world: World) -> Doors:
        """What the web's doors lead to; a simulation goes in without the web."""
        self.joining = Joining(
            store=world.store, clock=self.clock, log=self.log, ingesting=lambda: self.ingesting, channels=self._channels
        )  # fmt: skip
        self.unsubscribing = Unsubscribing(
            store=world.store, clock=self.clock, log=self.log, metrics=self.metrics, woken=self.sending.wake,
            topics=lambda: self.setup.config.topics,
        )  # fmt: skip
        self.ingesting = Ingesting(
            store=world.store, clock=self.clock, log=self.log, metrics=self.metrics, receivers=self.sending,
            hash_address=functools.partial(hash_text, self.pepper), channels=self._channels, woken=self.sending.wake,
            parked=self.joining.poke,
        )  # fmt: skip
        self.pushing = Pushing(
            store=world.store, links=self.links, clock=self.clock, log=self.log, metrics=self.metrics, taker=self.sending.taker,
            clicked=lambda delivery: self.ingesting.take_of_device(delivery, PROVEN_BY_CLICK), woken=self.sending.wake,
        )  # fmt: skip
        self.suppressing = Suppressing(store=world.store, pepper=self.pepper, clock=self.clock)
        self.tracker = Tracker(
            store=world.store, pepper=self.pepper, clock=self.clock, log=self.log, metrics=self.metrics, woken=self.sending.wake,
            shop=lambda: shop_of(self.setup.config), walks=self.walking.poke,
        )  # fmt: skip
        self.revaluing = Revaluing(store=world.store, clock=self.clock, log=self.log, shop=lambda: shop_of(self.setup.config))
        self.books = Bookkeeping(
            world, metrics=self.metrics, config=lambda: self.setup.config, woken=self.sending.wake, changed=self._changed,
            walks=self.walking.poke, poll_seconds=self.ports.pace.poll_seconds, trusted=self.opened.gate.trusted,
        )  # fmt: skip
        self.people = People(
            store=world.store, pepper=self.pepper, clock=self.clock, log=self.log, tracker=self.tracker, woken=self.sending.wake
        )  # fmt: skip
        return Doors(
            store=world.store, intake=self.intake, operations=self.desk, explainer=self._explaining(world, self.opened),
            unsubscribing=self.unsubscribing, ingesting=self.ingesting, pushing=self.pushing, suppressions=self.suppressing,
            offers=self.books.offers, products=self.books.products, reports=self.books.reports, people=self.people, links=self.links,
            tracker=self.tracker, segments=self.segmentation.desk, not_ready=self._not_ready, changed=self._changed, degraded=self._scarce,
        )  # fmt: skip

    def _compose_web(self, doors: Doors) -> WebServer:
        config = self.setup.config
        return WebServer(
            doors=doors, http=config.http, state_dir=config.homing.state_dir, clock=self.clock, ids=self.ids, log=self.log,
            metrics=self.metrics, version=version("homing"),
        )  # fmt: skip

    def _explaining(self, world: World, opened: Opened) -> Explaining:
        """Explain judges with the rules in force, but takes no token and keeps its own plans: it runs beside the writer."""
        plans = PlanBook({"currency": self.setup.config.shop.currency})

        def bind(now: Instant) -> Judgement:
            sending = self.sending
            judging = Judging(self.setup.rules, self.kinds, {}, budgets=self.setup.budgets)
            return judging.bind(plans, sending.serving(), sending.ways(), now, sending.resting(now))

        return Explaining(store=world.store, clock=world.clock, bind=bind, rules=lambda: self.setup.rules, gate=opened.gate.reasons)

    def _channels(self) -> list[str]:
        """All channels that a person can be reached over: what a complaint closes."""
        return sorted({*self.kinds, *ADDRESS_KINDS})

    def _expanded(self) -> None:
        self.spool.poke()  # made after the expansion that calls this

    def _changed(self) -> None:
        self.expansion.poke()
        self.walking.poke()
        self.sending.wake()

    def _released(self) -> None:
        """Rows of a job fell due, or its walks may go."""
        self.walking.poke()
        self.sending.wake()

    def _standing(self) -> list[Standing]:
        campaigns = {name: version.campaign for name, version in self.setup.catalogue.versions.items()}
        return standing_of(campaigns, self.setup.config)

    def _scarce(self) -> str | None:
        """Why nothing new is begun: no room on a disk."""
        return self.opened.room.scarce

    def _not_ready(self) -> str | None:
        """Why nothing is sent now, for /readyz; None when all is well."""
        held = self.opened.gate.reasons()
        if held:
            return "sending is held: " + "; ".join(held.values())
        if (scarce := self._scarce()) is not None:
            return scarce
        if not self.sending.is_ready:
            return "sending has not started"
        if self.sending.failed:
            return "providers did not start: " + ", ".join(sorted(self.sending.failed))
        return None

    async def _observe(self, lag: float) -> None:
        """A reading for /metrics, from counters that the store keeps."""
        now = self.clock.instant()
        seen = await self.opened.store.read(read_overview, now)
        lines = self.sending.status()
        for line in lines:
            if isinstance(spend := line.get("spend"), dict):
                self.metrics.spent(str(line["provider"]), spend["currency"], spend["amount"], spend["limit"])
        self.metrics.observe(Reading(
            deliveries=seen.deliveries,
            oldest_due_seconds=(now - seen.oldest_due) / SECOND if seen.oldest_due is not None else 0.0,
            held=seen.held,
            doubts=seen.doubts,
            gate=self.opened.gate.reasons(),
            breakers={str(line["provider"]): str(line["breaker"]) for line in lines},
            commits=self.opened.store.commits,
            wal_bytes=self.opened.store.wal_bytes(),
            loop_lag_seconds=lag,
            disk_free_bytes=self.opened.room.free,
        ))  # fmt: skip

    async def _accept_restore(self) -> None:
        await accept_store(self.opened, self.ids, self.clock)

    async def _reload(self) -> None:
        """Read everything anew; a bad reading raises ConfigError and changes nothing. One at a time, whoever asks (SIGHUP, API)."""
        async with self._reloading:
            await self._reload_all()

    async def _reload_all(self) -> None:
        setup = self.read()
        for what in fixed_changes(self.setup, setup):
            self.log.warning("needs_a_restart", what=what)
        self.spool.configure(setup.config)
        self.setup = setup
        self.intake.config = setup.config
        self.expansion.configure(setup.config, setup.rules)
        self.kinds.clear()
        self.kinds.update({loaded.channel: loaded.address for loaded in setup.loading.channels})
        await register_campaigns(self.opened.store, setup.catalogue.versions, self.clock.instant())
        await self.audit.configure(setup.config)
        await self.sending.reload(setup)
        await self.retargeting.reload(setup)
        self.revaluing.poke()
        self.books.notices.poke()
        self.segmentation.service.configure(setup.segments)
        self.walking.configure(setup.config, setup.rules)


def fixed_changes(old: Setup, new: Setup) -> list[str]:
    """What a reload cannot change: it stays as it was until a restart."""
    pairs: dict[str, Callable[[Setup], object]] = {
        "homing.state_dir": lambda s: s.config.homing.state_dir,
        "homing.store": lambda s: s.config.homing.store,
        "homing.journal": lambda s: s.config.homing.journal,
        "http": lambda s: s.config.http,
        "shop.currency": lambda s: s.config.shop.currency,
    }
    return [name for name, read in pairs.items() if read(old) != read(new)]
