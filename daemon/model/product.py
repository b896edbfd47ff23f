"""MODEL, products: what the shop sells, as far as a message may name it."""

from __future__ import annotations

from typing import NamedTuple

from daemon.model.delivery import Instant


class Product(NamedTuple):
    """One thing of the catalogue. `price` in millionths of `currency` (None: the shop's). `key`: the shop's `product_id`, or its `sku`."""

    key: str
    name: str
    url: str | None = None
    image_url: str | None = None
    category: str | None = None
    price: int | None = None
    currency: str | None = None
    in_stock: bool = True


class Bought(NamedTuple):
    """That a person bought a product, last at this instant; `category`: of the catalogue."""

    product: str
    at: Instant
    category: str | None
