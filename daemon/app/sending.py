"""The sending service: starts the configured channels, keeps a line for each, runs the claim loop, drains.

A channel that cannot start is reported and left out; the others run. On stop: nothing new is claimed, running sends end
within the drain time, what was claimed and not sent goes back to due.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.app.portions import open_bucket, open_portion, states_of
from daemon.app.ports import Pace
from daemon.app.setup import Setup
from daemon.clock import Clock
from daemon.config.schema import ProviderTable
from daemon.dispatch.anew import judge_anew, release_unserved
from daemon.dispatch.door import AudienceDoor, DoorWriter
from daemon.dispatch.fair import Fair
from daemon.dispatch.gate import Gate
from daemon.dispatch.judge import Judging, Resting
from daemon.dispatch.line import Line
from daemon.dispatch.loop import ClaimLoop
from daemon.dispatch.mail_hosts import MailHosts
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.spending import Purse
from daemon.dispatch.turns import let_go
from daemon.dispatch.work import PlanBook
from daemon.dns import Dns
from daemon.errors import HomingError, StoreUnavailableError
from daemon.feedback.ingest import Receiver
from daemon.feedback.push import Taker
from daemon.ids import Ids
from daemon.links import Links
from daemon.metrics import Metrics
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Instant
from daemon.model.journey import way_of, ways_of
from daemon.net import Net
from daemon.pacing.breaker import Breaker
from daemon.policy.permission import ConsentRule
from daemon.policy.tz import local_day
from daemon.service import Service, in_time
from daemon.store.flight import Flights
from daemon.store.recover import load_buckets, save_buckets
from daemon.store.spend import load_spend
from daemon.store.writer import Lane, Writes
from plugins.contract import Channel, Context, Log
from plugins.feedback import Doubt, Prices, Reconciles, TakesSubscriptions
from plugins.loader import LoadedChannel

DRAIN_SECONDS = 30.0
UNLIMITED = ProviderTable(plugin="audience")
"""For the channel that no table of the config brings."""
LEAVE_SECONDS = DRAIN_SECONDS + 5
"""A reload waits so long for a provider that goes; by then only a store that takes nothing can keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What every part of the daemon is given."""

    store: Writes
    clock: Clock
    ids: Ids
    dns: Dns
    net: Net
    log: Log
    metrics: Metrics
    open_http: Callable[..., Any]


@dataclass(slots=True)
class _Running:
    """A started channel, its line and what to close after it."""

    loaded: LoadedChannel
    channel: Channel
    line: Line
    close: Callable[[], object]
    looking: set[asyncio.Task[object]] = field(default_factory=set)
    """Look-ups under way; they end when the channel is closed."""

    async def look_up(self, doubts: Sequence[Doubt]) -> object:
        """Ask the channel's `reconcile`. Whatever it raises is raised, CancelledError when the channel is closed meanwhile."""
        task = asyncio.create_task(self._reconcile(doubts), name=f"reconcile-{self.loaded.provider}")
        self.looking.add(task)
        try:
            return await task
        finally:
            task.cancel()
            self.looking.discard(task)

    async def _reconcile(self, doubts: Sequence[Doubt]) -> object:
        plugin: Any = self.channel
        try:
            found: object = await plugin.reconcile(doubts)
        except SystemExit as error:  # in a task of its own it would end the daemon
            raise RuntimeError(f"the plugin called sys.exit({error.code})") from None
        return found


class Sending(Service):
    """See the module. `flights` and `gate` are shared with the operators' acts."""

    def __init__(
        self, world: World, setup: Setup, *, owner: int, flights: Flights, gate: Gate, writer: MessageWriter, plans: PlanBook, pace: Pace,
        links: Links, scarce: Callable[[], str | None] = lambda: None,
    ) -> None:  # fmt: skip
        super().__init__("sending")
        self._world, self._setup, self._owner, self._pace = world, setup, owner, pace
        self._flights, self._gate, self._writer, self._plans = flights, gate, writer, plans
        self._links, self._scarce = links, scarce
        self._running: dict[str, _Running] = {}
        self.failed: dict[str, str] = {}
        self.put_in_audience: Callable[[], None] = lambda: None
        """Called when somebody was put into an audience."""
        self._loop: ClaimLoop | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._freeing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        """Looks mail hosts up, where a limit is named by them."""
        self._swapping = asyncio.Lock()
        self._leaving: dict[asyncio.Task[None], Line] = {}
        """Providers of an earlier setup whose outcomes the store could not take yet (a full disk)."""

    @property
    def lines(self) -> Mapping[str, Line]:
        return {name: running.line for name, running in self._running.items()}

    def known(self, provider: str) -> bool:
        """The config names it."""
        return provider in self._setup.config.providers

    def receiver(self, provider: str) -> Receiver | None:
        """Who reads what this provider posts to its hook; None while it does not run."""
        running = self._running.get(provider)
        return None if running is None else Receiver(running.loaded.channel, running.loaded.address, running.channel)

    def reconcilers(self) -> Mapping[str, Callable[[Sequence[Doubt]], Awaitable[object]]]:
        """Who can say what became of messages, by provider."""
        return {name: running.look_up for name, running in self._running.items() if isinstance(running.channel, Reconciles)}

    def serving(self) -> dict[str, str]:
        """Way -> the provider that serves it now."""
        return ways_of((line.kind, name) for name, line in self.lines.items() if line.available())

    def ways(self) -> set[str]:
        return set(ways_of((line.kind, name) for name, line in self.lines.items()))

    def resting(self, now: Instant) -> dict[str, Resting]:
        """Way -> the provider of it that is first tried again."""
        rests = [(line.kind, Resting(name, line.detail or "", line.rests_until(now))) for name, line in self.lines.items()]
        rests.sort(key=lambda item: (item[1].until is None, item[1].until or 0), reverse=True)
        return dict(rests) | {way_of(kind, rest.provider): rest for kind, rest in rests}

    def taker(self) -> Taker | None:
        """The first provider whose channel takes browsers' subscriptions."""
        for running in self._running.values():
            if isinstance(running.channel, TakesSubscriptions):
                return Taker(running.loaded.channel, running.channel)
        return None

    def wake(self) -> None:
        """Something may be due that was not: claim at once."""
        if self._loop is not None:
            self._loop.wake()

    def freed(self) -> None:
        """A line has room."""
        if self._loop is not None:
            self._loop.freed()

    def alive(self) -> bool:
        """The claim loop made a turn lately: what the watchdog asks."""
        return self._loop is None or self._world.clock.monotonic() - self._loop.last_claim < 30.0

    async def run(self) -> None:
        saved = await self._world.store.read(load_buckets)
        for loaded in self._setup.loading.channels:
            await self._open(loaded, saved)
        self._claiming = await self._start_claiming()
        self._freeing = asyncio.create_task(self._let_turns_go(), name="turns")
        self.mark_ready()
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            while not self.stopping.is_set():
                claiming = self._claiming  # another one after each reload
                await asyncio.wait({stopping, claiming}, return_when=asyncio.FIRST_COMPLETED)
                if claiming.done() and claiming is self._claiming and not self._swapping.locked():
                    claiming.result()  # raises what the claim loop failed with
                    raise HomingError("the claim loop has ended, and a reload could not start another")
                async with self._swapping:
                    pass
        finally:
            stopping.cancel()
            await self._end()

    async def _start_claiming(self) -> asyncio.Task[None]:
        config = self._setup.config
        kinds = {running.loaded.channel: running.loaded.address for running in self._running.values()}
        served = [running.line.kind for running in self._running.values()]
        for running in self._running.values():
            running.line.spare, running.line.rules_version = served.count(running.line.kind) > 1, self._setup.rules.version
        judging = Judging(
            self._setup.rules, kinds, {name: line.portion.limits for name, line in self.lines.items()},
            {name: line.destinations for name, line in self.lines.items()},
            {name: line.portion.ration for name, line in self.lines.items() if line.portion.ration}, self._setup.shop, self._links,
            self._setup.budgets,
        )  # fmt: skip
        self._loop = ClaimLoop(
            store=self._world.store, clock=self._world.clock, gate=self._gate, fair=Fair({n: q.weight for n, q in config.queues.items()}),
            judging=judging, plans=self._plans, lines=self.lines, owner=self._owner, log=self._world.log, metrics=self._world.metrics,
            poll_seconds=self._pace.poll_seconds, room_seconds=self._pace.room_seconds, gather_seconds=self._pace.gather_seconds,
            scarce=self._scarce,
        )  # fmt: skip
        groups = [line.portion.limits.groups for line in self.lines.values() if line.portion.limits.groups.patterns]
        if groups:
            hosts = MailHosts(groups, self._world.dns, self._world.clock, self._world.log)
            self._looking = asyncio.create_task(hosts.run(), name="mail-hosts")
        await release_unserved(self._world.store, self._world.clock, self._world.log)
        return asyncio.create_task(self._loop.run(), name="claim")

    async def _stop_claiming(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        if self._claiming is not None and self._loop is not None:
            self._loop.stop()
            await asyncio.gather(self._claiming, return_exceptions=True)

    async def reload(self, setup: Setup) -> None:
        """Go on under a new setup: rules and weights at once; a provider whose table changed is drained and opened anew."""
        async with self._swapping:
            await self._stop_claiming()
            try:
                await self._swap(setup)
            finally:
                self._claiming = await self._start_claiming()

    async def _swap(self, setup: Setup) -> None:
        """Nothing is claimed meanwhile."""
        old, self._setup = self._setup, setup
        if setup.rules.version != old.rules.version:
            await judge_anew(self._world.store, self._world.log)
        changed = {n for n, t in old.config.providers.items() if setup.config.providers.get(n) != t} | self.failed.keys()
        changed |= {name for name, running in self._running.items() if running.line.stopped is not None}
        changed |= self._running.keys() - {loaded.provider for loaded in setup.loading.channels}
        for name in sorted(changed & self._running.keys()):
            await self._leave(self._running.pop(name))
        self.failed = {}
        saved = await self._world.store.read(load_buckets)
        for loaded in setup.loading.channels:
            if loaded.provider not in self._running:
                await self._open(loaded, saved)
        for running in self._running.values():
            self._bind(running.channel)
        order = [loaded.provider for loaded in setup.loading.channels]
        self._running = {name: self._running[name] for name in order if name in self._running}

    async def _open(self, loaded: LoadedChannel, saved: Mapping[str, str]) -> None:
        """Start one channel and its line; a failure concerns this provider only."""
        world, table = self._world, self._setup.config.providers.get(loaded.provider, UNLIMITED)
        session = world.open_http(dns=world.dns, settings=loaded.settings)
        context = Context(
            provider=loaded.provider, settings=loaded.settings, clock=world.clock, rng=world.ids.rng(), dns=world.dns,
            open_stream=world.net.open_stream, http=session, log=world.log.bind(provider=loaded.provider),
            hook_url=self._links.hook_url(loaded.provider) if self._setup.config.http.public_url else None, sign=self._links.sign_hook,
        )  # fmt: skip
        try:
            channel = loaded.make()
            self._bind(channel)
            await in_time(channel.start(context))
        except Exception as error:  # noqa: BLE001 - plugin isolation: the daemon starts without this provider
            self.failed[loaded.provider] = f"{type(error).__name__}: {error}"
            world.log.error("provider_not_started", provider=loaded.provider, error=self.failed[loaded.provider])
            await session.close()
            return
        bucket = open_bucket(f"provider:{loaded.provider}", table.rate, saved)
        portion = open_portion(loaded.provider, table, self._setup.config.homing.default_zone, saved)
        line = Line(
            provider=loaded.provider,
            kind=loaded.channel,
            channel=channel,
            store=world.store,
            flights=self._flights,
            clock=world.clock,
            ids=world.ids,
            log=world.log,
            metrics=world.metrics,
            writer=DoorWriter(world.clock, lambda: self._setup.shop) if isinstance(channel, AudienceDoor) else self._writer,
            bucket=bucket,
            breaker=Breaker(),
            wake=self.wake,
            freed=self.freed,
        )
        line.portion = portion
        if isinstance(channel, Prices):
            line.purse = await self._purse(loaded.provider, channel, line)
        line.start()
        self._running[loaded.provider] = _Running(loaded, channel, line, session.close)

    def _bind(self, channel: Channel) -> None:
        """The door to audiences is ours: it gets what no plugin does."""
        if isinstance(channel, AudienceDoor):
            providers = [each.provider for each in self._setup.loading.audiences]
            consent = self._setup.config.consent.channels.get(AUDIENCE, ConsentRule.EXPLICIT)
            channel.bind(self._world.store, providers, consent, self.put_in_audience)

    async def _purse(self, provider: str, channel: Channel, line: Line) -> Purse:
        zone, clock = self._setup.config.homing.default_zone, self._world.clock
        spent = await self._world.store.read(load_spend, provider, local_day(zone, clock.instant()) - 1)
        return Purse(provider=provider, channel=channel, zone=zone, clock=clock, spent=spent, fault=line.fault)

    def clock_accepted(self) -> None:
        """An operator takes the clock for right: no rate waits for an instant of the time before."""
        now = self._world.clock.instant()
        for running in self._running.values():
            running.line.breaker.rebase(now)
            running.line.bucket.rebase(now)
            running.line.portion.limits.rebase(now)

    async def save(self) -> None:
        """Keep the buckets over a restart."""
        states = {}
        for name, running in self._running.items():
            states[f"provider:{name}"] = json.dumps(running.line.bucket.to_state())
            states |= states_of(name, running.line.portion, self._world.clock.instant())
        if states:
            await self._world.store.write(Lane.BULK, save_buckets, states)

    async def _leave(self, running: _Running) -> None:
        """Close a provider that the setup no longer has like this. What it knows is recorded while the daemon goes on."""
        task = asyncio.create_task(self._close(running, ending=False), name=f"leave-{running.loaded.provider}")
        done, _ = await asyncio.wait({task}, timeout=LEAVE_SECONDS)
        if done:
            task.result()
            return
        self._world.log.warning("provider_leaves_late", provider=running.loaded.provider)
        self._leaving[task] = running.line
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.pop(task, None)
        self.wake()
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._world.log.error("provider_not_closed", error=f"{type(failure).__name__}: {failure}")

    async def _close(self, running: _Running, *, ending: bool = True) -> None:
        for task in running.looking:
            task.cancel()
        await running.line.drain(DRAIN_SECONDS, ending=ending)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await running.channel.stop()
        except Exception as error:  # noqa: BLE001 - plugin isolation
            self._world.log.error("provider_not_stopped", provider=running.loaded.provider, error=f"{type(error).__name__}: {error}")
        closing = running.close()
        if asyncio.iscoroutine(closing):
            await closing

    async def _let_turns_go(self) -> None:
        """What the daemon before had put off for slow destinations, which nobody remembers."""
        channels = {running.line.kind for running in self._running.values() if running.channel.address == "email"}
        world = self._world
        await let_go(store=world.store, clock=world.clock, channels=channels, log=world.log, wake=self.wake)

    async def _end(self) -> None:
        if self._freeing is not None:
            self._freeing.cancel()
            await asyncio.gather(self._freeing, return_exceptions=True)
        await self._stop_claiming()
        for line in self._leaving.values():
            line.end()
        try:
            await asyncio.gather(*(self._close(running) for running in self._running.values()))
            await asyncio.gather(*self._leaving, return_exceptions=True)
            await self.save()
        except StoreUnavailableError as error:  # a full disk: the next start gives back what is still claimed
            self._world.log.error("end_not_recorded", service=self.name, error=str(error))

    def status(self) -> list[dict[str, object]]:
        """One object a provider, failed ones too."""
        shown = [running.line.status() for running in self._running.values()]
        nothing = dict.fromkeys(("retry_at", "rate", "spend"))
        failed = [
            {"provider": name, "channel": None, "breaker": "stopped", "detail": why, "in_hand": 0, **nothing}
            for name, why in self.failed.items()
        ]
        return [*shown, *failed]


__all__ = ["Sending", "World"]
