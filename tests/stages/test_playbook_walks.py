"""The shipped campaigns walked from the first message to the last: the real stages, the real words, under a clock that the test moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.content.version import CampaignVersion
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import Season
from tests.stages.playbook_world import ORDER, PRODUCTS, VERSIONS, Opening, started, whole

PEOPLE = tuple(f"c-{number}" for number in range(1, 4))


async def test_three_mails_end_in_silence(opening: Opening) -> None:
    """Days 45, 60 and 90, each offer better than the one before and with a code of its own; the held-out get none."""
    world = await opening("standard", "post_reactivation")
    await world.bought(45, *PEOPLE)
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
    await world.bought(45, *PEOPLE)
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


async def test_the_best_get_five_mails_an_sms_and_a_call(opening: Opening) -> None:
    """Days 30 to 100 at the hours that the campaign prefers; the last is followed by an SMS, and by a row of the call list."""
    world = await opening(whole("high_value"), whole("post_reactivation"))
    began = world.inner.clock.wall
    await world.bought(30, *PEOPLE, revenue=400, orders=3)
    await world.bought(30, "c-4")
    await world.live(90)
    for recipient in PEOPLE:
        letters = [each for each in world.letters if each.recipient == recipient]
        steps = [(each.step, each.message.channel) for each in letters]
        mails = [("hello", "email"), ("news", "email"), ("thanks", "email"), ("invite", "email"), ("farewell", "email")]
        assert steps == [*mails, ("farewell", "sms"), ("call", "export")]
        assert [day + 30 for day, _ in world.diary(recipient, began)][:5] == pytest.approx([31, 47, 61, 82, 102], abs=2)
        assert all(each.local.weekday() in (1, 2, 3) and 9 <= each.local.hour < 12 for each in letters[:5]), "Tuesday to Thursday morning"
        assert 36 * HOUR <= letters[5].at - letters[4].at <= 60 * HOUR
    assert world.got("c-4") == [], "this is for the best"
    hello = next(message for _, step, message in world.messages if step == "hello")
    assert "Aruna" in hello.text


async def test_a_basket_is_asked_after_and_a_purchase_ends_it(opening: Opening) -> None:
    """Half an hour after the checkout, with what is in it; who has bought meanwhile gets nothing."""
    world = await opening("cart", "post_reactivation")
    await world.bought(100, *PEOPLE)
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
    await world.bought(38, *PEOPLE, orders=3)
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
    await world.bought(100, *PEOPLE)
    await world.put_in("lapsed_late", *PEOPLE)
    await world.go(34 * DAY)
    assert {step for _, step, _ in world.messages} == {"hello"}
    await world.go(3 * DAY)
    assert {step for _, step, _ in world.messages} == {"hello", "festive"}


async def test_the_question_comes_a_fortnight_after_an_order_and_once_a_year(opening: Opening) -> None:
    """An event enrols; a second order within the year asks nothing."""
    world = await opening("nps")
    await world.bought(400, "c-1")
    await world.happen(ORDER, id="first", revenue=20, products=PRODUCTS)
    await world.go(13 * DAY)
    assert world.messages == []
    await world.go(3 * DAY)
    assert world.got("c-1") == ["ask"]
    await world.happen(ORDER, id="second", revenue=20, products=PRODUCTS)
    await world.go(30 * DAY)
    assert world.got("c-1") == ["ask"]
