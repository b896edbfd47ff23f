"""Shares the free slots among the queues by weight, and inside a queue by priority (deficit round robin).

Pure but for the deficits it carries from claim to claim: a queue that could not use its share does not hoard it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from daemon.store.lanes import MAX_LANES, DueLane


class Fair:
    """`weights`: queue name -> weight (1 if absent)."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)
        self._deficit: dict[tuple[str, str], float] = {}

    def share(self, lanes: Sequence[DueLane], want: Mapping[str, int]) -> list[tuple[int, int]]:
        """(lane id, rows to take) for channels with room; `want` = free slots by channel.

        Each queue of a channel earns its weighted part of the slots; what it cannot spend as whole rows is carried over.
        The lanes of a queue go by priority (high first), then by who has waited longest. No queue takes another's lanes: each has
        its part of MAX_LANES; a queue for which none is left keeps what it earned and comes first the next time.
        """
        picks: list[tuple[int, int]] = []
        by_channel: dict[str, dict[str, list[DueLane]]] = defaultdict(lambda: defaultdict(list))
        for lane in lanes:
            if want.get(lane.channel, 0) > 0:
                by_channel[lane.channel][lane.queue].append(lane)
        for channel, queues in sorted(by_channel.items()):
            picks += self._share_channel(channel, queues, want[channel], max(1, MAX_LANES // len(by_channel)))
        return picks

    def _share_channel(self, channel: str, queues: Mapping[str, list[DueLane]], slots: int, probes: int) -> list[tuple[int, int]]:
        total = sum(self.weights.get(queue, 1.0) for queue in queues)
        for key in [key for key in self._deficit if key[0] == channel and key[1] not in queues]:
            del self._deficit[key]
        earned = {q: self._deficit.get((channel, q), 0.0) + slots * self.weights.get(q, 1.0) / total for q in queues}
        order = sorted(queues, key=lambda queue: (-earned[queue], queue))
        for queue in order[probes:]:
            self._deficit[channel, queue] = min(earned[queue], slots)
        del order[probes:]
        rows = dict.fromkeys(order, 0)
        left = slots
        for queue in order:
            rows[queue] = min(left, max(0, int(earned[queue] + 1e-9)))
            left -= rows[queue]
        for queue in sorted(order, key=lambda queue: rows[queue] - earned[queue])[:left]:
            rows[queue] += 1  # whole rows only: who is owed the largest rest gets one in advance
        for queue in order:
            self._deficit[channel, queue] = min(max(earned[queue] - rows[queue], -1.0), 1.0)
        most = probes // max(1, sum(1 for queue in order if rows[queue]))
        return [pick for queue in order for pick in self._split(queues[queue], rows[queue], most)]

    @staticmethod
    def _split(lanes: list[DueLane], rows: int, most: int) -> list[tuple[int, int]]:
        """All rows to at most `most` lanes of the highest priority, evenly; a lane that has fewer leaves the rest to the next claim."""
        if rows <= 0:
            return []
        best = max(lane.priority for lane in lanes)
        first = sorted((lane for lane in lanes if lane.priority == best), key=lambda lane: (lane.head, lane.id))[:most]
        each, more = divmod(rows, len(first))
        return [(lane.id, n) for i, lane in enumerate(first) if (n := each + (1 if i < more else 0))]
