"""Web push: one push service (an origin) as we know it: whether it wants to be left alone, has taken our key, keeps us waiting.

Push services share nothing but this provider's table, so one that throttles, fails or hangs is left alone by itself while the others
flow. Durations in seconds of the monotonic clock. No I/O.
"""

from __future__ import annotations

import random

FAILURES = 3
"""So many in a row, and the service is left alone for a while."""
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 600.0
THROTTLE_PAUSE = 30.0
"""After a 429 that names no time."""
LONGEST_ASKED = 86_400.0
STRANGERS = 100
"""So many subscriptions in a row under "another key", and it is our own proof that the service refuses (a wrong clock, a closed account):
nothing more is taken for dead until it has accepted a push again."""
SLOW = 3.0
"""An answer that takes longer makes the service slow: then it holds no more than a share of the places."""


class House:
    """State of one origin."""

    __slots__ = ("_share", "_strangers", "failures", "origin", "paused_until", "proven", "waiting")

    def __init__(self, origin: str, places: int) -> None:
        self.origin = origin
        self.paused_until = 0.0
        self.proven = False
        """It has accepted a push of ours since the start: it knows our key."""
        self._strangers = 0
        """Subscriptions refused as of another key since it last did."""
        self.failures = 0
        self.waiting: dict[int, float] = {}
        """What is on its way: number -> when it left."""
        self._share = max(1, places // 4)

    def wait(self, now: float) -> float:
        """Seconds until it may be asked again, 0 = now."""
        if self.paused_until > now:
            return self.paused_until - now
        if len(self.waiting) >= self._share and now - next(iter(self.waiting.values())) > SLOW:
            return SLOW
        return 0.0

    def accepted(self) -> None:
        self.proven = True
        self.failures = self._strangers = 0

    def stranger(self) -> None:
        """It refused our proof for one subscription, and was believed that the subscription is of another key."""
        self.failures = 0
        self._strangers += 1
        if self._strangers >= STRANGERS:
            self.proven = False

    def answered(self) -> None:
        """It works, whatever it said."""
        self.failures = 0

    def throttled(self, now: float, asked: float | None) -> float:
        """Leave it alone for as long as it asked. Returns the seconds."""
        pause = THROTTLE_PAUSE if asked is None else min(max(asked, 1.0), LONGEST_ASKED)
        self.paused_until = max(self.paused_until, now + pause)
        return pause

    def failed(self, now: float, rng: random.Random) -> None:
        """It could not be reached, broke down or did not answer. Many at once are one failure."""
        if self.paused_until > now:
            return
        self.failures += 1
        if self.failures >= FAILURES:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.failures - FAILURES))
            self.paused_until = now + pause * (0.5 + rng.random() / 2)
