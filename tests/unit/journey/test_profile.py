"""What each event does to a profile, by the pure rules alone."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.journey.events import Happening, content_id
from daemon.journey.profile import MOST, Shop, Standing, add_up, in_order, money, orders_of, score
from daemon.model.delivery import DAY

NOW = 1_780_000_000_000_000
SHOP = Shop("USD", {"EUR": 2.0})


def of(*told: tuple[str, int, dict[str, Any]]) -> Standing:
    """Events as (name, days ago, properties)."""
    return add_up([Happening(name, NOW - ago * DAY, number, said) for number, (name, ago, said) in enumerate(told)], SHOP)


def test_refunds_are_taken_off_and_never_below_nothing() -> None:
    """A part, all of it without a sum, more than it was, and one in a currency without a rate."""
    bought = ("Order Completed", 9, {"order_id": "o", "revenue": 50})
    for refund, left in (({"total": 20}, 30), ({}, 0), ({"total": 80}, 0), ({"total": 5, "currency": "XXX"}, 50), ({"total": 5, "currency": "EUR"}, 40)):
        found = of(bought, ("Order Refunded", 2, {"order_id": "o", **refund}))
        assert (found.orders, found.returns, found.value) == (1, 1, left * 1_000_000)
    assert of(("Order Refunded", 2, {"order_id": "o"})) == Standing()


def test_a_cancelled_order_was_none() -> None:
    """Whatever came first."""
    assert of(("Order Cancelled", 9, {"order_id": 7}), ("Order Completed", 8, {"order_id": "7", "revenue": 5})) == Standing()


def test_orders_with_coupon_or_discount_are_counted_apart() -> None:
    """And the last product is that of the last order that names one."""
    found = of(
        ("Order Completed", 9, {"coupon": "X", "products": [{"name": "shoes", "price": 5, "size": 9}]}),
        ("Order Completed", 7, {"discount": "3", "products": ["?"]}), ("Order Completed", 5, {"discount": 0, "coupon": ""}),
    )  # fmt: skip
    assert (found.orders, found.discount_orders, found.last_product) == (3, 2, '{"name":"shoes","price":5}')


def test_a_subscription_runs_until_it_is_cancelled_or_its_named_end() -> None:
    """Each by its own id; one without an end makes the whole endless."""
    begun = ("Subscription Started", 9, {"subscription_id": "a"})
    assert of(begun).subscription_active == 1
    assert of(begun, ("Subscription Cancelled", 9, {"subscription_id": "a"})).subscription_active == 0
    ending = of(begun, ("Subscription Cancelled", 8, {"subscription_id": "a", "ends_at": "2026-07-01"}))
    assert (ending.subscription_active, ending.subscription_ends_at) == (1, 1_782_864_000_000_000)
    other = ("Subscription Renewed", 8, {"subscription_id": "b", "ends_at": "2026-07-01T00:00:00+00:00"})
    assert of(begun, other).subscription_ends_at is None
    assert of(("Subscription Cancelled", 9, {"subscription_id": "a"}), other).subscription_ends_at == 1_782_864_000_000_000


def test_tickets_are_open_until_closed() -> None:
    """By their ids; opened and closed at one instant is closed."""
    opened = [("Support Ticket Opened", 9, {"ticket_id": n}) for n in (1, 2)]
    assert of(*opened).tickets_open == 2
    assert of(*opened, ("Support Ticket Closed", 9, {"ticket_id": "1"})).tickets_open == 1
    assert of(("Support Ticket Opened", 9, {}), ("Support Ticket Closed", 3, {}), ("Support Ticket Opened", 2, {})).tickets_open == 1


def test_answers_stand_as_last_given() -> None:
    """An answer that says nothing of a question leaves what was said; an impossible number is none."""
    found = of(("Survey Answered", 9, {"reason": "price", "nps": 3}), ("Survey Answered", 5, {"nps": 11}), ("Survey Answered", 7, {"lapse_reason": "moved"}))
    assert (found.lapse_reason, found.nps, found.last_survey_at) == ("moved", 3, NOW - 5 * DAY)


@pytest.mark.parametrize("sum", [None, True, "", "ten", -1, float("nan"), float("inf"), [1], MOST + 1, "1" * 400])
def test_what_is_no_sum_is_no_value(sum: Any) -> None:
    """It counts as an order all the same."""
    assert money({"revenue": sum}, SHOP) is None
    found = of(("Order Completed", 9, {"revenue": sum}))
    assert (found.orders, found.unvalued, found.value) == (1, 1, 0)


def test_orders_without_an_id_are_orders_of_their_own() -> None:
    """Each message one."""
    rows = in_order(Happening("Order Completed", NOW, number, {}) for number in (2, 1))
    assert [order.key for order in orders_of(rows)] == ["#1", "#2"]


def test_the_score_ages_at_the_first_that_falls_out() -> None:
    """Points of (now - 30 d, now]."""
    assert score([NOW - 30 * DAY, NOW], [NOW - DAY], [NOW + 1], NOW) == (5, NOW + 29 * DAY)
    assert score([], [], [], NOW) == (0, None)


def test_an_event_without_an_id_is_known_by_its_content() -> None:
    """Key order aside."""
    assert content_id("a", 1, {"x": 1, "y": 2}) == content_id("a", 1, {"y": 2, "x": 1}) != content_id("a", 2, {"x": 1, "y": 2})
