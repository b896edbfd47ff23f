"""The tables of the catalogue and of what goes with what, a part of `store.schema`."""

from __future__ import annotations

from sqlalchemy import Index

from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

product = _table(
    "product",
    _text("key", key=True),
    _text("name"),
    _text("url", null=True),
    _text("image_url", null=True),
    _text("category", null=True),
    _int("price", null=True),
    _text("currency", null=True),
    _int("in_stock", default=1),
    _int("added_at"),
    _int("restocked_at", null=True),
    _int("buyers", default=0),
    clustered=True,
)
"""The catalogue as it was imported. `price`: millionths. `restocked_at`: when an import said that it is there again. `buyers`: people
who bought it in the last 90 days, as last counted."""

bought = _table(
    "bought", _int("person", key=True), _text("product", key=True), _int("at"), Index("bought_product", "product", "at", "person"),
    clustered=True,
)  # fmt: skip
"""Who bought what, when last; of orders that name their products. The index: who bought a product lately, without another look."""

wanted = _table("wanted", _int("person", key=True), _text("product", key=True), _int("at"), clustered=True)
"""Who looked at which product of the catalogue, or put it into a basket or on a list, when last."""

product_pair = _table("product_pair", _text("product", key=True), _int("place", key=True), _text("other"), clustered=True)
"""What people who bought a product bought as well; place 0 fits best."""

bestseller = _table("bestseller", _text("category", key=True), _int("place", key=True), _text("product"), clustered=True)
"""What most people buy of a category; of the category "" = of all."""
