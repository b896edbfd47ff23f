"""Who still is a customer: the model against a made-up shop whose truth is known, against parameters that it must find again, and by hand."""

from __future__ import annotations

import functools
import math
import random
from datetime import UTC, datetime

import pytest

from daemon.cli.churn import learn
from daemon.errors import HomingError
from daemon.journey.alive import History, Model, fit, history_of, log_likelihood, minimise, p_alive, p_order, regularity
from daemon.journey.quality import auc, deciles, largest_error
from daemon.sandbox.shop import Shop

MODEL = Model(1.7, 60.0, 0.8, 3.0, 1)


@functools.cache
def shop(seed: int = 11, size: int = 12_000) -> tuple[list[list[float]], list[bool], float]:
    """(order times in days, alive, now) of a sample world."""
    world = Shop(seed, size, datetime(2026, 11, 22, tzinfo=UTC))
    customers = [world.customer(number) for number in range(1, size + 1)]
    orders = [[order.at / 86_400 for order in one.orders[: one.past]] for one in customers]
    return orders, [one.alive for one in customers], world.until / 86_400


@pytest.mark.slow
def test_churn_of_a_made_up_shop_is_found() -> None:
    """AUC at least 0.75, and what is said of each tenth is within 5 points of the truth; people whom it was not fitted to."""
    orders, alive, now = shop()
    learned, tried = orders[:6000], orders[6000:]
    model = fit([found for times in learned if (found := history_of(times, now))], regularity(learned))
    assert model is not None
    said = [p_alive(model, found) for times in tried if (found := history_of(times, now))]
    found = auc(said, alive[6000:])
    assert found is not None
    assert found >= 0.85
    assert largest_error(deciles(said, alive[6000:])) <= 0.05


@pytest.mark.slow
def test_the_forecast_is_tried_on_the_days_that_it_does_not_know() -> None:
    """What the command prints: who ordered in the last 90 days."""
    orders, _, now = shop()
    found = learn(orders[:6000], now, 90)
    assert found["auc"] >= 0.75
    assert found["largest_error"] <= 0.07
    assert sum(part["people"] for part in found["deciles"]) > 5000


def test_too_few_people_teach_nothing() -> None:
    with pytest.raises(HomingError, match="too little to learn from: 20 people"):
        learn([[1.0, 30.0]] * 20, 100.0, 30)
    assert fit([History(0, 0.0, 50.0)] * 1000) is None


@pytest.mark.slow
def test_parameters_are_found_again() -> None:
    """Of a world that is just as the model says."""
    rng = random.Random(3)
    histories = []
    for _ in range(6000):
        rate, leaves = rng.gammavariate(MODEL.r, 1 / MODEL.alpha), rng.betavariate(MODEL.a, MODEL.b)
        age, at, repeats, last = rng.uniform(200, 1000), 0.0, 0, 0.0
        while rng.random() >= leaves and (at := at + rng.expovariate(rate)) <= age:
            repeats, last = repeats + 1, at
        histories.append(History(repeats, last, age))
    found = fit(histories)
    assert found is not None
    assert found.r / found.alpha == pytest.approx(MODEL.r / MODEL.alpha, rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(MODEL.a / (MODEL.a + MODEL.b), rel=0.15)
    assert log_likelihood(found, histories) >= log_likelihood(MODEL, histories) - 1


def test_mbg_nbd_by_its_published_formula() -> None:
    """k = 1: 1 / (1 + a / (b + x) ((alpha + T) / (alpha + t))^(r + x))."""
    for x, t, age in ((0, 0.0, 300.0), (1, 20.0, 40.0), (7, 200.0, 600.0)):
        ratio = MODEL.a / (MODEL.b + x) * ((MODEL.alpha + age) / (MODEL.alpha + t)) ** (MODEL.r + x)
        assert p_alive(MODEL, History(x, t, age)) == pytest.approx(1 / (1 + ratio))


def test_regular_gaps_by_numerical_integration() -> None:
    """k = 3, over rate and coin by a sum over a grid: the closed form is right."""
    model, history = Model(2.0, 20.0, 1.5, 3.0, 3), History(2, 50.0, 80.0)
    dead = stays = 0.0
    for i in range(1, 4000):
        rate = i / 4000
        weight = rate ** (model.r - 1) * math.exp(-model.alpha * rate) * rate ** (model.k * history.repeats)
        silent = rate * (history.age - history.recency)
        stays += weight * math.exp(-rate * history.recency) * math.exp(-silent) * (1 + silent + silent**2 / 2)
        dead += weight * math.exp(-rate * history.recency)
    coin = model.a / (model.b + history.repeats)
    assert p_alive(model, history) == pytest.approx(stays / (stays + dead * coin), rel=1e-4)


def test_longer_silence_is_less_alive_and_longer_horizons_bring_more() -> None:
    model = MODEL._replace(k=2)
    scores = [p_alive(model, History(4, 100.0, 100.0 + silence)) for silence in (0, 10, 50, 200, 1000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.8
    assert scores[-1] < 0.05
    orders = [p_order(model, History(4, 100.0, 120.0), days) for days in (0, 10, 50, 500)]
    assert orders == sorted(orders)
    assert orders[0] == 0.0
    assert orders[-1] <= p_alive(model, History(4, 100.0, 120.0))


def test_regularity_of_clockwork_and_of_chance() -> None:
    rng = random.Random(1)
    for k in (1, 2, 4):
        times = [[0.0, (first := rng.gammavariate(k, 10)), first + rng.gammavariate(k, 10)] for _ in range(4000)]
        assert regularity(times) == k
    assert regularity([[0.0, 10.0, 20.0]] * 60) == 6
    assert regularity([[0.0, 10.0]] * 60) == 1


def test_the_simplex_finds_the_lowest_point() -> None:
    """Of Rosenbrock's valley."""
    found = minimise(lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, [-1.2, 1.0], near=1e-12)
    assert found == pytest.approx([1.0, 1.0], abs=1e-3)


def test_quality_by_hand() -> None:
    """Pairs counted by hand; equal scores are half a pair."""
    said, was = [0.1, 0.4, 0.4, 0.8], [False, True, False, True]
    assert auc(said, was) == (1 + 1 + 1 + 0.5) / 4
    assert auc(said, [True] * 4) is None
    parts = deciles([0.0, 1.0] * 50, [False, True] * 50)
    assert len(parts) == 10
    assert largest_error(parts) == 0.0
    assert largest_error(deciles([0.3] * 10, [True] + [False] * 9)) == pytest.approx(0.7)
    assert largest_error([]) == 0.0
