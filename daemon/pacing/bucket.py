"""PACING, token bucket: one rate, as the instant from which the next message may go (GCRA, the virtual scheduling form).

`reserve` always answers with an instant and moves the bucket on by 1/rate, so a row that is out of turn is moved once, to
its own turn. A throttle answer halves the rate and pauses for its Retry-After; the rate then climbs back by a twentieth of
itself each ten seconds (AIMD). A bucket without a rate of its own takes half of what it last saw go through, and forgets
that limit when it has grown back to twice that. Pure: instants in, instants out; state is a mapping for the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.model.delivery import SECOND, Instant

_NANO = 1000
"""The bucket counts in nanoseconds, so that 3/s does not drift."""

CUT = 0.5
FLOOR = 0.01
"""The lowest rate is this share of the full one."""

RECOVERY_STEP = 0.05
RECOVERY_EVERY = 10 * SECOND
COOLDOWN = 5 * SECOND
"""Throttle answers of one moment belong together: the rate is cut once in this time."""

BURST_SECONDS = 0.1
"""An idle bucket lets so much of a second's rate go at once (at least one message). More would break a provider's own count
by the second: any second sees at most rate x (1 + this)."""

OBSERVE = 10 * SECOND


@dataclass(slots=True, kw_only=True)
class Bucket:
    """One rate limit. `rate`: messages a second, None = unlimited until a provider throttles."""

    rate: float | None
    burst_seconds: float = BURST_SECONDS
    turn: int = 0
    """Nanosecond of the next message's turn, were no burst allowed; in the past when idle."""
    paused_until: Instant = 0
    cut_at: Instant = 0
    cut_rate: float | None = None
    """The rate right after the last cut; None = at full rate."""
    ceiling: float | None = None
    """What an unlimited bucket recovers to before it is unlimited again."""
    seen_since: Instant = 0
    seen: int = 0
    seen_rate: float = 0.0

    def current_rate(self, now: Instant) -> float | None:
        """Messages a second allowed at `now`; None = unlimited."""
        if self.cut_rate is None:
            return self.rate
        full = self._full()
        rate = self.cut_rate + max(now - self.cut_at - COOLDOWN, 0) / RECOVERY_EVERY * RECOVERY_STEP * full
        if rate < full:
            return rate
        self.cut_rate = self.ceiling = None
        return self.rate

    def available(self, now: Instant) -> int | None:
        """How many messages may go right now; None = as many as you like."""
        if now < self.paused_until:
            return 0
        rate = self.current_rate(now)
        if rate is None:
            return None
        interval, slack = self._pace(rate)
        owed = max(self.turn - now * _NANO, 0)
        return (slack - owed) // interval + 1 if owed <= slack else 0

    def burst(self, now: Instant) -> int:
        """How many may go at once when it was idle before; 0 = as many as you like."""
        rate = self.current_rate(now)
        return 0 if rate is None else max(1, int(rate * self.burst_seconds))

    def peek(self, now: Instant) -> Instant:
        """The instant at which one more message may go, `now` when at once. Nothing is taken."""
        start = max(now, self.paused_until)
        rate = self.current_rate(now)
        if rate is None:
            return start
        _, slack = self._pace(rate)
        return max(start, -(-(self.turn - slack) // _NANO))

    def reserve(self, now: Instant) -> Instant:
        """`peek`, and the bucket moves on by 1/rate."""
        at = self.peek(now)
        self.take(now, 1)
        return at

    def take(self, now: Instant, n: int) -> None:
        """`reserve` for `n` messages that have gone."""
        if n <= 0:
            return
        self._observe(now, n)
        rate = self.current_rate(now)
        if rate is not None:
            self.turn = max(self.turn, max(now, self.paused_until) * _NANO) + n * self._pace(rate)[0]

    def give_back(self, now: Instant) -> None:
        """A reservation that was not used: nothing was sent."""
        rate = self.current_rate(now)
        if rate is not None:
            self.turn -= self._pace(rate)[0]

    def throttle(self, now: Instant, retry_after: int = 0) -> None:
        """The provider said: slower. `retry_after` in microseconds: nothing goes until then."""
        self.paused_until = max(self.paused_until, now + retry_after)
        if self.cut_rate is not None and now - self.cut_at < COOLDOWN:
            return
        rate = self.current_rate(now)
        if rate is None:
            rate = max(self._observed(now), 1.0)
            self.ceiling = 2 * rate
        self.cut_rate = max(rate * CUT, self._full() * FLOOR)
        self.cut_at = now
        self.turn = max(self.turn, now * _NANO)

    def rebase(self, now: Instant) -> None:
        """The clock was set back, and `now` is the true time: what was to happen later than now by the old one happens now."""
        self.turn, self.paused_until = min(self.turn, now * _NANO), min(self.paused_until, now)
        self.cut_at, self.seen_since = min(self.cut_at, now), min(self.seen_since, now)

    def idle(self, now: Instant) -> bool:
        """Is there nothing to remember: full rate, no pause, no backlog?"""
        return self.current_rate(now) == self.rate and self.paused_until <= now and self.turn <= now * _NANO

    def to_state(self) -> dict[str, Any]:
        """What the store keeps. The settings (rate, burst) come from the config again."""
        return {
            "turn": self.turn, "paused_until": self.paused_until, "cut_at": self.cut_at, "cut_rate": self.cut_rate, "ceiling": self.ceiling,
            "seen_rate": round(self.seen_rate, 3),
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None, *, rate: float | None, burst_seconds: float = BURST_SECONDS) -> Bucket:
        """A bucket as it was saved (None: new), under the rate that the config has now."""
        if not state:
            return cls(rate=rate, burst_seconds=burst_seconds)
        cut, ceiling = state["cut_rate"], state["ceiling"] if rate is None else None
        full = rate if rate is not None else ceiling
        if full is None or (cut is not None and cut >= full):
            cut = None
        return cls(
            rate=rate, burst_seconds=burst_seconds, turn=int(state["turn"]), paused_until=int(state["paused_until"]),
            cut_at=int(state["cut_at"]), cut_rate=cut, ceiling=ceiling, seen_rate=float(state["seen_rate"]),
        )  # fmt: skip

    def _full(self) -> float:
        full = self.rate if self.rate is not None else self.ceiling
        if full is None:
            raise AssertionError("an unlimited bucket has a ceiling while it is cut")
        return full

    def _pace(self, rate: float) -> tuple[int, int]:
        """(nanoseconds between two messages, how far ahead of its turn a message may go)."""
        interval = max(round(1_000_000_000 / rate), 1)
        return interval, (max(int(rate * self.burst_seconds), 1) - 1) * interval

    def _observe(self, now: Instant, n: int = 1) -> None:
        """Count what goes through, by stretches of ten seconds."""
        if now - self.seen_since >= OBSERVE:
            self.seen_rate = self._observed(now)
            self.seen_since, self.seen = now, 0
        self.seen += n

    def _observed(self, now: Instant) -> float:
        """Messages a second of late: this stretch if it is long enough to tell, else the one before."""
        elapsed = now - self.seen_since
        if not self.seen:
            return self.seen_rate
        if elapsed < SECOND:
            return max(self.seen_rate, float(self.seen))
        return self.seen * SECOND / elapsed
