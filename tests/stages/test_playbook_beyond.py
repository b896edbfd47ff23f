"""The shipped campaigns beyond win-back, walked: welcome, birthday, contract, second purchase, engagement, browsing, the shop, detractors, tone."""

from __future__ import annotations

import pytest

from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import Enrol, Exit, Experiment, Trigger, Variant
from tests.stages.playbook_world import ORDER, Opening, whole


def code_in(text: str, head: str) -> str:
    return next(word.strip(".,:") for word in text.split() if word.startswith(head))


async def test_the_generic_sequence_counts_from_the_last_sign_of_life(opening: Opening) -> None:
    """Days 30, 60 and 90 since they were last seen, whatever they bought and when; any activity ends it, opening a mail of others does not."""
    world = await opening(whole("inactive"), whole("post_reactivation"))
    began = world.inner.clock.wall
    await world.bought(300, "c-1", "c-2", "c-3", "c-4")
    for recipient in ("c-1", "c-2", "c-3"):
        await world.happen("Page Viewed", recipient, ago=29 * DAY)
    await world.happen("Page Viewed", "c-4", ago=2 * DAY)
    await world.live(33)
    assert {key: world.got(key) for key in ("c-1", "c-2", "c-3", "c-4")} == {"c-1": ["hello", "offer"], "c-2": ["hello", "offer"], "c-3": ["hello", "offer"], "c-4": ["hello"]}
    await world.happen("Application Opened", "c-2")
    await world.happen("Email Opened", "c-3")
    await world.live(33)
    assert world.diary("c-1", began - 29 * DAY) == [(30, "hello"), (60, "offer"), (90, "last")]
    assert world.got("c-2") == ["hello", "offer"], "an app that was opened is a sign of life"
    assert world.got("c-3") == ["hello", "offer", "last"]
    assert [day for day, _ in world.diary("c-4", began - 2 * DAY)] == pytest.approx([30, 60], abs=2)
    assert [state for state, _, _ in await world.walks("c-2", "inactive")] == ["exited"]
    hello = next(each.message for each in world.letters if (each.recipient, each.step) == ("c-1", "hello"))
    assert "30 days" in hello.text


async def test_the_first_week_of_who_has_just_signed_up(opening: Opening) -> None:
    """A hello within the hour, help on day 3 for whom it is for, free shipping on day 7; an order ends it."""
    world = await opening(whole("welcome"))
    began = world.inner.clock.wall
    for recipient in ("c-1", "c-2", "c-3"):
        await world.know(recipient)
        await world.happen("Signed Up", recipient)
    await world.go(2 * HOUR)
    assert all(10 * MINUTE <= each.at - began <= HOUR for each in world.letters)
    await world.go(DAY)
    await world.happen("Onboarding Completed", "c-2")
    await world.go(4 * DAY)
    await world.happen(ORDER, "c-3", revenue=20)
    await world.go(10 * DAY)
    assert world.diary("c-1", began) == [(0, "hello"), (3, "guide"), (7, "first")]
    assert world.diary("c-2", began) == [(0, "hello"), (7, "first")]
    assert world.diary("c-3", began) == [(0, "hello"), (3, "guide")]
    assert "free shipping" in world.letters[-1].message.text


async def test_a_birthday_has_its_present_that_day_and_a_word_before_it_is_over(opening: Opening) -> None:
    """The same code in both; who has used it is not reminded; the year after there is another."""
    world = await opening(whole("birthday"))
    for recipient, born in (("c-1", "1990-11-23"), ("c-2", "1985-11-25"), ("c-3", "2001-11-23"), ("c-4", "1999-07-01")):
        await world.bought(60, recipient)
        await world.know(recipient, birthday=born)
    await world.live(4)
    present = next(each for each in world.letters if each.recipient == "c-3")
    await world.happen(ORDER, "c-3", revenue=30, coupon=code_in(present.message.text, "BD-"))
    await world.live(12)
    days = {key: [(each.day.isoformat(), each.step) for each in world.letters if each.recipient == key] for key in ("c-1", "c-2", "c-3", "c-4")}
    assert days == {
        "c-1": [("2026-11-23", "wish"), ("2026-12-03", "reminder")],
        "c-2": [("2026-11-25", "wish"), ("2026-12-05", "reminder")],
        "c-3": [("2026-11-23", "wish")],
        "c-4": [],
    }
    assert len({code_in(each.message.text, "BD-") for each in world.letters if each.recipient == "c-1"}) == 1
    assert all(9 <= each.local.hour < 20 for each in world.letters)
    await world.go(340 * DAY)
    await world.live(30)
    assert [each.day.isoformat() for each in world.letters if each.recipient == "c-1"][2:] == ["2027-11-23", "2027-12-03"]
    assert len({code_in(each.message.text, "BD-") for each in world.letters if each.recipient == "c-1"}) == 2


async def test_a_contract_near_its_end_is_told_of_and_won_back_after_it(opening: Opening) -> None:
    """30 and 7 days before, 3 and 20 after; who renews gets nothing more, who is met late begins where he is; a ticket ends it."""
    world = await opening(whole("contract"))
    now = world.inner.clock.wall
    for recipient, days in (("c-1", 40), ("c-2", 40), ("c-3", 5), ("c-4", 100), ("c-5", 40)):
        await world.bought(50, recipient)
        await world.know(recipient, locale="fa" if recipient == "c-1" else None)
        await world.happen("Subscription Started", recipient, ago=300 * DAY, ends_at=iso(now + days * DAY))
    await world.live(20)
    await world.happen("Subscription Renewed", "c-2", ends_at=iso(now + 400 * DAY))
    await world.happen("Support Ticket Opened", "c-5", ticket_id="t-1")
    await world.live(45)
    ends = now + 40 * DAY
    assert [(day - 40, step) for day, step in world.diary("c-1", now)] == [(-30, "notice"), (-7, "week"), (3, "ended"), (20, "back")]
    assert world.got("c-2") == ["notice"]
    assert world.got("c-3") == ["week", "ended", "back"]
    assert world.got("c-4") == []
    assert world.got("c-5") == ["notice"]
    notice = next(each.message for each in world.letters if (each.recipient, each.step) == ("c-1", "notice"))
    assert "۱۱ دی ۱۴۰۵" in notice.text, ends
    back = next(each.message for each in world.letters if (each.recipient, each.step) == ("c-3", "back"))
    assert "30 days free" in back.text


async def test_a_first_order_is_followed_in_the_window_of_the_second(opening: Opening) -> None:
    """Day 30 and day 40, the offer by tier; the second order ends it, who has two is not of it."""
    world = await opening(whole("second_purchase"))
    began = world.inner.clock.wall
    await world.bought(25, "c-1", "c-2", revenue=50)
    await world.bought(25, "c-3", revenue=300)
    await world.bought(25, "c-4", orders=2)
    await world.live(8)
    await world.happen(ORDER, "c-2", id="second", revenue=20)
    await world.live(12)
    for recipient in ("c-1", "c-3"):
        assert [step for _, step in world.diary(recipient, began)] == ["tips", "pair"]
        assert [day for day, _ in world.diary(recipient, began - 25 * DAY)] == pytest.approx([30, 40], abs=1)
    assert (world.got("c-2"), world.got("c-4")) == (["tips"], [])
    said = {each.recipient: each.message.text for each in world.letters if each.step == "pair"}
    assert "free shipping" in said["c-1"]
    assert "15% off" in said["c-3"]


async def test_a_score_that_falls_below_two_is_answered(opening: Opening) -> None:
    """A click is worth 2 for thirty days: the day after, they enter the segment, and the day after that they are asked; who reads again is
    let alone. Who was in it before anybody looked is nobody's drop."""
    world = await opening(whole("engagement"))
    began = world.inner.clock.wall
    await world.bought(50, "c-1", "c-2", "c-3")
    await world.happen("Email Link Clicked", "c-1", ago=27 * DAY)
    await world.happen("Email Link Clicked", "c-2", ago=27 * DAY)
    await world.live(8)
    assert world.diary("c-1", began) == [(4, "ask")]
    assert world.got("c-3") == []
    await world.happen("Email Link Clicked", "c-2")
    await world.live(14)
    assert [step for _, step in world.diary("c-1", began)] == ["ask", "best"]
    assert world.diary("c-1", began)[1][0] in (18, 19, 20)
    assert world.got("c-2") == ["ask"]


async def test_who_looked_through_a_category_twice_hears_of_it_the_day_after(opening: Opening) -> None:
    """By the last look, with its name; once is not enough, a purchase or a checkout is the end of it, and once a month will do."""
    world = await opening(whole("browsed"))
    began = world.inner.clock.wall
    for recipient in ("c-1", "c-2", "c-3", "c-4"):
        await world.bought(100, recipient)
        await world.happen("Product List Viewed", recipient, ago=3 * DAY, category="cups")
        if recipient != "c-2":
            await world.happen("Product List Viewed", recipient, category="teapots")
    await world.go(HOUR)
    await world.happen(ORDER, "c-3", revenue=40)
    await world.happen("Checkout Started", "c-4", value=30)
    await world.go(3 * DAY)
    assert {each.recipient for each in world.letters} == {"c-1"}
    assert 20 * HOUR <= world.letters[0].at - began <= 24 * HOUR
    assert "in teapots" in world.letters[0].message.text
    await world.happen("Product List Viewed", "c-1", category="pans")
    await world.go(3 * DAY)
    assert world.got("c-1") == ["look"]
    await world.go(30 * DAY)
    for _ in range(2):
        await world.happen("Product List Viewed", "c-1", category="pans")
        await world.go(HOUR)
    await world.go(2 * DAY)
    assert world.got("c-1") == ["look", "look"]


async def test_who_was_in_the_shop_and_did_not_buy_is_written_to_the_day_after(opening: Opening) -> None:
    """An order at the till, told with the visit, is no reason to write."""
    world = await opening(whole("store_visit"))
    began = world.inner.clock.wall
    for recipient in ("c-1", "c-2"):
        await world.bought(100, recipient)
        await world.happen("Store Entered", recipient, store="Kemang")
    await world.happen(ORDER, "c-2", revenue=40)
    await world.go(3 * DAY)
    assert [(each.recipient, each.step) for each in world.letters] == [("c-1", "thanks")]
    assert 20 * HOUR <= world.letters[0].at - began <= 24 * HOUR
    assert "at Kemang" in world.letters[0].message.text


async def test_detractors_are_asked_called_and_told_and_get_no_offers(opening: Opening) -> None:
    """Six or less: a tag at once, a mail within hours, a call for the best, on day 10 what became of it; a ticket takes over."""
    world = await opening(whole("detractors"))
    began = world.inner.clock.wall
    await world.bought(20, "c-1", orders=3, revenue=400)
    await world.bought(20, "c-2", "c-3", "c-4")
    for recipient, given in (("c-1", 3), ("c-2", 6), ("c-3", 9), ("c-4", 2)):
        await world.happen("Survey Answered", recipient, nps=given)
    await world.go(DAY)
    await world.happen("Support Ticket Opened", "c-4", ticket_id="t-1")
    await world.go(13 * DAY)
    assert world.diary("c-1", began) == [(0, "sorry"), (0, "call"), (10, "heard")]
    assert world.diary("c-2", began) == [(0, "sorry"), (10, "heard")]
    assert world.got("c-3") == []
    assert world.got("c-4") == ["sorry"]
    tags = dict(await world.inner.sql("SELECT key, json_extract(traits, '$.tags[0]') FROM recipient WHERE traits LIKE '%detractor%'"))
    assert set(tags) == {"c-1", "c-2", "c-4"}
    assert await world.inner.sql("SELECT count(*) FROM issue") == [(0,)]


CASUAL = '---\nsubject: Hi\n---\n<p>{% assign tone = recipient.tone | default: "formal" %}{% if tone == "casual" %}Hey {{ recipient.first_name }}!{% else %}Dear {{ recipient.first_name }},{% endif %}</p>\n'


async def test_the_tone_is_a_trait_of_the_recipient(opening: Opening) -> None:
    """Formal where nobody said otherwise; the preferred channel is another such trait."""
    step = Step(name="news", channels=("email", "sms"))
    campaign = Campaign(
        name="toned", status=CampaignStatus.ACTIVE, steps=(step,), enrol=Enrol(trigger=Trigger(event="Asked"), anchor="event"), exit=Exit(events=(ORDER,)),
    )  # fmt: skip
    text = CASUAL.partition("<p>")[2].partition("</p>")[0]
    world = await opening(CampaignVersion.of(campaign, {"news.email.liquid": CASUAL, "news.sms.liquid": text}))
    for recipient, traits in (("c-1", {"tone": "casual"}), ("c-2", {"tone": "formal"}), ("c-3", {}), ("c-4", {"tone": "casual", "preferred_channels": ["sms"]})):
        await world.know(recipient, **traits)
        await world.happen("Asked", recipient)
    await world.go(HOUR)
    assert {each.recipient: (each.message.channel, each.message.text.splitlines()[0]) for each in world.letters} == {
        "c-1": ("email", "Hey Sari!"), "c-2": ("email", "Dear Sari,"), "c-3": ("email", "Dear Sari,"), "c-4": ("sms", "Hey Sari!"),
    }  # fmt: skip


async def test_the_tone_may_be_tried_as_a_variant(opening: Opening) -> None:
    """Each arm has words of its own, and each person one arm."""
    arms = (Variant(name="formal", share=0.5), Variant(name="casual", share=0.5))
    step = Step(name="news", channels=("email",), experiment=Experiment(variants=arms, hypothesis="they like to be greeted as friends"))
    campaign = Campaign(
        name="toned", status=CampaignStatus.ACTIVE, steps=(step,), enrol=Enrol(trigger=Trigger(event="Asked"), anchor="event"), exit=Exit(events=(ORDER,)),
    )  # fmt: skip
    words = {f"news.{tone}.email.liquid": f"---\nsubject: Hi\n---\n<p>{word} {{{{ recipient.first_name }}}}</p>\n" for tone, word in (("formal", "Dear"), ("casual", "Hey"))}
    world = await opening(CampaignVersion.of(campaign, words))
    for number in range(1, 13):
        await world.know(f"c-{number}")
        await world.happen("Asked", f"c-{number}")
    await world.go(HOUR)
    arms_of = dict(await world.inner.sql("SELECT recipient.key, json_extract(arms, '$.news') FROM walk JOIN recipient ON recipient.id = walk.person"))
    assert {each.recipient: each.message.text.split()[0] for each in world.letters} == {key: {"formal": "Dear", "casual": "Hey"}[arm] for key, arm in arms_of.items()}
    assert set(arms_of.values()) == {"formal", "casual"}


def iso(at: int) -> str:
    from daemon.clock import iso as written

    return written(at)


async def test_why_somebody_left_steers_branches_and_words(opening: Opening) -> None:
    """The answer to "why did you leave" is known at the next message: a step for those who left for the price, and other words for the rest."""
    words = '---\nsubject: Hi\n---\n<p>{% assign why = recipient.lapse_reason | default: "" %}{% if why == "quality" %}We have a new maker.{% else %}We are still here.{% endif %}</p>\n'
    steps = (
        Step(name="ask", channels=("email",), delay=0), Step(name="price", channels=("email",), delay=5 * DAY, where="lapse_reason in ('price', 'too_expensive')"),
        Step(name="rest", channels=("email",), delay=5 * DAY, where="lapse_reason is null or lapse_reason not in ('price', 'too_expensive')"),
    )  # fmt: skip
    campaign = Campaign(
        name="why", status=CampaignStatus.ACTIVE, steps=steps, enrol=Enrol(trigger=Trigger(event="Asked"), anchor="event"), exit=Exit(events=(ORDER,)),
    )  # fmt: skip
    plain = "---\nsubject: Hi\n---\n<p>Hi</p>\n"
    world = await opening(CampaignVersion.of(campaign, {"ask.email.liquid": plain, "price.email.liquid": plain, "rest.email.liquid": words}))
    began = world.inner.clock.wall
    for recipient in ("c-1", "c-2", "c-3"):
        await world.know(recipient)
        await world.happen("Asked", recipient)
    await world.go(2 * DAY)
    await world.happen("Survey Answered", "c-1", reason="price")
    await world.happen("Survey Answered", "c-2", lapse_reason="quality")
    await world.go(12 * DAY)
    assert world.diary("c-1", began) == [(0, "ask"), (5, "price")]
    assert [step for _, step in world.diary("c-2", began)] == [step for _, step in world.diary("c-3", began)] == ["ask", "rest"]
    said = {each.recipient: each.message.text for each in world.letters if each.step == "rest"}
    assert "a new maker" in said["c-2"]
    assert "still here" in said["c-3"]
