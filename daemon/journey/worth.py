"""JOURNEY, worth: what a message to somebody is expected to bring, and what an offer takes off an order. Pure.

Money is in the shop's currency. An order is taken to be worth what those of the same person were on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from daemon.journey.profile import MICROS, Shop
from daemon.journey.sequence import offer_of
from daemon.journey.tiers import tier_of
from daemon.model.campaign import Campaign, Step
from daemon.model.journey import DEFAULT_TIER, Offer, OfferKind, Variant


class Prices(NamedTuple):
    """`margin`: share of revenue; `costs`: what a message over a channel costs, for those that have a price."""

    shop: Shop
    margin: float
    costs: Mapping[str, float]


class Budgets(NamedTuple):
    """`costs`: as in `Prices`. `shares`: channel -> the share of a campaign's budget that it may use at most."""

    costs: Mapping[str, float] = {}
    shares: Mapping[str, float] = {}


def over_budget(budget: float, share: float | None, cost: int, spent: int, over_channel: int) -> Mapping[str, Any] | None:
    """The numbers by which one more message would exceed the campaign's budget, or the share of it that its channel has; None: it fits.
    `cost`, `spent` (by all channels), `over_channel`: millionths."""
    if spent + cost > round(budget * MICROS):
        return {"of": "the campaign", "limit": budget, "spent": spent / MICROS, "cost": cost / MICROS}
    if share is not None and over_channel + cost > round(budget * share * MICROS):
        limit = round(budget * share, 6)
        return {"of": "its channel", "limit": limit, "spent": over_channel / MICROS, "cost": cost / MICROS, "share": share}
    return None


def discount_of(offer: Offer, order: float) -> float:
    """What it takes off an order of this worth, as a share of it: percent and amounts; what else an offer costs is not known here."""
    share = 0.0
    for part in offer.parts:
        if part.kind is OfferKind.PERCENT or part.kind is OfferKind.CASHBACK:
            share += (part.value or 0.0) / 100
        elif part.kind is OfferKind.TIERED:
            share += max((value for value, over in part.tiers if over <= order), default=0.0) / 100
        elif part.kind in (OfferKind.AMOUNT, OfferKind.CREDIT) and order > 0:
            share += min((part.value or 0.0) / order, 1.0)
    return min(share, 1.0)


def below_cost(
    campaign: Campaign, step: Step, variant: Variant | None, channel: str, profile: Mapping[str, Any], prices: Prices
) -> Mapping[str, Any] | None:  # fmt: skip
    """The numbers by which a message is not worth its cost; None: it is, or nobody knows: a campaign that does not ask, a channel without
    a price, somebody without orders. `profile`: `orders`, and `value` in millionths."""
    cost, orders = prices.costs.get(channel, 0.0), profile.get("orders") or 0
    if campaign.value is None or not campaign.value.expect or step.act is not None or cost <= 0 or orders <= 0:
        return None
    tier, order = tier_of(profile, prices.shop), (profile.get("value") or 0) / MICROS / orders
    offer = campaign.offers.get(offer_of(step, variant, tier) or "")
    margin = prices.margin - (discount_of(offer, order) if offer is not None else 0.0)
    expect = campaign.value.expect.get(tier, campaign.value.expect[DEFAULT_TIER])
    brings = max(order * margin, 0.0) * expect
    if brings >= cost:
        return None
    return {"tier": tier, "order": round(order, 2), "margin": round(margin, 4), "expect": expect, "brings": round(brings, 6), "cost": cost}
