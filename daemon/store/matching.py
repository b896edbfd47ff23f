"""What goes with what, and what sells best: counted over the catalogue, a page of products at a time, by a reader; only what has changed
is written, in lane BULK.

How much is looked at for one product is bounded (the PEOPLE who bought it last), so the work grows with the catalogue, not with the
people or the orders, and nothing of it stays in memory from page to page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, select, update

from daemon.journey.recommend import ALL
from daemon.model.delivery import DAY, Instant
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.products import CHANGED
from daemon.store.sql import fetch, ids, in_list, many, value
from daemon.store.writer import redone

COUNTED_AT = "catalogue_counted"
"""In `meta`: as of when all was counted last."""
PEOPLE = 300
"""Of those who bought a product, so many who did last are asked what else they bought."""
CLOSE = 50
"""So many of the products that they bought most are weighed."""
TOGETHER = 2
"""People who bought both, before two products go together: one is chance."""
KEPT, SHELF = 8, 16
"""Products kept beside a product, and of a category."""
PERIOD = 90 * DAY
"""Over which it is counted what sells."""

_P, _B, _PAIR = s.product.c, s.bought.c, s.product_pair.c
_PAGE = select(_P.key, _P.buyers).where(_P.key > bindparam("after")).order_by(_P.key).limit(bindparam("limit"))
_COUNT = (
    select(_B.product, func.count())
    .where(in_list(_B.product, "products"), _B.at > bindparam("since"))
    .group_by(_B.product)
)  # fmt: skip
_SET_BUYERS = update(s.product).where(_P.key == bindparam("b_key")).values(buyers=bindparam("b_buyers"))
_buyers = (
    select(_B.person)
    .where(_B.product == bindparam("product"))
    .order_by(_B.at.desc(), _B.person.desc())
    .limit(bindparam("people"))
    .subquery()
)  # fmt: skip
_WITH = (
    select(_B.product, func.count().label("n"), _P.buyers)
    .select_from(s.bought.join(s.product, _P.key == _B.product))
    .where(_B.person.in_(select(_buyers.c.person)), _B.product != bindparam("product"))
    .group_by(_B.product)
    .having(func.count() >= bindparam("least"))
    .order_by(func.count().desc(), _B.product)
    .limit(bindparam("close"))
)
_PAIRS = select(_PAIR.product, _PAIR.other).where(in_list(_PAIR.product, "products")).order_by(_PAIR.product, _PAIR.place)
_PART = delete(s.product_pair).where(_PAIR.product == bindparam("b_product"))
_JOIN = insert(s.product_pair)
_ranked = (
    select(
        _P.category, _P.key,
        func.row_number().over(partition_by=_P.category, order_by=(_P.buyers.desc(), _P.key)).label("place"),
    )
    .where(_P.buyers > literal_column("0"), _P.in_stock == literal_column("1"), _P.category.is_not(None))
    .subquery()
)  # fmt: skip
_BY_CATEGORY = select(_ranked.c.category, _ranked.c.place, _ranked.c.key).where(_ranked.c.place <= bindparam("most"))
_OF_ALL = (
    select(_P.key)
    .where(_P.buyers > literal_column("0"), _P.in_stock == literal_column("1"))
    .order_by(_P.buyers.desc(), _P.key)
    .limit(bindparam("most"))
)  # fmt: skip
_SHELVES = select(s.bestseller.c.category, s.bestseller.c.place, s.bestseller.c.product)
_EMPTY = delete(s.bestseller).where(s.bestseller.c.category == bindparam("b_category"))
_FILL = insert(s.bestseller)
_FIRST = select(func.min(_P.key))


class Counted(NamedTuple):
    """What one page changes. `upto`: the last product that was looked at, None: these were the last."""

    buyers: Sequence[tuple[str, int]]
    pairs: Mapping[str, Sequence[str]]
    upto: str | None


def to_count(conn: Connection, now: Instant, every: int, quiet: int) -> bool:
    """Is it time: `every` so many microseconds, and when an import has been over for `quiet`? Not without a catalogue."""
    if value(conn, _FIRST) is None:
        return False
    last, changed = (int(get_meta(conn, key) or 0) for key in (COUNTED_AT, CHANGED))
    return now - last >= every or (changed > last and now - changed >= quiet)


def note_counted(conn: Connection, now: Instant) -> None:
    set_meta(conn, COUNTED_AT, str(now))


def count_buyers(conn: Connection, after: str, limit: int, now: Instant) -> Counted:
    """How many people bought each of the next products behind `after` within PERIOD. Reads only."""
    page = fetch(conn, _PAGE, ("after", "limit"), (after, limit))
    found = dict(fetch(conn, _COUNT, ("products", "since"), (ids([key for key, _ in page]), now - PERIOD)))
    changed = [(key, found.get(key, 0)) for key, before in page if found.get(key, 0) != before]
    return Counted(changed, {}, page[-1][0] if len(page) == limit else None)


def count_pairs(conn: Connection, after: str, limit: int) -> Counted:
    """What goes with each of the next products behind `after`, where that has changed. Reads only.

    Two products that the same people buy are weighed by the cosine of their buyers, so that what everybody buys does not go with all.
    """
    page = fetch(conn, _PAGE, ("after", "limit"), (after, limit))
    before: dict[str, list[str]] = {}
    for product, other in fetch(conn, _PAIRS, ("products",), (ids([key for key, _ in page]),)):
        before.setdefault(product, []).append(other)
    changed: dict[str, list[str]] = {}
    for key, _ in page:
        rows = fetch(conn, _WITH, ("product", "people", "least", "close"), (key, PEOPLE, TOGETHER, CLOSE))
        weighed = sorted((-n / math.sqrt(max(buyers, n)), other) for other, n, buyers in rows)
        found = [other for _, other in weighed[:KEPT]]
        if found != before.get(key, []):
            changed[key] = found
    return Counted((), changed, page[-1][0] if len(page) == limit else None)


@redone
def put_counted(conn: Connection, counted: Counted) -> None:
    """Keep what a page has changed."""
    many(conn, _SET_BUYERS, ("b_buyers", "b_key"), [(buyers, key) for key, buyers in counted.buyers])
    many(conn, _PART, ("b_product",), [(product,) for product in counted.pairs])
    rows = [(product, place, other) for product, others in counted.pairs.items() for place, other in enumerate(others)]
    many(conn, _JOIN, ("product", "place", "other"), rows)


def best_sellers(conn: Connection) -> dict[str, list[str]]:
    """category -> its bestsellers, where they have changed; an empty list: it has none any more. Reads the catalogue once."""
    before: dict[str, dict[int, str]] = {}
    for category, place, product in fetch(conn, _SHELVES):
        before.setdefault(category, {})[place] = product
    found: dict[str, dict[int, str]] = {ALL: dict(enumerate((key for (key,) in fetch(conn, _OF_ALL, ("most",), (SHELF,))), 1))}
    for category, place, product in fetch(conn, _BY_CATEGORY, ("most",), (SHELF,)):
        if category != ALL:
            found.setdefault(category, {})[place] = product
    names = before.keys() | found.keys()
    return {
        name: [product for _, product in sorted(found.get(name, {}).items())]
        for name in sorted(names) if found.get(name, {}) != before.get(name, {})
    }  # fmt: skip


@redone
def put_sellers(conn: Connection, sellers: Mapping[str, Sequence[str]]) -> None:
    """Keep these categories' bestsellers."""
    many(conn, _EMPTY, ("b_category",), [(category,) for category in sellers])
    rows = [(category, place, product) for category, found in sellers.items() for place, product in enumerate(found, 1)]
    many(conn, _FILL, ("category", "place", "product"), rows)

