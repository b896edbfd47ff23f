"""INTAKE, the catalogue: products come in row by row, as a file or through the API, and replace what was known of them.

A row says the whole product. Bad rows are named with line and field, and never stop good ones; the same rows again change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from babel.numbers import is_currency

from daemon.clock import Clock
from daemon.errors import nearest
from daemon.intake.parse import Item
from daemon.journey.profile import MICROS, MOST, number
from daemon.journey.recommend import KEY_LENGTH, key_of
from daemon.model.job import RowError
from daemon.model.product import Product
from daemon.store.products import put_products
from daemon.store.writer import Lane, Writes

TOGETHER = 200
"""Products of one transaction."""
FIELDS = ("product_id", "sku", "name", "title", "url", "image_url", "category", "price", "currency", "in_stock", "brand", "variant")
"""Those of Segment's products. `title` is another name of `name`; what a message does not name (brand, variant) is passed over."""
_LENGTHS = {"name": 200, "url": 2000, "image_url": 2000, "category": 100}
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


@dataclass(slots=True, kw_only=True)
class Shelved:
    """What became of rows. Lines of `errors`: of the body, from 1."""

    rows: int = 0
    kept: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)


class _WrongField(ValueError):
    def __init__(self, name: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.name, self.code = name, code


class Catalogue:
    """The door."""

    def __init__(self, *, store: Writes, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def take(self, items: Sequence[Item]) -> Shelved:
        """Set these. All that can be kept is committed when it returns."""
        done = Shelved(rows=len(items))
        good: dict[str, Product] = {}
        for item in items:
            try:
                product = _product(item)
            except _WrongField as error:
                done.rejected += 1
                done.errors.append(RowError(line=item.line, field=error.name or None, code=error.code, detail=str(error)))
            else:
                done.kept += 1
                good[product.key] = product  # of two rows of one product the later counts
        products = list(good.values())
        for start in range(0, len(products), TOGETHER):
            await self._store.write(Lane.INTAKE, put_products, products[start : start + TOGETHER], self._clock.instant())
        return done


def _product(item: Item) -> Product:
    row = item.value
    if not isinstance(row, Mapping):
        raise _WrongField("", item.code or "type", item.detail or "a product is a JSON object")
    for field_name in row:
        if field_name not in FIELDS:
            hint = nearest(field_name, FIELDS)
            raise _WrongField(field_name[:60], "unknown_field", "is no field of a product" + (f'; did you mean "{hint}"?' if hint else ""))
    key = key_of(row)
    if key is None:
        raise _WrongField("product_id", "missing", f"a product has a product_id (or sku) of at most {KEY_LENGTH} characters")
    name = _text(row, "name") or _text(row, "title")
    if name is None:
        raise _WrongField("name", "missing", "a product has a name")
    price, currency = _price(row), _currency(row)
    return Product(key, name, _address(row, "url"), _address(row, "image_url"), _text(row, "category"), price, currency, _in_stock(row))


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    most = _LENGTHS.get(name, _LENGTHS["name"])
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise _WrongField(name, "invalid", f"is a line of text of at most {most} characters")
    return value.strip() or None


def _address(row: Mapping[str, Any], name: str) -> str | None:
    text = _text(row, name)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
    except ValueError:
        good = False
    if not good:
        raise _WrongField(name, "invalid", "is an address that begins with https:// or http://")
    return text


def _price(row: Mapping[str, Any]) -> int | None:
    said = row.get("price")
    if said is None or said == "":
        return None
    value = number(said)
    if value is None or value > MOST:
        raise _WrongField("price", "invalid", "is a number, not below zero, such as 19.90")
    return round(value * MICROS)


def _currency(row: Mapping[str, Any]) -> str | None:
    said = _text(row, "currency")
    if said is not None and not is_currency(said.upper()):
        raise _WrongField("currency", "invalid", "is a code of ISO 4217 such as IDR")
    return None if said is None else said.upper()


def _in_stock(row: Mapping[str, Any]) -> bool:
    said = row.get("in_stock")
    if said is None or said == "":
        return True
    word = str(said).strip().lower()
    if word not in _YES | _NO:
        raise _WrongField("in_stock", "invalid", "is true or false")
    return word in _YES
