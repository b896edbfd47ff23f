"""POLICY, feasibility: what of a campaign can never go as it is written, by the same rules that will judge its messages.

Somebody is walked through it alone: reachable over every channel, never written to, in the default zone. What even that person does not
get in time, nobody gets. And where a provider has a rate: do all that wait for a step fit into its open hours? Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from daemon.clock import to_datetime, to_instant
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, HOUR, SECOND, Instant, Reason, Verdict
from daemon.policy import tz
from daemon.policy.caps import Touch
from daemon.policy.decide import decide, touch_of
from daemon.policy.hours import WindowRule, parse_window
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import first_open

TRIES = 400
"""So often a message may be put off; each time to a later instant."""


class Infeasible(NamedTuple):
    """What cannot go. `code`: empty | channel | ended | window | cap | rate."""

    step: str
    channel: str
    code: str
    text: str


class Load(NamedTuple):
    """How fast a channel goes. `rate`: messages a second, None = as fast as it can."""

    provider: str
    rate: float | None


class Situation(NamedTuple):
    """`serving`: by channel; `waiting`: (step, channel) -> messages; `zone`: the default one."""

    now: Instant
    zone: str
    serving: Mapping[str, Load]
    waiting: Mapping[tuple[str, str], int]


class Need(NamedTuple):
    """`messages` of a step over a channel: `open_seconds` of windows in its life, the `rate` that it takes, and until when it takes at the
    provider's own (None: it has none, or there is not time enough)."""

    step: str
    channel: str
    messages: int
    open_seconds: int
    rate: float
    provider_rate: float | None
    finish: Instant | None


def infeasible(campaign: Campaign, rules: Rules, window: WindowRule | None, at: Situation) -> list[Infeasible]:
    """All that can be told without looking at people. `window`: the campaign's own."""
    now, zone, serving = at.now, at.zone, at.serving
    if not campaign.steps:
        return [Infeasible("", "", "empty", "it has no step: nothing would ever go")]
    found = [
        Infeasible(step.name, step.channels[0], "channel", f"no provider serves {' or '.join(step.channels)}: its messages would be held")
        for step in campaign.steps if step.channels and not serving.keys() & set(step.channels)
    ]  # fmt: skip
    if (ends := _instant(campaign.ends, zone)) is not None and ends <= now:
        found.append(Infeasible("", "", "ended", f"the campaign ended on {to_datetime(ends):%Y-%m-%d %H:%M} UTC: nothing of it would go"))
        return found
    found += _alone(campaign, rules, window, at)
    for need in needs(campaign, rules, window, at):
        if need.provider_rate is not None and need.rate > need.provider_rate:
            what = (
                f"{need.messages:,} messages in {need.open_seconds / 3600:,.1f} open hours need {spell_rate(need.rate)}, the provider "
                f"{serving[need.channel].provider} has {spell_rate(need.provider_rate)}: widen the window, `valid` or the rate"
            )
            found.append(Infeasible(need.step, need.channel, "rate", what))
    return found


def needs(campaign: Campaign, rules: Rules, window: WindowRule | None, at: Situation) -> list[Need]:
    """What the messages that wait ask of the providers, each step for itself."""
    now, zone, serving = at.now, at.zone, at.serving
    steps = {step.name: step for step in campaign.steps}
    start = max(now, _instant(campaign.starts, zone) or now)
    found = []
    for (name, channel), count in sorted(at.waiting.items()):
        if name not in steps or not count:
            continue
        limit = min(start + steps[name].valid, _instant(campaign.ends, zone) or start + steps[name].valid)
        stretches = _stretches(campaign, rules, window, steps[name], channel, zone, start, limit)
        seconds = sum(closes - opens for opens, closes in stretches) // SECOND
        rate = serving[channel].rate if channel in serving else None
        finish = None if rate is None else _finish(stretches, round(count / rate * SECOND))
        found.append(Need(name, channel, count, seconds, count / max(seconds, 1), rate, finish))
    return found


def spell_rate(rate: float) -> str:
    """12/s, 3.5/min, 10/h"""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate * seconds >= 1 or unit == "h":
            shown = rate * seconds
            return f"{shown:,.0f}/{unit}" if shown >= 100 else f"{shown:.3g}/{unit}"
    raise AssertionError


def _hours(step: Step) -> WindowRule | None:
    return parse_window({"hours": list(step.hours)}) if step.hours else None


def _stretches(
    campaign: Campaign, rules: Rules, window: WindowRule | None, step: Step, channel: str, zone: str, start: Instant, limit: Instant
) -> list[tuple[Instant, Instant]]:
    candidate = Candidate(0, 0, campaign.name, step.name, channel, limit, campaign_window=window, job_window=_hours(step))
    named = () if campaign.ignore_window else rules.windows(candidate, _person(channel, zone)).rules
    found, at = [], start
    while (stretch := first_open(named, (zone,), at, limit)) is not None:
        found.append(stretch)
        at = stretch[1]
    return found


def _finish(stretches: Sequence[tuple[Instant, Instant]], needed: int) -> Instant | None:
    for opens, closes in stretches:
        if needed <= closes - opens:
            return opens + needed
        needed -= closes - opens
    return None


def _alone(campaign: Campaign, rules: Rules, window: WindowRule | None, situation: Situation) -> list[Infeasible]:
    """Walk one person through all steps at the days that the campaign names."""
    now, zone = situation.now, situation.zone
    found: list[Infeasible] = []
    touches: list[Touch] = []
    first = next((step.day for step in campaign.steps if step.day is not None), None)
    at = begins = max(now, _instant(campaign.starts, zone) or now)
    accepted: Instant | None = None
    for number, step in enumerate(campaign.steps):
        channel = next((channel for channel in step.channels if channel in situation.serving), None)
        if channel is None:
            continue
        if step.delay is not None:
            at = (accepted or begins) + step.delay
        elif step.day is not None and first is not None:
            at = begins + max(step.day - first, 0) * DAY
        if accepted is not None:
            at = max(at, accepted + campaign.enrol.min_gap)
        went, why = _goes(campaign, rules, window, step, channel, touches, at, zone)
        if went is None:
            found.append(Infeasible(step.name, channel, *_said(step, why, number)))
            continue
        accepted = at = went
    return found


def _goes(
    campaign: Campaign, rules: Rules, window: WindowRule | None, step: Step, channel: str, touches: list[Touch], at: Instant, zone: str
) -> tuple[Instant | None, Reason | None]:
    """When the step's message goes to somebody who has had these touches; else why it does not."""
    person = _person(channel, zone)._replace(touches=touches)
    starts, ends = campaign.starts, campaign.ends
    candidate = Candidate(
        1, 1, campaign.name, step.name, channel, at + step.valid, campaign.purpose, campaign.topic, campaign.priority,
        campaign_window=window, job_window=_hours(step), ignore_window=campaign.ignore_window,
        starts=to_instant(starts) if isinstance(starts, datetime) else starts,
        ends=to_instant(ends) if isinstance(ends, datetime) else ends,
    )  # fmt: skip
    for _ in range(TRIES):
        decision = decide(candidate, person, rules, at)
        if decision.verdict is Verdict.SEND:
            touches.append(touch_of(candidate, person, rules, at))
            return at, None
        if decision.verdict is not Verdict.DEFER or decision.until is None or decision.until <= at:
            waited = decision.facts.get("waited_for")
            return None, Reason(waited) if waited is not None else decision.reason
        at = decision.until
    return None, decision.reason


def _said(step: Step, why: Reason | None, number: int) -> tuple[str, str]:
    life = f"{step.valid / HOUR:g} h"
    if why in (Reason.CAP_REACHED, Reason.YIELDED_TO_PRIORITY):
        before = "the steps before it use up a frequency cap" if number else "a frequency cap allows not even one"
        return "cap", f"{before}, and no slot frees within its life of {life}: nobody could ever get it"
    if why is Reason.CAMPAIGN_ENDED:
        return "ended", "the campaign ends before it falls due"
    if why in (Reason.WINDOW_NEVER_OPENS, Reason.WINDOW_CLOSED, Reason.HOLIDAY, Reason.LATE):
        return "window", f"no window opens within its life of {life}"
    return "window", f"it would not go to anybody: {why.value if why else 'unknown'}"


def _person(channel: str, zone: str) -> PersonFacts:
    return PersonFacts(id=1, key="somebody", zone=zone, address={channel: "somebody"}, consents={(channel, "*"): "granted"})


def _instant(moment: date | datetime | None, zone: str) -> Instant | None:
    """A local date is 00:00 in the default zone."""
    if moment is None:
        return None
    return to_instant(moment) if isinstance(moment, datetime) else tz.first_instant_of(moment, zone)
