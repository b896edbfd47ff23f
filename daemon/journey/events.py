"""JOURNEY, events: the names that mean something here (Segment's e-commerce events and a few more), and what each stands for.

Anything else is a custom event: kept, usable in segments and triggers, and a sign that its person is about. Names are taken as
Segment writes them; nothing is guessed from similar ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from daemon.model.delivery import Instant

ORDER, REFUND, CANCELLED_ORDER = "Order Completed", "Order Refunded", "Order Cancelled"
STARTED, RENEWED, CANCELLED = "Subscription Started", "Subscription Renewed", "Subscription Cancelled"
TICKET_OPENED, TICKET_CLOSED = "Support Ticket Opened", "Support Ticket Closed"
SURVEY = "Survey Answered"
REFERRED, UNREFERRED = "Referral Completed", "Referral Undone"
"""Of Homing itself: somebody else bought with the code that was passed on; all of it was cancelled or refunded."""
RESTOCKED, ARRIVED = "Product Restocked", "Product Arrived"
"""Of Homing itself, after an import of the catalogue (`store.arrivals`)."""
PAGE, SCREEN = "Page Viewed", "Screen Viewed"
OPENED, CLICKED = "Email Opened", "Email Link Clicked"
"""Of mail that others sent; Homing's own opens and clicks come as feedback."""

ORDERS = frozenset({ORDER, REFUND, CANCELLED_ORDER})
REACTIONS = frozenset({OPENED, CLICKED})
WEIGHTY = ORDERS | REACTIONS | {STARTED, RENEWED, CANCELLED, TICKET_OPENED, TICKET_CLOSED, SURVEY}
"""Those from which a profile is made anew, all of a person's together."""
VISITS = frozenset({
    PAGE, SCREEN, "Product Viewed", "Product Clicked", "Product List Viewed", "Products Searched", "Product Added", "Product Removed",
    "Cart Viewed", "Checkout Started", "Application Opened", "Store Entered",
})  # fmt: skip
WANTING = frozenset({"Product Viewed", "Product Clicked", "Product Added", "Product Added to Wishlist"})
"""Those of one product by which a person shows that it wants it."""
UNSEEN = frozenset({
    REFUND, CANCELLED_ORDER, RENEWED, CANCELLED, TICKET_CLOSED, OPENED, "Ad Impression", "Email Delivered", "Email Bounced",
    "Email Marked as Spam", "Unsubscribed", "Application Uninstalled", "Push Notification Received", "Segment Entered", "Segment Left",
    REFERRED, UNREFERRED, RESTOCKED, ARRIVED,
})  # fmt: skip
"""What is done to a person, by a machine, or in leaving: no sign that the person is about."""
FORBIDDING = frozenset({ORDER, STARTED, RENEWED, TICKET_OPENED})
"""Those that may forbid what is on its way to the person: it is decided anew."""


class Happening(NamedTuple):
    """One event of a person. `id` tells two of one instant apart."""

    name: str
    at: Instant
    id: int
    properties: Mapping[str, Any]


def event_id(message_id: str) -> int:
    """0 .. 2**63 - 1 from the id that its sender gave it; the same always and everywhere."""
    return int.from_bytes(hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1


def content_id(name: str, at: Instant | None, properties: Mapping[str, Any]) -> int:
    """The same for an event that came without an id: two of the same content and instant are one."""
    return event_id(json.dumps([name, at, properties], sort_keys=True, default=str))
