"""POLICY, words: a decision as one plain sentence for `homing explain`, the dashboard and the demo.

A decision and the recipient's zone in, English out; nothing is decided or looked up here. Every reason has its words; the
numbers come from the decision's own facts, so the sentence and the verdict cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemon.model.delivery import DAY, REASONS, Decision, Instant, Reason, State, Verdict
from daemon.policy import tz
from daemon.policy.decide import state_after

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PLURALS = {"email": "e-mails", "sms": "SMS", "push": "push messages", "call": "calls", "audience": "audience days"}
_SINGULARS = {"email": "e-mail", "sms": "SMS", "push": "push message", "call": "call", "audience": "audience day"}
_UNITS = {"ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_PERIODS = {"day": "today", "week": "this week", "month": "this month"}
_STOPPED = {State.EXPIRED: "Expired", State.CANCELLED: "Cancelled", State.REJECTED: "Rejected", State.HELD_OUT: "Held out"}

_RESTATED = frozenset({
    Reason.TOO_LARGE, Reason.CONTENT_BLOCKED, Reason.CEILING_EXCEEDED, Reason.COUNT_MISMATCH, Reason.CANARY_FAILED, Reason.RESTORED,
    Reason.APPROVAL_WAIT,
})  # fmt: skip
"""Reasons whose remedy first says again what happened."""

WHAT: Mapping[Reason, str] = {
    Reason.SUPPRESSED: "the {channel} address is on the suppression list",
    Reason.NO_CONSENT: "there is no consent for {channel} (it is {consent}, and the rule is {rule})",
    Reason.TOPIC_OFF: 'the recipient opted out of the topic "{topic}"',
    Reason.PAUSED_BY_RECIPIENT: "the recipient asked for a pause",
    Reason.BOUNCED: "the {channel} address bounced",
    Reason.COMPLAINED: "the recipient complained",
    Reason.ERASED: "the recipient was erased",
    Reason.NO_ADDRESS: "the recipient has no address for {channel}",
    Reason.INVALID_ADDRESS: "the {channel} address is not valid",
    Reason.EXITED: "an exit event ended the walk",
    Reason.LEFT_SEGMENT: "the recipient left the segment",
    Reason.CONVERTED: "the recipient did what the campaign wants",
    Reason.ALREADY_ENROLLED: "the recipient already walks, or lately walked, through this campaign",
    Reason.NOT_NEEDED: "an earlier channel of the step sufficed",
    Reason.CAMPAIGN_PAUSED: "the campaign, queue or job is paused",
    Reason.CAMPAIGN_NOT_STARTED: "the campaign has not started",
    Reason.CAMPAIGN_ENDED: "the campaign ended",
    Reason.LATE: "it could not be sent in its time",
    Reason.WINDOW_CLOSED: "outside {window}",
    Reason.QUIET_HOURS: "the recipient's own quiet hours{hours}",
    Reason.HOLIDAY: "a closed day of {window}",
    Reason.COUNTRY_BLOCKED: "the recipient's country is not allowed for {channel}",
    Reason.ZONE_UNKNOWN: "nobody knows the recipient's time zone",
    Reason.WINDOW_NEVER_OPENS: "{window} does not open before its end",
    Reason.CAP_REACHED: "{cap}",
    Reason.YIELDED_TO_PRIORITY: "another message of this person took the last slot of {slots}",
    Reason.RATE_LIMITED: "the rate limit of the provider, sender or destination is used up",
    Reason.BREAKER_OPEN: "the provider fails and is left alone for a while",
    Reason.CHANNEL_UNAVAILABLE: "no provider serves {channel}",
    Reason.HELD_OUT: "the recipient is in the holdout and gets nothing",
    Reason.VARIANT_PENDING: "the experiment has not decided on a variant",
    Reason.OFFER_EXPIRED: "the offer has ended or is about to",
    Reason.NO_CODE: "the pool has no offer code left",
    Reason.SPEND_LIMIT: "the daily spend is used up",
    Reason.DUPLICATE: "the recipient already has this delivery",
    Reason.RENDER_ERROR: "the template could not be filled in",
    Reason.TOO_LARGE: "the message is larger than the provider takes",
    Reason.CONTENT_BLOCKED: "the content failed a check",
    Reason.CEILING_EXCEEDED: "the job is larger than declared or allowed",
    Reason.COUNT_MISMATCH: "the rows of the job differ from its expected_count",
    Reason.APPROVAL_WAIT: "an operator has yet to approve it",
    Reason.CANARY_WAIT: "the canary has no result yet",
    Reason.CANARY_FAILED: "the canary failed",
    Reason.KILL_SWITCH: "all sending is stopped",
    Reason.CLOCK_UNTRUSTED: "the clock of this machine cannot be trusted",
    Reason.RESTORED: "the store is a copy, or older than the send journal",
    Reason.REJECTED_BY_PROVIDER: "the provider refused it for good",
    Reason.ATTEMPTS_EXHAUSTED: "each attempt surely failed",
    Reason.SUNSET: "the recipient reacted to nothing; marketing is over",
    Reason.TEST_MODE: "test sends go to test addresses only",
    Reason.OPERATOR: "an operator cancelled it",
}


def decision_of(stored: Mapping[str, Any]) -> Decision:
    """A decision as the store keeps it (JSON: verdict, reason, until, key, rule, facts, checks) as an object again."""
    rule = stored.get("rule")
    return Decision(
        verdict=Verdict(stored["verdict"]), reason=Reason(stored["reason"]) if stored.get("reason") else None, until=stored.get("until"),
        closes=stored.get("closes"), key=stored.get("key"), rule=(rule[0], rule[1]) if rule else None, facts=stored.get("facts") or {},
        checks=tuple((check[0], check[1]) for check in stored.get("checks") or ()),
    )  # fmt: skip


def explain_text(decision: Decision, *, zone: str | None, channel: str = "email", now: Instant | None = None) -> str:
    """One sentence: what happens, why, and when next. `zone`: whose wall clock is shown (None: UTC); `now`: a far year is named."""
    facts = decision.facts
    if decision.reason is None:
        until = f"; its window closes on {when(decision.closes, zone, now)}" if decision.closes is not None else ""
        return f"May be sent now{until}."
    waited = Reason(facts["waited_for"]) if "waited_for" in facts else None
    words = _words(decision, channel)
    what = WHAT[decision.reason].format_map(words)
    if waited is not None and waited is not decision.reason and decision.reason is Reason.LATE:
        what = f"{WHAT[waited].format_map(words)}, and that does not end before {_fact_time(facts, 'expires_at', zone, now)}"
    text = f"{_opening(decision)}: {what}{_next(decision, zone, now)}."
    remedy = REASONS[decision.reason].remedy
    if decision.reason in _RESTATED:
        remedy = remedy.partition("; ")[2]
    return f"{text} To free it: {remedy}." if decision.verdict is Verdict.HOLD and remedy else text


def when(at: Instant, zone: str | None, now: Instant | None = None) -> str:
    """`Wed 25 Nov 09:00 Jakarta time`; the year only when it is far from `now`."""
    local = tz.local_time(zone or "UTC", at)
    year = f" {local.year}" if now is not None and abs(at - now) > 300 * DAY else ""
    clock = f"{local.hour:02d}:{local.minute:02d}" + (f":{local.second:02d}" if local.second else "")
    return f"{_WEEKDAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}{year} {clock} {_place(zone)}"


def _place(zone: str | None) -> str:
    """`Asia/Jakarta` is `Jakarta time`, `America/Indiana/Knox` is `Knox time`."""
    if zone is None or zone in ("UTC", "Etc/UTC"):
        return "UTC"
    return zone.rpartition("/")[2].replace("_", " ") + " time"


def _opening(decision: Decision) -> str:
    if decision.verdict is Verdict.DEFER:
        return "Waits"
    if decision.verdict is Verdict.HOLD:
        return "Held"
    return _STOPPED.get(state_after(decision), "Not sent")


def _words(decision: Decision, channel: str) -> dict[str, str]:
    facts = decision.facts
    known = {key: str(value) for key, value in facts.items() if isinstance(value, str | int | float)}
    hours = f" ({', '.join(facts['hours'])})" if facts.get("hours") else ""
    return {
        "channel": _SINGULARS.get(channel, channel), "consent": "unknown", "rule": "explicit", "topic": "",
        **known,
        "window": _window_name(decision) + hours, "hours": hours, "cap": _cap(facts, channel), "slots": _slots(facts),
    } | {"channel": _SINGULARS.get(str(facts.get("channel", channel)), channel)}  # fmt: skip


def _window_name(decision: Decision) -> str:
    name = decision.rule[0] if decision.rule else "window"
    fixed = {
        "campaign.window": "the campaign's window",
        "job.window": "the job's window",
        "recipient.quiet_hours": "the recipient's own hours",
    }
    return fixed.get(name) or (f"the {name.rpartition('.')[2]} window" if name.startswith("window.") else "the send window")


def _cap(facts: Mapping[str, Any], channel: str) -> str:
    """`3 of 3 e-mails in 7 days are used`."""
    if "limit" not in facts:
        return "a frequency cap is reached"
    takes = f" and this {_SINGULARS.get(channel, 'message')} takes {facts['weight']:g}" if "weight" in facts else ""
    return f"{facts['used']:g} of {_slots(facts)} {'is' if facts['limit'] == 1 else 'are'} used{takes}"


def _slots(facts: Mapping[str, Any]) -> str:
    """`3 e-mails in 7 days`, `1 message today`, `5 units this week`."""
    limit = facts.get("limit", 0)
    names = _SINGULARS if limit == 1 else _PLURALS
    if facts.get("count") == "units":
        noun = "unit" if limit == 1 else "units"
    elif len(facts.get("channels", ())) == 1:
        noun = names.get(facts["channels"][0], facts["channels"][0])
    else:
        noun = "message" if limit == 1 else "messages"
    period = f"in {_duration(facts['rolling'])}" if "rolling" in facts else _PERIODS.get(facts.get("calendar", ""), "")
    return f"{limit:g} {noun} {period}".rstrip()


def _duration(text: str) -> str:
    """`7d` is `7 days`."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", text)
    if not found:
        return text
    return f"{found[1]} {_UNITS[found[2]]}{'' if found[1] == '1' else 's'}"


def _next(decision: Decision, zone: str | None, now: Instant | None) -> str:
    """What ends the wait, and when it may go if that is later."""
    facts, until, reason = decision.facts, decision.until, decision.reason
    if decision.verdict is not Verdict.DEFER or until is None:
        return f" on {_fact_time(facts, 'ended_at', zone, now)}" if reason is Reason.CAMPAIGN_ENDED and "ended_at" in facts else ""
    if decision.key is not None:
        return f" ({REASONS[reason].remedy})" if reason else ""
    for key, words in (("frees_at", _frees(facts)), ("opens", "it opens on"), ("starts_at", "it starts on")):
        if key in facts:
            first = _instant(facts[key])
            later = f", and it may go on {when(until, zone, now)}" if until > first else ""
            return f"; {words} {when(first, zone, now)}{later}"
    return f"; next try on {when(until, zone, now)}"


def _frees(facts: Mapping[str, Any]) -> str:
    if "calendar" in facts:
        return f"a new {facts['calendar']} begins on"
    if "oldest" in facts and facts.get("used") == facts.get("limit") and facts.get("count") != "units":
        return "the oldest ages out on"
    return "a slot frees on"


def _fact_time(facts: Mapping[str, Any], key: str, zone: str | None, now: Instant | None) -> str:
    return when(_instant(facts[key]), zone, now)


def _instant(text: str) -> Instant:
    return tz.instant_of(datetime.fromisoformat(text))
