"""Who is lapsed, by the shipped segments: people with histories, mornings on which segments are made anew, and who is in which of them when."""

from __future__ import annotations

from typing import Any

from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY
from daemon.model.journey import Enrol, Exit, Trigger
from tests.stages.playbook_world import ORDER, SEGMENTS, Opening, PlaybookWorld, whole

BANDS = ("lapsed_early", "lapsed_mid", "lapsed_late", "lapsed_deep")


async def inside(world: PlaybookWorld, *segments: str) -> dict[str, set[str]]:
    """Segment -> its members as of now."""
    await world.segmenting.evaluate(segments)
    return {name: await world.members(name) for name in segments}


async def test_days_without_an_order_move_people_from_band_to_band(opening: Opening) -> None:
    """Early from day 30, mid from 60, late from 90, deep from 180 on; the day before each they are still in the one before."""
    world = await opening()
    began = world.inner.clock.wall
    await world.bought(0, "c-1")
    seen = {}
    for day in (29, 30, 59, 60, 89, 90, 179, 180, 700):
        await world.go(began + day * DAY - world.inner.clock.wall)
        found = await inside(world, *BANDS)
        seen[day] = [name for name in BANDS if "c-1" in found[name]]
    assert seen == {
        29: [], 30: ["lapsed_early"], 59: ["lapsed_early"], 60: ["lapsed_mid"], 89: ["lapsed_mid"], 90: ["lapsed_late"],
        179: ["lapsed_late"], 180: ["lapsed_deep"], 700: ["lapsed_deep"],
    }  # fmt: skip
    await world.happen(ORDER, "c-1", revenue=20)
    assert not any((await inside(world, *BANDS)).values()), "who buys is lapsed no more"


async def test_the_cycle_is_the_recipients_own_or_that_of_the_category(opening: Opening) -> None:
    """Every 60 days: flagged on day 75. Every 40 days: reminded on day 38, before it ends. Who has no cycle of its own has the category's."""
    world = await opening()
    await world.bought(74, "c-1", orders=3, apart=60)
    await world.bought(37, "c-2", orders=3, apart=40)
    for number in range(3, 9):  # tea is bought every 50 days
        await world.bought(10, f"c-{number}", orders=4, apart=50)
    await world.bought(61, "c-9")  # one order of tea
    before = await inside(world, "cycle_lapsed", "replenishment")
    assert not before["cycle_lapsed"] & {"c-1", "c-9"}
    assert "c-2" not in before["replenishment"]
    await world.live(1)
    await world.go(12 * 3_600_000_000)
    after = await inside(world, "cycle_lapsed", "replenishment")
    assert "c-1" in after["cycle_lapsed"]
    assert after["replenishment"] == {"c-2"}
    await world.live(2)
    assert "c-9" in (await inside(world, "cycle_lapsed"))["cycle_lapsed"], "1.25 of the 50 days of tea"


async def test_value_makes_the_tiers(opening: Opening) -> None:
    """High: three orders and 500; low: one order under 100; the rest medium. An order in a currency without a rate is an order, not value."""
    world = await opening()
    await world.bought(10, "c-1", orders=3, revenue=200)
    await world.bought(10, "c-2", revenue=50)
    await world.bought(10, "c-3", revenue=150)
    await world.bought(10, "c-4", orders=3, revenue=100)
    await world.bought(10, "c-5", orders=3, revenue=5_000_000, currency="XAU")
    assert await inside(world, "tier_high", "tier_medium", "tier_low") == {
        "tier_high": {"c-1"}, "tier_medium": {"c-3", "c-4", "c-5"}, "tier_low": {"c-2"},
    }  # fmt: skip
    assert await world.inner.sql("SELECT unvalued FROM profile JOIN recipient ON recipient.id = person WHERE key = 'c-5'") == [(3,)]


async def test_engagement_adds_up_over_thirty_days_and_ages(opening: Opening) -> None:
    """An order 3, a click 2, an open 1; from 6 on engaged, 1 to 5 partly, 0 without a visit disengaged; reading without buying is a class of
    its own. Thirty days later it is all gone."""
    world = await opening()
    for recipient in ("c-1", "c-2", "c-3", "c-4"):
        await world.bought(100, recipient)
    for event, times, recipient in ((ORDER, 1, "c-1"), ("Email Link Clicked", 1, "c-1"), ("Email Opened", 1, "c-1"), ("Email Opened", 2, "c-2"), ("Email Link Clicked", 1, "c-4")):
        for number in range(times):
            await world.happen(event, recipient, ago=(number + 1) * DAY, id=f"{event} {number} {recipient}", revenue=10)
    await world.happen("Page Viewed", "c-4", ago=DAY)
    names = ("engaged", "partly_engaged", "disengaged", "engaged_not_buying")
    assert await inside(world, *names) == {"engaged": {"c-1"}, "partly_engaged": {"c-2", "c-4"}, "disengaged": {"c-3"}, "engaged_not_buying": {"c-4"}}
    await world.go(31 * DAY)
    assert await inside(world, *names) == {
        "engaged": set(), "partly_engaged": set(), "disengaged": {"c-1", "c-2", "c-3", "c-4"}, "engaged_not_buying": set(),
    }  # fmt: skip


async def test_leading_signs_are_seen_in_those_who_show_them(opening: Opening) -> None:
    """Falling opens and visits, a growing gap, returns, discounts alone, open tickets, a churn score of the shop's own: each has one who
    shows it and one who does not."""
    world = await opening()
    for recipient in ("c-1", "c-2"):
        falling = recipient == "c-1"
        for number, days in enumerate((50, 45, 40, 35, 5) if falling else (50, 5, 4, 3, 2)):
            await world.happen("Email Opened", recipient, ago=days * DAY, id=f"open {recipient} {number}")
            await world.happen("Page Viewed", recipient, ago=days * DAY, id=f"view {recipient} {number}")
    await world.bought(65, "c-3", orders=3, apart=40)
    await world.bought(45, "c-4", orders=3, apart=40)
    await world.bought(20, "c-5", "c-6", orders=2)
    for number in range(2):
        await world.happen(ORDER, "c-5", ago=DAY, id=f"o{number}", order_id=f"o-{number}", revenue=10)
        await world.happen("Order Refunded", "c-5", id=f"r{number}", order_id=f"o-{number}", revenue=10)
    await world.bought(20, "c-7", orders=3, discount=5, coupon="SALE")
    await world.happen("Support Ticket Opened", "c-8", ticket_id="t-1")
    await world.happen("Support Ticket Opened", "c-9", ticket_id="t-2", id="opened")
    await world.happen("Support Ticket Closed", "c-9", ticket_id="t-2")
    await world.know("c-10", churn_score=0.8)
    await world.know("c-11", churn_score=0.2)
    found = await inside(world, "falling_opens", "falling_visits", "growing_gap", "returners", "discount_only", "open_tickets", "churn_risk")
    assert found == {
        "falling_opens": {"c-1"}, "falling_visits": {"c-1"}, "growing_gap": {"c-3"}, "returners": {"c-5"}, "discount_only": {"c-7"},
        "open_tickets": {"c-8"}, "churn_risk": {"c-10"},
    }  # fmt: skip


async def test_who_must_not_be_treated_as_lapsed_gets_no_win_back(opening: Opening) -> None:
    """All bought 46 days ago. A subscription, an open ticket, strong engagement, a walk of thanks, an unsubscription: none of them is written
    to; the plain one is; when the ticket is closed, its owner is, too."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    await world.bought(44, *(f"c-{number}" for number in range(1, 7)))
    await world.happen("Subscription Started", "c-2", ago=10 * DAY)
    await world.happen("Support Ticket Opened", "c-3", ago=DAY, ticket_id="t-1")
    for number in range(3):
        await world.happen("Email Link Clicked", "c-4", ago=DAY, id=f"click {number}")
    await world.inner.do(
        "INSERT INTO consent (person, channel, topic, state, at, source) SELECT id, 'email', '*', 'withdrawn', 1, 'x' FROM recipient WHERE key = 'c-5'"
    )
    await world.live(4)
    assert {key: world.got(key) for key in ("c-1", "c-2", "c-3", "c-4", "c-5", "c-6")} == {
        "c-1": ["reminder"], "c-2": [], "c-3": [], "c-4": [], "c-5": [], "c-6": ["reminder"],
    }  # fmt: skip
    await world.happen("Support Ticket Closed", "c-3", ticket_id="t-1")
    await world.happen(ORDER, "c-6", revenue=20)
    await world.live(35)
    assert world.got("c-3")[0] == "reminder"
    assert world.got("c-6") == ["reminder", "thanks", "survey", "pairs", "club"], "who is being thanked is not lapsed"


async def test_entering_a_band_with_a_tier_is_a_trigger(opening: Opening) -> None:
    """On the morning on which it happens; who was in the band before anybody looked does not enter it, and another tier is left out."""
    trigger = Trigger(event="Segment Entered", where="segment = 'lapsed_mid'")
    step = Step(name="call", channels=("email",), delay=0, where="tier = 'high'")
    campaign = Campaign(
        name="band", status=CampaignStatus.ACTIVE, steps=(step,), enrol=Enrol(trigger=trigger, anchor="event"), exit=Exit(events=(ORDER,))
    )
    world = await opening(CampaignVersion.of(campaign, {"call.email.liquid": "---\nsubject: Hi\n---\n<p>Hi</p>\n"}))
    await world.bought(55, "c-1", orders=3, revenue=300)
    await world.bought(55, "c-2")
    await world.bought(70, "c-3", orders=3, revenue=300)
    began = world.inner.clock.wall
    await world.live(4)
    assert world.letters == []
    await world.live(4)
    assert [each.recipient for each in world.letters] == ["c-1"]
    assert (world.letters[0].at - began) // DAY + 55 == 60


async def test_each_other_segment_has_those_it_is_about(opening: Opening) -> None:
    """Carts, browsing, the shop, stages of a customer, birthdays, reasons, promoters: one who belongs there, in a crowd of those who do not."""
    world = await opening()
    told: list[tuple[str, str, float, dict[str, Any]]] = [
        ("c-1", "Product Added", 1, {}), ("c-2", "Checkout Started", 1, {}), ("c-3", "Product List Viewed", 1, {}), ("c-3", "Product List Viewed", 2, {}),
        ("c-4", "Store Entered", 1, {}), ("c-5", "Signed Up", 5, {}), ("c-6", "Subscription Started", 300, {}), ("c-6", "Subscription Cancelled", 3, {}),
        ("c-7", "Subscription Started", 300, {"ends_at": "2026-12-10T00:00:00Z"}), ("c-8", "Application Uninstalled", 3, {}),
        ("c-9", "Survey Answered", 3, {"lapse_reason": "price"}), ("c-10", "Survey Answered", 3, {"nps": 10}), ("c-11", "Survey Answered", 3, {"nps": 2}),
        ("c-12", "Survey Answered", 3, {"reason": "delivery"}), ("c-13", "Survey Answered", 3, {"reason": "quality"}),
    ]  # fmt: skip
    for recipient, event, days, said in told:
        await world.happen(event, recipient, ago=round(days * DAY), **said)
    await world.inner.do("UPDATE recipient SET created_at = created_at - :days WHERE key = 'c-5'", days=5 * DAY)
    await world.bought(35, "c-14")
    await world.know("c-15", birthday="1990-11-22")
    await world.know("c-16", birthday="1990-11-28")
    await world.know("c-17", tags=["vip"])
    for recipient, clicked in (("c-18", False), ("c-19", True)):
        await world.know(recipient)
        await world.inner.do(
            "INSERT INTO push_subscription (hash, person, address, created_at, last_seen_at) SELECT :hash, id, 'x', 1, 1 FROM recipient WHERE key = :key",
            hash=recipient.encode(), key=recipient,
        )  # fmt: skip
        if clicked:
            await world.inner.do(
                "INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at)"
                " SELECT id, 1, x'', 'clicked', 'web', '', 1, 'push', 1 FROM recipient WHERE key = :key",
                key=recipient,
            )  # fmt: skip
    await world.inner.do("UPDATE recipient SET created_at = created_at - :days WHERE key IN ('c-18', 'c-19')", days=20 * DAY)
    found = await inside(world, *SEGMENTS.by_name)
    expected = {
        "abandoned_cart": {"c-1"}, "abandoned_checkout": {"c-2"}, "browsed_category": {"c-3"}, "store_visitors": {"c-4"},
        "onboarding_unfinished": {"c-5"}, "ended_subscription": {"c-6"}, "contract_ending": {"c-7"}, "active_subscribers": {"c-7"},
        "app_uninstalled": {"c-8"}, "left_for_price": {"c-9"}, "promoters": {"c-10"}, "detractors": {"c-11"}, "left_for_service": {"c-12"},
        "left_for_quality": {"c-13"}, "one_time_buyers": {"c-14"}, "second_purchase": {"c-14"}, "birthday_today": {"c-15"},
        "birthday_this_week": {"c-15", "c-16"}, "vip": {"c-17"}, "never_opened_push": {"c-18"}, "surveyed_this_year": {"c-9", "c-10", "c-11", "c-12", "c-13"},
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
