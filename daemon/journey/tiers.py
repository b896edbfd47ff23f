"""JOURNEY, tiers: what a recipient is worth and how long it has been away, by the thresholds of `[shop]` (contract: segments).

Templates and names of audiences use these of one profile; `store.segment_sql` says the same to the database for many. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.journey.profile import MICROS, Shop, Tier
from daemon.model.delivery import DAY, Instant

LOW, MEDIUM = "low", "medium"


def upper_tiers(shop: Shop) -> list[tuple[str, Tier]]:
    """The tiers that are reached from below, the dearest first; a person is in the first of which it has both."""
    found = [(name, tier) for name, tier in shop.tiers.items() if name != LOW]
    return sorted(found, key=lambda item: (-item[1].value, -item[1].orders, item[0]))


def tier_of(profile: Mapping[str, Any] | None, shop: Shop) -> str:
    """The tier's name. `profile`: a row of that table (`orders`, `value` in millionths); None, or without orders, is the lowest."""
    orders = int((profile or {}).get("orders") or 0)
    value = int((profile or {}).get("value") or 0)
    for name, tier in upper_tiers(shop):
        if orders >= tier.orders and value >= tier.value * MICROS:
            return name
    low = shop.tiers.get(LOW)
    return LOW if low is not None and orders <= low.orders and value < low.value * MICROS else MEDIUM


def bands_in_order(shop: Shop) -> list[tuple[str, int]]:
    """The bands with the day on which each starts, the earliest first."""
    return sorted(shop.bands.items(), key=lambda item: (item[1], item[0]))


def band_of(profile: Mapping[str, Any] | None, shop: Shop, now: Instant) -> str | None:
    """The dormancy band by the last order; None: it has none, or is not away for so long."""
    days = days_since((profile or {}).get("last_order_at"), now)
    name = None
    for band, start in bands_in_order(shop):
        if days is not None and days >= start:
            name = band
    return name


def days_since(at: Instant | None, now: Instant) -> int | None:
    """Whole days; None: it never was."""
    return None if at is None else (now - at) // DAY
