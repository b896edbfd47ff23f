"""PACING, breaker: leaves a failing provider alone for a while. Closed, open, half-open.

Only provider errors count (cannot connect, login refused, 5xx of the service itself), never an answer about one message or
address. Five in a row within a minute open it for 10 s; then one probe goes; its failure doubles the pause, up to 15
minutes, its success closes the breaker. Pure: `now` in, an instant out; state is a mapping for the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daemon.model.delivery import MINUTE, SECOND, Instant

ERRORS = 5
WITHIN = MINUTE
PAUSE = 10 * SECOND
"""The first pause: a relay that restarts is back by then, and ten connections that fail at one moment are one event."""
LONGEST = 15 * MINUTE


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True, kw_only=True)
class Breaker:
    """One provider's breaker. `opened`: how often it opened without a success between."""

    errors: int = 0
    first_error_at: Instant = 0
    opened: int = 0
    open_until: Instant = 0

    def state(self, now: Instant) -> BreakerState:
        if not self.opened:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    def allowed(self, now: Instant) -> int | None:
        """How many messages may be at the provider at once: None = any number, 0 while open, 1 (the probe) when half-open."""
        if not self.opened:
            return None
        return 0 if now < self.open_until else 1

    def failed(self, now: Instant) -> None:
        """A provider error. What comes late from messages sent before it opened changes nothing."""
        if self.opened:
            if now >= self.open_until:
                self._open(now)
            return
        if not self.errors or now - self.first_error_at > WITHIN:
            self.errors, self.first_error_at = 0, now
        self.errors += 1
        if self.errors >= ERRORS:
            self._open(now)

    def trip(self, now: Instant) -> None:
        """Open it at once: what is known of the provider is worse than single errors."""
        self._open(now)

    def succeeded(self, now: Instant) -> None:
        """The provider answered for a message. While open, what comes late says nothing; the probe's answer closes it."""
        if self.opened and now < self.open_until:
            return
        self.errors = self.opened = 0
        self.open_until = 0

    def rebase(self, now: Instant) -> None:
        """The clock was set back, and `now` is the true time: a pause ends at most a whole pause from now."""
        self.open_until = min(self.open_until, now + LONGEST)
        self.first_error_at = min(self.first_error_at, now)

    def to_state(self) -> dict[str, Any]:
        """What the store keeps."""
        return {"errors": self.errors, "first_error_at": self.first_error_at, "opened": self.opened, "open_until": self.open_until}

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> Breaker:
        """A breaker as it was saved; None: new."""
        return cls(**state) if state else cls()

    def _open(self, now: Instant) -> None:
        self.open_until = now + min(PAUSE << min(self.opened, 10), LONGEST)
        self.opened += 1
        self.errors = 0
