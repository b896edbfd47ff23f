"""DISPATCH, what is judged: a due row and what the store knows of its person, as the rules see them. Pure; judges nothing.

What is added here that may change a verdict has its part in the key of `dispatch.alike` too: who differs in it is not alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from daemon.clock import to_instant
from daemon.dispatch.work import Plan
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Instant, Reason
from daemon.model.journey import ACT_TOPIC, WalkState
from daemon.policy.hours import WindowRule, parse_quiet_hours, parse_window
from daemon.policy.subject import ANY, NOTHING, Candidate, PersonFacts
from daemon.store.facts import DueRow, Known
from daemon.store.merged import AWAY

REASONS_OF_ENDS = {
    WalkState.EXITED.value: Reason.EXITED, WalkState.CONVERTED.value: Reason.CONVERTED, WalkState.MERGED.value: Reason.MERGED,
    WalkState.PLANNED.value: Reason.EXITED,
}  # fmt: skip
"""State of a walk -> why nothing more of it is sent. One that is finished has gone through all its steps, and they may go."""


@lru_cache(maxsize=4096)
def _job_window(text: str) -> WindowRule:
    return parse_window(json.loads(text))


@lru_cache(maxsize=4096)
def _quiet_hours(texts: tuple[str, ...]) -> WindowRule:
    return parse_quiet_hours(texts)


def quiet_hours(traits: str | None) -> WindowRule | None:
    """The recipient's own quiet hours, from the trait of that name; intake checked its shape."""
    if not traits or '"quiet_hours"' not in traits:
        return None
    value = json.loads(traits).get("quiet_hours")
    return _quiet_hours(tuple(value)) if value else None


def candidate_of(row: DueRow, plan: Plan) -> Candidate:
    """The due row as the rules see it."""
    campaign = plan.campaign
    starts, ends = campaign.starts, campaign.ends
    made = Candidate(
        row.delivery, row.person, row.campaign_name, row.step, row.channel, row.expires_at, campaign.purpose, campaign.topic, row.priority,
        row.not_before, plan.window, _job_window(row.job_window) if row.job_window else None,
        campaign.ignore_window or row.channel == AUDIENCE,
        None if starts is None else _moment(starts), None if ends is None else _moment(ends), attempt=row.attempts + 1,
    )  # fmt: skip
    return made if row.walk is None else made._replace(**_walk_facts(row, plan))


def _walk_facts(row: DueRow, plan: Plan) -> dict[str, Any]:
    """What a delivery of a walk has beside: whether the walk is over, whether its person is held out, the hours of its step."""
    facts: dict[str, Any] = {"held_out": bool(row.held_out)}
    if (reason := REASONS_OF_ENDS.get(row.walk_state or "")) is not None:
        facts["ended"] = reason, row.walk_ended_at, row.walk_end_reason or ""
    if (hours := plan.hours.get((row.step, row.variant))) is not None:
        facts["job_window"] = hours
    if row.step in plan.acts:
        facts |= {"act": True, "topic": ACT_TOPIC, "ignore_window": True}
    return facts


def _moment(value: date | datetime) -> date | Instant:
    return to_instant(value) if isinstance(value, datetime) else value


def facts_of(row: DueRow, known: Known, kinds: Mapping[str, str]) -> PersonFacts:
    """What is known of the row's person. `kinds`: channel -> address kind (email, phone, push, recipient)."""
    values = {"email": row.email, "phone": row.phone, "recipient": row.recipient, "push": known.push[0].text if known.push else None}
    suppressed: Mapping[str, Reason] = NOTHING
    blocked: Mapping[str, Reason] = NOTHING
    if known.suppressions:
        suppressed, blocked = _suppressed(known, kinds)
    return PersonFacts(
        id=row.person, key=row.recipient, zone=row.zone, phone=row.phone, country=row.country, quiet_hours=quiet_hours(row.traits),
        erased=bool(row.erased), merged=row.erased == AWAY,
        address={channel: values.get(kind) for channel, kind in kinds.items()}, suppressed=suppressed, blocked=blocked,
        consents=known.consents, touches=known.touches, paused_until=row.paused_until, weekly=bool(row.weekly),
    )  # fmt: skip


def _suppressed(known: Known, kinds: Mapping[str, str]) -> tuple[Mapping[str, Reason], Mapping[str, Reason]]:
    """(what marketing may not use, what nobody may use)."""
    suppressed: dict[str, Reason] = {}
    blocked: dict[str, Reason] = {}
    for kind, item in known.suppressions:
        target = blocked if item.scope == "all" else suppressed
        if item.channel == ANY or kinds.get(item.channel, kind) == kind:
            target[item.channel] = Reason(item.reason)
    return suppressed, blocked
