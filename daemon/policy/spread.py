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

    def first(self, person: int, campaign: str) -> Instant | None:
        """When the person's delivery falls due: behind the opening by its share of the span."""
        return self.opens if self.opens is None or not self.span else self.opens + jitter(person, campaign, self.span)


def due_stretch(candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant) -> Stretch:
    """Where a delivery released at `now` falls due; the same for all of whom the same is known (zone, phone, country, quiet hours).

    No window opens before its end: it is expired at once. Without a known zone it is due as soon as it may, so that the claim holds it
    with its reason.
    """
    guess = rules.guess_zones(person)
    start, limit = campaign_life(candidate, guess, max(now, candidate.not_before))
    windows = () if candidate.ignore_window else rules.windows(candidate, person).rules
    if windows and not guess.names:
        return Stretch(start if start < limit else None, 0, limit)
    at_once = candidate.trigger or candidate.transactional
    return _stretch(windows, guess.names, start, limit, 0 if at_once else rules.spread, now)


def _stretch(
    windows: tuple[WindowRule, ...], zones: tuple[str, ...], not_before: Instant, expires_at: Instant, spread: int, now: Instant
) -> Stretch:
    """The first window instant from `not_before` on. The spread fills at most half of what is left before close and end, so that the
    last ones still have time to go. What meets an open window now is due at once."""
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
