"""AUDIENCE, the desired sets: who should be in which retargeting audience, kept true by two short rounds (ADR 0008).

The watch goes over the members that are wanted and takes out whoever may not stay: unsubscribed, suppressed, erased, exited, time over. It
comes round once a minute, whatever else there is to do, so a removal is on its way well within five. The comparison goes over the
deliveries of campaigns with an `[[audience]]` and puts in who walks. Reads pages beside the writer, writes differences in short stretches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from daemon.clock import Clock
from daemon.content.audience_name import namer, values_of
from daemon.content.offer_words import offer_text
from daemon.content.version import CampaignVersion
from daemon.errors import StoreUnavailableError
from daemon.journey.profile import Shop
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Campaign, CampaignStatus
from daemon.model.delivery import Reason
from daemon.pacing.stride import Stride
from daemon.service import Service, Signals
from daemon.store import audiences as a
from daemon.store.campaigns import statuses
from daemon.store.walks import Compared, Wanted, Wish, compare_walks, walks_of, waves_of
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

EVERY_SECONDS = 60.0
SHARE = 20
"""A round rests at least so many times as long as it worked."""
UNTRUE = frozenset({Reason.CLOCK_UNTRUSTED.value, Reason.RESTORED.value, Reason.STORE_DAMAGED.value})
PAGE = 1000
STRAYS = 2000
SHOP = Shop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What the config and the campaigns ask for. `consent`: what an unknown consent for the channel means; `shop`: tiers, bands."""

    campaigns: Mapping[str, Campaign]
    providers: tuple[str, ...]
    consent: str
    shop: Shop = SHOP

    @classmethod
    def of(cls, versions: Mapping[str, CampaignVersion], providers: Sequence[str], consent: str, shop: Shop) -> Intent:
        campaigns = {name: each.campaign for name, each in versions.items()}
        return cls(campaigns=campaigns, providers=tuple(providers), consent=consent, shop=shop)

    def rules(self, campaign: Campaign) -> list[Wanted]:
        """Its audiences of walks; those of a step over the channel audience are the door's."""
        if any(AUDIENCE in step.every_channel for step in campaign.steps):
            return []
        names = [step.name for step in campaign.steps]
        rules = []
        for rule in campaign.audiences:
            variables, fill = namer(rule.name)
            first = names.index(rule.from_step) if rule.from_step in names else 0
            providers = tuple(name for name in rule.providers if name in self.providers)
            rules.append(Wanted(
                providers=providers, names=variables, fill=fill, steps=frozenset(names[first:]), stay=rule.stay,
                offered="offer.name" in variables and bool(campaign.offers), about=self._about(campaign, rule.description),
            ))  # fmt: skip
        return rules

    def _about(self, campaign: Campaign, description: str) -> dict[str, str]:
        """What the platform shows: the description, and the words of the offer, so that whoever makes the ad says what the mail said."""
        words = {name: offer_text(offer, None, self.shop.currency) for name, offer in campaign.offers.items()}
        return {"": description, **{name: f"{description}: {text}" if description else text for name, text in words.items()}}

    def topic(self, name: str) -> str | None:
        return self.campaigns[name].topic if name in self.campaigns else None


class Desired(Service):
    """Signals: `watched(left)`, `compared(joined, left)`. `changed()` is called when the platforms have something to be told."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, intent: Intent, changed: Callable[[], None], signals: Signals | None = None,
        every_seconds: float = EVERY_SECONDS, holds: Callable[[], Collection[str]] = tuple,
    ) -> None:  # fmt: skip
        """`holds`: what holds all sending now; in an untrue time, or in a store that may be a copy, nobody's time is over."""
        super().__init__("audience-desired")
        self._store, self._clock, self._log, self.intent = store, clock, log, intent
        self._changed, self._signals, self._every = changed, signals or Signals.off(), every_seconds
        self._holds = holds
        self._stride = Stride(clock.monotonic)
        self._bells = asyncio.Event(), asyncio.Event()

    def configure(self, intent: Intent) -> None:
        """Take another config and its campaigns (reload)."""
        self.intent = intent
        self.poke()

    def poke(self) -> None:
        """Look now."""
        for bell in self._bells:
            bell.set()

    async def stop(self) -> None:
        self.poke()
        await super().stop()

    async def run(self) -> None:
        watching = asyncio.create_task(self._rounds(self.watch, self._bells[0], rests=False), name="audience-watch")
        comparing = asyncio.create_task(self._rounds(self.compare, self._bells[1], rests=True), name="audience-compare")
        self.mark_ready()
        try:
            await asyncio.gather(watching, comparing)  # what one fails with ends the service, whatever the other does
        finally:
            watching.cancel()
            comparing.cancel()
            await asyncio.gather(watching, comparing, return_exceptions=True)

    async def _rounds(self, work: Callable[[], Awaitable[int]], bell: asyncio.Event, *, rests: bool) -> None:
        while not self.stopping.is_set():
            began = self._clock.monotonic()
            bell.clear()
            try:
                if self.intent.providers and not UNTRUE & set(self._holds()) and await work():
                    self._changed()
            except StoreUnavailableError as error:
                self._log.error("audience_put_off", error=str(error))
            took = self._clock.monotonic() - began
            most = (max(self._every, SHARE * took) if rests else self._every) if self.intent.providers else None
            try:
                async with asyncio.timeout(most):
                    await bell.wait()
            except TimeoutError:
                continue

    async def watch(self) -> int:
        """Take out whoever may not stay. Returns how many left."""
        left = 0
        campaigns = {number: name for name, (number, _) in (await self._store.read(statuses, self.intent.campaigns)).items()}
        for audience, campaign, origin in await self._store.read(a.watched_audiences):
            after = -1
            while not self.stopping.is_set():
                now = self._clock.instant()
                strays = await self._store.read(a.find_strays, audience, after, STRAYS, now)
                if strays:
                    left += await self._judge(audience, campaign, campaigns.get(campaign), origin, strays)
                if len(strays) < STRAYS:
                    break
                after = strays[-1]
        if left:
            self._log.info("audience_watched", left=left)
        self._signals.emit("watched", left=left)
        return left

    async def _judge(self, audience: int, campaign: int, name: str | None, origin: str, strays: Sequence[int]) -> int:
        now = self._clock.instant()
        ended: set[int] = set()
        rules = self.intent.rules(self.intent.campaigns[name]) if name is not None and origin == a.WALK else []
        if rules:
            waves = await self._store.read(waves_of, campaign)
            ended = set(strays)
            for rule in rules:
                ended -= (await self._store.read(walks_of, waves, strays, rule, now)).keys()
        left, position = 0, 0
        while position < len(strays):
            some = strays[position : position + self._stride.rows()]
            act = self._stride.timed(a.judge_strays, len(some))
            left += await self._store.write(
                Lane.BULK, act, audience, some, topic=self.intent.topic(name) if name else None, rule=self.intent.consent,
                ended=ended.intersection(some), now=now,
            )  # fmt: skip
            position += len(some)
        return left

    async def compare(self) -> int:
        """Hold the walks of all campaigns against the members, and write the differences. Returns how many there were."""
        found = await self._store.read(statuses, self.intent.campaigns)
        done = 0
        for name, (number, status) in sorted(found.items()):
            rules = self.intent.rules(self.intent.campaigns[name]) if status in (CampaignStatus.ACTIVE, CampaignStatus.PAUSED) else []
            if rules:
                done += await self._compare_campaign(number, name, rules)
        done += await self._retire({number: name for name, (number, status) in found.items() if status != CampaignStatus.ARCHIVED})
        self._signals.emit("compared", done=done)
        return done

    async def _compare_campaign(self, campaign: int, name: str, rules: Sequence[Wanted]) -> int:
        cursor: tuple[int, int] | None = (0, -1)
        joined = left = 0
        while cursor is not None and not self.stopping.is_set():
            page: Compared = await self._store.read(
                compare_walks, campaign, name, rules, values_of, cursor=cursor, limit=PAGE, topic=self.intent.topic(name),
                consent=self.intent.consent, shop=self.intent.shop, now=self._clock.instant(),
            )  # fmt: skip
            cursor = page.cursor
            left += await self._leave(page.leaving)
            joined += await self._join(campaign, name, page.wishes)
            if page.looked_at:
                await self._clock.sleep(0)
        if joined or left:
            self._log.info("audience_compared", campaign=name, joined=joined, left=left)
        return joined + left

    async def _join(self, campaign: int, name: str, wishes: Sequence[Wish]) -> int:
        """Write the wishes; audiences that are not there yet are made."""
        joined, now = 0, self._clock.instant()
        for (provider, called, about), group in groupby(sorted(wishes), key=lambda wish: (wish.provider, wish.name, wish.about)):
            audience = await self._store.write(
                Lane.BULK, a.open_audience, campaign, provider, called, origin=a.WALK, description=about, now=now
            )  # fmt: skip
            mine = [a.Want(audience, wish.person, wish.until) for wish in group]
            position = 0
            while position < len(mine):
                some = mine[position : position + self._stride.rows()]
                act = self._stride.timed(a.put_members, len(some))
                refused = await self._store.write(
                    Lane.BULK, act, some, topic=self.intent.topic(name), rule=self.intent.consent, now=now
                )  # fmt: skip
                joined += len(some) - len(refused)
                position += len(some)
        return joined

    async def _leave(self, leaving: Sequence[a.Leaving]) -> int:
        left, position = 0, 0
        while position < len(leaving):
            some = leaving[position : position + self._stride.rows()]
            left += await self._store.write(Lane.BULK, self._stride.timed(a.unwant_members, len(some)), some, self._clock.instant())
            position += len(some)
        return left

    async def _retire(self, alive: Mapping[int, str]) -> int:
        """Audiences of walks whose campaign is gone, archived, or no longer has any."""
        left = 0
        for audience, campaign, origin in await self._store.read(a.watched_audiences):
            name = alive.get(campaign)
            if origin == a.WALK and (name is None or not self.intent.rules(self.intent.campaigns[name])):
                while some := await self._store.write(Lane.BULK, a.retire_some, audience, 400, self._clock.instant()):
                    left += some
        return left
