"""PACING, limits by destination: the rate of a domain, or of all domains that the same mail hosts serve, over one provider.

A limit is named by a domain (`gmail.com`), by a pattern of mail hosts (`*.google.com`: every domain whose MX lies below it) or `*`,
each other domain together. A destination that says "slower" (421, 450 4.7.x, 429) gets a limit of its own at half of what it was sent,
which climbs back and is then forgotten. Which hosts serve a domain is looked up beside: until it is known a domain stands for itself.
Pure: instants and answers come in. A claim, in the writer's thread, reads and reserves; the loop's thread learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from daemon.model.delivery import SECOND, Instant
from daemon.pacing.bucket import Bucket

OTHERS = "*"
REMEMBERED = 20_000
"""Domains whose mail hosts are kept."""
WANTED = 2000
"""Domains that wait for a look-up; what comes beyond asks again with its next message."""
CUT = 500
"""Destinations that are slowed by their own answers at one time."""
STRETCH = 10 * SECOND


def is_pattern(name: str) -> bool:
    return name.startswith("*.")


class Groups:
    """Domain -> the pattern that its mail hosts fall under. Without patterns nothing is ever looked up."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.patterns: Sequence[str] = sorted(filter(is_pattern, names), key=len, reverse=True)
        self._known: dict[str, tuple[str | None, Instant]] = {}
        self._wanted: dict[str, None] = {}

    def of(self, domain: str, now: Instant) -> str | None:
        """The pattern; None: no one, or not known yet. What is known too long still holds until it is known better."""
        if not self.patterns:
            return None
        known = self._known.get(domain)
        if (known is None or known[1] <= now) and len(self._wanted) < WANTED:
            self._wanted[domain] = None
        return known[0] if known is not None else None

    def wanted(self, most: int) -> list[str]:
        """Domains that are to be looked up now; each is given out once."""
        found = list(self._wanted)[:most]
        for domain in found:
            self._wanted.pop(domain, None)
        return found

    def learn(self, domain: str, hosts: Sequence[str], until: Instant) -> None:
        """These hosts take mail for it, until then at least. None: it stands for itself."""
        if len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        names = [host.lower().rstrip(".") for host in hosts]
        pattern = next((p for p in self.patterns if any(name.endswith(p[1:]) or name == p[2:] for name in names)), None)
        self._known.pop(domain, None)
        self._known[domain] = pattern, until


class Turn(NamedTuple):
    """A message's place at its destination's limit. `name`: whose; `per_second`: the rate now."""

    name: str
    at: Instant
    per_second: float | None


class Limits:
    """The limits of one provider. `buckets`: by name, those of the config; `slowed`: those that answers have made."""

    def __init__(self, buckets: Mapping[str, Bucket] | None = None, more: Iterable[str] = ()) -> None:
        """`more`: names that something else is counted by."""
        self.buckets = dict(buckets or {})
        self.slowed: dict[str, Bucket] = {}
        self._named = frozenset(name.lower() for name in (*self.buckets, *more))
        self.groups = Groups(self._named)
        self._others = self.buckets.get(OTHERS)
        self._since: Instant = 0
        self._counts: dict[str, int] = {}
        self._before: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Is there anything to be asked for?"""
        return bool(self.buckets or self.slowed)

    def name_of(self, domain: str, now: Instant) -> str:
        """What the domain counts as: itself where it is named, its group, or itself."""
        return domain if domain in self._named else self.groups.of(domain, now) or domain

    def _over(self, name: str) -> list[Bucket]:
        mine = self.buckets.get(name) or self._others
        slowed = self.slowed.get(name)
        return [bucket for bucket in (mine, slowed) if bucket is not None]

    def turn(self, domain: str, now: Instant, *, taken: bool) -> Turn | None:
        """The message's turn; the limit moves on. `taken`: it had one before, and it has come. None: there is no limit."""
        name = self.name_of(domain, now)
        over = self._over(name)
        if not over:
            return None
        at = now if taken else max(bucket.reserve(now) for bucket in over)
        rates = [rate for bucket in over if (rate := bucket.current_rate(now)) is not None]
        return Turn(name, at, min(rates, default=None))

    def sent(self, domain: str, now: Instant) -> None:
        """A message goes there: from this it is known how much "half" is."""
        if now - self._since >= STRETCH:
            seconds = (now - self._since) / SECOND
            self._before = {name: n / seconds for name, n in self._counts.items()} if now - self._since < 2 * STRETCH else {}
            self._since, self._counts = now, {}
        name = self.name_of(domain, now)
        if name in self._counts or len(self._counts) < REMEMBERED:
            self._counts[name] = self._counts.get(name, 0) + 1

    def throttle(self, domain: str, now: Instant, retry_after: int) -> None:
        """The destination said: slower."""
        name = self.name_of(domain, now)
        bucket = self.buckets.get(name) or self.slowed.get(name)
        if bucket is None:
            if len(self.slowed) >= CUT:
                self.forget(now)
            if len(self.slowed) >= CUT:
                return
            bucket = self.slowed[name] = Bucket(rate=None, seen_rate=self._rate(name, now))
        bucket.throttle(now, retry_after)

    def forget(self, now: Instant) -> None:
        """Destinations that are well again have no limit of their own any more."""
        for name in [name for name, bucket in self.slowed.items() if bucket.idle(now)]:
            del self.slowed[name]

    def _rate(self, name: str, now: Instant) -> float:
        """Messages a second of late."""
        seconds = max((now - self._since) / SECOND, 1.0)
        return max(self._counts.get(name, 0) / seconds, self._before.get(name, 0.0))

    def rebase(self, now: Instant) -> None:
        """The clock was set back: see `Bucket.rebase`."""
        self._since = min(self._since, now)
        for bucket in (*self.buckets.values(), *self.slowed.values()):
            bucket.rebase(now)

    def to_state(self, now: Instant) -> dict[str, Any]:
        """`slowed`, for the store."""
        self.forget(now)
        return {name: bucket.to_state() for name, bucket in self.slowed.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """What `to_state` gave before a restart."""
        self.slowed = {name: Bucket.from_state(each, rate=None) for name, each in state.items()}
