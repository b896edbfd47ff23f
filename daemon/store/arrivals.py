"""What came into the shop, told as events of people: a product that they wanted is there again (`Product Restocked`), something new of the
category that they buy most (`Product Arrived`).

A pass begins when an import has been over for a while, and goes through people page by page: a reader looks, the bulk lane writes a page
with the place to go on from, in one transaction. One event of each kind a person and pass, however many products there are. Events that
no campaign is triggered by are not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, literal_column, or_, select

from daemon.journey.events import ARRIVED, RESTOCKED, event_id
from daemon.journey.profile import MICROS, Shop
from daemon.journey.recommend import MOST
from daemon.model.delivery import DAY, MINUTE, Instant
from daemon.model.product import Product
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.events import Taken, take_events
from daemon.store.exits import Kind
from daemon.store.meta import get_meta, set_meta
from daemon.store.products import CHANGED, read_products
from daemon.store.sql import fetch, ids, in_list, value

QUIET = MINUTE
"""After an import: its files may come in several."""
PEOPLE = 100
"""Of one page: some 5 ms of the writer where all of them are told."""
WANTED_FOR = 90 * DAY
"""Who looked at a product earlier than this before it came back is not told."""
TOLD = "arrivals"
"""In `meta`: how far arrivals were told, as JSON of a `Place`."""


class Place(NamedTuple):
    """All until `told` was told. In a pass until `upto`: the event, and the person that was looked at last."""

    told: Instant
    upto: Instant | None = None
    event: str = RESTOCKED
    after: int = 0


class Page(NamedTuple):
    """What a page of people is told, and where the next one begins."""

    rows: Sequence[EventRow]
    then: Place


_P, _B, _W, _R, _U = s.product.c, s.bought.c, s.wanted.c, s.recipient.c, s.campaign_event.c
_IS_THERE = _P.in_stock == literal_column("1")
_SINCE = {RESTOCKED: _P.restocked_at, ARRIVED: _P.added_at}
_CAME = {
    event: select(_P.key).where(at > bindparam("told"), at <= bindparam("upto"), _IS_THERE).order_by(at.desc(), _P.key)
    for event, at in _SINCE.items()
}
_FIRST = select(_P.key).limit(literal_column("1"))
_HEARD = (
    select(_U.event)
    .join(s.campaign, s.campaign.c.id == _U.campaign)
    .where(
        _U.kind == literal_column(f"'{Kind.TRIGGER.value}'"), in_list(_U.event, "names"),
        s.campaign.c.status.in_([literal_column("'active'"), literal_column("'paused'")]),
    )
)  # fmt: skip
_WHO = {
    event: select(column).where(column > bindparam("after")).distinct().order_by(column).limit(literal_column(str(PEOPLE)))
    for event, column in ((RESTOCKED, _W.person), (ARRIVED, _B.person))
}
_WANTING = (
    select(_W.person, _R.key, _W.product)
    .join(s.recipient, _R.id == _W.person)
    .join(s.product, _P.key == _W.product)
    .outerjoin(s.bought, and_(_B.person == _W.person, _B.product == _W.product))
    .where(
        in_list(_W.person, "persons"), in_list(_W.product, "products"), _R.erased == literal_column("0"),
        _W.at < _P.restocked_at, _W.at >= _P.restocked_at - literal_column(str(WANTED_FOR)), or_(_B.at.is_(None), _B.at < _W.at),
    )
    .order_by(_W.person, _W.at.desc(), _W.product)
)  # fmt: skip
_BUYING = (
    select(_B.person, _R.key, _P.category)
    .join(s.recipient, _R.id == _B.person)
    .join(s.product, _P.key == _B.product)
    .where(in_list(_B.person, "persons"), _P.category.is_not(None), _R.erased == literal_column("0"))
    .group_by(_B.person, _R.key, _P.category)
    .order_by(_B.person, func.count().desc(), func.max(_B.at).desc(), _P.category)
)


def next_page(conn: Connection, now: Instant) -> Page | None:
    """Whom to tell what next; None: nothing now. Reads only. What the first catalogue has is nothing new."""
    changed = int(get_meta(conn, CHANGED) or 0)
    said = get_meta(conn, TOLD)
    place = Place(*json.loads(said)) if said is not None else None
    if place is None or place.upto is None:
        if value(conn, _FIRST) is None or now - changed < QUIET or (place is not None and changed <= place.told):
            return None
        if place is None:
            return Page((), Place(changed))
        place = place._replace(upto=changed)
    products = _came(conn, place)
    persons = [person for (person,) in fetch(conn, _WHO[place.event], ("after",), (place.after,))] if products else []
    find = _restocked if place.event == RESTOCKED else _arrived
    return Page(find(conn, persons, products, place, now) if persons else (), _behind(place, persons))


def tell(conn: Connection, page: Page, shop: Shop, now: Instant) -> Taken:
    """Keep a page's events, with all that follows from them, and go on behind it. Lane BULK. A page told twice is one."""
    set_meta(conn, TOLD, json.dumps(page.then))
    return take_events(conn, page.rows, shop, now)


def _behind(place: Place, persons: Sequence[int]) -> Place:
    """Where the next page begins; of the last page of an event with the other one, of the last of all nowhere."""
    if len(persons) == PEOPLE:
        return place._replace(after=persons[-1])
    if place.event == RESTOCKED:
        return place._replace(event=ARRIVED, after=0)
    return Place(place.upto or place.told)


def _came(conn: Connection, place: Place) -> Mapping[str, Product]:
    """What came of this kind in this pass, the latest first; nothing where no campaign would begin by it."""
    if not fetch(conn, _HEARD, ("names",), (ids([place.event]),)):
        return {}
    keys = [key for (key,) in fetch(conn, _CAME[place.event], ("told", "upto"), (place.told, place.upto))]
    known = read_products(conn, keys)
    return {key: known[key] for key in keys if key in known}


def _restocked(conn: Connection, persons: Sequence[int], products: Mapping[str, Product], place: Place, now: Instant) -> list[EventRow]:
    found = fetch(conn, _WANTING, ("persons", "products"), (ids(persons), ids(sorted(products))))
    return [
        _event(person, key, place, [products[row[2]] for row in rows], now)
        for (person, key), rows in groupby(found, key=lambda row: (row[0], row[1]))
    ]


def _arrived(conn: Connection, persons: Sequence[int], products: Mapping[str, Product], place: Place, now: Instant) -> list[EventRow]:
    shelves: dict[str, list[Product]] = {}
    for product in products.values():
        if product.category is not None:
            shelves.setdefault(product.category, []).append(product)
    favourite: dict[tuple[int, str], str] = {}
    for person, key, category in fetch(conn, _BUYING, ("persons",), (ids(persons),)):
        favourite.setdefault((person, key), category)
    return [
        _event(person, key, place, shelves[category], now) for (person, key), category in favourite.items() if category in shelves
    ]  # fmt: skip


def _event(person: int, key: str, place: Place, products: Iterable[Product], now: Instant) -> EventRow:
    """`category` and `product_id`: of the first of the products; `count`: of all, of which the first few are named."""
    mine = list(products)
    about: dict[str, Any] = {"product_id": mine[0].key, "count": len(mine), "products": [_said(each) for each in mine[:MOST]]}
    if mine[0].category is not None:
        about["category"] = mine[0].category
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    return EventRow(person, key, place.event, event_id(f"{place.event} {place.upto}"), now, text, seen=False)


def _said(product: Product) -> dict[str, Any]:
    """As Segment writes products of events."""
    said = {
        "product_id": product.key, "name": product.name, "url": product.url, "image_url": product.image_url,
        "category": product.category, "price": None if product.price is None else product.price / MICROS, "currency": product.currency,
    }  # fmt: skip
    return {name: each for name, each in said.items() if each is not None}
