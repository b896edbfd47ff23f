"""AUDIENCE, walking: takes the walks whose time has come, asks for each what comes next, and has the store write it (ADR 0010).

One service for all campaigns with walks. It looks when the first of them is due, or when it is told that something happened, and works
in bounded transactions of the bulk lane: whatever it did not get to is still due. Stops with its campaign, job or queue; ends are
settled all the same.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from daemon.audience.entering import entry_of
from daemon.audience.route import Known, Route
from daemon.clock import Clock, to_instant
from daemon.config.load import Config
from daemon.errors import StoreUnavailableError
from daemon.ids import Ids
from daemon.journey.profile import Shop
from daemon.journey.timing import MEMORY
from daemon.journey.worth import Prices
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, SECOND, Instant
from daemon.model.journey import WalkState
from daemon.pacing.stride import Stride
from daemon.policy.rules import Rules
from daemon.service import Service, Signals
from daemon.store.campaigns import body_of
from daemon.store.enrolling import Entry, open_standing
from daemon.store.experiments import decided
from daemon.store.habits import Habit, habits_of
from daemon.store.segment_entry import enrol_members, look, unentered
from daemon.store.settling import Settled, close_line, close_walks, settle_walks
from daemon.store.triggers import take_triggers
from daemon.store.walk_facts import due_inside, matching
from daemon.store.walking import ENDED, Asking, Awaited, Line, Moved, Walking, due_walks, lines, move_walks, reactions
from daemon.store.waves import ID_BITS
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

MOST_SECONDS = 60.0
"""It looks so often in any case: a clock may be set."""
MOST_ROWS = 500
ARCHIVED = "archived"
NEVER = 1 << 62
Seen = tuple[Sequence[Awaited], frozenset[int]]
"""What waits, and the campaigns that have not taken all members of their segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A campaign whose walks need a standing job."""

    name: str
    queue: str
    priority: int


def standing_of(campaigns: Mapping[str, Campaign], config: Config) -> list[Standing]:
    """Those of the catalogue that have walks; in the queue that names them, else in one of their own name."""
    queues = {table.campaign: name for name, table in reversed(list(config.queues.items())) if table.campaign}
    return [
        Standing(name=name, queue=queues.get(name, name), priority=campaign.priority)
        for name, campaign in campaigns.items()
        if campaign.has_walks
    ]


class WalkStage(Service):
    """Signals: `walked(campaign)`, `settled(campaign)`, `idle`. `poke()`: something happened to walks, or may begin one."""

    def __init__(
        self, *, store: Writes, clock: Clock, ids: Ids, log: Log, config: Config, rules: Rules, signals: Signals | None = None,
        standing: Callable[[], Sequence[Standing]], shop: Callable[[], Shop], released: Callable[[], None] = lambda: None,
        costs: Callable[[], Mapping[str, float]] = dict,
        poll_seconds: float = MOST_SECONDS, gather_seconds: float = 0.0,
        scarce: Callable[[], str | None] = lambda: None, trusted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """`standing()`: the campaigns that the catalogue has now; `shop()`: what tiers and days are by; `released()` when rows fell due
        (dispatch); `costs()`: of a message over each channel that has a price; `scarce()`: why nothing may be planned now; `trusted()`:
        the clock is."""
        super().__init__("walking")
        self._store, self._clock, self._ids, self._log, self._released = store, clock, ids, log, released
        self._signals = signals or Signals.off()
        self._standing, self._config, self._rules, self._poll_seconds = standing, config, rules, poll_seconds
        self._scarce, self._trusted, self._shop, self._gather_seconds = scarce, trusted, shop, gather_seconds
        self._costs, self._bell = costs, asyncio.Event()
        self._routes: dict[tuple[int, int], Route | None] = {}
        self._seen: Seen | None = None
        self._prepared = self._put_off = False
        self._moving, self._settling = (Stride(clock.monotonic, first=100, least=20, most=MOST_ROWS) for _ in range(2))

    def configure(self, config: Config, rules: Rules) -> None:
        """Take another config and its rules (reload)."""
        self._config, self._rules = config, rules
        self._prepared = False
        self.poke()

    def poke(self) -> None:
        self._bell.set()

    async def stop(self) -> None:
        self._bell.set()
        await super().stop()

    async def run(self) -> None:
        self.mark_ready()
        while not self.stopping.is_set():
            seen, self._seen = self._seen, None
            if seen is None:
                self._bell.clear()
            next_at = await self._try_round(seen)
            if next_at is None or next_at > self._clock.instant():
                self._seen = None
                self._signals.emit("idle")
                await self._pause(next_at)

    async def _pause(self, until: Instant | None) -> None:
        seconds = self._poll_seconds
        if until is not None:
            seconds = min(seconds, max((until - self._clock.instant()) / SECOND, self._gather_seconds))
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return

    async def _try_round(self, seen: Seen | None) -> Instant | None:
        """A store out of reach ends the round, not the daemon: everything is a row that is still due. A clock that jumped ahead would
        walk everybody through to the end, for good."""
        if not self._trusted():
            return None
        try:
            if (why := self._scarce()) is not None:
                raise StoreUnavailableError(why)
            next_at = await self.round(seen)
        except StoreUnavailableError as error:
            if not self._put_off:
                self._log.error("walking_put_off", error=str(error))
            self._put_off = True
            return self._clock.instant() + SECOND
        self._put_off = False
        return next_at

    async def round(self, seen: Seen | None = None) -> Instant | None:
        """A turn for each campaign. Returns when something is to be done next: in the past, if there is more now. `seen`: what the round
        before, which this one follows at once, saw at its end."""
        if not self._prepared:
            wanted = [(one.name, one.queue, one.priority) for one in self._standing()]
            await self._store.write(Lane.BULK, open_standing, wanted, self._clock.instant())
            self._prepared = True
        waits, entering = seen or await self._look()
        asking = await self._asking(waits)
        done = 0
        for one in waits:
            if self.stopping.is_set():
                return None
            done += await self._turn(one, asking.get(one.line.name, ()))
            if one.line.campaign in entering:
                done += await self._enrol_members(one.line)
        if done or entering:
            self._seen = waits, entering = await self._look()
        times = [at for one in waits for at in (one.going, one.over, one.fresh) if at is not None]
        next_at = min(times, default=None)
        if entering:
            return self._clock.instant()
        return next_at if done or next_at is None else max(next_at, self._clock.instant() + SECOND)

    async def _look(self) -> Seen:
        waits, entering = await self._store.read(look, self._wanted)
        unknown = [one.line for one in waits if one.line.runs and (one.line.campaign, one.line.version) not in self._routes]
        if unknown:
            for line in unknown:
                await self._route(line.campaign, line.version)
            entering = await self._store.read(unentered, self._wanted(waits))
        return waits, entering

    async def _turn(self, one: Awaited, asking: Sequence[Asking]) -> int:
        """What is due of a campaign, a bounded part of it. Returns how much was done."""
        now, done = self._clock.instant(), 0
        if one.line.status == ARCHIVED and (one.line.job or one.going is not None):
            done += await self._close(one.line)
        elif one.fresh is not None and one.fresh <= now:
            done += await self._enrol(one.line)
        if one.line.runs and one.going is not None and one.going <= now:
            done += await self._go(one.line, asking)
        if one.over is not None and one.over <= now:
            done += await self._settle(one.line)
        return done

    async def _route(self, campaign: int, version: int) -> Route | None:
        """None: this release cannot read what an older one stored."""
        key = campaign, version
        if key not in self._routes:
            while len(self._routes) >= 200:
                self._routes.pop(next(iter(self._routes)))
            try:
                self._routes[key] = Route.of(await self._store.read(body_of, campaign, version))
            except (ValueError, KeyError, TypeError) as error:
                self._log.error("campaign_version_unreadable", campaign=campaign, version=version, error=str(error))
                self._routes[key] = None
        return self._routes[key]

    async def _asking(self, waits: Sequence[Awaited]) -> dict[str, list[Asking]]:
        """Campaign -> who awaits missing reactions to its steps."""
        found: dict[str, list[Asking]] = {}
        for one in waits:
            route = await self._route(one.line.campaign, one.line.version)
            trigger = route.campaign.enrol.trigger if route is not None else None
            if trigger is None or trigger.absent is None or trigger.of is None:
                continue
            named, dot, step = trigger.of.partition(".")
            for other in waits:
                if not dot or other.line.name == named:
                    asks = Asking(step if dot else named, trigger.after, one.line.campaign, trigger.absent)
                    found.setdefault(other.line.name, []).append(asks)
        return found

    async def _go(self, line: Line, asking: Sequence[Asking]) -> int:
        """Some walks of a campaign move on."""
        now = self._clock.instant()
        newest = await self._route(line.campaign, line.version)
        leaving = newest.campaign.exit.segments if newest is not None else ()
        walks, inside = await self._store.read(due_inside, line.campaign, now, self._moving.rows(), leaving)
        known = await self._know(line, walks, inside, asking)
        moves: list[Moved] = []
        prices = Prices(self._shop(), float(self._config.shop.margin), self._costs())
        for walk in walks:
            route = await self._route(line.campaign, walk.version)
            if route is None:
                moves.append(Moved(walk, now + HOUR))
            else:
                moves.append(route.move(walk, known[walk.id], self._rules, now, prices))
        act = self._moving.timed(move_walks, len(moves))
        due = await self._store.write(Lane.BULK, act, line, moves, asking, now, self._ids.rng().getrandbits(ID_BITS))
        if due:
            self._released()
        self._signals.emit("walked", campaign=line.name)
        return len(moves)

    async def _know(
        self, line: Line, walks: Sequence[Walking], inside: Mapping[int, Sequence[str]], asking: Sequence[Asking]
    ) -> dict[int, Known]:
        """What is known of their people."""
        awaits: dict[str, int] = {}
        for one in asking:
            awaits[one.step] = min(one.after, awaits.get(one.step, one.after))
        persons = [walk.person for walk in walks]
        routes = {version: await self._route(line.campaign, version) for version in sorted({walk.version for walk in walks})}
        reacted: Mapping[int, object] = {}
        if any(route is not None and route.campaign.after.finish is not None for route in routes.values()):
            reacted = await self._store.read(reactions, persons)
        habits: Mapping[int, Habit] = {}
        if any(route is not None and route.preference.own for route in routes.values()):
            habits = await self._store.read(habits_of, persons, self._clock.instant() - MEMORY)
        wanted = {
            text: (expression, persons) for route in routes.values() if route is not None for text, expression in route.conditions.items()
        }
        matched = await self._store.write(Lane.BULK, matching, wanted, self._shop(), self._clock.instant()) if wanted else {}
        return {
            walk.id: Known(
                matches=functools.partial(_matches, matched, walk.person), inside=inside.get(walk.person, ()),
                reacted=bool(reacted.get(walk.id)), awaited=awaits, habit=habits.get(walk.person, ()),
            )
            for walk in walks
        }  # fmt: skip

    def _wanted(self, waits: Sequence[Awaited]) -> list[tuple[int, str]]:
        """Campaigns that take the members of a segment now, as far as their routes are known, and the segment."""
        wanted: list[tuple[int, str]] = []
        now = self._clock.instant()
        for one in waits:
            route = self._routes.get((one.line.campaign, one.line.version)) if one.line.runs else None
            if route is None or route.campaign.enrol.segment is None:
                continue
            if opens_at(route.campaign) <= now < closes_at(route.campaign):
                wanted.append((one.line.campaign, route.campaign.enrol.segment))
        return wanted

    async def _enrol_members(self, line: Line) -> int:
        """A page of the members of a campaign's segment enter."""
        route, entry = await self._route(line.campaign, line.version), await self._entry(line)
        if route is None or entry is None or route.campaign.enrol.segment is None:
            return 0
        rows = self._moving.rows()
        looked_at, entered = await self._store.write(
            Lane.BULK, enrol_members, entry, route.campaign.enrol.segment, self._clock.instant(), rows
        )
        if entered:
            self._log.info("segment_entered", campaign=line.name, segment=route.campaign.enrol.segment, people=entered)
        return looked_at

    async def _settle(self, line: Line) -> int:
        """What follows from ends, and the end of horizons."""
        now = self._clock.instant()
        walks = await self._store.read(due_walks, line.campaign, ENDED, now, self._settling.rows())
        settled: list[Settled] = []
        following: dict[str, Entry | None] = {}
        for walk in walks:
            route = await self._route(line.campaign, walk.version)
            until = route.watched_until(walk) if route is not None else now
            name = route.campaign.after.goal if route is not None and walk.state == WalkState.CONVERTED.value else None
            if name is not None and name not in following:
                following[name] = await self._after(name)
            into = following[name] if name is not None else None
            settled.append(Settled(walk, until if until > now else None, sunset=walk.end_reason == "sunset", into=into))
        fresh = await self._store.write(Lane.BULK, self._settling.timed(settle_walks, len(settled)), settled, now)
        for one in fresh:
            self._log.info(
                "walk_ended", campaign=line.name, recipient=one.walk.key, occurrence=one.walk.occurrence, state=one.walk.state,
                reason=one.walk.end_reason,
            )  # fmt: skip
        self._signals.emit("settled", campaign=line.name)
        return len(settled)

    async def _after(self, name: str) -> Entry | None:
        """The way into the campaign that converted recipients go on in."""
        other = next((line for line in await self._store.read(lines) if line.name == name), None)
        if other is None or other.status not in ("active", "paused"):
            return None
        return await self._entry(other)

    async def _entry(self, line: Line) -> Entry | None:
        route = await self._route(line.campaign, line.version)
        if route is None:
            return None
        won = await self._store.read(decided, line.campaign)
        return entry_of(line.campaign, line.version, route.campaign, self._config.holdout.share, won)

    async def _enrol(self, line: Line) -> int:
        """Some triggers of a campaign are taken."""
        route = await self._route(line.campaign, line.version)
        trigger = route.campaign.enrol.trigger if route is not None else None
        entry = await self._entry(line)
        if route is None or entry is None:
            return 0
        now = self._clock.instant()
        taken = await self._store.write(
            Lane.BULK, take_triggers, entry, now, self._moving.rows(), life=life_of(route.campaign),
            opens_at=opens_at(route.campaign) if now < closes_at(route.campaign) else NEVER,
            absent=trigger.absent if trigger is not None else None,
        )  # fmt: skip
        if taken.total:
            self._log.info("triggers_taken", campaign=line.name, **taken.how)
        return taken.total

    async def _close(self, line: Line) -> int:
        """An archived campaign's walks end, and then its standing job."""
        now = self._clock.instant()
        far = now + 100 * 365 * DAY
        walks = await self._store.read(due_walks, line.campaign, [WalkState.OPEN.value], far, MOST_ROWS)
        if walks:
            await self._store.write(Lane.BULK, close_walks, walks, WalkState.EXITED, ARCHIVED, now)
        elif line.job and await self._store.write(Lane.BULK, close_line, line.job, line.campaign):
            self._log.info("walks_closed", campaign=line.name)
        return len(walks)


def _matches(matched: Mapping[str, set[int]], person: int, step: Step) -> bool:
    return step.where is None or person in matched.get(step.where, ())


def life_of(campaign: Campaign) -> int:
    """How long after its trigger the first message may still go."""
    first = campaign.steps[0]
    return (first.delay or 0) + (first.day or 0) * DAY + first.valid


def opens_at(campaign: Campaign) -> Instant:
    """When the campaign begins at the earliest, anywhere."""
    return 0 if campaign.starts is None else _somewhere(campaign.starts, -14)


def closes_at(campaign: Campaign) -> Instant:
    """When it is over everywhere."""
    return NEVER if campaign.ends is None else _somewhere(campaign.ends, 12)


def _somewhere(moment: date | datetime, hours: int) -> Instant:
    if isinstance(moment, datetime):
        return to_instant(moment)
    return to_instant(datetime.combine(moment, time(), UTC)) + hours * HOUR
