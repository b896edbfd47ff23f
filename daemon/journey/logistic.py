"""JOURNEY, logistic: the probability of something from signs of it, a weight for each; fitted by Newton's steps, with a ridge. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

RIDGE = 1.0
"""As if each weight had been seen to be 0 once: signs that say nothing, or two that say the same, stay small."""
STEPS = 25


class Logistic(NamedTuple):
    """`weights` of the signs as they stand around `means` in units of `spreads`; the first weight is of none: how likely it is at all."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]


def probability(model: Logistic, signs: Sequence[float]) -> float:
    """0 to 1."""
    level = model.weights[0]
    for sign, mean, spread, weight in zip(signs, model.means, model.spreads, model.weights[1:], strict=True):
        level += weight * (sign - mean) / spread
    return 1.0 / (1.0 + math.exp(-min(max(level, -500.0), 500.0)))


def fit_logistic(rows: Sequence[Sequence[float]], was: Sequence[bool]) -> Logistic | None:
    """The weights under which what happened is likeliest; None: it happened to all, or to nobody."""
    if not 0 < sum(was) < len(was):
        return None
    width, count = len(rows[0]), len(rows)
    means = [sum(row[place] for row in rows) / count for place in range(width)]
    spreads = [math.sqrt(sum((row[place] - means[place]) ** 2 for row in rows) / count) or 1.0 for place in range(width)]
    known = [[1.0, *((value - mean) / spread for value, mean, spread in zip(row, means, spreads, strict=True))] for row in rows]
    weights = [0.0] * (width + 1)
    for _ in range(STEPS):
        step = _step(known, was, weights)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-6:
            break
    return Logistic(tuple(means), tuple(spreads), tuple(weights))


def _step(rows: Sequence[Sequence[float]], was: Sequence[bool], weights: Sequence[float]) -> list[float]:
    """Newton's next step."""
    size = len(weights)
    slope = [-RIDGE * weight if place else 0.0 for place, weight in enumerate(weights)]
    curve = [[RIDGE if place == other and place else 0.0 for other in range(size)] for place in range(size)]
    for row, happened in zip(rows, was, strict=True):
        level = sum(weight * value for weight, value in zip(weights, row, strict=True))
        likely = 1.0 / (1.0 + math.exp(-min(max(level, -30.0), 30.0)))
        miss, sway = happened - likely, likely * (1.0 - likely)
        for place, value in enumerate(row):
            slope[place] += miss * value
            pull, line = sway * value, curve[place]
            for other in range(place + 1):
                line[other] += pull * row[other]
    for place in range(size):
        for other in range(place):
            curve[other][place] = curve[place][other]
    return solve(curve, slope)


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """x of matrix · x = right, by elimination with the largest pivot; what cannot be told apart is 0."""
    size = len(right)
    lines = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for place in range(size):
        best = max(range(place, size), key=lambda line: abs(lines[line][place]))
        lines[place], lines[best] = lines[best], lines[place]
        pivot = lines[place][place]
        if abs(pivot) < 1e-12:
            continue
        for line in range(size):
            if line != place and (factor := lines[line][place] / pivot):
                lines[line] = [value - factor * above for value, above in zip(lines[line], lines[place], strict=True)]
    return [lines[place][size] / lines[place][place] if abs(lines[place][place]) >= 1e-12 else 0.0 for place in range(size)]
