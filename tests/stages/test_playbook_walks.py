"""The shipped campaigns walked from the first message to the last: the real stages, the real words, under a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.app.setup import surroundings_of
from daemon.config import load_for_client
from daemon.content.campaigns import CampaignVersion, read_campaigns
from daemon.content.segment_file import load_segments
from daemon.dispatch.offering import minting
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import Envelope
from daemon.ids import SystemIds, encode_id
from daemon.links import KeyRing, Links
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import Season
from daemon.store.claim import Claimed, ClaimResult, claim_due
from daemon.store.products import recommended
from daemon.store.writer import Lane
from plugins.contract import Message, Outcome
from tests.stages.walk_world import CONFIG, ORDER, WalkWorld, person

ROOT = Path(__file__).parents[2]
SHOP = load_for_client(ROOT / "config.toml", {})
VERSIONS = read_campaigns(ROOT / "campaigns", surroundings_of(SHOP, load_segments(SHOP.homing.segments)))[0].versions
PEOPLE = tuple(f"c-{number}" for number in range(1, 4))
PRODUCTS = [{"name": "Aruna", "price": 12}]


class PlaybookWorld(WalkWorld):
    """`messages`: (recipient, step, message) in the order in which they were handed over, as the channel would get them."""

    messages: list[tuple[str, str, Message]]
    profiles: dict[int, Any]
    products: dict[int, Any]

    @classmethod
    async def of(cls, folder: Path, *names: str) -> PlaybookWorld:
        world = await cls.begin(folder, config=CONFIG)
        assert isinstance(world, PlaybookWorld)
        world.messages, world.profiles, world.products = [], {}, {}
        world.writer = MessageWriter(world.plans, Links(KeyRing.fresh(SystemIds()), "https://go.example.com"), world.kinds, world.inner.clock)
        for name in names:
            await world.load(started(VERSIONS[name]))
        return world

    writer: MessageWriter

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
            self.messages.append((one.row.recipient, one.row.step, made))
        await super().record(answer, claimed)

    def got(self, recipient: str) -> list[str]:
        """The steps whose messages it got."""
        return [step for who, step, _ in self.messages if who == recipient]

    async def held_out(self) -> set[str]:
        found = await self.inner.sql("SELECT recipient.key FROM walk JOIN recipient ON recipient.id = walk.person WHERE walk.held_out = 1")
        return {key for (key,) in found}


def started(version: CampaignVersion) -> CampaignVersion:
    """As it is after `campaigns start`."""
    return CampaignVersion.of(replace(version.campaign, status=CampaignStatus.ACTIVE), version.files)


Opening = Callable[..., Any]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    worlds: list[PlaybookWorld] = []

    async def make(*names: str) -> PlaybookWorld:
        worlds.append(await PlaybookWorld.of(tmp_path, *names))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


async def bought(world: PlaybookWorld, days: int, *recipients: str, revenue: int = 60, orders: int = 1) -> None:
    """These are known, and bought so many days ago last, `orders` times in all, 40 days apart."""
    for recipient in recipients:
        for number in range(orders):
            await world.happen(ORDER, recipient, ago=(days + 40 * number) * DAY, id=f"{recipient} {number}", revenue=revenue, products=PRODUCTS)
        row = person(recipient)
        await world.inner.do(
            "UPDATE recipient SET email = :email, zone = :zone, traits = :traits WHERE key = :key",
            email=row["email"], zone=row["zone"], traits='{"first_name": "Sari"}', key=recipient,
        )  # fmt: skip


async def test_three_mails_end_in_silence(opening: Opening) -> None:
    """Days 45, 60 and 90, each offer better than the one before and with a code of its own; the held-out get none."""
    world = await opening("standard", "post_reactivation")
    await bought(world, 45, *PEOPLE)
    await world.put_in("lapsed_30_90", *PEOPLE)
    await world.go(70 * DAY)
    held = await world.held_out()
    for recipient in PEOPLE:
        assert world.got(recipient) == ([] if recipient in held else ["reminder", "offer", "last"])
    assert len(held) < len(PEOPLE)
    texts = [message.text for who, step, message in world.messages if step != "reminder"]
    assert all("WB-" in text for text in texts)
    codes = [word for text in texts for word in text.split() if word.startswith("WB-")]
    assert len(set(codes)) == len(codes) // texts[0].count("WB-")
    assert {state for name in PEOPLE for state, _, _ in await world.walks(name, "standard")} == {"finished"}


async def test_who_comes_back_is_thanked_and_gets_no_more_offers(opening: Opening) -> None:
    """A purchase ends the win-back at once; the sequence after the return follows, and ends with a tag."""
    world = await opening("standard", "post_reactivation")
    await bought(world, 45, *PEOPLE)
    await world.put_in("lapsed_30_90", *PEOPLE)
    await world.go(2 * DAY)
    for recipient in PEOPLE:
        await world.happen(ORDER, recipient, id=f"back {recipient}", revenue=40, products=PRODUCTS)
    await world.go(40 * DAY)
    assert {state for name in PEOPLE for state, _, _ in await world.walks(name, "standard")} == {"converted"}
    after = [[step for step in world.got(recipient) if step != "reminder"] for recipient in PEOPLE]
    assert ["thanks", "survey", "pairs", "club"] in after
    assert all(steps in ([], ["thanks", "survey", "pairs", "club"]) for steps in after)
    points = [message.text for _, step, message in world.messages if step == "club"]
    assert all("500 bonus points" in text for text in points)


async def test_the_best_get_five_mails(opening: Opening) -> None:
    """Days 30 to 100; a text that names how long it has been."""
    world = await opening("high_value", "post_reactivation")
    await bought(world, 30, *PEOPLE, revenue=400, orders=3)
    await world.put_in("high_value_lapsed", *PEOPLE)
    await world.go(80 * DAY)
    held = await world.held_out()
    for recipient in set(PEOPLE) - held:
        assert [step for step in world.got(recipient) if step != "call"] == ["hello", "news", "thanks", "invite", "farewell"]
    hello = next(message for _, step, message in world.messages if step == "hello")
    assert "31 days" in hello.text  # the campaign does not write on Sundays
    assert "Aruna" in hello.text


async def test_a_basket_is_asked_after_and_a_purchase_ends_it(opening: Opening) -> None:
    """Half an hour after the checkout, with what is in it; who has bought meanwhile gets nothing."""
    world = await opening("cart", "post_reactivation")
    await bought(world, 100, *PEOPLE)
    for recipient in PEOPLE:
        await world.happen("Checkout Started", recipient, value=120, products=[{"name": "Bima"}, {"name": "Citra"}])
    await world.go(5 * MINUTE)
    await world.happen(ORDER, "c-1", id="at once", revenue=120)
    await world.go(24 * MINUTE)
    assert world.messages == []
    await world.go(2 * HOUR)
    reminded = {who for who, step, _ in world.messages if step == "reminder"}
    assert reminded == set(PEOPLE) - await world.held_out() - {"c-1"}
    assert all("- Bima\n- Citra\n" in message.text for _, _, message in world.messages)
    for recipient in PEOPLE[:2]:
        await world.happen(ORDER, recipient, id=f"then {recipient}", revenue=120)
    await world.go(3 * DAY)
    assert {who for who, step, _ in world.messages if step == "help"} == reminded - set(PEOPLE[:2])


async def test_a_refill_is_offered_before_the_cycle_ends(opening: Opening) -> None:
    """One mail, and none once they have ordered."""
    world = await opening("replenish")
    await bought(world, 38, *PEOPLE, orders=3)
    await world.put_in("replenishment", *PEOPLE)
    await world.go(DAY)
    assert {who for who, step, _ in world.messages} == set(PEOPLE) - await world.held_out()


async def test_a_seasonal_offer_waits_for_the_season(opening: Opening) -> None:
    """Its day is 7 December; the new year's days begin on the 27th, which is near enough."""
    world = await opening("post_reactivation")
    campaign = VERSIONS["season"].campaign
    hello, festive = campaign.steps
    steps = (hello, replace(festive, season=Season(name="new_year", within=45 * DAY)))
    await world.load(started(CampaignVersion.of(replace(campaign, steps=steps), VERSIONS["season"].files)))
    await bought(world, 100, *PEOPLE)
    await world.put_in("lapsed_late", *PEOPLE)
    await world.go(34 * DAY)
    assert {step for _, step, _ in world.messages} == {"hello"}
    await world.go(3 * DAY)
    assert {step for _, step, _ in world.messages} == {"hello", "festive"}


async def test_the_question_comes_a_fortnight_after_an_order_and_once_a_year(opening: Opening) -> None:
    """An event enrols; a second order within the year asks nothing."""
    world = await opening("nps")
    await bought(world, 400, "c-1")
    await world.happen(ORDER, id="first", revenue=20, products=PRODUCTS)
    await world.go(13 * DAY)
    assert world.messages == []
    await world.go(3 * DAY)
    assert world.got("c-1") == ["ask"]
    await world.happen(ORDER, id="second", revenue=20, products=PRODUCTS)
    await world.go(30 * DAY)
    assert world.got("c-1") == ["ask"]
