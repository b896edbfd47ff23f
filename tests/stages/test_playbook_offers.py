"""What the shipped campaigns offer, to whom, until when and in which words: by tier, by arm, to those who come for discounts, in four languages."""

from __future__ import annotations

import pytest

from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import Enrol, Exit, Experiment, Offer, OfferKind, Part, Trigger, Variant
from tests.stages.playbook_world import ORDER, Opening, whole

BY_HAND = {"enrol": Enrol(trigger=Trigger(event="Asked"), anchor="event"), "exit": Exit(events=(ORDER,)), "status": CampaignStatus.ACTIVE}


async def test_each_tier_climbs_its_own_ladder_and_seekers_get_another_thing(opening: Opening) -> None:
    """Low 15 then 25, medium 20 then 30; four of five orders with a discount: an early look, and no percent at all."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    await world.bought(45, "c-1", revenue=50)
    await world.bought(45, "c-2", revenue=200)
    await world.bought(45, "c-3", orders=4, revenue=30, discount=5, coupon="SALE")
    await world.live(52)
    said = {(each.recipient, each.step): each.message.text for each in world.letters}
    for recipient, step, words in (
        ("c-1", "offer", "15% off"), ("c-1", "last", "25% off"), ("c-2", "offer", "20% off"), ("c-2", "last", "30% off"), ("c-3", "offer", "early access"),
    ):  # fmt: skip
        assert words in said[recipient, step]
    assert not any("% off" in text for (recipient, _), text in said.items() if recipient == "c-3")
    assert [each.step for each in world.letters if each.recipient == "c-1"] == ["reminder", "offer", "last"]


async def test_the_deadline_is_tried_a_week_against_a_fortnight(opening: Opening) -> None:
    """Each arm's offer ends with its reader's seventh or fourteenth day after the acceptance, in the books and on paper."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    recipients = [f"c-{number}" for number in range(1, 11)]
    await world.bought(45, *recipients)
    await world.live(20)
    ends = await world.inner.sql(
        "SELECT recipient.key, json_extract(walk.arms, '$.offer'), issue.ends_at, issue.accepted_at FROM issue JOIN walk ON walk.id = issue.walk"
        " JOIN recipient ON recipient.id = issue.person WHERE issue.step = 'offer'"
    )
    assert {arm for _, arm, _, _ in ends} == {"week", "fortnight"}
    assert len(ends) == 10
    for _, arm, end, accepted in ends:
        days = 7 if arm == "week" else 14
        assert days * DAY <= end - accepted <= (days + 1) * DAY


async def test_each_reader_gets_the_campaign_in_his_own_language(opening: Opening) -> None:
    """All three mails in Indonesian, Malay, Persian (of Iran, from right to left, with its dates and digits), and English for who speaks another."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    for recipient, locale in (("c-1", "id-ID"), ("c-2", "ms"), ("c-3", "fa-IR"), ("c-4", "nl"), ("c-5", None)):
        await world.bought(45, recipient)
        await world.know(recipient, locale=locale)
    await world.live(52)
    greetings = {"c-1": "Halo Sari", "c-2": "Hai Sari", "c-3": "سلام Sari", "c-4": "Hello Sari", "c-5": "Hello Sari"}
    for recipient, greeting in greetings.items():
        mine = [each.message for each in world.letters if each.recipient == recipient]
        assert len(mine) == 3
        assert all(greeting in message.text for message in mine)
        assert all(('dir="rtl"' in message.html) == (recipient == "c-3") for message in mine)
    persian = next(each.message.text for each in world.letters if (each.recipient, each.step) == ("c-3", "offer"))
    assert "آذر ۱۴۰۵" in persian
    assert "۱۵٪ تخفیف" in persian
    indonesian = next(each.message.text for each in world.letters if (each.recipient, each.step) == ("c-1", "offer"))
    assert "diskon 15%" in indonesian
    assert "Desember 2026" in indonesian


KINDS: dict[str, tuple[Offer, str]] = {
    "percent": (Offer(name="o", parts=(Part(kind=OfferKind.PERCENT, value=20),)), "20% off"),
    "amount": (Offer(name="o", parts=(Part(kind=OfferKind.AMOUNT, value=10),)), "$10.00 off"),
    "tiered": (Offer(name="o", parts=(Part(kind=OfferKind.TIERED, tiers=((15, 50), (20, 100))),)), "15% off over $50.00, 20% off over $100.00"),
    "shipping": (Offer(name="o", parts=(Part(kind=OfferKind.SHIPPING),)), "free shipping"),
    "points": (Offer(name="o", parts=(Part(kind=OfferKind.POINTS, value=500),)), "500 bonus points"),
    "gift": (Offer(name="o", parts=(Part(kind=OfferKind.GIFT, what="a cup"),)), "a free gift: a cup"),
    "access": (Offer(name="o", parts=(Part(kind=OfferKind.ACCESS, what="autumn"),)), "early access: autumn"),
    "credit": (Offer(name="o", parts=(Part(kind=OfferKind.CREDIT, value=5),)), "$5.00 store credit"),
    "trial": (Offer(name="o", parts=(Part(kind=OfferKind.TRIAL, value=30),)), "30 days free"),
    "cashback": (Offer(name="o", parts=(Part(kind=OfferKind.CASHBACK, value=3),)), "$3.00 cashback"),
    "content": (Offer(name="o", parts=(Part(kind=OfferKind.CONTENT, what="the recipe book"),)), "the recipe book"),
    "bundle": (Offer(name="o", parts=(Part(kind=OfferKind.PERCENT, value=30), Part(kind=OfferKind.SHIPPING))), "30% off + free shipping"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_offer_of_each_kind_reaches_its_reader_with_a_code_and_is_redeemed(opening: Opening, kind: str) -> None:
    """One offer, however many parts it has: one code, one end, and an order with the code closes it."""
    offer, words = KINDS[kind]
    offer = Offer(name="o", parts=offer.parts, valid=7 * DAY, generate="WB-########")
    step = Step(name="news", channels=("email",), offer={"default": "o"})
    campaign = Campaign(name="kinds", steps=(step,), offers={"o": offer}, **BY_HAND)
    world = await opening(CampaignVersion.of(campaign, {"news.email.liquid": "---\nsubject: Hi\n---\n<p>{{ offer.text }} {{ offer.code }}</p>\n"}))
    await world.know("c-1")
    await world.happen("Asked", "c-1")
    await world.go(HOUR)
    [letter] = world.letters
    text = letter.message.text.splitlines()[0]
    assert text.startswith(words)
    await world.happen(ORDER, "c-1", revenue=80, coupon=text.rpartition(" ")[2])
    assert await world.inner.sql("SELECT state FROM issue") == [("redeemed",)]


async def test_arms_differ_in_day_hour_and_channel(opening: Opening) -> None:
    """Each person gets what his arm says, when it says so."""
    arms = (Variant(name="early", share=0.34), Variant(name="late", share=0.33, day=9, hours=("mon-sun 18:00-20:00",)), Variant(name="text", share=0.33, channels=("sms",)))
    step = Step(name="news", channels=("email",), day=5, experiment=Experiment(variants=arms), valid=3 * DAY)
    files = {"news.email.liquid": "---\nsubject: Hi\n---\n<p>Hi</p>\n", "news.sms.liquid": "Hi"}
    world = await opening(CampaignVersion.of(Campaign(name="arms", steps=(step,), **BY_HAND), files))
    began = world.inner.clock.wall
    for number in range(1, 16):
        await world.know(f"c-{number}")
        await world.happen("Asked", f"c-{number}")
    await world.go(14 * DAY)
    arm_of = dict(await world.inner.sql("SELECT recipient.key, json_extract(arms, '$.news') FROM walk JOIN recipient ON recipient.id = walk.person"))
    assert set(arm_of.values()) == {"early", "late", "text"}
    assert len(world.letters) == 15
    for each in world.letters:
        arm, days = arm_of[each.recipient], (each.at - began) // DAY
        assert (days, each.message.channel) == {"early": (5, "email"), "late": (9, "email"), "text": (5, "sms")}[arm]
        assert arm != "late" or 18 <= each.local.hour < 20
