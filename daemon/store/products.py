"""The catalogue, who bought and who wanted what of it, and what may be named to whom. An import and an order come in by lanes of their own;
reading is for who makes messages: a few statements for all persons of a claim.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, case, delete, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.events import ORDER, WANTING
from daemon.journey.recommend import ALL, anchors, key_of, products_of, recommend
from daemon.model.delivery import Instant
from daemon.model.product import Bought, Product
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.meta import set_meta
from daemon.store.sql import fetch, ids, in_list, many

CHANGED = "catalogue_changed"
"""In `meta`: when an import changed the catalogue last."""
_P, _B, _W = s.product.c, s.bought.c, s.wanted.c
_put = upsert(s.product)
_NAMES = ("key", *Product._fields[1:], "added_at")
_PUT = _put.on_conflict_do_update(
    index_elements=[_P.key],
    set_={name: _put.excluded[name] for name in Product._fields[1:]}
    | {"restocked_at": case((_put.excluded.in_stock > _P.in_stock, _put.excluded.added_at), else_=_P.restocked_at)},
)
_buy = upsert(s.bought)
_BUY = _buy.on_conflict_do_update(
    index_elements=[_B.person, _B.product], set_={"at": _buy.excluded.at}, where=_buy.excluded.at > _B.at
)  # fmt: skip
_want = upsert(s.wanted)
_WANT = _want.on_conflict_do_update(
    index_elements=[_W.person, _W.product], set_={"at": _want.excluded.at}, where=_want.excluded.at > _W.at
)  # fmt: skip
_THERE = select(_P.key).where(in_list(_P.key, "keys"))
_MINE = (
    select(_B.person, _B.product, _B.at, _P.category)
    .outerjoin(s.product, _P.key == _B.product)
    .where(in_list(_B.person, "persons"))
    .order_by(_B.person, _B.at.desc(), _B.product)
)
_CATEGORIES = select(s.profile.c.person, func.json_extract(s.profile.c.last_product, "$.category")).where(
    in_list(s.profile.c.person, "persons"), s.profile.c.last_product.is_not(None)
)
_PAIRS = select(s.product_pair.c.product, s.product_pair.c.other).where(in_list(s.product_pair.c.product, "products")).order_by(
    s.product_pair.c.product, s.product_pair.c.place
)
_SELLERS = select(s.bestseller.c.category, s.bestseller.c.product).where(in_list(s.bestseller.c.category, "categories")).order_by(
    s.bestseller.c.category, s.bestseller.c.place
)
_KNOWN = select(*(_P[name] for name in Product._fields)).where(in_list(_P.key, "keys"))
_ANY = select(_P.key).limit(literal_column("1"))


def put_products(conn: Connection, products: Sequence[Product], now: Instant) -> None:
    """Set these, no key twice. One that was not in stock and is now was restocked. Lane INTAKE; bounded by the caller."""
    many(conn, _PUT, _NAMES, [(*each[:-1], int(each.in_stock), now) for each in sorted(products)])
    set_meta(conn, CHANGED, str(now))


def note_bought(conn: Connection, rows: Iterable[EventRow]) -> None:
    """New events, some of them orders: who bought what. A cancelled order still says what a person wants."""
    lines: dict[tuple[int, str], Instant] = {}
    for row in rows:
        if row.name == ORDER and row.properties is not None and '"products"' in row.properties:
            for key in products_of(json.loads(row.properties)):
                lines[row.person, key] = max(row.at, lines.get((row.person, key), row.at))
    many(conn, _BUY, ("person", "product", "at"), [(person, key, at) for (person, key), at in sorted(lines.items())])


def note_wanted(conn: Connection, rows: Iterable[EventRow]) -> None:
    """New events, some of them of a product that somebody looks at: who wants what. Of the catalogue only: a browser may name anything."""
    found: dict[tuple[int, str], Instant] = {}
    for row in rows:
        if row.name in WANTING and row.properties is not None and (key := key_of(json.loads(row.properties))) is not None:
            found[row.person, key] = max(row.at, found.get((row.person, key), row.at))
    if found:
        there = {key for (key,) in fetch(conn, _THERE, ("keys",), (ids(sorted({key for _, key in found})),))}
        lines = [(person, key, at) for (person, key), at in sorted(found.items()) if key in there]
        many(conn, _WANT, ("person", "product", "at"), lines)


_LINES = select(_B.product, _B.at).where(_B.person == bindparam("person"))
_WISHES = select(_W.product, _W.at).where(_W.person == bindparam("person"))
_UNBOUGHT = delete(s.bought).where(_B.person == bindparam("b_person"))

_UNWANTED = delete(s.wanted).where(_W.person == bindparam("b_person"))


def inherit_products(conn: Connection, other: int, survivor: int) -> None:
    """What either bought or wanted, the survivor did."""
    rows = [(survivor, *row) for row in fetch(conn, _LINES, ("person",), (other,))]
    many(conn, _BUY, ("person", "product", "at"), rows)
    many(conn, _UNBOUGHT, ("b_person",), [(other,)])
    many(conn, _WANT, ("person", "product", "at"), [(survivor, *row) for row in fetch(conn, _WISHES, ("person",), (other,))])
    many(conn, _UNWANTED, ("b_person",), [(other,)])


def forget_products(conn: Connection, persons: Sequence[int]) -> None:
    """The persons were erased."""
    for table in (s.bought, s.wanted):
        conn.execute(delete(table).where(in_list(table.c.person, "persons")), {"persons": ids(persons)})


def recommended(conn: Connection, persons: Iterable[int], now: Instant) -> dict[int, list[Product]]:
    """person -> what may be named to it (`journey.recommend`), nothing left out where there is nothing. Reads only."""
    wanted = ids(sorted(set(persons)))
    if not fetch(conn, _ANY):
        return {}
    bought: dict[int, list[Bought]] = {}
    for person, product, at, category in fetch(conn, _MINE, ("persons",), (wanted,)):
        bought.setdefault(person, []).append(Bought(product, at, category))
    categories = {person: str(name) for person, name in fetch(conn, _CATEGORIES, ("persons",), (wanted,)) if name is not None}
    last = {each.product for mine in bought.values() for each in anchors(mine)}
    kinds = {ALL, *categories.values()} | {each.category for mine in bought.values() for each in anchors(mine) if each.category}
    pairs = _by_first(fetch(conn, _PAIRS, ("products",), (ids(sorted(last)),)))
    sellers = _by_first(fetch(conn, _SELLERS, ("categories",), (ids(sorted(kinds)),)))
    keys = {key for found in (*pairs.values(), *sellers.values()) for key in found}
    known = read_products(conn, keys)
    picked = {
        person: recommend(bought.get(person, ()), categories.get(person), pairs, sellers, known, now) for person in json.loads(wanted)
    }  # fmt: skip
    return {person: found for person, found in picked.items() if found}


def read_products(conn: Connection, keys: Iterable[str]) -> dict[str, Product]:
    """Those of these that the catalogue has."""
    return {row[0]: Product._make((*row[:-1], bool(row[-1]))) for row in fetch(conn, _KNOWN, ("keys",), (ids(sorted(keys)),))}


def _by_first(rows: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for first, second in rows:
        found.setdefault(first, []).append(second)
    return found
