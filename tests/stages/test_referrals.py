"""Codes that are passed on: the friend's order rewards whoever passed it on, once, and not if it is undone; the owner's other offers do not care."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.reports.named import Reporting
from daemon.store.redemptions import strange_uses
from tests.stages.playbook_world import ORDER, PlaybookWorld, whole


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PlaybookWorld]:
    world = await PlaybookWorld.of(tmp_path, whole("referral"), whole("referral_reward"), whole("standard"), whole("post_reactivation"))
    yield world
    await world.close()


def code_in(text: str, head: str) -> str:
    return next(word.strip(".,:") for word in text.split() if word.startswith(head))


async def invited(world: PlaybookWorld, *recipients: str) -> dict[str, str]:
    """They said 10 of 10, and have their codes: recipient -> code."""
    await world.bought(20, *recipients)
    for recipient in recipients:
        await world.happen("Survey Answered", recipient, nps=10)
    await world.live(5)
    return {each.recipient: code_in(each.message.text, "FRIEND-") for each in world.letters if each.step == "invite"}


async def report(world: PlaybookWorld) -> list[dict[str, Any]]:
    return [dict(row) for row in (await Reporting(store=world.inner.store).report("referrals", None)).rows]


async def test_a_friends_first_order_rewards_whoever_passed_the_code_on(world: PlaybookWorld) -> None:
    """Within the hour, with a code of its own; each friend once; own orders, small ones and those of old customers are no reason."""
    codes = await invited(world, "c-1", "c-2")
    assert len(set(codes.values())) == 2
    await world.go(6 * HOUR)
    await world.happen(ORDER, "c-11", revenue=50, order_id="o-1", coupon=codes["c-1"].lower())
    await world.happen(ORDER, "c-1", revenue=50, order_id="o-2", coupon=codes["c-1"])
    await world.happen(ORDER, "c-12", revenue=5, order_id="o-3", coupon=codes["c-2"])
    await world.bought(100, "c-13")
    await world.happen(ORDER, "c-13", revenue=90, order_id="o-4", coupon=codes["c-2"])
    await world.go(2 * HOUR)
    rewards = [each for each in world.letters if each.step == "thanks" and "TX-" in each.message.text]
    assert [each.recipient for each in rewards] == ["c-1"]
    assert "500 bonus points" in rewards[0].message.text
    await world.happen(ORDER, "c-11", revenue=50, order_id="o-5", coupon=codes["c-1"])
    await world.go(DAY)
    await world.happen(ORDER, "c-14", revenue=30, order_id="o-6", coupon=codes["c-1"])
    await world.go(DAY)
    rewards = [each for each in world.letters if each.step == "thanks" and "TX-" in each.message.text]
    assert [each.recipient for each in rewards] == ["c-1", "c-1"], "for the second friend, not for the first one's second order"
    assert len({code_in(each.message.text, "TX-") for each in rewards}) == 2
    assert [each.what for each in await world.inner.store.read(strange_uses, ("", ""), 10)] == ["own"]
    assert await report(world) == [
        {"campaign": "referral", "offer": "friend15", "inviters": 2, "used": 2, "friends": 4, "orders": 5, "undone": 0}
    ]


async def test_an_order_that_is_undone_before_the_reward_brings_none(world: PlaybookWorld) -> None:
    """A refund within half an hour; the report says so. Nothing of who the friend is stands in the inviter's events."""
    codes = await invited(world, "c-1")
    await world.go(6 * HOUR)
    await world.happen(ORDER, "c-11", revenue=50, order_id="o-1", coupon=codes["c-1"])
    await world.go(10 * MINUTE)
    await world.happen("Order Refunded", "c-11", order_id="o-1")
    await world.go(DAY)
    assert [each.step for each in world.letters if each.recipient == "c-1"] == ["invite"]
    [line] = await report(world)
    assert (line["friends"], line["undone"]) == (0, 1)
    said = await world.inner.sql(
        "SELECT event_name.name, properties FROM event JOIN event_name ON event_name.id = event.name WHERE event_name.name LIKE 'Referral%' ORDER BY 1"
    )
    assert [name for name, _ in said] == ["Referral Completed", "Referral Undone"]
    assert not any("c-11" in text or "o-1" in text for _, text in said)


async def test_a_code_to_pass_on_is_no_offer_of_its_owner(world: PlaybookWorld) -> None:
    """It is open for three months: the win-back of its owner goes its way, and replaces nothing; friends may use it long after."""
    codes = await invited(world, "c-1")
    await world.live(60)
    assert [step for step in world.got("c-1") if step != "invite"] == ["reminder", "offer"]
    assert dict(await world.inner.sql("SELECT offer, state FROM issue WHERE apart = 1")) == {"friend15": "open"}
    await world.happen(ORDER, "c-11", revenue=50, coupon=codes["c-1"])
    await world.go(DAY)
    assert "thanks" in world.got("c-1")
    await world.go(60 * DAY)
    await world.happen(ORDER, "c-12", revenue=50, coupon=codes["c-1"])
    await world.go(DAY)
    brought = await world.inner.sql("SELECT count(*) FROM event JOIN event_name ON event_name.id = event.name WHERE event_name.name = 'Referral Completed'")
    assert brought == [(1,)], "after its end the code brings nothing"
    assert [each.what for each in await world.inner.store.read(strange_uses, ("", ""), 10)] == ["late"]


async def test_the_same_orders_in_any_order_bring_the_same_referrals(tmp_path: Path) -> None:
    """Told late, twice, refunds before their orders: the same events of the inviter."""
    outcomes = set()
    for seed in range(4):
        world = await PlaybookWorld.of(tmp_path / str(seed), whole("referral"))
        codes = await invited(world, "c-1")
        now = world.inner.clock.wall
        told = [
            (ORDER, "c-11", {"order_id": "o-1", "revenue": 30, "coupon": codes["c-1"]}), ("Order Refunded", "c-11", {"order_id": "o-1"}),
            (ORDER, "c-12", {"order_id": "o-2", "revenue": 40, "coupon": codes["c-1"]}), (ORDER, "c-12", {"order_id": "o-2", "revenue": 40, "coupon": codes["c-1"]}),
            ("Order Cancelled", "c-13", {"order_id": "o-3"}), (ORDER, "c-13", {"order_id": "o-3", "revenue": 10, "coupon": codes["c-1"]}),
        ]
        random.Random(seed).shuffle(told)
        for name, recipient, said in told:
            await world.happen(name, recipient, id=f"{name} {said['order_id']}", **said)
        outcomes.add(json_of(await report(world)))
        assert now == world.inner.clock.wall
        await world.close()
    assert outcomes == {"friends 1, orders 1, undone 2"}


def json_of(rows: list[dict[str, Any]]) -> str:
    [line] = rows
    return f"friends {line['friends']}, orders {line['orders']}, undone {line['undone']}"
