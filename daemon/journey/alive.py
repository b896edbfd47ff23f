"""JOURNEY, alive: how likely a customer still is one, from when the orders came: the model MBG/CNBD-k, by maximum likelihood.

While a customer, somebody orders after gaps of an Erlang-k of the own rate; after each order, the first too, one leaves for good with the
own probability; rates differ among people by a gamma (r, alpha), probabilities by a beta (a, b). k = 1 is MBG/NBD: Batislam, Denizel,
Filiztekin 2007, "Empirical validation and comparison of models for customer base analysis"; k > 1: Platzer, Reutterer 2016, "Ticking away
the moments". Times are in days.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

MOST_REGULAR = 6
LEAST_PEOPLE = 50
"""Of fewer, or of fewer who ever came back, nothing can be learned."""
_BOUND = 7.0
"""Logarithms of the parameters stay within it."""


class History(NamedTuple):
    """`repeats`: orders after the first one; `recency`: from the first to the last; `age`: from the first until now."""

    repeats: int
    recency: float
    age: float


class Model(NamedTuple):
    r: float
    alpha: float
    a: float
    b: float
    k: int = 1


def history_of(orders: Sequence[float], until: float) -> History | None:
    """Of order times (days) up to `until`. None: there are none."""
    known = sorted(at for at in orders if at <= until)
    return History(len(known) - 1, known[-1] - known[0], until - known[0]) if known else None


def p_alive(model: Model, history: History) -> float:
    """Probability that there will be another order, 0 to 1."""
    dead, stays = _terms(model, history)
    return 1.0 / (1.0 + math.exp(min(dead - stays, 700.0)))


def p_order(model: Model, history: History, days: float) -> float:
    """Probability of an order within so many days from now."""
    _, stays = _terms(model, history)
    _, longer = _terms(model, history._replace(age=history.age + days))
    return p_alive(model, history) * (1.0 - math.exp(min(longer - stays, 0.0)))


def _terms(model: Model, history: History) -> tuple[float, float]:
    """Logarithms of the two ways to such a silence, but for what both have: left at the last order; stayed, and not ordered since."""
    r, alpha, a, b, k = model
    repeats, recency, age = history
    shape = r + k * repeats
    dead = math.log(a / (b + repeats)) - shape * math.log(alpha + recency)
    total, term = 1.0, 1.0
    ratio = (age - recency) / (alpha + age)
    for j in range(1, k):
        term *= ratio * (shape + j - 1) / j
        total += term
    return dead, math.log(total) - shape * math.log(alpha + age)


def log_likelihood(model: Model, histories: Iterable[History]) -> float:
    """But for what does not depend on the parameters."""
    r, alpha, a, b, k = model
    begins = r * math.log(alpha) - math.lgamma(r)
    prior = math.lgamma(a + b) - math.lgamma(b)
    seen: dict[int, float] = {}
    found = 0.0
    for history in histories:
        repeats = history.repeats
        fixed = seen.get(repeats)
        if fixed is None:
            coins = math.lgamma(b + repeats + 1) - math.lgamma(a + b + repeats + 1)
            fixed = seen[repeats] = begins + math.lgamma(r + k * repeats) + prior + coins
        dead, stays = _terms(model, history)
        found += fixed + (max(dead, stays) + math.log1p(math.exp(-abs(dead - stays))))
    return found


def fit(histories: Sequence[History], k: int = 1) -> Model | None:
    """The parameters under which these histories are likeliest; None: too few people, or too few who came back."""
    if len(histories) < LEAST_PEOPLE or sum(history.repeats > 0 for history in histories) < LEAST_PEOPLE:
        return None
    gaps = [history.recency / history.repeats for history in histories if history.repeats]
    typical = max(sorted(gaps)[len(gaps) // 2], 0.1)

    def unlikely(point: Sequence[float]) -> float:
        return -log_likelihood(_model(point, k), histories)

    start = [0.0, math.log(typical), math.log(0.5), math.log(2.0)]
    return _model(minimise(unlikely, start), k)


def _model(point: Sequence[float], k: int) -> Model:
    r, alpha, a, b = (math.exp(min(max(value, -_BOUND), _BOUND)) for value in point)
    return Model(r, alpha, a, b, k)


def regularity(orders: Iterable[Sequence[float]]) -> int:
    """k of people's gaps, by their first two of each (Wheat, Morrison 1990): 1 = as random as can be, more = like clockwork."""
    shares = [
        first / (first + second) for times in orders if len(times) >= 3
        for first, second in ((times[1] - times[0], times[2] - times[1]),) if first > 0 and second > 0
    ]  # fmt: skip
    if len(shares) < LEAST_PEOPLE:
        return 1
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / (len(shares) - 1)
    return min(max(round((1 - 4 * variance) / (8 * variance)), 1), MOST_REGULAR) if variance > 0 else MOST_REGULAR


def minimise(function: Callable[[Sequence[float]], float], start: Sequence[float], *, rounds: int = 400, near: float = 1e-3) -> list[float]:
    """Nelder and Mead's simplex, for a handful of dimensions. Ends when the values of all corners are as near, or after so many rounds."""
    size = len(start)
    corners = [list(start)] + [[value + (0.7 if place == n else 0.0) for place, value in enumerate(start)] for n in range(size)]
    valued = sorted((function(corner), corner) for corner in corners)
    for _ in range(rounds):
        if valued[-1][0] - valued[0][0] < near:
            break
        worst_value, worst = valued[-1]
        centre = [sum(corner[place] for _, corner in valued[:-1]) / size for place in range(size)]

        def at(step: float, centre: list[float] = centre, worst: list[float] = worst) -> tuple[float, list[float]]:
            point = [middle + step * (middle - far) for middle, far in zip(centre, worst, strict=True)]
            return function(point), point

        new = at(1.0)
        if new[0] < valued[0][0]:
            new = min(new, at(2.0))
        elif new[0] >= valued[-2][0]:
            new = at(0.5) if new[0] < worst_value else at(-0.5)
        if new[0] < worst_value:
            valued[-1] = new
        else:
            best = valued[0][1]
            shrunk = [[low + 0.5 * (value - low) for low, value in zip(best, corner, strict=True)] for _, corner in valued[1:]]
            valued = [valued[0], *((function(corner), corner) for corner in shrunk)]
        valued.sort()
    return valued[0][1]
