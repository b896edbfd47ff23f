"""A recipient and what may be known of one (design: words)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """`id` is the store's integer (63 bit, from the key), `key` the marketer's own id."""

    id: int
    key: str
    email: str | None = None
    phone: str | None = None
    zone: str | None = None
    locale: str | None = None
    country: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    erased: bool = False
