"""REPORTS, lint: mistakes that show only beside the shop: people, caps, rates, hours, consent, segments. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.campaign import Purpose, Step
from daemon.model.delivery import DAY, SECOND
from daemon.policy.caps import Cap
from daemon.policy.hours import WindowError, parse_window
from daemon.policy.periods import Calendar
from daemon.reports.lint import ERROR, Finding, Look, Rule

LEAST_ARM = 1000
_LENGTHS = {Calendar.DAY: DAY, Calendar.WEEK: 7 * DAY, Calendar.MONTH: 31 * DAY}
_EPOCH_MONDAY = 4
"""1970-01-05 was a Monday."""


def no_exclusions(look: Look) -> Iterator[Finding]:
    """Subscribers, people with an open ticket and those who have just been here are not lapsed."""
    name = look.campaign.enrol.segment
    segment = (look.facts.segments or {}).get(name or "")
    if segment is not None and not segment.excludes and look.away and look.campaign.purpose is Purpose.MARKETING:
        what = f'the segment {name} leaves nobody out; give it exclude = ["active_subscribers", "recently_engaged", "open_tickets"]'
        yield look.at(("enrol", "segment"), "no-exclusions", what)


def sms_consent(look: Look) -> Iterator[Finding]:
    """An SMS to who never asked for one is against the law nearly everywhere."""
    for index, step in look.messages:
        if "sms" in step.every_channel and look.facts.consent.get("sms") == "implied" and look.campaign.purpose is Purpose.MARKETING:
            what = 'goes over SMS, and [consent] sms = "implied" sends it to people who never agreed; set it to "explicit" in config.toml'
            yield look.at(("step", index), "sms-without-consent", f"the step {step.name} {what}", ERROR)


def arms(look: Look) -> Iterator[Finding]:
    """An experiment of few people ends where it began."""
    for index, step in look.messages:
        if step.experiment is None:
            continue
        path = ("step", index, "experiment")
        if step.experiment.min_per_variant < LEAST_ARM:
            least = step.experiment.min_per_variant
            what = f"decides on {least} people a variant: chance alone makes winners of them; take {LEAST_ARM} or more"
            yield look.at((*path, "min_per_variant"), "arms-too-small", what)
        if look.people is None:
            continue
        for place, variant in enumerate(step.variants):
            people = int(look.people * (1 - look.campaign.holdout) * variant.share)
            if people < LEAST_ARM:
                got = f"the variant {variant.name} gets some {people} of {look.people} people"
                what = f"{got}, {LEAST_ARM} are needed: fewer variants, or a larger share"
                yield look.at((*path, "variant", place, "share"), "arms-too-small", what)


def window_too_short(look: Look) -> Iterator[Finding]:
    """More people than can be written to while their messages live."""
    for index, step in look.messages:
        for channel in step.planned:
            rate = look.facts.rates.get(channel)
            if not rate or not look.people:
                continue
            seconds = _open_seconds(look, step)
            room = int(rate * seconds)
            if room < look.people:
                how = f"{rate:g}/s over {seconds // 3600} open hours of its life"
                what = (
                    f"the step {step.name} has room for some {room} messages ({how}), and {look.people} people wait: a longer valid, a"
                    " wider window or a higher rate"
                )
                yield look.at(("step", index), "window-too-short", what)


def _open_seconds(look: Look, step: Step) -> int:
    """Seconds in which its window is open during its life, on average over the weekdays on which it may begin."""
    try:
        rule = parse_window({"hours": list(step.hours)} if step.hours else dict(look.campaign.window or {}), start="09:00", end="21:00")
    except WindowError:
        return step.valid // SECOND
    week = [sum(end - start for start, end in rule.day(_EPOCH_MONDAY + day)) for day in range(7)]
    return int(sum(week) / (7 * DAY) * step.valid) // SECOND


def cap_never_met(look: Look) -> Iterator[Finding]:
    """A step whose slot frees only after its life is over is never sent."""
    offsets = look.offsets()
    for cap in look.facts.caps:
        length = cap.rolling if cap.rolling is not None else _LENGTHS[cap.calendar] if cap.calendar is not None else None
        if length is None:
            continue
        touches: list[int] = []
        for index, step in look.messages:
            if not _counts(cap, look, step):
                continue
            weight = max(cap.weights.get(step.planned[0], 1000) if cap.weights else 1, 1) if step.planned else 1
            fits = max(cap.limit // weight, 0)
            due = offsets[index]
            recent = [at for at in touches if at > due - length]
            if len(recent) >= fits:
                frees = recent[len(recent) - fits] + length if fits else None
                if frees is None or frees >= due + step.valid:
                    days = f"{(frees - due) // DAY} days" if frees is not None else "ever"
                    what = (
                        f"the cap {cap.name} is full when the step {step.name} falls due, for {days}, and it lives"
                        f" {step.valid // DAY} days: it is never sent; set the steps further apart, give it a longer valid, or raise"
                        " the cap"
                    )
                    yield look.at(("step", index), "cap-never-met", what, ERROR)
                    continue
                due = frees
            touches.append(due)


def _counts(cap: Cap, look: Look, step: Step) -> bool:
    """Does the cap count this step's message?"""
    campaign = look.campaign
    return (
        (cap.campaign is None or cap.campaign == campaign.name)
        and (cap.topics is None or (campaign.topic or "") in cap.topics)
        and (cap.channels is None or any(channel in cap.channels for channel in step.planned))
        and campaign.purpose is Purpose.MARKETING
    )


RULES: tuple[Rule, ...] = (no_exclusions, sms_consent, arms, window_too_short, cap_never_met)
