"""POLICY, spread: the instant at which a planned delivery falls due, so that nobody is claimed just to wait.

That is the first instant of its window, and after an opening edge a stable share of the spread later, so that 09:00 is no
spike. The share follows the order of person ids, turned by the campaign: nobody is always first, and claiming walks the
store's tables in their own order (claim .. record stays at 31-35 µs a delivery at 3 M queued; by random jitter it was
71-123). Pure.
"""

from __future__ import annotations

import functools
import hashlib

from daemon.model.delivery import Instant
from daemon.policy.dates import campaign_life
from daemon.policy.hours import WindowRule
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH, first_open

RING = 1 << 63


def first_due(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant) -> Instant | None:
    """When a delivery released at `now` falls due; None when no window opens before its end (it is then expired at once).

    Without a known zone: as soon as it may, so that the claim holds it with its reason.
    """
    guess = rules.guess_zones(person)
    start, limit = campaign_life(candidate, guess, max(now, candidate.not_before))
    windows = () if candidate.ignore_window else rules.windows(candidate, person).rules
    if windows and not guess.names:
        return start if start < limit else None
    at_once = candidate.trigger or candidate.transactional
    return first_instant(
        windows=windows, zones=guess.names, person=person.id, campaign=candidate.campaign, not_before=start, expires_at=limit,
        spread=0 if at_once else rules.spread, now=now,
    )  # fmt: skip


def first_instant(
    *,
    windows: tuple[WindowRule, ...],
    zones: tuple[str, ...],
    person: int,
    campaign: str,
    not_before: Instant,
    expires_at: Instant,
    spread: int,
    now: Instant,
) -> Instant | None:
    """The first window instant from `not_before` on, plus the person's share of the spread if it lies after `now`.

    None when no window opens before `expires_at`. The spread fills at most half of what is left before close and end, so
    that the last ones still have time to go. What meets an open window now is due at once.
    """
    found = first_open(windows, zones, not_before, min(expires_at, not_before + SEARCH))
    if found is None:
        return None
    opens, closes = found
    if opens <= now:
        return opens
    return opens + jitter(person, campaign, min(spread, (closes - opens) // 2))


def jitter(person: int, campaign: str, span: int) -> int:
    """A person's stable place in [0, span), in the order of ids, turned by the campaign."""
    return (person + _turn(campaign)) % RING * span // RING


@functools.lru_cache(maxsize=1024)
def _turn(campaign: str) -> int:
    return int.from_bytes(hashlib.blake2b(campaign.encode(), digest_size=8).digest()) % RING
