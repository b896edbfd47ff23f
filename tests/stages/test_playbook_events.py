"""The events of the playbook on people and days: what each of them makes of who did it, in whatever order and however often it is told."""

from __future__ import annotations

import random
from typing import Any

import pytest

from daemon.model.delivery import DAY
from tests.stages.playbook_world import ORDER, Opening, PlaybookWorld, whole

TOLD: list[tuple[str, str, float, dict[str, Any]]] = [
    ("c-1", ORDER, 100, {"order_id": "o-1", "revenue": 300}), ("c-1", ORDER, 70, {"order_id": "o-2", "revenue": 300}),
    ("c-1", ORDER, 50, {"order_id": "o-3", "revenue": 300}),
    ("c-2", ORDER, 100, {"order_id": "o-4", "revenue": 300}), ("c-2", ORDER, 70, {"order_id": "o-5", "revenue": 300}),
    ("c-2", ORDER, 50, {"order_id": "o-6", "revenue": 300}), ("c-2", "Order Refunded", 49, {"order_id": "o-5", "revenue": 300}),
    ("c-2", "Order Refunded", 48, {"order_id": "o-6", "revenue": 300}),
    ("c-3", ORDER, 50, {"order_id": "o-7", "revenue": 60}), ("c-3", "Subscription Started", 45, {"subscription_id": "s-1"}),
    ("c-4", ORDER, 50, {"order_id": "o-8", "revenue": 60}), ("c-4", "Subscription Started", 45, {"subscription_id": "s-2"}),
    ("c-4", "Subscription Cancelled", 40, {"subscription_id": "s-2"}),
    ("c-5", ORDER, 50, {"order_id": "o-9", "revenue": 60}), ("c-5", "Support Ticket Opened", 9, {"ticket_id": "t-1"}),
    ("c-6", ORDER, 50, {"order_id": "o-10", "revenue": 60}), ("c-6", "Support Ticket Opened", 9, {"ticket_id": "t-2"}),
    ("c-6", "Support Ticket Closed", 8, {"ticket_id": "t-2"}),
    ("c-7", ORDER, 50, {"order_id": "o-11", "revenue": 60}), ("c-7", "Survey Answered", 20, {"nps": 3, "reason": "price"}),
    ("c-8", ORDER, 50, {"order_id": "o-12", "revenue": 60}), ("c-8", "Survey Answered", 30, {"nps": 3}),
    ("c-8", "Survey Answered", 20, {"nps": 10}),
    ("c-9", "Product Added", 2, {"product_id": "tea"}), ("c-9", "Cart Viewed", 1.9, {}), ("c-9", "Checkout Started", 1.8, {"value": 20}),
    ("c-10", "Product List Viewed", 3, {"category": "tea"}), ("c-10", "Product List Viewed", 2, {"category": "tea"}),
    ("c-11", "Store Entered", 2, {}),
    ("c-12", ORDER, 200, {"order_id": "o-13", "revenue": 60}), ("c-12", "Application Opened", 35, {}),
    ("c-12", "Ad Impression", 2, {"campaign": "x"}),
    ("c-13", ORDER, 200, {"order_id": "o-14", "revenue": 60}), ("c-13", "Page Viewed", 35, {}), ("c-13", "Ad Clicked", 2, {"campaign": "x"}),
]  # fmt: skip
"""(recipient, event, days ago, properties)"""
EXPECTED = {
    "lapsed_30_90": {"c-1", "c-2", "c-4", "c-6", "c-7", "c-8"}, "tier_high": {"c-1"}, "high_value_lapsed": {"c-1"},
    "active_subscribers": {"c-3"}, "ended_subscription": {"c-4"}, "open_tickets": {"c-5"}, "detractors": {"c-7"}, "promoters": {"c-8"},
    "left_for_price": {"c-7"}, "abandoned_cart": {"c-9"}, "abandoned_checkout": {"c-9"}, "browsed_category": {"c-10"},
    "store_visitors": {"c-11"}, "inactive_30": {"c-1", "c-2", "c-4", "c-12"},
}  # fmt: skip


async def tell(world: PlaybookWorld, told: list[tuple[str, str, float, dict[str, Any]]]) -> None:
    for number, (recipient, name, days, properties) in enumerate(told):
        id = f"{recipient} {name} {days} {sorted(properties.items())}"
        await world.happen(name, recipient, ago=round(days * DAY), id=id, **properties)
        if number % 2:
            await world.happen(name, recipient, ago=round(days * DAY), id=id, **properties)


@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_what_people_did_puts_them_where_they_belong_in_whatever_order_it_is_told(opening: Opening, seed: int | None) -> None:
    """Forty events of thirteen people, every second one told twice; in order, and shuffled: the next morning each is in the same segments."""
    world = await opening()
    told = list(TOLD)
    if seed is not None:
        random.Random(seed).shuffle(told)
    await tell(world, told)
    await world.live(1, *EXPECTED)
    assert {name: await world.members(name) for name in EXPECTED} == EXPECTED


async def test_a_purchase_that_is_told_late_voids_what_is_unsent_and_takes_nothing_back(opening: Opening) -> None:
    """Three people have the reminder of day 45. One bought the day before it, one after it, told ten days later: neither gets the offer of day
    60; the third does. An event that is told twice ends nothing twice."""
    world = await opening(whole("standard"), whole("post_reactivation"))
    await world.bought(44, "c-1", "c-2", "c-3")
    await world.live(10)
    assert {each.recipient for each in world.letters} == {"c-1", "c-2", "c-3"}
    sent = {each.recipient: each.at for each in world.letters}
    now = world.inner.clock.wall
    for _ in range(2):
        await world.happen(ORDER, "c-1", ago=now - sent["c-1"] + DAY // 4, id="before it", revenue=20)
        await world.happen(ORDER, "c-2", ago=now - sent["c-2"] - DAY, id="after it", revenue=20)
    await world.live(12)
    assert [step for step in world.got("c-1") if step in ("offer", "last")] == []
    assert [step for step in world.got("c-2") if step in ("offer", "last")] == []
    assert world.got("c-3") == ["reminder", "offer"]
    assert len(await world.walks("c-1", "standard")) == len(await world.walks("c-2", "standard")) == 1
    assert (await world.walks("c-2", "standard"))[0][0] == "converted"
