"""JOURNEY, timing: at which hour of the day a recipient reads, from what he himself opened and clicked.

In: the hours of the local clock at which he reacted to earlier messages; only reactions of people, never of machines. Out: one hour, or
nothing where too little is known: then the hours that suit everybody hold (policy.prefer). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.model.delivery import DAY, Instant

LEAST = 5
"""Reactions below which nobody is said to have an hour of his own."""
MEMORY = 180 * DAY
"""Older reactions do not count: habits change."""
OPEN, CLICK = 1.0, 2.0
"""What a reaction weighs: a click is surely a person's."""
_KERNEL = ((-1, 0.25), (0, 0.5), (1, 0.25))
"""Neighbouring hours speak for each other: 08:59 and 09:01 are one habit."""
_STRENGTH = 6.0
"""What everybody's habit weighs beside a person's own, in reactions."""
_PEAK = 2.0
"""The best hour must be so many times as likely as the average one; a day without a shape has no best hour."""
_FLAT = (1.0,) * 24


def recent(reactions: Iterable[tuple[Instant, float]], now: Instant) -> list[tuple[Instant, float]]:
    """Those that are not too old, of (instant, weight)."""
    return [(at, weight) for at, weight in reactions if now - MEMORY < at <= now]


def best_hour(reactions: Iterable[tuple[int, float]], *, everybody: Sequence[float] = _FLAT, least: int = LEAST) -> int | None:
    """The hour, 0-23, at which a message is best there, or None. `reactions`: (hour of the local clock, weight); `everybody`: how often
    all recipients react at each hour, in any unit. The smallest of several equals."""
    seen = [0.0] * 24
    count = 0
    for hour, weight in reactions:
        count += 1
        for step, share in _KERNEL:
            seen[(hour + step) % 24] += weight * share
    if count < least:
        return None
    total = sum(everybody) or 1.0
    scores = [own + _STRENGTH * common / total for own, common in zip(seen, everybody, strict=True)]
    best = max(range(24), key=lambda hour: (scores[hour], -hour))
    return best if scores[best] * 24 >= _PEAK * sum(scores) else None
