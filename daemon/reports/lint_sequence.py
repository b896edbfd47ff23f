"""REPORTS, lint: mistakes of the sequence itself: its offers, gaps, ends and what it measures by. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Purpose, Step
from daemon.model.journey import Metric, Offer, OfferKind
from daemon.reports.lint import ERROR, Finding, Look, Rule

LEAST_GAP = 10
"""Days between two messages to people who are away."""
MONTH = 30
"""Days. So far apart nobody feels a beat: the generic sequence of the sources is 30, 60, 90."""
LEAST_PERCENT, MOST_PERCENT = 15, 40
SMS = "sms"


def no_exit(look: Look) -> Iterator[Finding]:
    """Who has bought goes on being won back."""
    campaign = look.campaign
    if campaign.has_walks and campaign.purpose is Purpose.MARKETING and len(look.messages) > 1 and not campaign.exit.events:
        what = 'no event ends a walk: who buys gets the next message all the same; add [exit] events = ["Order Completed"]'
        yield look.at(("exit",), "no-exit", what, ERROR)


def no_goal(look: Look) -> Iterator[Finding]:
    """Nothing to count by."""
    campaign = look.campaign
    if campaign.goal is None and campaign.has_walks and campaign.purpose is Purpose.MARKETING:
        tried = [index for index, step in look.messages if step.experiment and step.experiment.metric in (Metric.GOAL, Metric.MARGIN)]
        if tried or campaign.holdout:
            path = ("step", tried[0], "experiment") if tried else ("holdout",)
            yield look.at(path, "no-goal", 'nothing says what success is; add [goal] event = "Order Completed"', ERROR)


def no_holdout(look: Look) -> Iterator[Finding]:
    """Without people who get nothing there is no telling who would have come anyway."""
    campaign = look.campaign
    if campaign.goal is not None and not campaign.holdout and not look.facts.holdout and campaign.purpose is Purpose.MARKETING:
        what = "nobody is held out: what it brings cannot be told from what would have come anyway; add [holdout] share = 0.1"
        yield look.at(("goal",), "no-holdout", what)


def best_first(look: Look) -> Iterator[Finding]:
    """The ladder goes up: the best offer is the last, and no worse one follows."""
    carried = [(index, step, best) for index, step in look.messages if (best := _best(look, step)) is not None]
    if len(carried) < 2:
        return
    index, opening, first = carried[0]
    rest = [offer.rank for _, _, offer in carried[1:]]
    if first.rank > min(rest) and first.rank >= max(rest):
        what = f"the step {opening.name} carries the best offer ({first.name}) before all others: begin with the least and go up"
        yield look.at(("step", index, "offer"), "best-offer-first", what)
        return
    for (_, earlier, more), (place, _, less) in itertools.pairwise(carried):
        if less.rank < more.rank:
            what = f"{less.name} is less than {more.name} of the step {earlier.name} before it: who waits should not get less; go up"
            yield look.at(("step", place, "offer"), "offer-falls", what)


def ladder(look: Look) -> Iterator[Finding]:
    """The order of the file is the ladder; percents that fall in it were not meant."""
    offers = [(offer, percent) for offer in look.campaign.offers.values() if (percent := _percent(offer)) is not None]
    for (less, low), (more, high) in itertools.pairwise(offers):
        if high < low:
            what = f"{more.name} ({high:g} %) stands after {less.name} ({low:g} %): the order of the file is the ladder, the least first"
            yield look.at(("offers", more.name), "ladder-order", what)


def percent(look: Look) -> Iterator[Finding]:
    """Too little to move anyone, or more than it can bring back."""
    for offer in look.campaign.offers.values():
        value = _percent(offer)
        if value is not None and not LEAST_PERCENT <= value <= MOST_PERCENT:
            why = "moves few" if value < LEAST_PERCENT else "mostly costs more than it brings"
            what = f"{value:g} % {why}: {LEAST_PERCENT} to {MOST_PERCENT} % is usual"
            yield look.at(("offers", offer.name, "value"), "discount-size", what)


def discount_first(look: Look) -> Iterator[Finding]:
    """The first message is a hello: many come back for it alone."""
    if look.campaign.purpose is not Purpose.MARKETING or len(look.messages) < 2:
        return
    index, step = look.messages[0]
    if any(offer.is_discount for offer in _offers(look, step)):
        what = f"the first message ({step.name}) has a discount already: some come back without one; begin with a reminder"
        yield look.at(("step", index, "offer"), "discount-first", what)


def timed_offer(look: Look) -> Iterator[Finding]:
    """An offer without an end is no reason to come now."""
    for offer in look.campaign.offers.values():
        if offer.valid is None and offer.ends is None and any(part.kind is not OfferKind.CONTENT for part in offer.parts):
            what = f'the offer {offer.name} never ends; give it valid = "7d" (from the message on) or ends = a date'
            yield look.at(("offers", offer.name), "offer-without-end", what)


def unused_offer(look: Look) -> Iterator[Finding]:
    """A discount that no step carries is a slip; another offer is for those who come back for discounts only."""
    used = {offer.name for _, step in look.messages for offer in _offers(look, step)}
    for name, offer in look.campaign.offers.items():
        if name not in used and offer.is_discount:
            yield look.at(("offers", name), "offer-unused", f"no step carries the offer {name}; name it in a step, or take it out")


def gaps(look: Look) -> Iterator[Finding]:
    """Too dense, or as regular as a machine."""
    if not look.away:
        return
    days = [(index, step.name, step.day) for index, step in look.messages if step.day is not None]
    pairs = [(index, name, day - before) for (_, _, before), (index, name, day) in itertools.pairwise(days)]
    for index, name, gap in pairs:
        if gap < LEAST_GAP:
            what = f"{name} follows after {gap} days: people who are away need {LEAST_GAP} to 15 between messages, growing"
            yield look.at(("step", index, "day"), "gap-too-short", what)
    widths = {gap for _, _, gap in pairs}
    if len(pairs) > 1 and len(widths) == 1 and min(widths) < MONTH:
        what = f"all gaps are {widths.pop()} days: let them grow, the first 10 to 15 days, later ones more"
        yield look.at(("step", pairs[-1][0], "day"), "gaps-fixed", what)


def one_message(look: Look) -> Iterator[Finding]:
    """One mail wins few back."""
    if look.away and look.campaign.enrol.segment is not None and len(look.messages) == 1:
        what = "is the only message: most who come back do so after the second or third; add steps, the last with the best offer"
        yield look.at(("step", look.messages[0][0]), "only-one-message", what)


def early_sms(look: Look) -> Iterator[Finding]:
    """An SMS is loud and costs: for the last phases and the best customers."""
    if not look.messages or len(look.messages) < 2 or not look.away:
        return
    index, step = look.messages[0]
    if SMS in step.channels or (step.escalate is not None and SMS in step.escalate.to):
        what = f"the first message ({step.name}) goes over SMS: begin with e-mail, and keep SMS for the last steps and the best customers"
        yield look.at(("step", index, "channels" if SMS in step.channels else "escalate"), "sms-first", what)


def same_for_all(look: Look) -> Iterator[Finding]:
    """What moves a customer of 500 bores one of 5,000."""
    segment = (look.facts.segments or {}).get(look.campaign.enrol.segment or "")
    carrying = [(index, step) for index, step in look.messages if any(offer.is_discount for offer in _offers(look, step))]
    tells = any(len(step.offer) > 1 or set(step.offer) - {"default"} or "tier" in (step.where or "") for _, step in carrying)
    if carrying and look.away and not tells and not (segment is not None and segment.by_tier):
        what = 'the same offer for all: offer = { default = "back15", high = "back30" } gives each tier its own'
        yield look.at(("step", carrying[0][0], "offer"), "same-offer-for-all", what)


def promise_of_silence(look: Look) -> Iterator[Finding]:
    """A last message that says so, and then there are more."""
    campaign = look.campaign
    if campaign.after.finish == "sunset" and campaign.again is not None:
        what = 'marketing stops after the last step (finish = "sunset"), and [enrol] again brings people back in: take one of the two out'
        yield look.at(("after", "finish"), "sunset-and-again", what)


def starts_audience_only(look: Look) -> Iterator[Finding]:
    """An audience from a step that is never reached by a message."""
    for index, rule in enumerate(look.campaign.audiences):
        if "offer.name" in rule.name and not any(step.offer for _, step in look.messages) and not _over_audience(look):
            what = 'names {{ offer.name }}, and no step carries an offer: it will be "any"'
            yield look.at(("audience", index, "name"), "audience-without-offer", what)


def _over_audience(look: Look) -> bool:
    return any(AUDIENCE in step.channels and step.offer for _, step in look.messages)


def _offers(look: Look, step: Step) -> list[Offer]:
    """All that a step may carry, by tier and by variant."""
    names = [*step.offer.values(), *(name for variant in step.variants for name in (variant.offer or {}).values())]
    return [look.campaign.offers[name] for name in dict.fromkeys(names) if name in look.campaign.offers]


def _best(look: Look, step: Step) -> Offer | None:
    return max(_offers(look, step), key=lambda offer: offer.rank, default=None)


def _percent(offer: Offer) -> float | None:
    """The percent off, of a tiered one the highest; None if it has none."""
    values = [part.value for part in offer.parts if part.kind is OfferKind.PERCENT and part.value is not None]
    values += [value for part in offer.parts for value, _ in part.tiers]
    return max(values, default=None)


RULES: tuple[Rule, ...] = (
    no_exit, no_goal, no_holdout, best_first, ladder, percent, discount_first, timed_offer, unused_offer, gaps, one_message, early_sms,
    same_for_all, promise_of_silence, starts_audience_only,
)  # fmt: skip
