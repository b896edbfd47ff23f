"""The plan of one campaign: who would get what, when, over which channel; what would not go and why; what it costs and takes.

What can be told without people (`policy.feasible`) is told first; then the campaign's time is rehearsed on a copy of the store, as if it
were started now, and the calendar says the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from daemon.app.planning import first_messages, serving, situation
from daemon.app.setup import Setup
from daemon.clock import iso, to_instant
from daemon.errors import NotFoundError, nearest
from daemon.intake.tracker import shop_of
from daemon.journey.profile import MICROS
from daemon.journey.sequence import offer_of
from daemon.journey.tiers import tier_of
from daemon.journey.worth import discount_of
from daemon.model.campaign import Campaign
from daemon.model.delivery import DAY, Instant
from daemon.model.journey import Offer
from daemon.policy.feasible import Infeasible, Need, infeasible, needs
from daemon.policy.hours import parse_window
from daemon.simulate.rehearsal.calendar import Calendar
from daemon.simulate.rehearsal.channels import Sent
from daemon.simulate.rehearsal.run import Wish, rehearse
from daemon.store.rehearse import CopiedFile, Worth, audience, latest_due, status_of, worth_by_tier

MOST_DAYS = 120
AFTER = 2 * DAY
"""So long beyond a sequence's last step its plan looks."""


class Margin(NamedTuple):
    """Of one tier of the audience: what an order brings without an offer, and with the dearest one that the tier gets; what the messages to
    one recipient cost; and the share of recipients from which on it pays (None: an order brings nothing)."""

    tier: str
    people: int
    order: float
    plain: float
    offered: float
    cost: float
    pays_from: float | None


class Spending(NamedTuple):
    """Of a channel: what its messages cost, in the shop's currency, which share of all that is, and which it should be at most."""

    channel: str
    cost: float
    share: float
    budget: float | None

    @property
    def over(self) -> bool:
        return self.budget is not None and self.share > self.budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`audience`: members of the segment that it enrols, as last evaluated, or messages that wait. `first`, `finish`: instants of its
    first and last message in the days that were looked at. `cost`: in the shop's currency, where it can be told."""

    campaign: str
    status: str
    segment: str | None
    audience: int
    days: int
    infeasible: Sequence[Infeasible]
    needs: Sequence[Need]
    calendar: Calendar | None = None
    first: Instant | None = None
    finish: Instant | None = None
    cost: float = 0.0
    currency: str = ""
    margins: Sequence[Margin] = ()
    spending: Sequence[Spending] = ()
    cac: float = 0.0
    """`[shop] cac`: what a new customer costs; 0: not said."""

    @property
    def cheaper_from(self) -> int | None:
        """So many have to come back that the messages for each of them cost no more than a new customer."""
        return math.ceil(round(self.cost / self.cac, 6)) if self.cac > 0 and self.cost > 0 else None

    def as_json(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign, "status": self.status, "segment": self.segment, "audience": self.audience, "days": self.days,
            "infeasible": [each._asdict() for each in self.infeasible],
            "needs": [{**each._asdict(), "finish": _text(each.finish)} for each in self.needs],
            "first": _text(self.first), "finish": _text(self.finish), "cost": round(self.cost, 4), "currency": self.currency,
            "cac": self.cac, "cheaper_from": self.cheaper_from,
            "margins": [each._asdict() for each in self.margins],
            "spending": [{**each._asdict(), "over": each.over} for each in self.spending],
            "calendar": self.calendar.as_json() if self.calendar is not None else None,
        }  # fmt: skip


def _text(at: Instant | None) -> str | None:
    return None if at is None else iso(at)


@dataclass(slots=True)
class _Seen:
    """What the channels of the rehearsal took of the campaign."""

    campaign: str
    tell: Callable[[Sent], object] | None
    first: Instant | None = None
    last: Instant | None = None
    people: set[str] = field(default_factory=set)

    def took(self, sent: Sent) -> None:
        if self.tell is not None:
            self.tell(sent)
        if sent.campaign == self.campaign:
            self.first = sent.at if self.first is None else min(self.first, sent.at)
            self.last = sent.at if self.last is None else max(self.last, sent.at)
            self.people.add(sent.recipient)


def make_plan(setup: Setup, name: str, wish: Wish) -> Plan:
    """`wish.days` 0: as long as the campaign takes. Nothing is rehearsed where it cannot go at all. NotFoundError if there is none."""
    version = setup.catalogue.versions.get(name)
    if version is None:
        near = nearest(name, setup.catalogue.versions)
        raise NotFoundError(f'no campaign is named "{name}"' + (f'; did you mean "{near}"?' if near else "; `homing campaigns list`"))
    campaign, now = version.campaign, to_instant(wish.start)
    there, people, last, worth, status = _ask(setup, campaign)
    days = wish.days or min(days_of(campaign) + max((last or now) - now, 0) // DAY, MOST_DAYS)
    window = parse_window(campaign.window) if campaign.window else None
    at = situation(setup, there, now)
    wrong, asked = infeasible(campaign, setup.rules, window, at), needs(campaign, setup.rules, window, at)
    plan = Plan(campaign=name, status=status, segment=campaign.enrol.segment, audience=people, days=days, infeasible=wrong, needs=asked)
    if wrong:
        return plan
    seen = _Seen(name, wish.took)
    calendar = rehearse(setup, replace(wish, days=days, campaign=name, took=seen.took))
    costs = _costs(setup, calendar)
    cost = sum(costs.values())
    each = cost / len(seen.people) if seen.people else 0.0
    return replace(
        plan, calendar=calendar, first=seen.first, finish=seen.last, cost=cost, currency=setup.config.shop.currency,
        cac=float(setup.config.shop.cac),
        margins=_margins(setup, campaign, worth, each),
        spending=_spending(costs, setup.config.shop.budget),
    )  # fmt: skip


def days_of(campaign: Campaign) -> int:
    """How many days a walk through it can take, at most `MOST_DAYS`."""
    days = [step.day for step in campaign.steps if step.day is not None]
    spans = sum((step.delay or 0) for step in campaign.steps) + (max(days) - min(days) if days else 0) * DAY
    last = max((step.valid + (step.escalate.after if step.escalate else 0) for step in campaign.steps), default=0)
    return min(max(-(-(spans + last + AFTER) // DAY), 1), MOST_DAYS)


def _ask(
    setup: Setup, campaign: Campaign
) -> tuple[Mapping[tuple[str, str], int], int, Instant | None, Mapping[str, Worth], str]:
    """What the store says: (messages that wait, people of the audience, when the last of them falls due, worth by tier, status)."""
    shop = shop_of(setup.config)
    with TemporaryDirectory(prefix="homing-plan-") as folder:
        file = CopiedFile(setup.config.homing.database, Path(folder))
        try:
            there, people = file.do(audience, campaign.name, campaign.enrol.segment, first_messages(campaign))
            worth = file.do(worth_by_tier, campaign.name, campaign.enrol.segment, lambda profile: tier_of(profile, shop))
            status = file.do(status_of, campaign.name) or campaign.status.value
            return there, people, file.do(latest_due, campaign.name), worth, status
        finally:
            file.close()


def _costs(setup: Setup, calendar: Calendar) -> dict[str, float]:
    """All messages by channel, in the shop's currency: by the plugins' prices where they have some, else by `cost` of the provider."""
    shop = setup.config.shop
    found: dict[str, float] = {}
    for (channel, currency), amount in calendar.cost.items():
        rate = 1.0 if currency == shop.currency else float(shop.rates.get(currency, 0.0))
        found[channel] = found.get(channel, 0.0) + amount * rate
    priced = set(found)
    for channel, load in serving(setup).items():
        table = setup.config.providers.get(load.provider)
        if channel not in priced and table is not None:
            found[channel] = float(table.cost) * sum(n for (_, _, over), n in calendar.sent.items() if over == channel)
    return found


def _spending(costs: Mapping[str, float], budget: Mapping[str, float]) -> list[Spending]:
    total = sum(costs.values())
    return [
        Spending(channel, round(cost, 4), round(cost / total, 4), budget.get(channel))
        for channel, cost in sorted(costs.items()) if cost > 0
    ]  # fmt: skip


def _margins(setup: Setup, campaign: Campaign, worth: Mapping[str, Worth], each: float) -> list[Margin]:
    share = float(setup.config.shop.margin)
    found = []
    for tier, known in sorted(worth.items()):
        order = known.value / MICROS / known.orders if known.orders else 0.0
        plain = order * share
        offered = plain - order * max((discount_of(offer, order) for offer in _offers(campaign, tier)), default=0.0)
        found.append(Margin(
            tier, known.people, round(order, 2), round(plain, 2), round(offered, 2), round(each, 4), each / offered if offered > 0 else None
        ))  # fmt: skip
    return found


def _offers(campaign: Campaign, tier: str) -> list[Offer]:
    names = {offer_of(step, None, tier) for step in campaign.steps}
    return [offer for name, offer in campaign.offers.items() if name in names]
