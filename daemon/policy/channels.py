"""POLICY, channels: over which of a step's channels a person is reached. Pure.

The order is the recipient's own where it says something (trait `preferred_channels`), else the step's. Reached means permitted:
an address, consent, no suppression. Windows and caps only say when, so they never move a message to another channel.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence

from daemon.model.delivery import Instant, Reason
from daemon.policy.permission import check_permission
from daemon.policy.rules import Rules
from daemon.policy.spread import due_stretch
from daemon.policy.subject import Candidate, PersonFacts

PREFERENCE = "preferred_channels"


def in_order(channels: Sequence[str], traits: str | None) -> tuple[str, ...]:
    """The step's channels, those that the recipient prefers first. `traits`: JSON text; what is no list of names says nothing."""
    return _in_order(tuple(channels), traits) if traits and f'"{PREFERENCE}"' in traits else tuple(channels)


@functools.lru_cache(maxsize=4096)
def _in_order(channels: tuple[str, ...], traits: str) -> tuple[str, ...]:
    preferred = json.loads(traits).get(PREFERENCE)
    if not isinstance(preferred, list):
        return channels
    first = [name for name in preferred if isinstance(name, str) and name in channels]
    return tuple(dict.fromkeys((*first, *channels)))


def reachable(
    candidate: Candidate, person: PersonFacts, rules: Rules, channels: Sequence[str]
) -> tuple[tuple[str, ...], Mapping[str, Reason]]:
    """Those of the channels that the candidate's message may go over instead of its own, in their order, and why not the others."""
    good: list[str] = []
    bad: dict[str, Reason] = {}
    for channel in channels:
        if channel == candidate.channel:
            continue
        refusal = check_permission(candidate._replace(channel=channel), person, rules.consent)
        if refusal is None:
            good.append(channel)
        else:
            bad[channel] = refusal.reason
    return tuple(good), bad


def due_from(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant, valid: int) -> Instant:
    """When a message that takes a candidate's place on another channel falls due: at once, or spread behind its window's opening.
    `candidate` has that channel already."""
    there = candidate._replace(not_before=now, expires_at=now + valid)
    return due_stretch(there, person, rules, now).first(person.id, candidate.campaign) or now
