"""SANDBOX, a customer's nature: where one lives, how often one buys, how likely each order is the last, what one opens and agrees to.

All drawn from the person's own numbers, so that any customer can be made without the others. `Nature` is what Homing does not
get to see. Pure.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from daemon.sandbox.shop.catalogue import CATEGORIES
from daemon.sandbox.shop.markets import Market, market_of
from daemon.sandbox.world import NAMES

RATE_SHAPE = 2.5
"""Of the gamma by which people's rates differ around their category's; mean 1."""
DROP_A, DROP_B = 1.1, 4.2
"""Of the beta from which comes how likely an order is somebody's last one."""
HUNTERS = 0.15
"""Share of those who buy only at a discount."""
SUBSCRIBERS = 0.04
_CATEGORY_SHARES = tuple(accumulate(category.share for category in CATEGORIES))
CONSENT_TEXT = {
    "en": "Yes, write to me about offers.", "id": "Ya, kirimi saya penawaran.", "ms": "Ya, hantar tawaran kepada saya.",
    "fa": "بله، پیشنهادها را برایم بفرستید.",
}  # fmt: skip


class Nature(NamedTuple):
    """`cycle`: mean days between one's orders while one is a customer; gaps are gamma of shape `regular`. `dropout`: how likely each order
    is the last. `opens`: of mails that one gets, the share that one opens."""

    number: int
    key: str
    market: Market
    language: str
    locale: str
    category: int
    cycle: float
    regular: int
    dropout: float
    hunter: bool
    subscriber: bool
    opens: float
    clicks: float


def key_of(number: int) -> str:
    """The recipient's id."""
    return f"w-{number:07}"


def number_of(key: str) -> int | None:
    """None for who is not of this shop."""
    digits = key.removeprefix("w-")
    return int(digits) if key.startswith("w-") and len(digits) == 7 and digits.isdecimal() else None


def draw_nature(rng: random.Random, number: int) -> Nature:
    """The next draws of `rng`, always as many and in this order."""
    market = market_of(rng.random())
    locale = market.languages[int(rng.random() * len(market.languages))]
    which = min(bisect_right(_CATEGORY_SHARES, rng.random() * _CATEGORY_SHARES[-1]), len(CATEGORIES) - 1)
    category = CATEGORIES[which]
    rate = max(rng.gammavariate(RATE_SHAPE, 1 / RATE_SHAPE), 0.08)
    dropout = min(max(rng.betavariate(DROP_A, DROP_B), 0.005), 0.95)
    hunter, subscriber = rng.random() < HUNTERS, rng.random() < SUBSCRIBERS
    return Nature(
        number, key_of(number), market, locale[:2], locale, which, category.cycle / rate, category.regular,
        0.01 if subscriber else dropout, hunter, subscriber, rng.betavariate(2, 5), rng.betavariate(1.5, 8),
    )  # fmt: skip


def draw_row(rng: random.Random, nature: Nature, joined: str) -> Mapping[str, Any]:
    """What the shop knows of a customer, as a row that Homing takes. `joined`: instant of the first order, for the consents."""
    market, number = nature.market, nature.number
    names = NAMES[nature.language]
    row: dict[str, Any] = {"id": nature.key, "email": f"{nature.key}@example.com", "locale": nature.locale}
    known = rng.random()
    if known < 0.93:
        row["zone"] = market.zone
    if known < 0.985:
        row["country"] = market.country
    if market.phone and rng.random() < 0.75:
        row["phone"] = f"{market.phone}{number:07}"
    traits: dict[str, Any] = {"first_name": names[int(rng.random() * len(names))]}
    traits["birthday"] = f"{1955 + int(rng.random() * 52)}-{1 + int(rng.random() * 12):02}-{1 + int(rng.random() * 28):02}"
    odd = rng.random()
    if odd < 0.04:
        traits["quiet_hours"] = ["12:30-14:30", "19:00-22:00"]
    elif odd < 0.10:
        traits["preferred_channels"] = ["sms", "email"]
    elif odd < 0.15:
        traits["tone"] = "formal" if odd < 0.13 else "casual"
    row["traits"] = traits
    agreed = rng.random()
    grant = {"at": joined, "source": "checkout", "text": CONSENT_TEXT[nature.language]}
    consent = {"email": grant} if agreed < 0.9 else {}
    if "phone" in row and agreed < 0.4:
        consent["sms"] = grant
    if agreed < 0.5:
        consent["audience"] = grant
    if consent:
        row["consent"] = consent
    return row
