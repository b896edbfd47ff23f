"""JOURNEY, sequence: where a walk through a campaign stands, and what comes next: a step to be planned, a time to look again, or its end.

Steps keep their order, each is planned once, two that were accepted are never nearer than `min_gap`, and every walk ends. What
was planned and ended unsent moves the walk on; gaps and delays count from acceptances. Pure: the walk, its facts and `now` are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, MINUTE, Instant
from daemon.model.journey import DEFAULT_TIER, Late, Variant, WalkState

SOON = MINUTE
"""A walk is looked at no sooner than this after it was, unless its next step is due."""
REACTION = 7 * DAY
"""So long after its last message a recipient may still react, before a campaign with `finish = "sunset"` lets it go."""
COMPLETED, NOT_IN_TIME, SUNSET = "completed", "campaign_ended", "sunset"
"""Why a walk is finished: all steps were gone through, the campaign's end came before the next one, or nothing brought a reaction."""


class Start(NamedTuple):
    """How a walk begins. `passed`: the steps up to this one are behind it (`late = "current"`)."""

    anchor_at: Instant
    shift: int = 0
    passed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A walk as the next move rests on it; columns of the store's `walk`."""

    entered_at: Instant
    since_at: Instant
    anchor_at: Instant
    shift: int = 0
    step: str | None = None
    step_at: Instant | None = None
    touched_at: Instant | None = None
    arms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of the deliveries of the walk's step. `open_until`: one of them may still go, at the latest then; `accepted_at`: the
    last acceptance, or what may have been one (a doubt); `ended_at`: when the last of them ended without one."""

    open_until: Instant | None = None
    accepted_at: Instant | None = None
    ended_at: Instant | None = None


NO_STANDING = Standing()


def _all_match(_: Step) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known beside the walk itself. `starts_at`, `ends_at`: of the campaign, where the recipient is. `matches`: does a step's
    `where` let him in; asked when it is due. `seasons`: name -> when it begins in his country, in order. `awaited`: step -> how long
    after its acceptance somebody will ask whether there was a reaction, so that the walk is looked at before. `reacted`: he opened or
    clicked something of this walk."""

    last: Standing = NO_STANDING
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    matches: Callable[[Step], bool] = _all_match
    seasons: Mapping[str, Sequence[Instant]] = field(default_factory=dict)
    awaited: Mapping[str, int] = field(default_factory=dict)
    reacted: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The step is due now. `passed`: steps before it that leave this recipient out."""

    step: Step
    variant: Variant | None
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing to do until `at`. `passed`: steps that were due and leave this recipient out; the last of them is where the walk stands."""

    at: Instant
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The walk is over."""

    reason: str
    passed: tuple[str, ...] = ()
    state: WalkState = WalkState.FINISHED


Move = Plan | Look | End


def begin(campaign: Campaign, anchor: Instant | None, now: Instant, arms: Mapping[str, str]) -> Start | None:
    """How a walk that begins now stands to its anchor; None = not at all (`late = "skip"`). `anchor` None: it is not known, and the day
    of the first step is today."""
    days = [(step, day) for step in campaign.steps if (day := day_of(step, arms)) is not None]
    if not days or campaign.steps[0] is not days[0][0]:
        return Start(now if anchor is None else anchor)
    first = days[0][1]
    if anchor is None:
        return Start(now - first * DAY)
    dormant = (now - anchor) // DAY
    if dormant <= first:
        return Start(anchor)
    if campaign.enrol.late is Late.SKIP:
        return None
    if campaign.enrol.late is Late.FIRST:
        return Start(anchor, now - anchor - first * DAY)
    current = max((place for place, (_, day) in enumerate(days) if day <= dormant), default=0)
    at = campaign.steps.index(days[current][0])
    return Start(anchor, 0, campaign.steps[at - 1].name if at else None)


def next_move(walk: Walk, campaign: Campaign, facts: Facts, now: Instant) -> Move:
    """What to do with an open walk."""
    names = [step.name for step in campaign.steps]
    place = names.index(walk.step) + 1 if walk.step in names else 0
    following = campaign.steps[place:]
    last = facts.last
    if last.open_until is not None and (last.accepted_at is None or not following):
        return Look(_over(walk, following, last.open_until, facts, now))
    passed: list[str] = []
    for step in following:
        due = due_at(walk, campaign, step, facts, passed_at=now if passed else None)
        if facts.ends_at is not None and max(due, now) >= facts.ends_at:
            return _end(walk, campaign, facts, now, NOT_IN_TIME, passed)
        if due > now:
            return Look(due, tuple(passed))
        if step.where is None or facts.matches(step):
            return Plan(step, variant_of(step, walk.arms), tuple(passed))
        passed.append(step.name)
    return _end(walk, campaign, facts, now, COMPLETED, passed)


def due_at(walk: Walk, campaign: Campaign, step: Step, facts: Facts, *, passed_at: Instant | None = None) -> Instant:
    """When a step falls due, given all that came before it. `passed_at`: the one before it left the recipient out just then."""
    day, delay = day_of(step, walk.arms), delay_of(step, walk.arms)
    if day is not None:
        due = walk.anchor_at + walk.shift + day * DAY
    else:
        due = (_former_ended(walk, campaign, facts) if passed_at is None else passed_at) + (delay or 0)
    if walk.touched_at is not None:
        due = max(due, walk.touched_at + campaign.enrol.min_gap)
    if facts.last.accepted_at is not None:
        due = max(due, facts.last.accepted_at + campaign.enrol.min_gap)
    if facts.starts_at is not None:
        due = max(due, facts.starts_at)
    if step.season is not None:
        due = next((at for at in facts.seasons.get(step.season.name, ()) if due <= at <= due + step.season.within), due)
    return due


def _former_ended(walk: Walk, campaign: Campaign, facts: Facts) -> Instant:
    """What a delay counts from: the acceptance of the former step, else its end; of the first step the trigger, else the entry."""
    last, began = facts.last, walk.entered_at if campaign.enrol.trigger is None else walk.since_at
    return next(at for at in (last.accepted_at, last.ended_at, walk.step_at, began) if at is not None)


def _over(walk: Walk, following: Sequence[Step], until: Instant, facts: Facts, now: Instant) -> Instant:
    """When to look again whether a step has ended: it must have by `until`; what follows comes no sooner than if it were accepted now. What
    follows at once is looked for ever more seldom, up to once an hour: a message may wait for its window all night."""
    half = (now - (walk.step_at or now)) // 2
    if following:
        step = following[0]
        day, delay = day_of(step, walk.arms), delay_of(step, walk.arms)
        soonest = walk.anchor_at + walk.shift + day * DAY if day is not None else now + max(delay or 0, min(HOUR, half))
    else:
        soonest = now + max(HOUR, half)
    if (after := facts.awaited.get(walk.step or "")) is not None:
        soonest = min(soonest, now + after)
    return max(now + SOON, min(soonest, until))


def look_after(walk: Walk, campaign: Campaign, step: Step, until: Instant, facts: Facts, now: Instant) -> Instant:
    """When to look again at a walk of which a step was just planned; its deliveries are over by `until`."""
    names = [each.name for each in campaign.steps]
    here = replace(walk, step=step.name, step_at=now)
    return now if until <= now else _over(here, campaign.steps[names.index(step.name) + 1 :], until, facts, now)


def _end(walk: Walk, campaign: Campaign, facts: Facts, now: Instant, reason: str, passed: Sequence[str]) -> Look | End:
    """Over; who may be let go for good is given time for a reaction."""
    touched = max((at for at in (walk.touched_at, facts.last.accepted_at) if at is not None), default=None)
    if campaign.after.finish != SUNSET or touched is None or facts.reacted:
        return End(reason, tuple(passed))
    return End(SUNSET, tuple(passed)) if touched + REACTION <= now else Look(touched + REACTION, tuple(passed))


def variant_of(step: Step, arms: Mapping[str, str]) -> Variant | None:
    """The arm of a step's experiment that the walk drew."""
    if step.experiment is None or step.name not in arms:
        return None
    return next((variant for variant in step.experiment.variants if variant.name == arms[step.name]), None)


def day_of(step: Step, arms: Mapping[str, str]) -> int | None:
    """The day on which it falls due; None = it has a delay."""
    variant = variant_of(step, arms)
    if variant is not None and (variant.day is not None or variant.delay is not None):
        return variant.day
    return step.day


def delay_of(step: Step, arms: Mapping[str, str]) -> int | None:
    variant = variant_of(step, arms)
    if variant is not None and (variant.day is not None or variant.delay is not None):
        return variant.delay
    return step.delay


def channels_of(step: Step, variant: Variant | None) -> tuple[str, ...]:
    return variant.channels if variant is not None and variant.channels else step.channels


def hours_of(step: Step, variant: Variant | None) -> tuple[str, ...]:
    """What narrows the campaign's window; empty = nothing."""
    return variant.hours if variant is not None and variant.hours else step.hours


def offer_of(step: Step, variant: Variant | None, tier: str | None) -> str | None:
    """The name of the offer that it carries for a recipient of this tier."""
    offers = variant.offer if variant is not None and variant.offer is not None else step.offer
    return offers.get(tier or DEFAULT_TIER, offers.get(DEFAULT_TIER))


def may_enter(ended_at: Instant | None, again: int | None, now: Instant) -> bool:
    """May who has walked before walk again? `ended_at` None: the last walk is open."""
    return ended_at is not None and again is not None and ended_at + again <= now
