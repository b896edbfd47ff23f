"""SANDBOX, what a message does to a customer: a pure function of (seed, person, message), by effects that are written down as truth.

The same draw decides for the same person, campaign, step and occurrence, whatever the offer and channel: so a person's answer to each of
them is one fact, and the difference between two arms of an experiment is what `lift` says. What people do by themselves (`Customer.coming`)
is not touched by it: who is sent nothing shows what would have been.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

from daemon.sandbox.shop.life import COUPONS, Customer, Order
from daemon.sandbox.shop.markets import DAY

NO_OFFER = 0.02
"""How likely a message that offers nothing makes its reader order."""
OFFERS = {
    "shipping": 0.015, "points": 0.008, "gift": 0.02, "access": 0.01, "content": 0.004, "trial": 0.015, "credit": 0.02, "amount": 0.02,
    "cashback": 0.016,
}  # fmt: skip
"""Added by an offer of the kind. `percent` and `tiered` add `PER_PERCENT` for each percent; a bundle adds what its parts add."""
PER_PERCENT = 0.0016
STEPS = (1.0, 0.8, 0.65, 0.55, 0.5)
"""The first step of a campaign, the second ..; all later ones are as the last."""
CHANNELS = {"email": 1.0, "sms": 1.3, "push": 0.7}
OTHER_CHANNEL = 0.4
SILENCES = ((60, 1.1), (90, 1.0), (180, 0.7), (math.inf, 0.4))
"""(days since the last order, factor)"""
HUNTER = {"without": 0.25, "with": 1.6}
"""Those who buy only at a discount, by whether there is one."""
DELAY_DAYS = 1.5
"""Mean from the message to the order."""
UNSUBSCRIBES, COMPLAINS = 0.003, 0.0002
_DISCOUNTS = frozenset({"percent", "tiered", "amount", "shipping", "credit", "cashback"})


class Sent(NamedTuple):
    """A message that was accepted. `position`: of its step in the campaign, from 0. `offer`: (kind, value) of each part. `at`, `ends`:
    seconds of the epoch; `ends`: of the offer, None = none."""

    campaign: str
    step: str
    position: int
    occurrence: int
    channel: str
    offer: tuple[tuple[str, float | None], ...]
    at: int
    ends: int | None = None


class Reaction(NamedTuple):
    """Instants in seconds of the epoch, None = it does not happen."""

    opened: int | None
    clicked: int | None
    unsubscribed: int | None
    complained: int | None
    order: Order | None


def added_by(offer: Sequence[tuple[str, float | None]]) -> float:
    """What an offer adds to `NO_OFFER`, for a reader of no special kind."""
    total = 0.0
    for kind, value in offer:
        total += PER_PERCENT * (value or 0) if kind in ("percent", "tiered") else OFFERS.get(kind, 0.0)
    return total


def lift(customer: Customer, sent: Sent) -> float:
    """How likely this message makes this person order: the true effect."""
    silent = (sent.at - _last_before(customer, sent.at)) / DAY
    factor = next(factor for days, factor in SILENCES if silent < days)
    if customer.nature.hunter:
        factor *= HUNTER["with" if any(kind in _DISCOUNTS for kind, _ in sent.offer) else "without"]
    factor *= STEPS[min(sent.position, len(STEPS) - 1)] * CHANNELS.get(sent.channel, OTHER_CHANNEL)
    return min((NO_OFFER + added_by(sent.offer)) * factor, 0.9)


def respond(seed: int, customer: Customer, sent: Sent) -> Reaction:
    """What the person does about it."""
    nature = customer.nature
    draws = _draws(f"{seed} {nature.key} {sent.campaign} {sent.step} {sent.occurrence}")
    order: Order | None = None
    at = sent.at + 600 + int(-math.log(max(draws[1], 1e-9)) * DELAY_DAYS * DAY)
    if sent.ends is not None and at >= sent.ends:
        at = sent.at + 600 + int((sent.ends - sent.at - 600) * draws[1])
    if draws[0] < lift(customer, sent):
        order = _order(customer, sent, max(at, sent.at + 60), draws)
    reads = sent.channel == "email"
    opened = sent.at + 120 + int(draws[3] * 20 * 3600) if reads and (order or draws[2] < nature.opens) else None
    clicked = None
    if order is not None or draws[4] < nature.clicks * nature.opens:
        clicked = min((opened or sent.at) + 30, order.at - 20 if order else (opened or sent.at) + 30)
    if opened is not None and clicked is not None:
        opened = min(opened, clicked - 5)
    leaves = sent.at + 300 + int(draws[5] * DAY)
    return Reaction(
        opened, clicked if reads else None, leaves if draws[6] < UNSUBSCRIBES else None, leaves if draws[7] < COMPLAINS else None, order
    )


def _order(customer: Customer, sent: Sent, at: int, draws: Sequence[float]) -> Order:
    percents = [int(value or 0) for kind, value in sent.offer if kind in ("percent", "tiered")]
    percent = max(percents, default=COUPONS[0] if customer.nature.hunter else 0)
    return Order(at, customer.nature.category, int(draws[2] * 8), 1 + (draws[3] < 0.25), percent)


def _last_before(customer: Customer, at: int) -> int:
    return max((order.at for order in customer.orders if order.at <= at), default=customer.orders[0].at)


def _draws(text: str) -> list[float]:
    """Eight numbers from 0 to 1, the same for the same text always and everywhere."""
    digest = hashlib.blake2b(text.encode(), digest_size=64).digest()
    return [int.from_bytes(digest[n : n + 8]) / 2**64 for n in range(0, 64, 8)]


def truth() -> dict[str, object]:
    """The effects, for `world.json`."""
    return {
        "no_offer": NO_OFFER, "offers": OFFERS, "per_percent": PER_PERCENT, "steps": STEPS, "channels": CHANNELS,
        "other_channel": OTHER_CHANNEL, "silence_days": [[days if days < math.inf else None, factor] for days, factor in SILENCES],
        "hunters": HUNTER, "delay_days": DELAY_DAYS, "unsubscribes": UNSUBSCRIBES, "complains": COMPLAINS,
    }  # fmt: skip


__all__ = ["Reaction", "Sent", "added_by", "lift", "respond", "truth"]
