"""The shipped campaigns and the shipped segments together: the real stages, the real words, under a clock that a test moves day by day.

`live(days)` is what a shop has: events come, at six in the morning segments are made anew, their members enter, walks move, messages go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from daemon.app.setup import surroundings_of
from daemon.audience.segmenting import Segmenting
from daemon.clock import to_instant
from daemon.config import load_for_client
from daemon.content.campaigns import CampaignVersion, read_campaigns
from daemon.content.segment_file import load_segments
from daemon.dispatch.offering import minting
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import Envelope
from daemon.ids import SystemIds, encode_id
from daemon.intake.tracker import shop_of
from daemon.links import KeyRing, Links
from daemon.model.campaign import Campaign, CampaignStatus
from daemon.model.delivery import DAY, HOUR
from daemon.model.segment import Segments
from daemon.store.claim import Claimed, ClaimResult, claim_due
from daemon.store.products import recommended
from daemon.store.writer import Lane
from plugins.contract import Message, Outcome
from tests.stages.walk_world import CONFIG, ORDER, WalkWorld, person

ROOT = Path(__file__).parents[2]
SHOP = load_for_client(ROOT / "config.toml", {})
SEGMENTS = load_segments(SHOP.homing.segments)
VERSIONS = read_campaigns(ROOT / "campaigns", surroundings_of(SHOP, SEGMENTS))[0].versions
PRODUCTS = [{"name": "Aruna", "category": "tea", "price": 12}]
JAKARTA = ZoneInfo("Asia/Jakarta")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVERY_CHANNEL = {"email": "email", "sms": "phone", "export": "recipient", "webhook": "recipient"}
Opening = Callable[..., Any]
"""The fixture `opening`: makes a world with these campaigns of the playbook."""


class Letter(NamedTuple):
    """One message as its channel would get it."""

    recipient: str
    step: str
    at: int
    message: Message

    @property
    def local(self) -> datetime:
        """When that was in Jakarta."""
        return local(self.at)

    @property
    def day(self) -> date:
        return self.local.date()


def local(at: int) -> datetime:
    return (EPOCH + timedelta(microseconds=at)).astimezone(JAKARTA)


def started(version: CampaignVersion, **changes: Any) -> CampaignVersion:
    """As it is after `campaigns start`."""
    return CampaignVersion.of(replace(version.campaign, status=CampaignStatus.ACTIVE, **changes), version.files)


def whole(name: str, **changes: Any) -> CampaignVersion:
    """A shipped campaign after its start, with nobody held out: holdouts have tests of their own."""
    return started(VERSIONS[name], holdout=0.0, **changes)


class PlaybookWorld(WalkWorld):
    """`letters`: what was handed over, in order. `diary(recipient)`: what it got, and when."""

    letters: list[Letter]
    profiles: dict[int, Any]
    products: dict[int, Any]
    writer: MessageWriter
    segmenting: Segmenting

    @classmethod
    async def of(cls, folder: Path, *campaigns: str | CampaignVersion, segments: Segments = SEGMENTS, config: str = CONFIG) -> PlaybookWorld:
        """With these campaigns: a name is the shipped one with its holdout."""
        world = await cls.begin(folder, config=config)
        assert isinstance(world, PlaybookWorld)
        world.letters, world.profiles, world.products = [], {}, {}
        world.kinds, world.serving = dict(EVERY_CHANNEL), dict.fromkeys(EVERY_CHANNEL, "relay")
        world.writer = MessageWriter(world.plans, Links(KeyRing.fresh(SystemIds()), "https://go.example.com"), world.kinds, world.inner.clock)
        world.segmenting = Segmenting(
            store=world.inner.store, clock=world.inner.clock, log=world.inner.log, segments=segments, shop=lambda: shop_of(SHOP)._replace(zone="Asia/Jakarta"),
            zone=lambda: "Asia/Jakarta", changed=lambda: None,
        )  # fmt: skip
        for each in campaigns:
            await world.load(started(VERSIONS[each]) if isinstance(each, str) else each)
        return world

    async def live(self, days: int, *also: str) -> None:
        """So many mornings come: the segments that the campaigns name (and `also` these) are made anew at six."""
        wanted = sorted({name for each in self.campaigns.values() for name in named_by(each)} | set(also))
        for _ in range(days):
            now = self.inner.clock.wall
            six = local(now).replace(hour=6, minute=0, second=0, microsecond=0)
            at = to_instant(six) if to_instant(six) > now else to_instant(six + timedelta(days=1))
            await self.go(at - now)
            if wanted:
                await self.segmenting.evaluate(wanted)
            await self.go(0)

    async def claim(self) -> ClaimResult:
        self.epoch += 1
        judge = self.bind(self.inner.clock.wall)
        result = await self.inner.store.write(
            Lane.CLAIM, claim_due, now=self.inner.clock.wall, owner=1, epoch=self.epoch, horizon=judge.horizon, judge=judge, contest=judge.contest,
            share=lambda lanes: [(lane.id, 100) for lane in lanes], prepare=judge.prepare, mint=minting(b"secret" * 6),
            wants_profile=judge.wants_profile,
        )  # fmt: skip
        self.profiles |= result.profiles
        naming = [one.row.person for one in result.claimed if self.plans.names_products(one.row)]
        self.products |= await self.inner.store.read(recommended, naming, self.inner.clock.wall)
        return result

    async def record(self, answer: Callable[[Claimed], Outcome | None], claimed: Sequence[Claimed]) -> None:
        for one in claimed:
            plan = self.plans.peek(one.row.campaign, one.row.version)
            assert plan is not None
            envelope = Envelope(
                claimed=one, public_id=encode_id(one.row.delivery), plan=plan, profile=self.profiles.get(one.row.person),
                products=self.products.get(one.row.person, ()),
            )  # fmt: skip
            made = self.writer.render(envelope)
            assert isinstance(made, Message), made
            self.letters.append(Letter(one.row.recipient, one.row.step, self.inner.clock.wall, made))
        await super().record(answer, claimed)

    @property
    def messages(self) -> list[tuple[str, str, Message]]:
        """(recipient, step, message)"""
        return [(each.recipient, each.step, each.message) for each in self.letters]

    def got(self, recipient: str) -> list[str]:
        """The steps whose messages it got."""
        return [each.step for each in self.letters if each.recipient == recipient]

    def diary(self, recipient: str, since: int) -> list[tuple[int, str]]:
        """(whole days since that instant, step) of each."""
        return [((each.at - since) // DAY, each.step) for each in self.letters if each.recipient == recipient]

    async def members(self, segment: str) -> set[str]:
        found = await self.inner.sql(
            "SELECT recipient.key FROM segment_member JOIN segment ON segment.id = segment_member.segment"
            " JOIN recipient ON recipient.id = segment_member.person WHERE segment.name = :name",
            name=segment,
        )  # fmt: skip
        return {key for (key,) in found}

    async def held_out(self) -> set[str]:
        found = await self.inner.sql("SELECT recipient.key FROM walk JOIN recipient ON recipient.id = walk.person WHERE walk.held_out = 1")
        return {key for (key,) in found}

    async def know(self, recipient: str, *, locale: str | None = None, **traits: Any) -> None:
        """Its address, zone and traits, as an import brings them."""
        row = person(recipient)
        if not await self.inner.sql("SELECT 1 FROM recipient WHERE key = :key", key=recipient):
            await self.happen("Imported", recipient, ago=3650 * DAY)
        await self.inner.do(
            "UPDATE recipient SET email = :email, phone = :phone, email_hash = :mail, phone_hash = :number, zone = :zone, locale = :locale,"
            " country = :country, traits = :traits WHERE key = :key",
            mail=f"mail {recipient}".encode(), number=f"number {recipient}".encode(), email=row["email"], phone=row["phone"], zone=row["zone"], locale=locale, country=traits.pop("country", "ID"), key=recipient,
            traits=json.dumps({"first_name": "Sari", **traits}, ensure_ascii=False),
        )  # fmt: skip

    async def bought(self, days: float, *recipients: str, revenue: int = 60, orders: int = 1, apart: int = 40, **said: Any) -> None:
        """These are known, and bought so many days ago last, `orders` times in all."""
        for recipient in recipients:
            for number in range(orders):
                ago = round((days + apart * number) * DAY)
                await self.happen(ORDER, recipient, ago=ago, id=f"{recipient} {days} {number}", revenue=revenue, products=PRODUCTS, **said)
            if not await self.inner.sql("SELECT 1 FROM recipient WHERE key = :key AND email IS NOT NULL", key=recipient):
                await self.know(recipient)


def named_by(campaign: Campaign) -> Iterable[str]:
    """The segments that it enrols from, or leaves out, or is triggered by."""
    enrol = campaign.enrol
    entered = enrol.trigger.where if enrol.trigger is not None and enrol.trigger.event == "Segment Entered" else None
    return [name for name in (enrol.segment, *campaign.exit.segments, (entered or "").partition("'")[2].rstrip("'")) if name]


__all__ = ["DAY", "HOUR", "ORDER", "SEGMENTS", "VERSIONS", "Letter", "PlaybookWorld", "local", "started", "whole"]
