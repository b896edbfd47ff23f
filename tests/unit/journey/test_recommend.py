"""What is named to a person: what goes with what was bought, then bestsellers; never what is at home or sold out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from daemon.journey.recommend import ALL, LATELY, MOST, key_of, products_of, recommend
from daemon.model.delivery import DAY
from daemon.model.product import Bought, Product

NOW = 1_795_322_411_120_000
SHOP = {key: Product(key, key.title(), category="tea" if key < "m" else "cups") for key in "abcdefgmnopqrs"}
PAIRS = {"a": ["b", "m"], "m": ["n", "a"]}
SELLERS = {ALL: ["s", "a", "r"], "tea": ["c", "d", "b"], "cups": ["n", "o"]}


def keys(
    *bought: tuple[str, int], category: str | None = None, shop: dict[str, Product] = SHOP, sellers: dict[str, Sequence[str]] | None = None
) -> str:
    """Of who bought these so many days ago."""
    mine = [Bought(key, NOW - days * DAY, shop[key].category if key in shop else None) for key, days in bought]
    return "".join(each.key for each in recommend(mine, category, PAIRS, sellers or dict(SELLERS), shop, NOW))


def test_what_goes_with_the_last_purchase_comes_first_then_its_category_then_all() -> None:
    """Tea was bought last: what goes with it, what goes with the cup of before, tea that sells, what sells."""
    assert keys(("a", 45), ("m", 90)) == "bncd"
    assert keys(("a", 45)) == "bmcd"
    assert keys(("e", 45)) == "cdbs"


def test_without_a_purchase_it_is_what_sells_best() -> None:
    """Of the category of the last product, where events name it and the catalogue does not."""
    assert keys() == "sar"
    assert keys(("gone", 45), category="cups") == "nosa"
    assert keys(category="no such") == "sar"


def test_what_was_bought_lately_is_not_named_and_what_was_bought_long_ago_is() -> None:
    """180 days, exactly."""
    assert "m" not in keys(("a", 45), ("m", 30))
    assert "b" in keys(("a", 45), ("b", LATELY // DAY))
    assert "b" not in keys(("a", 45), ("b", LATELY // DAY - 1))


def test_what_is_not_in_stock_or_not_in_the_catalogue_is_not_named() -> None:
    """The next one takes its place."""
    without = {**SHOP, "b": SHOP["b"]._replace(in_stock=False)}
    del without["m"]
    assert keys(("a", 45), shop=without) == "cdsr"


def test_each_is_named_once_and_no_more_than_a_few() -> None:
    """However many lists have it."""
    found = keys(("a", 45), ("m", 46), sellers={ALL: list("bnbnopqrs"), "tea": list("bn")})
    assert (len(found), len(set(found))) == (MOST, MOST)
    assert found.startswith("bn")


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"product_id": "p-1", "sku": "s"}, "p-1"), ({"product_id": 12}, "12"), ({"product_id": "", "sku": "s"}, "s"), ({"sku": True}, None),
        ({"name": "Aruna"}, None), ("p-1", None), (None, None), ({"product_id": "x" * 101}, None), ({"product_id": ["a"], "sku": 0}, "0"),
    ],
)  # fmt: skip
def test_a_product_is_known_by_the_shops_own_id(said: object, key: str | None) -> None:
    """Its `product_id`, else its `sku`."""
    assert key_of(said) == key


def test_an_order_names_each_product_once_and_a_list_without_end_is_cut() -> None:
    """What is no list names none."""
    assert products_of({"products": [{"sku": "a"}, {"sku": "b"}, {"sku": "a"}, "c", {}]}) == ["a", "b"]
    assert products_of({"products": {"sku": "a"}}) == products_of({}) == []
    assert len(products_of({"products": [{"sku": number} for number in range(1000)]})) == 100
