"""AUDIT, counting: how much of a frequency cap was used before a send, counted touch by touch.

Rolling: the touches of the period before it. Calendar: those whose local date, ISO week or month is the send's own, by the zone of
the send or by a zone that the touch kept. Transactional sends need no slot but take one. Dates come from the calendar of the standard
library, written without a look at `daemon.policy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from daemon.audit.hours import wall_clock

THOUSAND = 1000
PAID = "audience"
ACT = "(act)"
"""The topic of what was no message."""
"""A stay in an advertising audience: no message, so it keeps no window, and its days are not in the log of what was sent."""
CLAIM_GRACE = 2 * 3600 * 1_000_000
"""A send was judged when it was claimed; it leaves at most so much later."""


class Contact(NamedTuple):
    """A touch as it is counted. `zones`: those that were possible for it."""

    delivery: int
    at: int
    channel: str
    campaign: str
    topic: str | None
    zones: tuple[str, ...]
    transactional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A `[[cap]]` as the config says it. `weights` in thousandths; None = each touch is one."""

    name: str
    most: int
    rolling: int | None
    calendar: str | None
    channels: frozenset[str]
    topics: frozenset[str]
    campaign: str
    weights: Mapping[str, int] | None

    @staticmethod
    def of(table: Mapping[str, Any], weights: Mapping[str, float]) -> Limit:
        units = table["count"] == "units"
        return Limit(
            name=table["name"], most=round(table["limit"] * THOUSAND), rolling=table["rolling"], calendar=table["calendar"],
            channels=frozenset(table["channels"]), topics=frozenset(table["topics"]), campaign=table["campaign"],
            weights={channel: round(weight * THOUSAND) for channel, weight in weights.items()} if units else None,
        )  # fmt: skip

    def concerns(self, contact: Contact) -> bool:
        return (
            contact.channel != PAID
            and contact.topic != ACT
            and (not self.channels or contact.channel in self.channels)
            and (not self.topics or contact.topic in self.topics)
            and (not self.campaign or contact.campaign == self.campaign)
        )

    def weight(self, contact: Contact) -> int:
        return THOUSAND if self.weights is None else self.weights.get(contact.channel, THOUSAND)


def excess(limit: Limit, send: Contact, contacts: Iterable[Contact]) -> Mapping[str, Any] | None:
    """The numbers of a send that had no slot; None when it had one (or needs none)."""
    if send.transactional or not limit.concerns(send):
        return None
    before = [contact for contact in contacts if _counts_before(contact, send) and limit.concerns(contact)]
    worst, zone = 0, None
    for name in send.zones or (None,):
        used = sum(limit.weight(contact) for contact in before if _same_period(limit, contact, send, name))
        if used > worst:
            worst, zone = used, name
    if worst + limit.weight(send) <= limit.most:
        return None
    facts: dict[str, Any] = {"limit": limit.most / THOUSAND, "used": worst / THOUSAND, "weight": limit.weight(send) / THOUSAND}
    period = {"rolling_seconds": limit.rolling // 1_000_000} if limit.rolling else {"calendar": limit.calendar, "zone": zone}
    return {**facts, **period}


def _counts_before(contact: Contact, send: Contact) -> bool:
    """Handed over earlier; of one instant the smaller number first, and none that needs no slot."""
    if contact.transactional:
        return contact.at < send.at
    return (contact.at, contact.delivery) < (send.at, send.delivery)


def _same_period(limit: Limit, contact: Contact, send: Contact, zone: str | None) -> bool:
    if limit.rolling is not None:
        return contact.at > send.at - limit.rolling
    if zone is None:
        return False  # nobody knows which day it was: the window's own check speaks of that
    period = _period(limit.calendar or "month", send.at, zone)
    return any(_period(limit.calendar or "month", contact.at, name) == period for name in dict.fromkeys((zone, *contact.zones)))


def _period(calendar: str, at: int, zone: str) -> Sequence[int]:
    local = wall_clock(at, zone)
    if calendar == "day":
        return (local.year, local.month, local.day)
    return local.isocalendar()[:2] if calendar == "week" else (local.year, local.month)
