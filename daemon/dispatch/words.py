"""What a recipient's profile is called in a template: `recipient.tier`, `.band`, `.last_product`, `.orders` and so on; and what stands in
for an offer and an event in a message that is only looked at.

Pure. What is not known is left out, so that a trait of the name serves, or the message is held. Money is in the shop's currency, instants
are ISO texts, days whole ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.clock import iso
from daemon.content.offer_words import money_text, offer_variables
from daemon.journey.profile import MICROS, Shop
from daemon.journey.sequence import offer_of
from daemon.journey.tiers import band_of, days_since, tier_of
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, Instant
from daemon.model.product import Product

_AGO = {f"days_since_{what}": f"last_{what}_at" for what in ("open", "click", "visit", "seen")}
_INSTANTS = ("first_order_at", "last_order_at", "subscription_ends_at", "last_survey_at")
NO_CODE = "PREVIEW-1234"
CYCLE_ORDERS = 3
"""From so many orders on a recipient has a cycle of its own."""


def profile_words(profile: Mapping[str, Any] | None, shop: Shop, now: Instant, *, knows_tier: bool = False) -> dict[str, object]:
    """The words of `content.variables.PROFILE_WORDS`. `profile`: a row of that table; None = no event of the recipient is known.
    `knows_tier`: the shop says the tier itself, which counts as long as no order is known here."""
    row = profile or {}
    orders = int(row.get("orders") or 0)
    words: dict[str, object] = {}
    if orders or not knows_tier:
        words["tier"] = tier_of(row, shop)
    if orders:
        words |= _bought(row, orders, shop, now)
    for word, column in _AGO.items():
        words[word] = days_since(row.get(column), now)
    for column in _INSTANTS:
        words[column] = iso(row[column]) if row.get(column) is not None else None
    for column in ("lapse_reason", "nps"):
        words[column] = row.get(column)
    if profile is not None:
        words |= {"score": row["score"], "tickets_open": row["tickets_open"], "returns": row["returns"]}
        ends = row["subscription_ends_at"]
        words["subscription_active"] = bool(row["subscription_active"]) and (ends is None or ends > now)
    return {word: value for word, value in words.items() if value is not None}


def _bought(row: Mapping[str, Any], orders: int, shop: Shop, now: Instant) -> dict[str, object]:
    """What orders say. A cycle is the mean gap between a recipient's own orders."""
    value = row["value"] / MICROS
    first, last = row["first_order_at"], row["last_order_at"]
    gap = (last - first) // (orders - 1) if orders >= CYCLE_ORDERS and first is not None and last is not None else 0
    return {
        "orders": orders,
        "value": int(value) if value == int(value) else round(value, 2),
        "discount_share": round(row["discount_orders"] / orders, 4),
        "days_since_order": days_since(last, now),
        "cycle_days": max(round(gap / DAY), 1) if gap else None,
        "band": band_of(row, shop, now),
        "last_product": json.loads(row["last_product"]) if row["last_product"] else None,
    }


def product_words(products: Sequence[Product], locale: str | None, currency: str) -> dict[str, object]:
    """The root `recommendations`, the best first; left out where there are none, so that a template that needs them holds its message.
    `price` is written as the locale writes money, `amount` a number; `currency`: of those that name none."""
    found = [_product_words(each, locale, currency) for each in products]
    return {"recommendations": found} if found else {}


def _product_words(product: Product, locale: str | None, currency: str) -> dict[str, object]:
    words: dict[str, object] = {
        "product_id": product.key, "name": product.name, "title": product.name, "url": product.url, "image_url": product.image_url,
        "category": product.category,
    }  # fmt: skip
    if product.price is not None:
        money, amount = product.currency or currency, product.price / MICROS
        words |= {"amount": int(amount) if amount == int(amount) else amount, "currency": money, "price": money_text(amount, money, locale)}
    return {word: value for word, value in words.items() if value is not None}


def made_up(
    campaign: Campaign, step: Step, variant: str | None, tier: str, locale: str | None, currency: str, now: Instant,
    said: Mapping[str, object],
) -> dict[str, object]:  # fmt: skip
    """What only a send knows, for a message that is none: the event, and the step's offer with a code that is none. `said`: the event's
    properties."""
    more: dict[str, object] = {"event": {"name": "Preview", "at": iso(now), "properties": said}}
    arm = next((each for each in step.variants if each.name == variant), None)
    offer = campaign.offers.get(offer_of(step, arm, tier) or "")
    if offer is not None:
        code = NO_CODE if offer.pool or offer.generate else None
        end = now + offer.valid if offer.valid is not None else now + 7 * DAY if offer.ends is not None else None
        more["offer"] = offer_variables(offer, locale=locale, currency=currency, code=code, shown_end=end)
    return more
