"""SANDBOX, what the shop sells: categories with the time after which people buy again, and their products.

Prices are in US dollars, the shop's currency. Names are in the four languages of its customers. Pure data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

LANGUAGES = ("en", "id", "ms", "fa")


class Category(NamedTuple):
    """`cycle`: days until its buyers need it again, on average. `regular`: how even the gaps are (1 = at any time, 6 = nearly even).
    `names`: by language, what its products are called."""

    name: str
    share: float
    cycle: float
    regular: int
    price: float
    names: Mapping[str, str]


CATEGORIES: tuple[Category, ...] = (
    Category("coffee", 0.18, 30, 4, 14.0, {"en": "Coffee beans", "id": "Biji kopi", "ms": "Biji kopi", "fa": "دانهٔ قهوه"}),
    Category("skin-care", 0.18, 45, 3, 24.0, {"en": "Face cream", "id": "Krim wajah", "ms": "Krim muka", "fa": "کرم صورت"}),
    Category("pet-food", 0.10, 40, 6, 32.0, {"en": "Cat food", "id": "Makanan kucing", "ms": "Makanan kucing", "fa": "غذای گربه"}),
    Category("supplements", 0.12, 60, 3, 28.0, {"en": "Vitamins", "id": "Vitamin", "ms": "Vitamin", "fa": "ویتامین"}),
    Category("fashion", 0.20, 75, 1, 45.0, {"en": "Jacket", "id": "Jaket", "ms": "Jaket", "fa": "کاپشن"}),
    Category("shoes", 0.12, 120, 1, 70.0, {"en": "Running shoes", "id": "Sepatu lari", "ms": "Kasut larian", "fa": "کفش دویدن"}),
    Category("electronics", 0.10, 180, 1, 110.0, {"en": "Headphones", "id": "Headphone", "ms": "Fon kepala", "fa": "هدفون"}),
)
LINES = ("Classic", "Nusa", "Damai", "Aria", "Polar", "Mira", "Kanvas", "Zamrud")
"""Each category has a product of each line; the further on, the dearer."""


class Product(NamedTuple):
    id: str
    category: Category
    line: int
    price: float

    def described(self, language: str) -> dict[str, Any]:
        """As events and templates know it, its name in one language."""
        return {
            "product_id": self.id, "name": f"{self.category.names[language]} {LINES[self.line]}", "category": self.category.name,
            "price": self.price, "url": f"https://shop.example.com/p/{self.id}", "image_url": f"https://shop.example.com/i/{self.id}.jpg",
        }  # fmt: skip


@cache
def products() -> tuple[tuple[Product, ...], ...]:
    """By category, by line."""
    return tuple(
        tuple(
            Product(f"{category.name}-{line + 1}", category, line, round(category.price * (0.7 + 0.15 * line), 2))
            for line in range(len(LINES))
        )
        for category in CATEGORIES
    )


@cache
def spelt(category: int, line: int, language: str) -> str:
    """A product as JSON: the same few are written again and again."""
    return json.dumps(products()[category][line].described(language), ensure_ascii=False, separators=(",", ":"))
