"""What a line has claimed and not yet begun, in order, given out so that no destination takes all of the line's places.

A batch goes over one connection, one message after the other: a slow destination's message therefore goes alone, and what its
destination has no place for now is passed over, not waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.dispatch.work import Envelope
from daemon.pacing.destinations import Destinations


class Ready:
    """Envelopes by their `domain`, "" where there is none."""

    def __init__(self, destinations: Destinations, batch: int) -> None:
        self._destinations, self._batch = destinations, batch
        self._rows: list[Envelope] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            self._destinations.hold(envelope.domain)
            self._rows.append(envelope)

    def take(self, share: int, now: float, *, alone: bool) -> list[Envelope]:
        """The next batch, at most `share`; empty when none may go now.

        Evenly spaced over what is ready: what all senders have in hand at one time then lies together in the store, and a commit
        rewrites half as many of its pages.
        """
        rows, count = self._rows, min(share, self._batch, len(self._rows))
        if not count:
            return []
        stride = len(rows) // count
        picked = rows[: count * stride : stride]
        batch = self._begin(picked, now, count)
        if len(batch) == len(picked):
            del rows[: count * stride : stride]
            return batch
        batch = batch or self._begin(rows, now, count) or (self._take_alone(now) if alone else [])
        gone = set(map(id, batch))
        self._rows = [envelope for envelope in rows if id(envelope) not in gone]
        return batch

    def _begin(self, rows: Sequence[Envelope], now: float, most: int) -> list[Envelope]:
        """Those of them that may go now, begun: a slow destination's alone."""
        batch: list[Envelope] = []
        destinations = self._destinations
        for envelope in rows:
            domain = envelope.domain
            slow = destinations.is_slow(domain)
            if not destinations.may(domain, now) or (slow and batch):
                continue
            destinations.begin(domain)
            batch.append(envelope)
            if slow or len(batch) == most:
                break
        return batch

    def _take_alone(self, now: float) -> list[Envelope]:
        for envelope in self._rows:
            domain = envelope.domain
            if self._destinations.may(domain, now, alone=True):
                self._destinations.begin(domain)
                return [envelope]
        return []

    def shed(self, domain: str) -> Sequence[Envelope]:
        """Take out those of a slow destination for which it will have no place for long."""
        count = self._destinations.too_many(domain)
        mine = [envelope for envelope in self._rows if envelope.domain == domain] if count else []
        return self._out(mine[max(0, len(mine) - count) :])

    def clear(self) -> Sequence[Envelope]:
        """Take out all."""
        return self._out(list(self._rows))

    def _out(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        gone = set(map(id, envelopes))
        self._rows = [envelope for envelope in self._rows if id(envelope) not in gone]
        for envelope in envelopes:
            self._destinations.let_go(envelope.domain)
        return envelopes
