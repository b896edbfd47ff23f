"""Token buckets: the rate holds over every stretch, each row is moved once, and throttle answers lower and free the rate."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.delivery import MINUTE, SECOND
from daemon.pacing.bucket import COOLDOWN, FLOOR, Bucket

START = 1_795_359_840 * SECOND


def most_in(instants: list[int], span: int) -> int:
    """The largest number of sends in any stretch of this length."""
    most, first = 0, 0
    for last, at in enumerate(instants):
        while instants[first] <= at - span:
            first += 1
        most = max(most, last - first + 1)
    return most


@settings(deadline=None)
@given(rate=st.floats(0.1, 5000), gaps=st.lists(st.integers(0, 3 * SECOND), min_size=5, max_size=200))
def test_rate_holds_over_every_stretch(rate: float, gaps: list[int]) -> None:
    """Asked at random, the turns never come closer than rate x time + burst; nobody is sent into the past."""
    bucket, now, turns = Bucket(rate=rate), START, []
    for gap in gaps:
        now += gap
        at = bucket.reserve(now)
        assert at >= now
        turns.append(at)
    burst = max(int(rate * 0.1), 1)
    for span in (SECOND, 10 * SECOND):
        assert most_in(sorted(turns), span) <= rate * span / SECOND + burst + 1


@pytest.mark.parametrize("rate", [0.2, 1, 3, 100, 997])
def test_backlog_is_served_at_exactly_the_rate(rate: float) -> None:
    """A thousand rows asked at once: turns 1/rate apart, without drift."""
    bucket = Bucket(rate=rate)
    turns = [bucket.reserve(START) for _ in range(1000)]
    assert turns == sorted(turns)
    burst = max(int(rate * 0.1), 1)
    assert abs(turns[-1] - START - (1000 - burst) * SECOND / rate) <= max(2, 1000 / rate)


def test_available_is_what_reserve_gives_at_once() -> None:
    """The number asked of a claim: so many go now, the next one waits."""
    bucket = Bucket(rate=100)
    assert bucket.available(START) == 10
    assert [bucket.reserve(START) for _ in range(10)] == [START] * 10
    assert bucket.available(START) == 0
    assert bucket.peek(START) == bucket.reserve(START) == START + SECOND // 100
    assert bucket.available(START + SECOND) == 10


@pytest.mark.parametrize("rate", [None, 3.0, 700.0])
def test_many_are_taken_as_one_after_the_other(rate: float | None) -> None:
    """For what has gone all at once."""
    once, by_and_by = Bucket(rate=rate), Bucket(rate=rate)
    for now, n in ((5 * SECOND, 7), (6 * SECOND, 0), (MINUTE, 400)):
        once.take(now, n)
        for _ in range(n):
            by_and_by.reserve(now)
    assert once == by_and_by


def test_burst_is_what_an_idle_bucket_lets_go_at_once() -> None:
    """And at least one message, however low the rate; an unlimited bucket has none."""
    assert [Bucket(rate=rate).burst(START) for rate in (120.0, 0.5)] == [12, 1]
    assert Bucket(rate=120.0).available(START) in (12, 13)
    assert Bucket(rate=None).burst(START) == 0


def test_unlimited_bucket_never_waits() -> None:
    """No rate, no state worth keeping."""
    bucket = Bucket(rate=None)
    assert {bucket.reserve(START) for _ in range(10_000)} == {START}
    assert bucket.available(START) is None
    assert bucket.idle(START)


def test_unused_turn_is_given_back() -> None:
    """Nothing was sent: the next row takes its place."""
    bucket = Bucket(rate=1)
    first, second = bucket.reserve(START), bucket.reserve(START)
    bucket.give_back(START)
    assert bucket.reserve(START) == second > first


@pytest.mark.promise("F11")
def test_throttle_halves_and_recovers_additively() -> None:
    """Half at once, a twentieth of the full rate more each ten seconds, full again after 100 s."""
    bucket = Bucket(rate=100)
    bucket.throttle(START)
    assert bucket.current_rate(START) == 50
    assert bucket.current_rate(START + COOLDOWN + 10 * SECOND) == pytest.approx(55)
    assert bucket.current_rate(START + COOLDOWN + 60 * SECOND) == pytest.approx(80)
    assert bucket.current_rate(START + COOLDOWN + 100 * SECOND) == 100
    assert bucket.idle(START + COOLDOWN + 100 * SECOND)


@pytest.mark.promise("F11")
def test_throttle_answers_of_one_moment_cut_once() -> None:
    """Thirty connections hear 421 together; later ones cut again, never below a hundredth."""
    bucket = Bucket(rate=100)
    for step in range(30):
        bucket.throttle(START + step * SECOND // 10)
    assert bucket.current_rate(START) == 50
    for step in range(1, 30):
        bucket.throttle(START + step * COOLDOWN)
    lowest = bucket.current_rate(START + 29 * COOLDOWN)
    assert lowest is not None
    assert 100 * FLOOR <= lowest < 10


def test_retry_after_pauses_everything() -> None:
    """Nothing goes before it; the longest of several counts."""
    bucket = Bucket(rate=10)
    bucket.throttle(START, 30 * SECOND)
    bucket.throttle(START, 5 * SECOND)
    assert bucket.available(START + 29 * SECOND) == 0
    assert bucket.reserve(START) == START + 30 * SECOND
    assert bucket.reserve(START) == START + 30 * SECOND + SECOND // 5
    assert Bucket(rate=None, paused_until=START + 9).reserve(START) == START + 9


@pytest.mark.promise("F11")
def test_unlimited_bucket_learns_a_rate_from_a_throttle() -> None:
    """Half of what went through of late; unlimited again when it has grown to twice that."""
    bucket = Bucket(rate=None)
    for step in range(2000):
        bucket.reserve(START + step * SECOND // 100)
    now = START + 20 * SECOND
    bucket.throttle(now)
    rate = bucket.current_rate(now)
    assert rate is not None
    assert 45 <= rate <= 55
    assert bucket.current_rate(now + 10 * MINUTE) is None
    assert bucket.idle(now + 10 * MINUTE)


def test_state_survives_a_restart() -> None:
    """Debt, pause and cut rate come back through JSON; a new rate in the config wins over a higher cut."""
    bucket = Bucket(rate=100)
    for _ in range(500):
        bucket.reserve(START)
    bucket.throttle(START, MINUTE)
    state = json.loads(json.dumps(bucket.to_state()))
    again = Bucket.from_state(state, rate=100)
    assert again.reserve(START) == bucket.reserve(START)
    assert again.current_rate(START + 30 * SECOND) == bucket.current_rate(START + 30 * SECOND)
    assert Bucket.from_state(state, rate=20).current_rate(START) == 20
    assert Bucket.from_state(state, rate=None).current_rate(START) is None
    assert Bucket.from_state(None, rate=5) == Bucket(rate=5)


def test_learnt_rate_survives_a_restart() -> None:
    """The limit of a bucket without a rate of its own, too."""
    bucket = Bucket(rate=None)
    for _ in range(100):
        bucket.reserve(START)
    bucket.throttle(START + SECOND)
    again = Bucket.from_state(bucket.to_state(), rate=None)
    assert again.current_rate(START + SECOND) == bucket.current_rate(START + SECOND) == 50


def test_after_a_clock_that_was_set_back_no_rate_waits_for_the_time_before() -> None:
    """Reserved and paused three hours ahead; the operator accepts the clock as it is: one may go at once, the rate holds on."""
    ahead = 3 * 3600 * SECOND
    bucket = Bucket(rate=10.0)
    for _ in range(30):
        bucket.reserve(ahead)
    bucket.throttle(ahead, 60 * SECOND)
    assert bucket.available(0) == 0
    bucket.rebase(0)
    assert bucket.available(0)
    for _ in range(bucket.available(0) or 0):
        bucket.reserve(0)
    assert bucket.available(0) == 0
