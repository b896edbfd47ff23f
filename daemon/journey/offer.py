"""JOURNEY, offers: which offer a step's message carries for one person, given all that the person has and had. Pure.

The ladder is the order of the file. A person begins on the lowest rung that the steps so far name for him, and goes one rung up only when
the last one was accepted. While an offer is open nobody gets a worse one, and never two: a better one takes its place, the same or
a better open one is carried again, with its own code and end, and what another walk has open is waited for. A code that is there to be
passed on (`referral`) and a reward (`earned`) stand beside all that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daemon.journey.sequence import offer_of, variant_of
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import HOUR, Instant
from daemon.model.journey import Offer
from daemon.model.offer import GIVEN, Issue, IssueState

SEEKER_ORDERS, SEEKER_SHARE = 3, 0.8
"""Who came back twice and more, and bought with a discount in four of five orders, comes for the discount."""


class Give(NamedTuple):
    """The message carries this offer. `again`: the issue that it is, where the person has it already; `replaces`: open ones that end
    when the message is accepted."""

    offer: Offer
    again: Issue | None = None
    replaces: tuple[int, ...] = ()


class Wait(NamedTuple):
    """Something open stands in the way until then."""

    until: Instant
    open: Issue


class Over(NamedTuple):
    """The step's offer was given, and is over: a later message of the step has nothing to say any more."""

    issue: Issue


Choice = Give | Wait | Over | None
"""None: the message carries no offer."""


class Walker(NamedTuple):
    """Who the message is for: the walk, its arms, the tier, and whether he is one who comes only for discounts."""

    walk: int
    arms: Mapping[str, str]
    tier: str | None
    seeker: bool = False


def is_seeker(orders: int, discount_share: float | None) -> bool:
    """Does the person come back for discounts only?"""
    return orders >= SEEKER_ORDERS and discount_share is not None and discount_share >= SEEKER_SHARE


def choose(campaign: Campaign, step: Step, walker: Walker, had: Sequence[Issue], now: Instant) -> Choice:
    """The offer of a step's message. `had`: all that the person has or had, of any campaign."""
    mine = next((issue for issue in had if (issue.walk, issue.step) == (walker.walk, step.name)), None)
    if mine is not None and mine.open_at(now) and mine.offer in campaign.offers:
        return Give(campaign.offers[mine.offer], mine, _replaced(mine, had, now))
    if mine is not None and mine.state is not IssueState.RETURNED:
        return Over(mine)
    named = offer_of(step, variant_of(step, walker.arms), walker.tier)
    if named is None or named not in campaign.offers:
        return None
    if campaign.offers[named].apart:
        return Give(campaign.offers[named])
    had = [issue for issue in had if not issue.apart]
    target = _target(campaign, step, walker, campaign.offers[named], had, now)
    there = [issue for issue in had if issue.open_at(now)]
    foreign = [issue for issue in there if issue.campaign != campaign.name and (issue.ends_at is not None or issue.accepted_at is None)]
    if foreign:
        return _wait(max(foreign, key=lambda issue: issue.ends_at or now + HOUR), now)
    own = [issue for issue in there if issue.campaign == campaign.name and issue.offer in campaign.offers]
    if (unsure := next((issue for issue in own if issue.state is IssueState.RESERVED), None)) is not None:
        return _wait(unsure, now)
    best = max(own, key=lambda issue: issue.rank, default=None)
    if best is None or best.rank < target.rank:
        return Give(target, None, tuple(issue.id for issue in own))
    offer = campaign.offers[best.offer]
    if best.ends_at is not None and best.ends_at - now < offer.min_left:
        return _wait(best, now)
    return Give(offer, best)


def _wait(issue: Issue, now: Instant) -> Wait:
    """Until it ends; what is only set aside, or not known, is looked at again within the hour."""
    return Wait(issue.ends_at if issue.state is IssueState.OPEN and issue.ends_at is not None else now + HOUR, issue)


def _replaced(mine: Issue, had: Sequence[Issue], now: Instant) -> tuple[int, ...]:
    """What was open before the offer that is set aside for this step."""
    if mine.state is not IssueState.RESERVED or mine.apart:
        return ()
    others = [issue for issue in had if issue is not mine and issue.campaign == mine.campaign and not issue.apart]
    return tuple(issue.id for issue in others if issue.open_at(now))


def _target(campaign: Campaign, step: Step, walker: Walker, named: Offer, had: Sequence[Issue], now: Instant) -> Offer:
    """The rung that it is the person's turn for."""
    if walker.seeker and named.is_discount:
        other = next((offer for offer in campaign.offers.values() if not offer.is_discount and not offer.apart), None)
        return other or rungs(campaign, step, walker)[0]
    mine = rungs(campaign, step, walker)
    given = [issue for issue in had if issue.walk == walker.walk and issue.state in GIVEN]
    reached = max((issue.rank for issue in given), default=-1)
    if any(issue.accepted_at is not None and now - issue.accepted_at < campaign.enrol.min_gap for issue in given):
        return next((offer for offer in reversed(mine) if offer.rank <= reached), mine[0])
    return next((offer for offer in mine if offer.rank > reached), mine[-1])


def rungs(campaign: Campaign, step: Step, walker: Walker) -> list[Offer]:
    """The person's ladder up to a step that names an offer: what it and the steps before it name for him, not better than its own, the
    least first. Never empty."""
    found: dict[str, Offer] = {}
    for each in campaign.steps:
        name = offer_of(each, variant_of(each, walker.arms), walker.tier)
        if name is not None and name in campaign.offers and not campaign.offers[name].apart:
            found[name] = campaign.offers[name]
        if each.name == step.name:
            break
    own = campaign.offers[offer_of(step, variant_of(step, walker.arms), walker.tier) or ""]
    return sorted((offer for offer in found.values() if offer.rank <= own.rank), key=lambda offer: offer.rank)
