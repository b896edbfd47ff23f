"""PACING, backoff: when a delivery that surely failed is tried again. Exponential with full jitter.

Full jitter (a uniform share of the whole delay) spreads the retries of a broken hour best. Pure: randomness comes in as a
number in [0, 1). Whether the window is open then is the next claim's to see.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model.delivery import HOUR, MINUTE, SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays of `base`, `base * factor`, .. up to `longest`, each times a random share but at least `least`; microseconds.

    By default five attempts within about three hours: greylisting lets one pass after 5 to 15 minutes.
    """

    base: int = 5 * MINUTE
    factor: int = 3
    longest: int = 6 * HOUR
    least: int = 15 * SECOND
    attempts: int = 5

    def delay(self, attempt: int, share: float) -> int:
        """The pause after the attempt of this number (from 1). `share`: random, in [0, 1)."""
        whole = min(self.base * self.factor ** min(max(attempt - 1, 0), 20), self.longest)
        return self.least + int((whole - min(self.least, whole)) * share)
