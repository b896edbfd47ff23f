"""DISPATCH, several channels: what follows a delivery, by its step; said here, planned by the store with what ends the delivery.

A step of mode `first` goes on to the next channel when its channel is not permitted (at the claim) or its address failed for sure (an
outcome): never after a doubt. An escalation follows an acceptance, and is not needed once the recipient has reacted.
"""

from __future__ import annotations

from daemon.dispatch.work import Envelope, Plan
from daemon.ids import encode_id
from daemon.journey.sequence import channels_of
from daemon.model.campaign import Mode, Step
from daemon.model.delivery import Decision, Instant, Reason, Verdict
from daemon.policy import tz
from daemon.policy.channels import due_from, in_order, reachable
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from daemon.store.facts import DueRow, Known
from daemon.store.follow import Then


def ways(row: DueRow, step: Step) -> tuple[str, ...]:
    """The channels that a delivery has to choose from, in order: those of its escalation, or of its step if one of them is enough."""
    if row.escalates is not None:
        return step.escalate.to if step.escalate else ()
    variant = next((arm for arm in step.variants if arm.name == row.variant), None)
    return in_order(channels_of(step, variant), row.traits) if step.mode is Mode.FIRST else ()


def not_needed(row: DueRow, plan: Plan | None, known: Known, rules: Rules) -> Decision | None:
    """The verdict on an escalation whose recipient has reacted to what it goes after, or whom it is not for."""
    step = plan.several.get(row.step) if plan is not None else None
    if row.escalates is None or step is None or step.escalate is None:
        return None
    seen = known.reactions.get(row.escalates, {})
    found = [(at, kind) for kind, at in seen.items() if kind in step.escalate.unless]
    facts: dict[str, object] = {"after": encode_id(row.escalates)}
    if found:
        at, kind = min(found)
        facts |= {"reaction": kind, "reacted_at": tz.utc_text(at), "unless": list(step.escalate.unless)}
    elif (row.campaign, row.version, row.step) in known.left_out:
        facts["where"] = step.escalate.where
    else:
        return None
    return Decision(
        verdict=Verdict.DROP, reason=Reason.NOT_NEEDED, rule=("escalate", rules.version), facts=facts, checks=(("exit", Verdict.DROP),)
    )  # fmt: skip


def elsewhere(
    row: DueRow, plan: Plan | None, candidate: Candidate, decision: Decision, person: PersonFacts, rules: Rules, now: Instant
) -> tuple[Decision, Then | None]:
    """A refusal with what is to be said of the other channels of its step, and where the message goes instead, if anywhere."""
    step = plan.several.get(row.step) if plan is not None else None
    if step is None or decision.rule is None or decision.rule[0] != "permission":
        return decision, None
    good, bad = reachable(candidate, person, rules, ways(row, step))
    if not good and not bad:
        return decision, None
    others = dict.fromkeys(good, "pass") | {channel: reason.value for channel, reason in bad.items()}
    decision = decision._replace(facts={**decision.facts, "others": others})
    if not good:
        return decision, None
    places = [(channel, due_from(candidate._replace(channel=channel), person, rules, now, step.valid)) for channel in good]
    return decision, Then(places, step.valid)


def after_failure(envelope: Envelope, now: Instant) -> Then | None:
    """Where to go on once the address failed for sure; the claim sees which of the channels are permitted."""
    row = envelope.claimed.row
    step = envelope.plan.several.get(row.step)
    places = [(channel, now) for channel in ways(row, step) if channel != row.channel] if step is not None else []
    return Then(places, step.valid) if step is not None and places else None


def after_acceptance(envelope: Envelope, now: Instant) -> Then | None:
    """The escalation of what was accepted; what is an escalation itself has none."""
    row = envelope.claimed.row
    step = envelope.plan.several.get(row.step)
    if step is None or step.escalate is None or row.escalates is not None:
        return None
    return Then([(channel, now + step.escalate.after) for channel in step.escalate.to], step.valid, escalates=True)
