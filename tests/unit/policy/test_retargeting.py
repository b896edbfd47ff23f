"""Who may be in an audience, and what a day in one weighs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.delivery import DAY, HOUR, Reason
from daemon.policy.caps import UNIT, Cap, Touch, count, days_of, fits
from daemon.policy.retargeting import refuse

CLEAR: dict[str, Any] = {"erased": False, "addressed": True, "suppressed": (), "consents": {}, "topic": "winback", "rule": "implied"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"erased": True}, Reason.ERASED),
        ({"suppressed": [Reason.BOUNCED]}, Reason.BOUNCED),
        ({"addressed": False}, Reason.NO_ADDRESS),
        ({"consents": {("sms", "*"): "withdrawn"}}, Reason.NO_CONSENT),
        ({"consents": {("email", "winback"): "withdrawn"}}, Reason.TOPIC_OFF),
        ({"consents": {("email", "birthday"): "withdrawn"}}, None),
        ({"rule": "explicit"}, Reason.NO_CONSENT),
        ({"rule": "explicit", "consents": {("email", "*"): "granted"}}, Reason.NO_CONSENT),
        ({"rule": "explicit", "consents": {("audience", "*"): "granted"}}, None),
        ({"rule": "explicit", "consents": {("audience", "winback"): "granted"}}, None),
        ({"consents": {("audience", "*"): "pending"}, "rule": "double_opt_in"}, Reason.NO_CONSENT),
        ({"rule": "explicit", "consents": {("audience", "*"): "granted", ("email", "*"): "withdrawn"}}, Reason.NO_CONSENT),
    ],
)
def test_an_audience_is_stricter_than_a_message(changed: dict[str, Any], reason: Reason | None) -> None:
    """Whoever unsubscribed anywhere is not followed about with ads."""
    assert refuse(**{**CLEAR, **changed}) == reason


NOW = 1_780_000_000_000_000


def test_each_day_that_was_begun_counts_once_however_many_platforms() -> None:
    """Meta and Google hold the person: one day is one."""
    stays = [(NOW - 3 * DAY - HOUR, None, "winback"), (NOW - 3 * DAY - HOUR, None, "winback"), (NOW - 2 * DAY, NOW - DAY, "cart")]
    days = days_of(stays, NOW, NOW - 7 * DAY)
    assert [day.campaign for day in days].count("winback") == 4
    assert [day.campaign for day in days].count("cart") == 2
    assert all(day.channel == "audience" and day.at <= NOW for day in days)
    assert len(days_of(stays, NOW, NOW - DAY)) == 1 + 0  # only what a cap still looks at: the last day begun


def test_days_in_audiences_fill_a_cap_of_units_and_leave_touches_alone() -> None:
    """Budget 5 units in 7 days: after 20 begun days at 0.25 there is no room; a cap in touches does not see them."""
    units = Cap(name="pressure", limit=2 * UNIT, rolling=7 * DAY, weights={"email": UNIT, "audience": UNIT // 4})
    touches = Cap(name="weekly", limit=1, rolling=7 * DAY)
    named = Cap(name="ads", limit=3, rolling=7 * DAY, channels=frozenset({"audience"}))
    days = days_of([(NOW - 6 * DAY, None, "winback")], NOW, NOW - 7 * DAY)
    assert count(units, days, NOW, ("Asia/Jakarta",))[0] == 7 * UNIT // 4
    assert not fits(units, days, NOW, ("Asia/Jakarta",), "email")
    assert fits(units, days[4:], NOW, ("Asia/Jakarta",), "email")
    assert fits(touches, days, NOW, ("Asia/Jakarta",), "email")
    assert count(named, days, NOW, ("Asia/Jakarta",))[0] == 7
    assert (touches.covers("audience", None, "winback"), units.covers("audience", None, "winback")) == (False, True)


@given(st.lists(st.tuples(st.integers(0, 40 * 24), st.none() | st.integers(0, 40 * 24)), max_size=6))
def test_there_are_never_more_days_than_have_passed(hours: list[tuple[int, int | None]]) -> None:
    """Whatever stays there were: at most one a day and campaign, none in the future, none before the stay."""
    stays = [(NOW - since * HOUR, None if until is None else NOW - until * HOUR, "c") for since, until in hours if until is None or until <= since]
    days = days_of(stays, NOW, NOW - 30 * DAY)
    assert len(days) <= 31
    assert all(isinstance(day, Touch) and NOW - 30 * DAY < day.at <= NOW for day in days)
    assert len({day.at for day in days}) == len(days)
    if stays:
        assert all(day.at >= min(since for since, _, _ in stays) for day in days)
