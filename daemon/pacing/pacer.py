"""PACING, pacer: all rate limits and breakers of an installation, by name, and the turn of a message that needs several.

A message needs a turn in each of its buckets (`provider:relay`, `domain:relay/gmail.com`, `sender:..`, `campaign:..`). Only
the bucket that makes it wait is charged; the row comes back at that instant holding its turn there. Charging all of them
would let one slow domain's backlog use up the provider's rate. Pure, not thread-safe: one dispatch owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from daemon.model.delivery import Instant
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket

LARGEST = 10_000
"""Buckets kept; beyond that the longest unused idle ones go (domains are many)."""


class Turn(NamedTuple):
    """When a message may go; and if that is later, the bucket in which its turn is now reserved."""

    at: Instant
    bucket: str | None


class Pacer:
    """`rate_of(name)`: messages a second of a bucket, None = unlimited. `states`: what `states()` gave before a restart."""

    def __init__(self, rate_of: Callable[[str], float | None], states: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._rate_of = rate_of
        self._buckets: dict[str, Bucket] = {}
        self._breakers: dict[str, Breaker] = {}
        for name, state in (states or {}).items():
            kind, _, rest = name.partition(":")
            if kind == "breaker":
                self._breakers[rest] = Breaker.from_state(state)
            else:
                self._buckets[name] = Bucket.from_state(state, rate=rate_of(name))

    def bucket(self, name: str, now: Instant) -> Bucket:
        """A bucket, made at first use."""
        found = self._buckets.pop(name, None)
        if found is None:
            if len(self._buckets) >= LARGEST:
                self._forget(now)
            found = Bucket(rate=self._rate_of(name))
        self._buckets[name] = found  # last = latest used
        return found

    def breaker(self, provider: str) -> Breaker:
        """A provider's breaker, made at first use."""
        return self._breakers.setdefault(provider, Breaker())

    def turn(self, names: Iterable[str], now: Instant, held: Collection[str] = ()) -> Turn:
        """A message's turn: now, taken from all its buckets, or later, reserved in the one that makes it wait longest.

        `held`: buckets in which it already has its turn.
        """
        buckets = [(name, self.bucket(name, now)) for name in names if name not in held]
        later, slowest = now, None
        for name, bucket in buckets:
            at = bucket.peek(now)
            if at > later:
                later, slowest = at, name
        if slowest is not None:
            return Turn(self._buckets[slowest].reserve(now), slowest)
        for _, bucket in buckets:
            bucket.reserve(now)
        return Turn(now, None)

    def available(self, name: str, now: Instant, most: int) -> int:
        """How many messages a bucket lets go right now, at most `most`: what to ask of a claim."""
        free = self.bucket(name, now).available(now)
        return most if free is None else min(free, most)

    def retune(self, rate_of: Callable[[str], float | None]) -> None:
        """A new config: new rates, the same debts."""
        self._rate_of = rate_of
        self._buckets = {name: Bucket.from_state(bucket.to_state(), rate=rate_of(name)) for name, bucket in self._buckets.items()}

    def states(self, now: Instant) -> dict[str, dict[str, Any]]:
        """What the store keeps over a restart: what is throttled, paused, owed or open."""
        kept = {name: bucket.to_state() for name, bucket in self._buckets.items() if not bucket.idle(now)}
        return kept | {
            f"breaker:{name}": breaker.to_state() for name, breaker in self._breakers.items() if breaker.opened or breaker.errors
        }

    def _forget(self, now: Instant) -> None:
        """Drop idle buckets, the longest unused first, down to three quarters; then any: a wrong rate is better than no memory."""
        surplus = len(self._buckets) - LARGEST * 3 // 4
        idle = [name for name, bucket in self._buckets.items() if bucket.idle(now)][:surplus]
        for name in idle or list(self._buckets)[:surplus]:
            del self._buckets[name]
