"""Warm-up: the ceiling of each day, and that it is kept exactly."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.app.portions import days_of
from daemon.clock import to_instant
from daemon.model.delivery import HOUR, MINUTE
from daemon.pacing.warmup import ALL, Curve, Ration

START = date(2026, 12, 1).toordinal()
CURVE = Curve(start=START, first_day=200, growth=1.5, until=1000)
NOON = to_instant(datetime(2026, 12, 1, 5, tzinfo=UTC))
"""Of the first day in Jakarta."""


def ration(curves: dict[str, Curve] | None = None, state: object = None) -> Ration:
    return Ration(curves or {ALL: CURVE}, days_of("Asia/Jakarta"), state)  # type: ignore[arg-type]


def test_each_day_is_the_one_before_times_the_growth() -> None:
    """Nothing before the start; the day that would reach the end has no ceiling, nor has any after it, however far."""
    days = [CURVE.ceiling(START + n) for n in (-1, 0, 1, 2, 3, 4, 5, 10_000_000)]
    assert days == [0, 200, 300, 450, 675, None, None, None]
    assert Curve(start=START, first_day=10, growth=1.0, until=20).ceiling(START + 10_000_000) == 10


@given(st.integers(1, 10**6), st.floats(1, 10), st.integers(1, 10**7), st.integers(0, 10**6))
def test_ceilings_never_fall(first: int, growth: float, until: int, day: int) -> None:
    """And are never above the end."""
    curve = Curve(start=START, first_day=first, growth=growth, until=until)
    today, tomorrow = curve.ceiling(START + day), curve.ceiling(START + day + 1)
    assert today is None or 0 <= today < until
    assert tomorrow is None if today is None else tomorrow is None or tomorrow >= today


def test_the_ceiling_counts_what_is_claimed_and_gives_back_what_comes_to_nothing() -> None:
    """150 sent, 40 claimed, 10 taken by this claim: the next has no room; one that is let go makes room for one."""
    mine = ration()
    for _ in range(190):
        mine.hold("x.example")
    for _ in range(150):
        mine.send("x.example", NOON)
    full = mine.full("x.example", NOON, {ALL: 10})
    assert full is not None
    assert (full.name, full.ceiling, full.sent, full.day) == (ALL, 200, 150, 1)
    assert full.until == to_instant(datetime(2026, 12, 1, 17, tzinfo=UTC))  # midnight in Jakarta
    mine.let_go("x.example")
    assert mine.full("x.example", NOON, {ALL: 10}) is None


def test_a_new_day_has_its_own_ceiling_and_a_clock_set_back_has_not() -> None:
    """At midnight of the config's zone."""
    mine = ration()
    for _ in range(200):
        mine.hold("")
        mine.send("", NOON)
    midnight = NOON + 12 * HOUR
    assert mine.full("", midnight - 1, {}) is not None
    assert mine.full("", midnight, {}) is None
    for _ in range(300):
        mine.hold("")
        mine.send("", midnight)
    assert mine.full("", midnight + HOUR, {}) is not None
    assert mine.full("", midnight - MINUTE, {}) is not None


def test_groups_have_ceilings_beside_the_providers() -> None:
    """A group that is full does not stop the others; a provider that is full stops all."""
    mine = ration({ALL: CURVE, "*.google.com": Curve(start=START, first_day=2, growth=2, until=100)})
    for _ in range(2):
        mine.hold("*.google.com")
        mine.send("*.google.com", NOON)
    full = mine.full("*.google.com", NOON, {})
    assert full is not None
    assert (full.name, full.ceiling) == ("*.google.com", 2)
    assert mine.full("other.example", NOON, {}) is None
    assert mine.full("other.example", NOON, {ALL: 198}) is not None


def test_what_goes_to_no_domain_counts_once() -> None:
    """A text message has none: it comes under the provider's ceiling, and not under it again as its own group."""
    mine = ration()
    for _ in range(199):
        mine.hold("")
        mine.send("", NOON)
    assert mine.full("", NOON, {}) is None
    mine.hold("")
    assert mine.full("", NOON, {}) is not None


def test_counts_are_kept_over_a_restart() -> None:
    """Of the same day; those of a day before are nothing to the next."""
    mine = ration()
    for _ in range(200):
        mine.hold("")
        mine.send("", NOON)
    kept = json.loads(json.dumps(mine.to_state()))
    assert ration(state=kept).full("", NOON + HOUR, {}) is not None
    assert ration(state=kept).full("", NOON + 24 * HOUR, {}) is None


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/Sao_Paulo", "Pacific/Apia", "Asia/Tehran", "Europe/Berlin"])
def test_days_follow_each_other_in_every_zone(zone: str) -> None:
    """Each instant lies in one day, and a day ends where the next begins, over every change of the clock."""
    day_of = days_of(zone)
    now = to_instant(datetime(2011, 12, 1, tzinfo=UTC))
    while now < to_instant(datetime(2013, 1, 1, tzinfo=UTC)):
        number, begins, ends = day_of(now)
        assert begins <= now < ends
        assert day_of(ends - 1)[0] == number
        assert day_of(ends)[0] > number
        now = ends
