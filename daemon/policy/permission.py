"""POLICY, permission: may this person be written to over this channel at all? Suppression, consent, topics, dead addresses.

Transactional messages pass by consent and unsubscribe, but not by a bounce, a complaint or an erasure. Pure: facts in, the
reason of a refusal out, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from daemon.model.delivery import Reason
from daemon.policy.subject import ANY, Candidate, PersonFacts

HARD = frozenset({Reason.BOUNCED, Reason.COMPLAINED, Reason.ERASED, Reason.INVALID_ADDRESS})
"""What stops transactional messages too, wherever it is recorded."""


class ConsentRule(StrEnum):
    """What an unknown consent means (`[consent]`). Under the last two only `granted` permits."""

    IMPLIED = "implied"
    EXPLICIT = "explicit"
    DOUBLE_OPT_IN = "double_opt_in"


class Refusal(NamedTuple):
    reason: Reason
    facts: Mapping[str, Any]


def check_permission(candidate: Candidate, person: PersonFacts, consent: Mapping[str, str]) -> Refusal | None:
    """Why a message is not permitted, or None. `consent`: channel -> rule; a channel that is not there is explicit."""
    channel = candidate.channel
    if person.erased:
        return Refusal(Reason.MERGED if person.merged else Reason.ERASED, {"channel": channel})
    if not person.address.get(channel):
        return Refusal(Reason.NO_ADDRESS, {"channel": channel})
    if person.blocked and (reason := _find(person.blocked, channel)):
        return Refusal(reason, {"channel": channel, "scope": "all"})
    marketing = not candidate.transactional
    if person.suppressed and (reason := _find(person.suppressed, channel)) and (marketing or reason in HARD):
        return Refusal(reason, {"channel": channel, "scope": "all" if reason in HARD else "marketing"})
    return _check_consent(candidate, person, consent.get(channel, ConsentRule.EXPLICIT)) if marketing and not candidate.act else None


def _find(reasons: Mapping[str, Reason], channel: str) -> Reason | None:
    """The channel's reason or that of all channels, the harder one of the two."""
    here, everywhere = reasons.get(channel), reasons.get(ANY)
    return everywhere if here is None or everywhere in HARD else here


def _check_consent(candidate: Candidate, person: PersonFacts, rule: str) -> Refusal | None:
    """A withdrawal of the channel beats a grant of one topic: what narrows wins."""
    if not person.consents:
        whole = of_topic = None
    else:
        whole = person.consents.get((candidate.channel, ANY))
        of_topic = person.consents.get((candidate.channel, candidate.topic)) if candidate.topic else None
    if whole == "withdrawn":
        return Refusal(Reason.NO_CONSENT, {"channel": candidate.channel, "consent": "withdrawn", "rule": str(rule)})
    if of_topic == "withdrawn":
        return Refusal(Reason.TOPIC_OFF, {"channel": candidate.channel, "topic": candidate.topic})
    if rule == ConsentRule.IMPLIED or whole == "granted" or of_topic == "granted":
        return None
    known = of_topic or whole or "unknown"
    return Refusal(Reason.NO_CONSENT, {"channel": candidate.channel, "consent": known, "rule": str(rule)})
