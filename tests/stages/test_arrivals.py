"""What came into the shop, on people and days: imports of a catalogue, and who hears of what is there again and of what is new."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.app.arriving import Arriving
from daemon.intake.catalogue import Catalogue
from daemon.intake.parse import Item
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.store.arrivals import next_page, tell
from daemon.store.writer import Lane
from tests.stages.playbook_world import ORDER, Opening, PlaybookWorld, whole

TEA = {"product_id": "tea", "name": "Aruna", "category": "tea", "price": "4.50", "image_url": "https://shop.example.com/i/tea.png"}
CUP = {"product_id": "cup", "name": "Bima", "category": "cups", "price": 19.9, "url": "https://shop.example.com/p/cup"}
POT = {"product_id": "pot", "name": "Citra", "category": "tea", "url": "https://shop.example.com/p/pot"}
GONE = {"in_stock": False}


async def stock(world: PlaybookWorld, *rows: dict[str, Any]) -> None:
    """An import."""
    await Catalogue(store=world.inner.store, clock=world.inner.clock).take([Item(line, row) for line, row in enumerate(rows, 1)])


def arriving(world: PlaybookWorld) -> Arriving:
    return Arriving(store=world.inner.store, clock=world.inner.clock, log=world.inner.log, shop=Shop, walks=lambda: None)


async def deliver(world: PlaybookWorld, *rows: dict[str, Any]) -> int:
    """An import, two minutes, and what is told of it. Returns how many people."""
    await stock(world, *rows)
    await world.go(2 * MINUTE)
    return await arriving(world).tell()


async def told(world: PlaybookWorld, name: str) -> dict[str, Any]:
    """Recipient -> the properties of its last event of this name."""
    rows = await world.inner.sql(
        "SELECT recipient.key, event.properties FROM event JOIN event_name ON event_name.id = event.name"
        " JOIN recipient ON recipient.id = event.person WHERE event_name.name = :name ORDER BY event.at",
        name=name,
    )  # fmt: skip
    return {key: json.loads(properties) for key, properties in rows}


async def test_who_wanted_what_was_gone_hears_that_it_is_back(opening: Opening) -> None:
    """Who looked at it while it was there or after it had gone; not who bought it since, who wanted something else, or looked a hundred
    days ago. Within the hours of the day, with its picture; once a week, whatever comes back."""
    world = await opening(whole("back_in_stock"))
    for number in range(1, 8):
        await world.know(f"c-{number}", locale="id" if number == 2 else None)
    await stock(world, {**TEA, **GONE}, CUP)
    await world.happen("Product Viewed", "c-1", ago=20 * DAY, product_id="tea")
    await world.happen("Product Added to Wishlist", "c-2", ago=DAY, product_id="tea")
    await world.happen("Product Added", "c-3", ago=20 * DAY, product_id="tea")
    await world.happen(ORDER, "c-3", ago=10 * DAY, revenue=20, products=[{"product_id": "tea"}])
    await world.happen("Product Viewed", "c-4", ago=DAY, product_id="cup")
    await world.happen("Product Viewed", "c-5", ago=100 * DAY, product_id="tea")
    await world.happen("Product Viewed", "c-6", ago=DAY, product_id="nobody's")
    await world.go(2 * MINUTE)
    assert await arriving(world).tell() == 0, "what a first catalogue has is not back"
    await world.go(3 * DAY)
    assert world.letters == []
    back = world.inner.clock.wall
    assert await deliver(world, TEA) == 2
    assert await arriving(world).tell() == 0, "it is told once"
    await world.happen("Product Viewed", "c-7", product_id="tea")
    await world.go(2 * DAY)
    assert {each.recipient: each.step for each in world.letters} == {"c-1": "back", "c-2": "back"}
    assert all(30 * MINUTE <= each.at - back <= DAY and 9 <= each.local.hour < 21 for each in world.letters)
    said = {each.recipient: each.message for each in world.letters}
    assert said["c-1"].subject == "Sari, Aruna is back"
    assert said["c-2"].subject == "Sari, Aruna sudah tersedia lagi"
    assert '<img src="https://shop.example.com/i/tea.png" alt="Aruna"' in (said["c-1"].html or "")
    await deliver(world, {**TEA, **GONE})
    assert await deliver(world, TEA) == 3, "those two, who still have none, and who looked in the meantime"
    await world.go(2 * DAY)
    assert [each.recipient for each in world.letters][2:] == ["c-7"], "the others heard of it this week"


async def test_who_buys_a_category_most_hears_of_what_is_new_in_it(opening: Opening) -> None:
    """One mail for all that came; of the favourite category only; nothing of what has merely another price; an order before it is sent
    ends it."""
    world = await opening(whole("new_arrivals"))
    await stock(world, TEA, CUP)
    await world.go(2 * MINUTE)
    await arriving(world).tell()
    for recipient, products in (("c-1", ["tea"]), ("c-2", ["cup"]), ("c-3", ["tea"]), ("c-4", [])):
        await world.know(recipient)
        if products:
            await world.happen(ORDER, recipient, ago=60 * DAY, revenue=20, products=[{"product_id": key} for key in products])
    assert await deliver(world, {**TEA, "price": 3}) == 0
    await world.go(DAY)
    came = world.inner.clock.wall
    more = {**POT, "product_id": "whisk", "name": "Dewi", "url": None}
    assert await deliver(world, POT, more) == 2
    assert (await told(world, "Product Arrived"))["c-1"]["count"] == 2
    await world.go(MINUTE)
    await world.happen(ORDER, "c-3", revenue=5)
    await world.go(2 * DAY)
    assert [(each.recipient, each.step) for each in world.letters] == [("c-1", "new")]
    mail = world.letters[0]
    assert 2 * HOUR <= mail.at - came <= DAY
    assert 9 <= mail.local.hour < 20
    assert "in tea" in mail.message.text
    assert "- Citra: https://shop.example.com/p/pot" in mail.message.text
    assert "- Dewi: https://shop.example.com/new" in mail.message.text
    assert (await world.walks("c-3", "new_arrivals"))[0][0] in ("exited", "converted")
    await world.go(10 * DAY)
    assert await deliver(world, {**CUP, "product_id": "mug", "name": "Eka"}) == 1
    await world.go(2 * DAY)
    assert [each.recipient for each in world.letters][1:] == ["c-2"]


async def test_a_pass_that_is_broken_off_goes_on_where_it_was_and_tells_nobody_twice(opening: Opening) -> None:
    """Two hundred and fifty people are three pages; the stop comes after the first, another import in the middle is told afterwards."""
    world = await opening(whole("back_in_stock"))
    await stock(world, {**TEA, **GONE})
    for number in range(250):
        await world.happen("Product Viewed", f"p-{number}", ago=DAY, product_id="tea")
    await world.go(2 * MINUTE)
    await arriving(world).tell()
    await stock(world, TEA)
    await world.go(2 * MINUTE)
    page = await world.inner.store.read(next_page, world.inner.clock.wall)
    assert page is not None
    assert len(page.rows) == 100
    for _ in range(2):
        await world.inner.store.write(Lane.BULK, tell, page, Shop(), world.inner.clock.wall)
    await stock(world, POT)
    assert await arriving(world).tell() == 150
    assert len(await told(world, "Product Restocked")) == 250
    assert await world.one("SELECT count(*) FROM event JOIN event_name ON event_name.id = event.name WHERE event_name.name = 'Product Restocked'") == 250


async def test_nothing_is_written_that_no_campaign_begins_by(opening: Opening) -> None:
    """Without a campaign that is triggered by it, an import tells nobody, and later ones do not tell of it."""
    world = await opening(whole("cart"))
    await stock(world, {**TEA, **GONE})
    await world.happen("Product Viewed", "c-1", ago=DAY, product_id="tea")
    await world.go(2 * MINUTE)
    await arriving(world).tell()
    assert await deliver(world, TEA) == 0
    await world.load(whole("back_in_stock"))
    assert await deliver(world, CUP) == 0


@pytest.mark.parametrize("locale", ["en", "id", "ms", "fa"])
async def test_what_is_new_is_told_in_the_readers_language(opening: Opening, locale: str) -> None:
    """With the name as the shop writes it, and no word of a template left over."""
    world = await opening(whole("new_arrivals"))
    await stock(world, TEA)
    await world.go(2 * MINUTE)
    await arriving(world).tell()
    await world.know("c-1", locale=locale)
    await world.happen(ORDER, "c-1", ago=60 * DAY, revenue=20, products=[{"product_id": "tea"}])
    await deliver(world, POT)
    await world.go(DAY)
    [mail] = world.letters
    assert (mail.message.locale or "en") == locale
    assert "Citra" in mail.message.text
    assert "{" not in mail.message.text
