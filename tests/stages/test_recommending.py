"""What is recommended, on people and days: the shipped campaign after a return, with a catalogue, orders, and a day that passes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.app.recommending import EVERY, Recommending
from daemon.content.version import CampaignVersion
from daemon.dispatch.work import Envelope
from daemon.ids import encode_id
from daemon.intake.catalogue import Catalogue
from daemon.intake.parse import Item
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY, MINUTE
from daemon.store.flight import Kind, Result
from plugins.contract import Message
from tests.stages.playbook_world import PlaybookWorld
from tests.stages.walk_world import ORDER, person

TEA = {"product_id": "tea", "name": "Aruna", "category": "tea", "price": "45000", "currency": "idr", "url": "https://shop.example.com/p/tea"}
CUP = {"product_id": "cup", "name": "Bima", "category": "cups", "price": 19.9, "url": "https://shop.example.com/p/cup"}
POT = {"product_id": "pot", "name": "Citra", "category": "tea", "image_url": "https://shop.example.com/i/pot.png"}
OLD = {"product_id": "old", "name": "Dewi", "category": "tea", "in_stock": False}
MUST = "---\nsubject: For you\n---\n<ul>{% for item in recommendations %}<li>{{ item.title }}</li>{% endfor %}</ul>\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PlaybookWorld]:
    world = await PlaybookWorld.of(tmp_path, "post_reactivation")
    yield world
    await world.close()


def counting(world: PlaybookWorld) -> Recommending:
    return Recommending(store=world.inner.store, clock=world.inner.clock, log=world.inner.log, seconds=0.005)


async def stock(world: PlaybookWorld, *rows: dict[str, Any]) -> Any:
    items = [Item(line, row) for line, row in enumerate(rows, 1)]
    return await Catalogue(store=world.inner.store, clock=world.inner.clock).take(items)


async def buys(world: PlaybookWorld, recipient: str, *products: str, ago: int = 0, locale: str = "en") -> None:
    said = [{"product_id": key, "name": key} for key in products]
    await world.happen(ORDER, recipient, ago=ago, id=f"{recipient} {products} {ago}", revenue=60, products=said)
    row = person(recipient)
    await world.inner.do(
        "UPDATE recipient SET email = :email, zone = :zone, locale = :locale, traits = '{}' WHERE key = :key",
        email=row["email"], zone=row["zone"], locale=locale, key=recipient,
    )  # fmt: skip


async def shop(world: PlaybookWorld) -> None:
    """Four products; ten people who bought tea and a cup, five who bought a pot, in the last days."""
    await stock(world, TEA, CUP, POT, OLD)
    for number in range(100, 110):
        await buys(world, f"c-{number}", "tea", "cup", ago=5 * DAY)
    for number in range(110, 115):
        await buys(world, f"c-{number}", "pot", "old", ago=5 * DAY)
    await counting(world).count()


def mails(world: PlaybookWorld) -> dict[str, str]:
    """Recipient -> the text of its mail of day 20."""
    return {who: message.text for who, step, message in world.messages if step == "pairs"}


async def test_day_20_names_what_goes_with_the_purchase_and_nothing_that_is_at_home(world: PlaybookWorld) -> None:
    """Who came back for tea is named the cup that others bought with it; who has both, the pot; who bought the pot, what sells of tea."""
    await shop(world)
    people = {f"c-{number}": bought for number, bought in enumerate([["tea"], ["tea", "cup"], ["pot"]] * 5, 1)}
    for who, products in people.items():
        await buys(world, who, *products)
    await world.drop(*({"id": who} for who in people), campaign="post_reactivation")
    await world.go(19 * DAY)
    assert mails(world) == {}
    await world.go(3 * DAY)
    got = mails(world)
    assert set(got) == set(people) - await world.held_out()
    assert {bought for who in got for bought in map(tuple, [people[who]])} == {("tea",), ("tea", "cup"), ("pot",)}
    for who, text in got.items():
        named = [name for name in ("Aruna", "Bima", "Citra", "Dewi") if f"- {name}" in text]
        assert named == {"tea": ["Bima", "Citra"], "tea cup": ["Citra"], "pot": ["Aruna", "Bima"]}[" ".join(people[who])]


async def test_prices_are_written_as_the_recipient_writes_money_and_lead_to_the_product(world: PlaybookWorld) -> None:
    """Rupiah in Indonesian, the shop's dollars in Persian digits."""
    await shop(world)
    for number, locale in enumerate(("id", "fa") * 6, 1):
        await buys(world, f"c-{number}", "pot" if locale == "id" else "tea", locale=locale)
    await world.drop(*({"id": f"c-{number}"} for number in range(1, 13)), campaign="post_reactivation")
    await world.go(23 * DAY)
    html = {message.locale: message.html for _, step, message in world.messages if step == "pairs"}
    assert '<a href="https://shop.example.com/p/tea">Aruna</a> (Rp' in html["id"]
    assert "45.000)" in html["id"]
    assert '<a href="https://shop.example.com/p/cup">Bima</a> (۱۹٫۹ دلار)' in html["fa"]


async def test_words_that_need_them_are_held_without_and_go_once_there_is_a_catalogue(world: PlaybookWorld) -> None:
    """`recommendations` without a default: nothing is sent that names nothing. The optional one of the playbook goes without."""
    step = Step(name="offer", channels=("email",))
    campaign = Campaign(name="winback", status=CampaignStatus.ACTIVE, topic="winback", steps=(step,))
    await world.inner.load(CampaignVersion.of(campaign, {"offer.email.liquid": MUST}))
    await world.drop(person("c-1"))
    [one] = (await world.claim()).claimed
    plan = world.plans.peek(one.row.campaign, one.row.version)
    assert plan is not None

    def write() -> Message | Result:
        envelope = Envelope(claimed=one, public_id=encode_id(1), plan=plan, products=world.products.get(one.row.person, ()))
        return world.writer.render(envelope)

    held = write()
    assert isinstance(held, Result)
    assert held.kind is Kind.HELD
    assert json.loads(held.decision or "")["facts"]["variable"] == "recommendations"
    await shop(world)
    await world.drop(person("c-2"), id="k")
    [one] = (await world.claim()).claimed
    message = write()
    assert isinstance(message, Message)
    assert "<li>Bima</li><li>Aruna</li><li>Citra</li>" in message.html


async def test_words_that_name_none_cost_nothing(world: PlaybookWorld) -> None:
    """No claim looks for what no message says."""
    await shop(world)
    await world.drop(person("c-1"))
    result = await world.claim()
    assert [world.plans.names_products(one.row) for one in result.claimed] == [False]


async def test_bad_products_are_named_and_good_ones_kept(world: PlaybookWorld) -> None:
    """By line and field; the same again changes nothing."""
    rows = (
        TEA, {"name": "x"}, {"sku": "s"}, {**CUP, "price": "cheap"}, {**CUP, "url": "javascript:alert(1)"}, {**CUP, "currency": "RUPEES"},
        {**CUP, "in_stock": "perhaps"}, {**CUP, "imageurl": "x"}, {**CUP, "name": "a\nb"}, {"sku": 7, "title": "Seven", "brand": "B"},
    )  # fmt: skip
    done = await stock(world, *rows)
    assert (done.rows, done.kept, done.rejected) == (10, 2, 8)
    assert [(error.line, error.field, error.code) for error in done.errors] == [
        (2, "product_id", "missing"), (3, "name", "missing"), (4, "price", "invalid"), (5, "url", "invalid"), (6, "currency", "invalid"),
        (7, "in_stock", "invalid"), (8, "imageurl", "unknown_field"), (9, "name", "invalid"),
    ]  # fmt: skip
    found = await world.inner.sql("SELECT key, name, price, currency, in_stock FROM product ORDER BY key")
    await stock(world, *rows)
    assert found == await world.inner.sql("SELECT key, name, price, currency, in_stock FROM product ORDER BY key")
    assert found == [("7", "Seven", None, None, 1), ("tea", "Aruna", 45_000_000_000, "IDR", 1)]


async def test_it_is_counted_anew_a_day_later_and_a_minute_after_an_import(world: PlaybookWorld) -> None:
    """And not between; a stop in the middle leaves it to be begun anew."""
    service = counting(world)
    log: Any = world.inner.log

    async def counted(after: int, times: int) -> None:
        world.inner.clock.wall += after
        async with asyncio.timeout(10):
            while sum(event == "recommendations_counted" for event, _ in log.events) < times:
                await asyncio.sleep(0.001)

    await service.start()
    try:
        await stock(world, TEA, CUP)
        await counted(0, 1)
        await counted(EVERY, 2)
        world.inner.clock.wall += 1
        await stock(world, POT)
        world.inner.clock.wall += MINUTE - 1
        for _ in range(20):
            await world.inner.sql("SELECT 1")
        assert sum(event == "recommendations_counted" for event, _ in log.events) == 2
        await counted(1, 3)
    finally:
        await service.stop()
