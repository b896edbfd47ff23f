"""What dispatch carries from claim to record: one claimed delivery with the plan of its campaign and its message.

`PlanBook` keeps the compiled campaign versions: read from the store at first use, in whatever thread needs them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.content.expression import parse_expression
from daemon.content.render import Renderer
from daemon.content.version import CampaignVersion
from daemon.errors import ConfigError
from daemon.ids import encode_id
from daemon.journey.arms import digest_of
from daemon.journey.sequence import hours_of
from daemon.model.campaign import Campaign, Step
from daemon.model.expression import Expression
from daemon.model.product import Product
from daemon.policy.hours import WindowError, WindowRule, parse_window
from daemon.store.claim import Claimed
from daemon.store.facts import DueRow
from daemon.store.spend import Cost
from plugins.contract import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A campaign version, compiled: its rules for the judge, its words for the renderer."""

    campaign: Campaign
    window: WindowRule | None
    renderer: Renderer
    several: Mapping[str, Step] = field(default_factory=dict)
    """Steps by name, but for those of one channel after which nothing follows."""
    hours: Mapping[tuple[str, str | None], WindowRule] = field(default_factory=dict)
    """(step, variant) -> what narrows the campaign's window, where anything does."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """Steps of which some people wait for the experiment's winner, with its digest (journey.arms)."""
    acts: frozenset[str] = frozenset()
    """Steps that are no messages."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Step -> the provider that it names."""
    escalating: Mapping[str, Expression] = field(default_factory=dict)
    """Steps whose escalation is not for everybody: whom it is for."""

    @classmethod
    def compile(cls, version: CampaignVersion, shop: Mapping[str, object]) -> Plan:
        window = parse_window(version.campaign.window) if version.campaign.window else None
        several = {step.name: step for step in version.campaign.steps if not step.is_plain}
        return cls(
            campaign=version.campaign, window=window, renderer=Renderer(version, shop=shop), several=several,
            hours=_hours(version.campaign), waiting=_waiting(version.campaign),
            acts=frozenset(step.name for step in version.campaign.steps if step.act is not None),
            named={step.name: step.act.provider for step in version.campaign.steps if step.act is not None and step.act.provider},
            escalating={
                step.name: parse_expression(step.escalate.where)
                for step in version.campaign.steps if step.escalate is not None and step.escalate.where is not None
            },
        )  # fmt: skip


def _waiting(campaign: Campaign) -> dict[str, str]:
    return {step.name: digest_of(step.experiment) for step in campaign.steps if step.experiment is not None and step.experiment.waits}


def _hours(campaign: Campaign) -> dict[tuple[str, str | None], WindowRule]:
    arms = [(step, variant) for step in campaign.steps for variant in (None, *step.variants)]
    found = {(step.name, variant.name if variant else None): hours_of(step, variant) for step, variant in arms}
    return {key: parse_window({"hours": list(hours)}) for key, hours in found.items() if hours}


class PlanBook:
    """Plans by (campaign id, version). `fetch(campaign, version)` gives the stored JSON text of a version."""

    LIMIT = 200
    """Plans that are kept: one of a mail of some size takes about 160 KiB, and each inline job brings one."""

    def __init__(self, shop: Mapping[str, object]) -> None:
        """`shop`: what templates know as `shop.*`."""
        self._shop = shop
        self._plans: OrderedDict[tuple[int, int], Plan | None] = OrderedDict()

    def get(self, campaign: int, version: int, fetch: Callable[[int, int], str]) -> Plan | None:
        """The plan, compiled at first use; None if this release cannot compile what an older one stored. KeyError if the store
        has no such version (fetch raises it)."""
        key = campaign, version
        if key not in self._plans:
            try:
                self._plans[key] = Plan.compile(CampaignVersion.from_json(fetch(campaign, version)), self._shop)
            except (ConfigError, WindowError, ValueError):
                self._plans[key] = None
        self._plans.move_to_end(key)
        return self._plans[key]

    def trim(self, needed: int) -> None:
        """Forget those that were asked for longest ago; never one of the last `needed`, which a claim is about to judge by."""
        while len(self._plans) > max(self.LIMIT, needed):
            self._plans.popitem(last=False)

    def peek(self, campaign: int, version: int) -> Plan | None:
        """A plan that the claim has prepared."""
        return self._plans.get((campaign, version))

    def names_products(self, row: DueRow) -> bool:
        """Do the words of this one (its version's, or the newest loaded) name what is recommended?"""
        plans = (self.peek(row.campaign, row.version), self.peek(row.campaign, row.newest))
        return any(plan is not None and plan.renderer.wants_products for plan in plans)

    def envelope(self, claimed: Claimed, profile: Mapping[str, Any] | None, products: Sequence[Product]) -> Envelope:
        """What the claim has let go, with its plan, on its way to a sender."""
        row = claimed.row
        plan = self.peek(row.campaign, row.version)
        if plan is None:
            raise LookupError(f"claimed without a plan: campaign {row.campaign_name}, version {row.version}")
        return Envelope(claimed=claimed, public_id=encode_id(row.delivery), plan=plan, profile=profile, products=products)


@dataclass(slots=True)
class Envelope:
    """One claimed delivery on its way; `message` once it is rendered, `cost` where its provider has a price for it."""

    claimed: Claimed
    public_id: str
    plan: Plan
    profile: Mapping[str, Any] | None = None
    """What the recipient's events add up to, where its words ask for it and there are any."""
    products: Sequence[Product] = ()
    """What may be recommended to the recipient, where its words name that."""
    message: Message | None = None
    cost: Cost | None = None
    group: str | None = None
    """Where it goes, while it counts as claimed in a warm-up."""
    domain: str = ""
    """Where it goes, as far as that can hold up others: an e-mail's domain. Set by its line."""

    @property
    def zone(self) -> str | None:
        return self.claimed.zone
