"""The catalogue as rows: who bought what, what goes with what, what sells; and orders of before there was a catalogue."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.journey.recommend import products_of
from daemon.model.delivery import DAY
from daemon.model.product import Product
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.matching import best_sellers, count_buyers, count_pairs, note_counted, put_counted, put_sellers, to_count
from daemon.store.merge import merge
from daemon.store.migrate import upgrade
from daemon.store.products import put_products, recommended
from daemon.store.recipients import person_id
from tests.store.conftest import NOW, in_memory

SHELF = [Product(key, key.title(), category="tea" if key.startswith("tea") else "cups") for key in ("tea-1", "tea-2", "tea-3", "cup-1", "cup-2")]


@pytest.fixture
def conn() -> Iterator[Connection]:
    with in_memory() as conn:
        yield conn


def order(conn: Connection, who: str, *products: Any, days: int = 10, id: str | None = None) -> None:
    """An order of these, so many days ago."""
    said = json.dumps({"revenue": 10, "products": [{"product_id": key} if isinstance(key, str) else key for key in products]})
    row = EventRow(person_id(who), who, "Order Completed", event_id(id or f"{who} {days} {products}"), NOW - days * DAY, said)
    take_events(conn, [row], Shop(), NOW)


def count(conn: Connection, page: int = 2) -> None:
    """As the service does it."""
    for pages in ("buyers", "pairs"):
        after: str | None = ""
        while after is not None:
            found = count_buyers(conn, after, page, NOW) if pages == "buyers" else count_pairs(conn, after, page)
            put_counted(conn, found)
            after = found.upto
        if pages == "buyers":
            put_sellers(conn, best_sellers(conn))
    note_counted(conn, NOW)


def bought(conn: Connection, who: str) -> list[tuple[str, int]]:
    rows = conn.execute(text("SELECT product, at FROM bought WHERE person = :who ORDER BY product"), {"who": person_id(who)})
    return [(product, (NOW - at) // DAY) for product, at in rows]


def wanted(conn: Connection, who: str) -> list[tuple[str, int]]:
    rows = conn.execute(text("SELECT product, at FROM wanted WHERE person = :who ORDER BY product"), {"who": person_id(who)})
    return [(product, (NOW - at) // DAY) for product, at in rows]


def names(conn: Connection, who: str) -> list[str]:
    return [each.key for each in recommended(conn, [person_id(who)], NOW).get(person_id(who), [])]


def test_what_was_bought_is_kept_by_its_last_day_whatever_order_events_come_in(conn: Connection) -> None:
    """Late, repeated and of several orders; erased with the person."""
    for days in (30, 50, 10, 40):
        order(conn, "ann", "tea-1", days=days)
    order(conn, "ann", {"sku": 7}, {"name": "no id"}, "tea-1", days=20)
    order(conn, "ann", {"sku": 7}, days=20, id="again")
    assert bought(conn, "ann") == [("7", 20), ("tea-1", 10)]
    erase_recipient(conn, "ann", now=NOW, source="test")
    assert bought(conn, "ann") == []


def test_who_was_merged_bought_what_either_did(conn: Connection) -> None:
    """The last time counts; nothing is left of the other."""
    order(conn, "ann", "tea-1", "tea-2", days=30)
    order(conn, "anna", "tea-1", "cup-1", days=10)
    assert merge(conn, "anna", person_id("ann"), Shop(), NOW) is not None
    assert bought(conn, "ann") == [("cup-1", 10), ("tea-1", 10), ("tea-2", 30)]
    assert bought(conn, "anna") == []


def test_what_was_wanted_is_of_the_catalogue_and_goes_the_way_of_its_person(conn: Connection) -> None:
    """The last look counts, whatever order looks come in; a product that the shop has not is nobody's wish; merged and erased as all else."""
    put_products(conn, SHELF, NOW)
    for who, name, product, days in (
        ("ann", "Product Viewed", "tea-1", 9), ("ann", "Product Added", "tea-1", 20), ("ann", "Product Viewed", "none", 1),
        ("anna", "Product Clicked", "tea-1", 4), ("anna", "Product Added to Wishlist", "cup-1", 30), ("anna", "Product Removed", "cup-2", 1),
    ):  # fmt: skip
        row = EventRow(person_id(who), who, name, event_id(f"{who} {name} {product}"), NOW - days * DAY, json.dumps({"product_id": product}))
        take_events(conn, [row], Shop(), NOW)
    assert wanted(conn, "ann") == [("tea-1", 9)]
    assert merge(conn, "anna", person_id("ann"), Shop(), NOW) is not None
    assert (wanted(conn, "ann"), wanted(conn, "anna")) == ([("cup-1", 30), ("tea-1", 4)], [])
    erase_recipient(conn, "ann", now=NOW, source="test")
    assert wanted(conn, "ann") == []


def test_two_products_go_together_when_the_same_people_buy_them(conn: Connection) -> None:
    """Three bought tea and cup, all bought the second tea too: that says less. Who has one is named the other."""
    put_products(conn, SHELF, NOW)
    for who in ("ann", "ben", "cat"):
        order(conn, who, "tea-1", "cup-1")
    for number in range(20):
        order(conn, f"all-{number}", "tea-2")
    order(conn, "ann", "tea-2")
    order(conn, "ben", "tea-2", "cup-2")
    order(conn, "dan", "tea-1", days=300)
    count(conn)
    assert names(conn, "dan") == ["cup-1", "tea-2", "tea-1", "cup-2"], "what was bought long ago may be named again"
    pairs = conn.execute(text("SELECT product, other FROM product_pair ORDER BY product, place")).all()
    assert [other for product, other in pairs if product == "tea-1"] == ["cup-1", "tea-2"]
    assert "cup-2" not in {product for product, _ in pairs}, "one person is chance"


def test_bestsellers_of_a_category_and_of_all_and_only_what_is_there(conn: Connection) -> None:
    """Counted over 90 days; what is sold out between two counts is not named."""
    put_products(conn, SHELF, NOW)
    for key, buyers in (("tea-1", 5), ("tea-2", 3), ("cup-1", 4)):
        for number in range(buyers):
            order(conn, f"{key}-{number}", key, days=20)
    for number in range(9):
        order(conn, f"old-{number}", "cup-2", days=91)
    count(conn)
    assert names(conn, "nobody") == ["tea-1", "cup-1", "tea-2"]
    assert names(conn, "old-1") == ["cup-1", "tea-1", "tea-2"], "of the category first"
    put_products(conn, [SHELF[3]._replace(in_stock=False)], NOW)
    assert names(conn, "old-1") == ["tea-1", "tea-2"]
    count(conn)
    assert conn.execute(text("SELECT product FROM bestseller WHERE category = 'cups'")).all() == []


def test_counting_again_writes_nothing(conn: Connection) -> None:
    """Nor does it before a day has passed, unless the catalogue has changed."""
    put_products(conn, SHELF, NOW)
    for who in ("ann", "ben"):
        order(conn, who, "tea-1", "cup-1")
    assert to_count(conn, NOW, DAY, 60)
    count(conn)
    assert (count_buyers(conn, "", 99, NOW).buyers, count_pairs(conn, "", 99).pairs, best_sellers(conn)) == ([], {}, {})
    assert not to_count(conn, NOW + DAY - 1, DAY, 60)
    assert to_count(conn, NOW + DAY, DAY, 60)
    put_products(conn, SHELF[:1], NOW + 1)
    assert [to_count(conn, NOW + 1 + wait, DAY, 60) for wait in (59, 60)] == [False, True]


def test_a_shop_without_a_catalogue_has_nothing_to_count_and_names_nothing(conn: Connection) -> None:
    """Who does not use it pays nothing for it."""
    order(conn, "ann", "tea-1")
    assert not to_count(conn, NOW, DAY, 60)
    assert recommended(conn, [person_id("ann")], NOW) == {}


def test_what_is_looked_at_for_one_product_is_found_by_an_index(conn: Connection) -> None:
    """Neither the buyers nor what else they bought is searched through."""
    from daemon.store import matching

    said = {"product": "tea", "people": 300, "least": 2, "close": 50}
    compiled = matching._WITH.compile(conn, compile_kwargs={"render_postcompile": True})
    values = tuple({**compiled.params, **said}[name] for name in compiled.positiontup or ())
    plan = "\n".join(row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values))
    assert "SEARCH bought USING COVERING INDEX bought_product (product=?)" in plan, plan
    assert "SEARCH bought USING PRIMARY KEY (person=?)" in plan, plan
    assert "SCAN bought" not in plan, plan
    assert "SCAN product" not in plan, plan


def test_orders_of_an_older_store_are_read_as_new_ones_are(tmp_path: Path) -> None:
    """Whatever shops send for products: the migration and the reader of new orders find the same."""
    odd: list[Any] = [
        [{"product_id": "a"}, {"sku": "b"}], [{"product_id": "", "sku": "b"}], {"sku": "x"}, "a", None, [None, "a", 5, {"product_id": 12}],
        [{"product_id": ["a"]}, {"product_id": True, "sku": "c"}], [{"sku": "x" * 101}, {"sku": "x" * 100}], [],
        [{"sku": f"n-{number}"} for number in range(120)], [{"name": "only"}],
    ]  # fmt: skip
    path = tmp_path / "old.db"
    upgrade(path, to="0016")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO event_name VALUES (1, 'Order Completed'), (2, 'Product Viewed')")
        for number, products in enumerate(odd, 1):
            said = json.dumps({"products": products})
            raw.executemany("INSERT INTO event VALUES (?, ?, ?, ?, 9, ?)", [(number, name, name, number, said) for name in (1, 2)])
        raw.execute("INSERT INTO event VALUES (99, 1, 1, 1, 9, NULL)")
    upgrade(path)
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT person, product, at FROM bought ORDER BY person, product").fetchall()
    assert found == sorted((number, key, number) for number, products in enumerate(odd, 1) for key in products_of({"products": products}))
