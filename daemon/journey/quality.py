"""JOURNEY, quality: how good probabilities were, once it is known what happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Decile(NamedTuple):
    """A tenth of the people, by what was said of them: how likely on average, and how many of them it was true of."""

    said: float
    was: float
    people: int


def auc(said: Sequence[float], was: Sequence[bool]) -> float | None:
    """The probability that of two people, one of whom it was true of, that one was said to be the likelier; 0.5 = as good as a coin.
    None: it was true of all, or of nobody."""
    ranked = sorted(zip(said, was, strict=True), key=lambda item: item[0])
    true = sum(was)
    if not 0 < true < len(ranked):
        return None
    total, place = 0.0, 0
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        rank = (place + 1 + end) / 2  # those of one value share their places
        total += rank * sum(happened for _, happened in ranked[place:end])
        place = end
    return (total - true * (true + 1) / 2) / (true * (len(ranked) - true))


def deciles(said: Sequence[float], was: Sequence[bool]) -> list[Decile]:
    """The people in ten parts, the least likely first; fewer than ten people: one part each."""
    ranked = sorted(zip(said, was, strict=True), key=lambda item: item[0])
    parts = min(10, len(ranked))
    found: list[Decile] = []
    for part in range(parts):
        some = ranked[part * len(ranked) // parts : (part + 1) * len(ranked) // parts]
        found.append(Decile(sum(p for p, _ in some) / len(some), sum(happened for _, happened in some) / len(some), len(some)))
    return found


def largest_error(parts: Sequence[Decile]) -> float:
    """How far, at most, what was said lies from what was."""
    return max((abs(part.said - part.was) for part in parts), default=0.0)
