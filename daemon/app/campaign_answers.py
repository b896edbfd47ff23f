"""What the desk answers about campaigns: one in a list, and one in full. Pure."""

from __future__ import annotations

from typing import Any

from daemon.content.names import read_template_name
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, SECOND
from daemon.store.operate import CampaignFacts
from daemon.web.operations import Json


def shown(facts: CampaignFacts) -> Json:
    """One campaign in full."""
    version = CampaignVersion.from_json(facts.body)
    steps = version.campaign.steps
    templates = [parsed for file in version.files if (parsed := read_template_name(file, steps)) is not None]
    return {
        **listed(facts),
        "steps": [_step(step) for step in steps],
        "locales": sorted({template.locale or "" for template in templates}),
        "window": version.campaign.window,
        "enrols": _enrols(version.campaign),
        "goal": version.campaign.goal.event if version.campaign.goal else None,
        "exits": [*version.campaign.exit.events, *(f"segment {name}" for name in version.campaign.exit.segments)],
        "holdout": version.campaign.holdout,
        "files": sorted(version.files),
    }


def listed(facts: CampaignFacts) -> Json:
    """One of the list."""
    campaign = CampaignVersion.from_json(facts.body).campaign
    return {
        "campaign": facts.name,
        "status": facts.status,
        "version": facts.version,
        "digest": facts.digest,
        "purpose": campaign.purpose.value,
        "topic": campaign.topic,
        "starts": campaign.starts.isoformat() if campaign.starts else None,
        "ends": campaign.ends.isoformat() if campaign.ends else None,
        "jobs": facts.jobs,
        "deliveries": dict(facts.deliveries),
    }


def _enrols(campaign: Campaign) -> str:
    """`jobs`, `segment lapsed_30_90`, `event Checkout Started where value > 100`.."""
    enrol = campaign.enrol
    if enrol.segment is not None:
        return f"segment {enrol.segment}"
    if enrol.trigger is None:
        return "jobs"
    if enrol.trigger.event is None:
        return f"not {enrol.trigger.absent} of {enrol.trigger.of} after {enrol.trigger.after // DAY} days"
    return f"event {enrol.trigger.event}" + (f" where {enrol.trigger.where}" if enrol.trigger.where else "")


def _step(step: Step) -> Json:
    found: dict[str, Any] = {"step": step.name, "channels": list(step.channels), "valid_seconds": step.valid // SECOND}
    if len(step.channels) > 1:
        found["mode"] = step.mode.value
    if step.day is not None:
        found["day"] = step.day
    if step.delay is not None:
        found["delay_seconds"] = step.delay // SECOND
    if step.act is not None:
        found["act"] = step.act.kind
    if step.offer:
        found["offer"] = dict(step.offer)
    if step.variants:
        found["variants"] = {variant.name: variant.share for variant in step.variants}
    if step.where is not None:
        found["where"] = step.where
    if (more := step.escalate) is not None:
        found["escalate"] = {"to": list(more.to), "after_seconds": more.after // SECOND, "unless": list(more.unless)}
    return found
