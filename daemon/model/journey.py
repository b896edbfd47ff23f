"""What a campaign says of a walk through it: who enters, when steps fall due, what is offered, tried and awaited (contract: campaigns).

A walk is one recipient's way through a campaign, from enrolment to its end. Durations are microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from daemon.model.delivery import DAY, HOUR
from daemon.model.offer import Apart

DEFAULT_TIER = "default"
"""In an `offer` table by tier: for all that are not named."""


class Late(StrEnum):
    """Who enters past the first day: begins at the first step all the same (days shift), at the one whose day it is, or not at all."""

    FIRST = "first"
    CURRENT = "current"
    SKIP = "skip"


class WalkState(StrEnum):
    PLANNED = "planned"
    """Its job has not been accepted yet: nothing is done for it."""
    OPEN = "open"
    FINISHED = "finished"
    """All steps were gone through."""
    EXITED = "exited"
    CONVERTED = "converted"
    MERGED = "merged"


class Metric(StrEnum):
    GOAL = "goal"
    MARGIN = "margin"
    CLICK = "click"


class OfferKind(StrEnum):
    PERCENT = "percent"
    AMOUNT = "amount"
    TIERED = "tiered"
    SHIPPING = "shipping"
    POINTS = "points"
    GIFT = "gift"
    ACCESS = "access"
    CREDIT = "credit"
    TRIAL = "trial"
    CASHBACK = "cashback"
    CONTENT = "content"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the campaign wants. `where`: on the event's properties. `horizon` from the first accepted or ghost touch, else from the
    enrolment."""

    event: str
    where: str | None = None
    horizon: int = 30 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """`event` happened (and its properties match `where`); or `absent` (`opened`, `clicked`, `replied`) did not happen `after` the step
    `of` was accepted: `STEP` of whatever campaign, or `CAMPAIGN.STEP`."""

    event: str | None = None
    where: str | None = None
    absent: str | None = None
    of: str | None = None
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """Who enters: exactly one of `jobs`, `segment`, `trigger`. `anchor`: what a step's `day` counts from, a column of the profile, a trait
    (`traits.X`), `event` (the trigger's own instant) or `entered`. `min_gap` between accepted steps; a late step pushes the next one."""

    jobs: bool = False
    segment: str | None = None
    trigger: Trigger | None = None
    anchor: str = "last_order_at"
    late: Late = Late.FIRST
    min_gap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """What ends a walk at once. `segments`: being in one of them at the time of a step."""

    events: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing offered. `value`: percent, money in the shop's currency, points, days; `tiers`: (value, over this sum) of a tiered one;
    `what`: the gift, content or access by name."""

    kind: OfferKind
    value: float | None = None
    tiers: tuple[tuple[float, float], ...] = ()
    what: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One offer: a bundle has several `parts`, all others one. `valid` from the acceptance of the message that carries it, or fixed `ends`
    (a local date or an instant). `pool` or `generate` (each `#` a character) give codes, or neither does. `rank`: its place on the ladder
    (order in the file), by which a worse one is never offered while a better one is open."""

    name: str
    parts: tuple[Part, ...]
    rank: int = 0
    valid: int | None = None
    ends: date | datetime | None = None
    min_left: int = 24 * HOUR
    pool: str | None = None
    generate: str | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    """By locale, "" = any: what the message calls it. Absent: made from the parts."""
    referral: bool = False
    """Its code is for the recipient's friends: no rung of the ladder, and no offer that he has himself."""
    earned: bool = False
    """A reward: no rung of the ladder either; each time another one, beside what is open."""

    @property
    def apart(self) -> Apart:
        return Apart.REFERRAL if self.referral else Apart.EARNED if self.earned else Apart.LADDER

    @property
    def is_discount(self) -> bool:
        return any(part.kind in DISCOUNTS for part in self.parts)


DISCOUNTS = frozenset({
    OfferKind.PERCENT, OfferKind.AMOUNT, OfferKind.TIERED, OfferKind.SHIPPING, OfferKind.CREDIT, OfferKind.CASHBACK
})  # fmt: skip
"""Those that make the order itself cheaper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One arm of a step's experiment. None or empty: as the step has it."""

    name: str
    share: float
    subject: str | None = None
    offer: Mapping[str, str] | None = None
    day: int | None = None
    delay: int | None = None
    hours: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    variants: tuple[Variant, ...]
    hypothesis: str = ""
    metric: Metric = Metric.GOAL
    min_per_variant: int = 1000
    waits: bool = False
    """The shares come to less than 1: whoever is in none of the arms waits for the winner."""


ACT_CHANNELS = {"call": "webhook", "task": "export"}
"""Over which channel an act goes that somebody else does. It is no message: no contact, under no cap and no window."""
ACT_TOPIC = "(act)"
"""The topic that its row among the contacts has, by which nobody counts it."""


def way_of(channel: str, provider: str | None) -> str:
    """What a delivery goes over: its channel, whichever provider serves that, or the one provider that its step names."""
    return channel if provider is None else f"{channel}:{provider}"


def ways_of(providers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Way -> who goes it, of (channel, provider) in the order of the config: a channel's is its first."""
    ways: dict[str, str] = {}
    for channel, provider in providers:
        ways.setdefault(channel, provider)
        ways[way_of(channel, provider)] = provider
    return ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a step does that is no message. `tags` are added, `traits` set; `text`: of a `call` or `task`; `provider`: by whom alone it is
    done, None = whoever serves its channel."""

    kind: str
    """set | call | task"""
    tags: tuple[str, ...] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """A step waits for the named season of the recipient's country, if it begins at most `within` after the step would be due."""

    name: str
    within: int


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """`goal`: the campaign into which a converted recipient is enrolled. `finish` = "sunset": who reacted to no step gets no more
    marketing."""

    goal: str | None = None
    finish: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """`expect`: tier -> the share of its people whom one message is expected to bring back: who would bring less than his message costs
    gets none; empty: nobody is asked. `budget`: what all messages of the campaign may cost together, in the shop's currency."""

    expect: Mapping[str, float] = field(default_factory=dict)
    budget: float | None = None


class SurveyKind(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    REASON = "reason"
    """Words and no number: why did you leave, what brought you back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the answers to a campaign's question are (event `Survey Answered`, property `survey` = `name`): both bounds are answers."""

    name: str
    kind: SurveyKind = SurveyKind.NPS
    low: int = 0
    high: int = 10


BY_JOBS, NO_EXIT, NOTHING_AFTER = Enrol(jobs=True), Exit(), After()
