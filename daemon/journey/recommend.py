"""JOURNEY, recommendations: what is named to a person: what goes with what was bought last, then what sells best of its category, then
what sells best of all; never what the person bought lately, never what is not in stock.

Pure. What goes with what, and what sells best, is counted beforehand (`store.matching`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from daemon.model.delivery import DAY, Instant
from daemon.model.product import Bought, Product

MOST = 4
"""Products that are named in one message."""
LATELY = 180 * DAY
"""What was bought within these days is not named again."""
LAST = 3
"""So many of the products that a person bought last are looked at for what goes with them."""
LINES = 100
"""Lines of one order that count."""
KEY_LENGTH = 100
ALL = ""
"""The category of the bestsellers of all."""


def key_of(said: Any) -> str | None:
    """The shop's own id of a product that an event names: its `product_id`, else its `sku`. None: it has none that is usable."""
    for name in ("product_id", "sku"):
        found = said.get(name) if isinstance(said, Mapping) else None
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return key if len(key := str(found)) <= KEY_LENGTH else None
    return None


def products_of(properties: Mapping[str, Any]) -> list[str]:
    """The keys of the products of an order, each once."""
    lines = properties.get("products")
    keys = map(key_of, lines[:LINES]) if isinstance(lines, list) else ()
    return list(dict.fromkeys(key for key in keys if key is not None))


def anchors(bought: Iterable[Bought]) -> list[Bought]:
    """What was bought last, the latest first."""
    return sorted(bought, key=lambda each: (-each.at, each.product))[:LAST]


def recommend(
    bought: Sequence[Bought], category: str | None, pairs: Mapping[str, Sequence[str]], sellers: Mapping[str, Sequence[str]],
    known: Mapping[str, Product], now: Instant,
) -> list[Product]:  # fmt: skip
    """Up to MOST products for a person. `bought`: all of the person's; `category`: of the last one, where the catalogue does not say it;
    `pairs`: product -> what goes with it, `sellers`: category -> what sells best, the best first; `known`: those of the catalogue."""
    lately = {each.product for each in bought if each.at > now - LATELY}
    last = anchors(bought)
    kind = next((each.category for each in last if each.category is not None), category)
    wanted = dict.fromkeys(_wanted([each.product for each in last], kind, pairs, sellers))
    good = (known[key] for key in wanted if key in known and known[key].in_stock and key not in lately)
    return list(islice(good, MOST))


def _wanted(
    last: Sequence[str], category: str | None, pairs: Mapping[str, Sequence[str]], sellers: Mapping[str, Sequence[str]]
) -> Iterator[str]:  # fmt: skip
    """All that may be named, what fits best first."""
    for product in last:
        yield from pairs.get(product, ())
    if category:
        yield from sellers.get(category, ())
    yield from sellers.get(ALL, ())
