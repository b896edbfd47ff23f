"""What foretells churn: signs by hand, the fit against what is known, and a made-up shop whose next months are known."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pytest

from daemon.cli.churn import foresee
from daemon.journey.alive import Model
from daemon.journey.events import Happening
from daemon.journey.logistic import fit_logistic, probability, solve
from daemon.journey.quality import auc, deciles, largest_error
from daemon.journey.signs import NAMES, SAYS, signs_of
from daemon.model.delivery import DAY
from daemon.sandbox.shop import Shop

MODEL = Model(1.7, 40.0, 0.9, 3.7, 2)
THEN = 1_795_000_000_000_000


def order(days: float, n: int = 0, **said: object) -> Happening:
    return Happening("Order Completed", THEN - round(days * DAY), round(days * 100) + n, {"order_id": f"{days}", "revenue": 5, **said})


def signs(*happenings: Happening, reactions: tuple[float, ...] = (), visits: tuple[float, ...] = ()) -> dict[str, float]:
    found = signs_of(happenings, [THEN - round(d * DAY) for d in reactions], [THEN - round(d * DAY) for d in visits], MODEL, THEN)
    assert found is not None
    return dict(zip(NAMES, found, strict=True))


def test_signs_by_hand() -> None:
    """Each of one buyer; what came later than `then` is not known."""
    refund = Happening("Order Refunded", THEN - 5 * DAY, 7, {"order_id": "30"})
    ticket = Happening("Support Ticket Opened", THEN - 3 * DAY, 8, {"ticket_id": "t"})
    found = signs(order(90), order(70, coupon="X"), order(30), order(-5), refund, ticket, reactions=(1, 2, 40, -1), visits=(1, 31, 32, -2))
    assert found["orders"] == pytest.approx(math.log(3))
    assert found["lateness"] == pytest.approx(math.log1p(30 / 30))
    assert found["gap_growth"] == pytest.approx(math.log(41 / 31))
    assert found["discount_share"] == pytest.approx(1 / 3)
    assert found["return_share"] == pytest.approx(1 / 3)
    assert found["opens"] == pytest.approx(math.log1p(2))
    assert found["opens_trend"] == pytest.approx(1 / 4)
    assert found["visits"] == pytest.approx(math.log1p(1))
    assert found["visits_trend"] == pytest.approx(-1 / 4)
    assert found["tickets"] == 1
    assert set(SAYS) == set(NAMES)


def test_longer_silence_is_a_stronger_sign() -> None:
    assert signs(order(100), order(40))["silence"] > signs(order(80), order(20))["silence"]
    assert signs_of([order(-1)], [], [], MODEL, THEN) is None


def test_weights_are_found_again() -> None:
    """Of people who churn by just such weights; a sign that says nothing gets next to none, a constant one is none."""
    rng = random.Random(2)
    rows = [(rng.gauss(0, 1), rng.gauss(5, 2), rng.gauss(0, 1), 3.0) for _ in range(5000)]
    was = [rng.random() < 1 / (1 + math.exp(-(0.5 + 1.5 * a - 0.8 * (b - 5) / 2))) for a, b, _, _ in rows]
    model = fit_logistic(rows, was)
    assert model is not None
    assert model.weights[1] == pytest.approx(1.5, abs=0.15)
    assert model.weights[2] == pytest.approx(-0.8, abs=0.12)
    assert abs(model.weights[3]) < 0.1
    assert model.weights[4] == 0.0
    said = [probability(model, row) for row in rows]
    assert sum(said) / len(said) == pytest.approx(sum(was) / len(was), abs=1e-6), "as many as there were"
    assert largest_error(deciles(said, was)) < 0.05
    assert fit_logistic(rows, [True] * len(rows)) is None


def test_equations_are_solved() -> None:
    assert solve([[0.0, 2.0], [3.0, 1.0]], [4.0, 5.0]) == pytest.approx([1.0, 2.0])


@pytest.mark.slow
def test_who_stays_away_is_foretold() -> None:
    """A made-up shop, 90 days later: AUC at least 0.75, each tenth within 5 points, of people whom it was not fitted to."""
    size = 12_000
    world = Shop(5, size, datetime(2026, 11, 22, tzinfo=UTC))
    then = (world.until - 90 * 86_400) * 1_000_000
    rows, came = [], []
    for number in range(1, size + 1):
        customer = world.customer(number)
        orders = customer.orders[: customer.past]
        happened = [
            Happening("Order Completed", one.at * 1_000_000, n, {"order_id": str(n), "revenue": one.revenue, "discount": one.discount})
            for n, one in enumerate(orders)
        ]
        found = signs_of(happened, [], [], MODEL, then)
        if found is not None:
            rows.append(found)
            came.append(any(row.at > then for row in happened))
    forecast = foresee(NAMES, rows, came, 90)
    assert forecast is not None
    assert forecast["auc"] >= 0.75
    assert forecast["largest_error"] <= 0.05
    assert auc([0.5] * 4, [True, False] * 2) == 0.5
