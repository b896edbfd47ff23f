"""A campaign and its steps, as one immutable version (contract: campaigns)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from daemon.model.audience import AudienceRule
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import (
    BY_JOBS,
    NO_EXIT,
    NOTHING_AFTER,
    Act,
    After,
    Enrol,
    Exit,
    Experiment,
    Goal,
    Offer,
    Season,
    Survey,
    Variant,
    Worth,
)


class Purpose(StrEnum):
    MARKETING = "marketing"
    TRANSACTIONAL = "transactional"


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class Mode(StrEnum):
    """What several channels of a step mean: the first on which the recipient can be reached, or one delivery on each."""

    FIRST = "first"
    ALL = "all"


REACTIONS = ("opened", "clicked", "replied")
"""What of a recipient may call an escalation off: kinds of feedback, of people and not of machines."""


OWN_HOUR = "own"
"""Among the preferred hours: the recipient's own best one, where enough is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """What follows on another channel when the step's message was accepted and nothing came of it: the first of `to` that reaches
    the recipient, `after` (microseconds) the acceptance, unless there was one of these reactions."""

    to: tuple[str, ...]
    after: int = 3 * DAY
    unless: tuple[str, ...] = ("opened", "clicked")
    where: str | None = None
    """Only those whom this expression (the language of segments) matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    channels: tuple[str, ...]
    valid: int = 72 * HOUR
    """Life after it first fell due, in microseconds."""
    mode: Mode = Mode.FIRST
    escalate: Escalation | None = None
    day: int | None = None
    """Day of dormancy on which it falls due, counted from the anchor."""
    delay: int | None = None
    """Instead: how long after the former step was accepted (the first step: after the enrolment)."""
    offer: Mapping[str, str] = field(default_factory=dict)
    """Tier -> name of the offer that it carries, `default` for all others."""
    experiment: Experiment | None = None
    act: Act | None = None
    """Of a step that is no message; it has no channels then."""
    where: str | None = None
    """Only those whom it matches when it falls due; the others' walk goes on without it."""
    subject: str | None = None
    hours: tuple[str, ...] = ()
    """Narrows the campaign's window."""
    season: Season | None = None

    @property
    def every_channel(self) -> tuple[str, ...]:
        """All that it may go over, each once: it has a template for each."""
        tried = [channel for variant in self.variants for channel in variant.channels]
        return tuple(dict.fromkeys((*self.channels, *tried, *(self.escalate.to if self.escalate else ()))))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The arms of its experiment, in order; none if it tries nothing."""
        return self.experiment.variants if self.experiment else ()

    @property
    def planned(self) -> tuple[str, ...]:
        """The channels on which a delivery is planned from the start."""
        return self.channels if self.mode is Mode.ALL else self.channels[:1]

    @property
    def is_plain(self) -> bool:
        """One channel, and nothing follows: one delivery a recipient, whatever becomes of it."""
        return len(self.channels) == 1 and self.escalate is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What `campaign.toml` says. `starts`/`ends`: a local date (00:00 in each recipient's zone) or one instant."""

    name: str
    status: CampaignStatus = CampaignStatus.DRAFT
    purpose: Purpose = Purpose.MARKETING
    topic: str | None = None
    starts: date | datetime | None = None
    ends: date | datetime | None = None
    priority: int = 50
    sender: str | None = None
    reply_to: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    window: Mapping[str, Any] | None = None
    ignore_window: bool = False
    on_doubt: str = "hold"
    again: int | None = None
    """Microseconds after the last walk's end before the next one; None = never."""
    steps: tuple[Step, ...] = ()
    audiences: tuple[AudienceRule, ...] = ()
    """Retargeting sets that its people are in while they walk."""
    enrol: Enrol = BY_JOBS
    goal: Goal | None = None
    exit: Exit = NO_EXIT
    prefer: tuple[str, ...] = ()
    """Hours that are best inside the window: they rank, and never widen it."""
    holdout: float = 0.0
    """Share of its people who are sent nothing, to measure by."""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    """In the order of the file: a ladder."""
    after: After = NOTHING_AFTER
    survey: Survey | None = None
    """What its question's answers are, for the reports."""
    value: Worth | None = None
    """What its messages have to be worth."""

    @property
    def has_walks(self) -> bool:
        """Is there more to it than one message a job's row: then each enrolment is a row of its own (ADR 0010)?"""
        more = len(self.steps) > 1 or not self.enrol.jobs or self.goal is not None or self.exit != NO_EXIT
        steps = any(step.offer or step.experiment or step.act or step.where or step.season for step in self.steps)
        return more or steps or self.holdout > 0 or self.after != NOTHING_AFTER or self.value is not None
