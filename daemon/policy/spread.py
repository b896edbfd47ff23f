"""POLICY, spread: the instant at which a planned delivery falls due, so that nobody is claimed just to wait.

That is the first instant of its window, and after an opening edge a stable share of the spread later, so that 09:00 is no
spike. The share follows the order of person ids, turned by the campaign: nobody is always first, and claiming walks the
store's tables in their own order (claim .. record stays at 31-35 µs a delivery at 3 M queued; by random jitter it was
71-123). Pure.
"""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

from daemon.model.delivery import Instant
from daemon.policy.dates import campaign_life
from daemon.policy.hours import WindowRule
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH, first_open

RING = 1 << 63


class Stretch(NamedTuple):
    """From when on, and over what span, deliveries are spread; `opens` None: no window opens before `limit`, where they end."""

    opens: Instant | None
    span: int
    limit: Instant


def first_due(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant) -> Instant | None:
    """When a delivery released at `now` falls due; None when no window opens before its end (it is then expired at once).

    Without a known zone: as soon as it may, so that the claim holds it with its reason.
    """
    opens, span, _ = due_stretch(candidate, person, rules, now)
    return opens if opens is None or not span else opens + jitter(person.id, candidate.campaign, span)


def due_stretch(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant) -> Stretch:
    """What `first_due` rests on; the same for all of whom the same is known (zone, phone, country, quiet hours)."""
    guess = rules.guess_zones(person)
    start, limit = campaign_life(candidate, guess, max(now, candidate.not_before))
    windows = () if candidate.ignore_window else rules.windows(candidate, person).rules
    if windows and not guess.names:
        return Stretch(start if start < limit else None, 0, limit)
    at_once = candidate.trigger or candidate.transactional
    return _stretch(windows, guess.names, start, limit, 0 if at_once else rules.spread, now)


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
    opens, span, _ = _stretch(windows, zones, not_before, expires_at, spread, now)
    return opens if opens is None else opens + jitter(person, campaign, span)


def _stretch(
    windows: tuple[WindowRule, ...], zones: tuple[str, ...], not_before: Instant, expires_at: Instant, spread: int, now: Instant
) -> Stretch:
    found = first_open(windows, zones, not_before, min(expires_at, not_before + SEARCH))
    if found is None:
        return Stretch(None, 0, expires_at)
    opens, closes = found
    return Stretch(opens, 0 if opens <= now else min(spread, (closes - opens) // 2), expires_at)


def jitter(person: int, campaign: str, span: int) -> int:
    """A person's stable place in [0, span), in the order of ids, turned by the campaign."""
    return (person + _turn(campaign)) % RING * span // RING


@functools.lru_cache(maxsize=1024)
def _turn(campaign: str) -> int:
    return int.from_bytes(hashlib.blake2b(campaign.encode(), digest_size=8).digest()) % RING
