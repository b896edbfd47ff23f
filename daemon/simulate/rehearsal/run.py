"""A rehearsal from its start to its calendar: the daemon of `homing run`, composed on simulated ports over a copy of the store.

Who wants it says what in a `Wish`. All runs in the thread of the caller and returns when the last day is over; progress is told once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as midnight
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.app.main import Daemon
from daemon.app.ports import Pace, Ports
from daemon.app.retargeting import intent_of
from daemon.app.setup import Setup
from daemon.clock import to_instant
from daemon.dispatch.stop_file import make_stop_file, remove_stop_file
from daemon.errors import HomingError
from daemon.ids import decode_id
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Campaign, CampaignStatus
from daemon.model.delivery import HOUR, SECOND, Instant
from daemon.model.segment import ENTERED, LEFT, Segments
from daemon.notify import Notifier
from daemon.service import Signals
from daemon.simulate.memory import StoreFaults
from daemon.simulate.ports import QuietLog, make_ports
from daemon.simulate.process import Process
from daemon.simulate.rehearsal.calendar import Calendar, Moved, Standing, Verdicts, close_day, moves
from daemon.simulate.rehearsal.channels import Sent, Wire, silent
from daemon.simulate.rehearsal.crowd import Crowd
from daemon.simulate.rehearsal.disk import OverlayDisk
from daemon.simulate.rehearsal.fates import Fates
from daemon.simulate.rehearsal.guard import no_sockets
from daemon.simulate.rehearsal.wordless import WordlessWriter
from daemon.simulate.world import World, simulate
from daemon.store.feedback import Report, hear
from daemon.store.operate import set_campaign_status
from daemon.store.rehearse import AudienceName, CopiedFile, given, make_ready, people, standing, stood
from daemon.store.writer import Lane

GRAIN_SECONDS = 60.0
"""What falls due within so long is claimed together."""
LOOK_SECONDS = 3600.0
"""How often the daemon looks around when nothing calls it."""
NEVER_SECONDS = 400 * 86_400.0
FEED = HOUR
LOOK_AT_AUDIENCES = 6 * HOUR
"""The daemon looks once a minute; what comes and goes between two looks is not seen."""
COLLECT_DAYS = 7
WALKS = 10
"""Grains within which walks are moved together: a step is planned by its day, and goes in its own minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`start`: when it begins; `days` of the default zone are lived, the first one from there. `campaign`: count only what is of it, and
    start it if it does not run. `grain`: seconds within which what falls due is claimed together; a smaller one is nearer to the minute
    and slower. `bounces`, `refusals`: see `Fates`. `database` False: an empty store. `words` False: nothing is rendered. `took`,
    `progress(day)`: told each message, and each day that is over; `prepare`, `finish`: done with the daemon before the first day and after
    the last."""

    days: int
    start: datetime
    seed: int = 1
    campaign: str | None = None
    grain: float = GRAIN_SECONDS
    bounces: float = 0.0
    refusals: float = 0.0
    database: bool = True
    words: bool = True
    crowd: Crowd | None = None
    took: Callable[[Sent], object] | None = None
    progress: Callable[[date], object] = lambda _: None
    prepare: Callable[[Daemon], Awaitable[None]] | None = None
    finish: Callable[[Daemon], Awaitable[None]] | None = None
    log: Callable[[str, str, dict[str, Any]], object] | None = None


def rehearse(setup: Setup, wish: Wish) -> Calendar:
    """Live it. StoreUnavailableError when the store cannot be copied, HomingError when the daemon ends by itself, NotFoundError for a
    campaign that is not there."""
    with tempfile.TemporaryDirectory(prefix="homing-rehearsal-") as folder:
        homing = setup.config.homing
        file = CopiedFile(homing.database if wish.database else None, Path(folder))
        try:
            file.do(make_ready, to_instant(wish.start))
            gc.freeze()  # what stands (modules, what a crowd has in store) is not looked through again and again
            with no_sockets():
                main = functools.partial(_live, setup=setup, wish=wish, file=file)
                return simulate(wish.seed, main, start=wish.start, shuffle=False, step_limit=sys.maxsize).result
        finally:
            gc.unfreeze()
            file.close()


async def _live(world: World, *, setup: Setup, wish: Wish, file: CopiedFile) -> Calendar:
    state = setup.config.homing.state_dir
    shown = (state / "pepper.key", state / "links.key", state / "jobs")
    world = replace(world, disk=OverlayDisk(wish.seed, shown=shown))
    return await Rehearsal(world, setup, wish, file).run()


def asked_for(setup: Setup) -> Segments:
    """The segments that some campaign's file names, with all that they refer to: the others change nothing of what is sent, and to keep all
    up to date takes most of a rehearsal's time."""
    campaigns = [version.campaign for version in setup.catalogue.versions.values()]
    if any(_hears_of_any(campaign) for campaign in campaigns):
        return setup.segments
    texts = [text for version in setup.catalogue.versions.values() for text in version.files.values()]
    named = [name for name in setup.segments.by_name if any(f'"{name}"' in text or f"'{name}'" in text for text in texts)]
    kept = setup.segments.with_references(named)
    return Segments(by_name={name: setup.segments.by_name[name] for name in kept})


def _hears_of_any(campaign: Campaign) -> bool:
    """People enter or leave it by the events of segments, without a word on which."""
    heard: list[tuple[str, str | None]] = [(event, None) for event in campaign.exit.events]
    for one in (campaign.goal, campaign.enrol.trigger):
        heard += [(one.event, one.where)] if one is not None and one.event is not None else []
    return any(event in (ENTERED, LEFT) and "segment" not in (where or "") for event, where in heard)


class _Ears(Signals):
    """Hears when the daemon is ready."""

    def __init__(self) -> None:
        super().__init__(listening=False)
        self.up = asyncio.Event()

    def emit(self, name: str, **facts: Any) -> None:
        if name == "ready":
            self.up.set()


class Rehearsal:
    """`run` once."""

    def __init__(self, world: World, setup: Setup, wish: Wish, file: CopiedFile) -> None:
        self.world, self.wish, self.file = world, wish, file
        self.calendar = Calendar(people=file.do(people))
        self.verdicts = Verdicts(world.clock)
        self.today: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.answering = asyncio.Event()
        """The crowd has got something."""
        unread = not wish.words and wish.crowd is None and wish.took is None
        counted = self._counted if unread else None
        fates = Fates(wish.seed, bounces=wish.bounces, refusals=wish.refusals)
        if fates:
            self.calendar.notes.append(f"{wish.bounces:.1%} of addresses bounce, {wish.refusals:.1%} of attempts are refused for now")
        wire = Wire(self._took, self._refused, fates, counted)
        channels = tuple(silent(loaded, wire) for loaded in setup.loading.channels)
        loading = replace(setup.loading, channels=channels, audiences=())
        config = replace(setup.config, notify=())  # a copy tells nobody
        self.intent = intent_of(setup)
        self.setup = replace(setup, config=config, loading=loading, segments=asked_for(setup))
        self.zone = ZoneInfo(setup.config.homing.default_zone)

    def _ports(self, process: Process) -> Ports:
        pace = Pace(
            tick_seconds=3600.0, heartbeat_ticks=24, observe_ticks=24, audit_seconds=NEVER_SECONDS, reconcile_seconds=86_400.0,
            poll_seconds=LOOK_SECONDS, room_seconds=max(self.wish.grain / 2, 0.05), gather_seconds=self.wish.grain,
            walk_seconds=0.0 if self.wish.grain < 1 else WALKS * self.wish.grain,
        )  # fmt: skip
        ports = make_ports(self.world, process, self.file, StoreFaults(self.wish.seed), pace=pace, log=QuietLog(self.wish.log))
        return replace(ports, metrics=lambda _: self.verdicts)

    async def run(self) -> Calendar:
        process, ears = Process(self.world.loop, 1), _Ears()
        state = self.setup.config.homing.state_dir
        make_stop_file(state, "until the first day begins", self.world.disk)  # what went before it would be counted nowhere
        daemon = Daemon(self.setup, lambda: self.setup, self._ports(process), ears, functools.partial(Notifier, environ={}, pid=1))
        main = process.run(daemon.run(), "daemon")
        try:
            await self._until(main, ears.up.wait())
            for line in daemon.sending.lines.values():
                line.bucket.burst_seconds = max(self.wish.grain, line.bucket.burst_seconds)
                if not self.wish.words and line.kind != AUDIENCE:
                    line._writer = WordlessWriter()
            if self.wish.campaign is not None:
                await self._start(daemon, self.wish.campaign)
            await self._until(main, self._prepared(daemon))
            remove_stop_file(state, self.world.disk)
            daemon.sending.wake()
            for part in (self._days, self._finished):
                await self._until(main, part(daemon))
            if daemon.supervisor is not None:
                daemon.supervisor.request_stop("the rehearsal is over")
            await main
        finally:
            await process.bury()
        return self.calendar

    async def _until(self, main: asyncio.Task[Any], work: Any) -> None:
        """HomingError, or what it failed with, if the daemon ends before the work does."""
        doing = asyncio.ensure_future(work)
        await asyncio.wait({main, doing}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            doing.cancel()
            main.result()
            raise HomingError("the rehearsed daemon ended by itself")
        doing.result()

    async def _prepared(self, daemon: Daemon) -> None:
        if self.wish.prepare is not None:
            await self.wish.prepare(daemon)
            self.calendar.people = self.file.do(people)

    async def _finished(self, daemon: Daemon) -> None:
        if self.wish.finish is not None:
            await self.wish.finish(daemon)

    async def _start(self, daemon: Daemon, name: str) -> None:
        shown: Any = await daemon.desk.show_campaign(name)
        if shown["status"] != CampaignStatus.ACTIVE.value:
            self.calendar.notes.append(f"campaign {name} is {shown['status']}: rehearsed as if it were started")
            await daemon.opened.store.write(Lane.EXIT, set_campaign_status, name, CampaignStatus.ACTIVE, daemon.clock.instant())

    # -- days

    async def _days(self, daemon: Daemon) -> None:
        before, audiences, looked = self.file.do(standing), self.file.do(stood, 0), self.world.clock.instant()
        daemon.retargeting.desired.intent = self.intent  # not by `configure`: it would look by itself once a minute
        first = self.world.clock.now().astimezone(self.zone).date()
        for number in range(self.wish.days):
            today = first + timedelta(days=number)
            await self._day(daemon, self._midnight(today + timedelta(days=1)))
            after, members, since = self.file.do(standing), self.file.do(stood, looked), self.world.clock.instant()
            self._close(today, before, after, moves(audiences, members, self.wish.campaign))
            before, audiences, looked = after, members, since
            self.wish.progress(today)
            if (number + 1) % COLLECT_DAYS == 0:
                gc.collect()  # it is off while a world lives, so that finalizers run where the seed says
        self.calendar.final = before

    def _midnight(self, day: date) -> Instant:
        return to_instant(datetime.combine(day, midnight.min, self.zone))

    async def _day(self, daemon: Daemon, end: Instant) -> None:
        """One day. Where there are platforms for retargeting audiences, who should be in is looked up several times, and at its end."""
        clock, desired = self.world.clock, daemon.retargeting.desired
        while self.intent.providers and (now := clock.instant()) < end:
            await self._live_until(daemon, min(now + LOOK_AT_AUDIENCES, end))
            await desired.watch()
            await desired.compare()
        await self._live_until(daemon, end)

    async def _live_until(self, daemon: Daemon, end: Instant) -> None:
        """With a crowd, an hour at a time: what it does comes in after each. To the second (`grain`), it comes in when it is done."""
        clock, crowd = self.world.clock, self.wish.crowd
        while (now := clock.instant()) < end:
            if crowd is not None and self.wish.grain < 1:
                await self._next_act(crowd, now, end)
            else:
                await asyncio.sleep((min(now + FEED, end) if crowd else end) / SECOND - now / SECOND)
            if crowd is not None:
                await self._feed(daemon, crowd)

    async def _next_act(self, crowd: Crowd, now: Instant, end: Instant) -> None:
        """Until the crowd does something, or gets something to answer."""
        self.answering.clear()
        at = crowd.next_at()
        wait = end - now if at is None else min(max(at - now, 0), end - now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait / SECOND):
                await self.answering.wait()

    async def _feed(self, daemon: Daemon, crowd: Crowd) -> None:
        now = self.world.clock.instant()
        events = crowd.events(now)
        if events:
            await daemon.tracker.take(events)
            self.happened.update(str(event["event"]) for event in events)
        reports: list[Report] = []
        for kind, public, at in crowd.feedback(now):
            delivery = decode_id(public)
            if delivery is None:
                continue
            self.happened[kind] += 1
            if kind == "unsubscribed":
                await daemon.unsubscribing.apply(delivery, how="page")
            else:
                reports.append(Report(provider="", channel="email", kind=kind, at=at, delivery=delivery))
        if reports:
            heard = await daemon.opened.store.write(Lane.EXIT, hear, reports, channels=sorted(daemon.kinds), now=now)
            daemon.ingesting.tell(list(zip(reports, heard, strict=True)))

    def _close(self, today: date, before: Standing, after: Standing, audiences: Mapping[AudienceName, Moved]) -> None:
        day = close_day(today, before, after, self.verdicts.today, list(self.today.elements()), self.happened, self.wish.campaign)
        day.refused.update(self.refused)
        day.audiences.update(audiences)
        self.calendar.days.append(day)
        self.calendar.decided += sum(self.verdicts.today.values())
        for counted in (self.verdicts.today, self.today, self.happened, self.refused):
            counted.clear()

    def _took(self, sent: Sent) -> None:
        if self.wish.took is not None:
            self.wish.took(sent)
        if self.wish.crowd is not None:
            carried = self.file.do(given, decode_id(sent.delivery) or 0)
            self.wish.crowd.received(
                sent._replace(occurrence=carried.occurrence, offer=carried.offer, code=carried.code, offer_ends=carried.ends_at)
            )
            self.answering.set()
        if self.wish.campaign in (None, sent.campaign):
            self.today[sent.channel] += 1
            self.calendar.took(sent)

    def _refused(self, campaign: str, what: str) -> None:
        if self.wish.campaign in (None, campaign):
            self.refused[what] += 1

    def _counted(self, what: tuple[str, str, str], n: int) -> None:
        """As many messages, without a look at them."""
        campaign, _, channel = what
        if self.wish.campaign in (None, campaign):
            self.today[channel] += n
            self.calendar.sent[what] += n
            self.calendar.parts[channel] += n
