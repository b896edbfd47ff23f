"""POLICY, spread: the instant at which a planned delivery falls due, so that nobody is claimed just to wait.

That is the first instant of its window, and after an opening edge a stable share of the spread later, so that 09:00 is no
spike. The share follows the order of person ids, turned by the campaign: nobody is always first, and claiming walks the
store's tables in their own order (claim .. record stays at 31-35 µs a delivery at 3 M queued; by random jitter it was
71-123). Pure.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from daemon.model.delivery import Instant
from daemon.policy.dates import campaign_life
from daemon.policy.hours import WindowRule
from daemon.policy.prefer import first_preferred
from daemon.policy.rules import Rules
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH

RING = 1 << 63


class Stretch(NamedTuple):
    """From when on, and over what span, deliveries are spread; `opens` None: no window opens before `limit`, where they end."""

    opens: Instant | None
    span: int
    limit: Instant

    def first(self, person: int, campaign: str) -> Instant | None:
        """When the person's delivery falls due: behind the opening by its share of the span."""
        return self.opens if self.opens is None or not self.span else self.opens + jitter(person, campaign, self.span)


def due_stretch(
    candidate: Candidate, person: PersonFacts, rules: Rules, now: Instant, prefer: Sequence[WindowRule] = (), life: int = SEARCH
) -> Stretch:
    """Where a delivery released at `now` falls due; the same for all of whom the same is known (zone, phone, country, quiet hours).
    `prefer`: the hours that are best (policy.prefer.ranks), looked for within `life` of the first instant that is allowed.

    No window opens before its end: it is expired at once. Without a known zone it is due as soon as it may, so that the claim holds it
    with its reason. What meets an open window now is due at once.
    """
    guess = rules.guess_zones(person)
    start, limit = campaign_life(candidate, guess, max(now, candidate.not_before))
    windows = () if candidate.ignore_window else rules.windows(candidate, person).rules
    if windows and not guess.names:
        return Stretch(start if start < limit else None, 0, limit)
    at_once = candidate.trigger or candidate.transactional
    found = first_preferred(windows, guess.names, start, limit, () if at_once else prefer, life)
    if found is None:
        return Stretch(None, 0, limit)
    opens, closes = found
    return Stretch(opens, 0 if at_once or opens <= now else _span(rules.spread, opens, closes), limit)


def _span(spread: int, opens: Instant, closes: Instant) -> int:
    """The spread fills at most half of what is left before close and end, so that the last ones still have time to go."""
    return min(spread, (closes - opens) // 2)


def jitter(person: int, campaign: str, span: int) -> int:
    """A person's stable place in [0, span), in the order of ids, turned by the campaign."""
    return (person + _turn(campaign)) % RING * span // RING


@functools.lru_cache(maxsize=1024)
def _turn(campaign: str) -> int:
    return int.from_bytes(hashlib.blake2b(campaign.encode(), digest_size=8).digest()) % RING
