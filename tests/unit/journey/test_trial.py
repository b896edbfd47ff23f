"""The tests of an experiment: they may be looked at every day, and still keep what they promise."""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Mapping
from functools import lru_cache

import pytest

from daemon.journey.trial import ALPHA, MIN_AGE, Arm, Finding, Verdict, compare, harmful, judge, people_needed, ratio_evidence
from daemon.model.delivery import DAY

HALVES = {"a": 0.5, "b": 0.5}
SEEDS = 1000


@lru_cache(maxsize=4096)
def chances(n: int, p: float) -> list[float]:
    """Cumulated chances of 0, 1, .. of n."""
    found, so_far = [], 0.0
    for k in range(n + 1):
        so_far += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        found.append(so_far)
        if so_far > 1 - 1e-13:
            break
    return found


def binomial(rng: random.Random, n: int, p: float) -> int:
    count = 0
    while n > 500:
        count, n = count + binomial(rng, 500, p), n - 500
    return count + (min(n, bisect(chances(n, p), rng.random())) if n and p else 0)


def of_rate(name: str, people: int, acted: int, bad: Mapping[str, int] | None = None) -> Arm:
    """An arm whose people did something or not."""
    return Arm(name, people, acted, acted, acted, bad or {})


def look(counts: list[int], acted: list[int], day: int, least: int = 1000) -> Verdict:
    arms = [of_rate(name, n, x) for name, n, x in zip("ab", counts, acted, strict=True)]
    return judge(arms, HALVES, least=least, age=day * DAY)


def arriving(rng: random.Random, rates: tuple[float, float], days: int, daily: int) -> str | None:
    """People come every day, and what they do is known at once; a look each day, to the first winner."""
    counts, acted = [0, 0], [0, 0]
    for day in range(1, days + 1):
        for arm in (0, 1):
            counts[arm] += daily
            acted[arm] += binomial(rng, daily, rates[arm])
        if (winner := look(counts, acted, day).winner) is not None:
            return winner
    return None


def answering(rng: random.Random, rates: tuple[float, float], days: int, daily: int) -> str | None:
    """All come on one day, and answer over the 30 that follow; a look each day."""
    counts = [days * daily] * 2
    to_come = [binomial(rng, counts[arm], rates[arm]) for arm in (0, 1)]
    acted = [0, 0]
    for day in range(1, 31):
        for arm in (0, 1):
            more = binomial(rng, to_come[arm], 1 / (31 - day))
            to_come[arm] -= more
            acted[arm] += more
        if (winner := look(counts, acted, day).winner) is not None:
            return winner
    return None


Story = Callable[[random.Random, tuple[float, float], int, int], str | None]


@pytest.mark.parametrize("story", [arriving, answering])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_at_most_five_in_a_hundred_without_a_difference_name_a_winner(story: Story, rate: float) -> None:
    """A/A, 1,000 seeds, 60 daily looks at 100 people an arm and day (or all people at once, and 30 looks)."""
    false = sum(story(random.Random(seed), (rate, rate), 60, 100) is not None for seed in range(SEEDS))
    assert false <= ALPHA * SEEDS


def test_naive_looks_would_be_wrong_far_more_often() -> None:
    """What the sequential test is for: |z| > 1.96 at any of 60 looks names a winner in more than 15 % of A/A experiments."""
    false = 0
    for seed in range(200):
        rng, x, n = random.Random(seed), [0, 0], 0
        for _ in range(60):
            n += 100
            x = [done + binomial(rng, 100, 0.1) for done in x]
            p = sum(x) / (2 * n)
            if n >= 1000 and abs(x[0] - x[1]) / n > 1.96 * math.sqrt(2 * p * (1 - p) / n):
                false += 1
                break
    assert false > 30


@pytest.mark.parametrize(("rates", "least"), [((0.10, 0.13), 0.95), ((0.05, 0.07), 0.9), ((0.10, 0.12), 0.6)])
def test_a_lift_is_found(rates: tuple[float, float], least: float) -> None:
    """A true lift, 60 days of 100 people an arm: found in so many of 200 seeds, and never the wrong way."""
    found = [arriving(random.Random(seed), rates, 60, 100) for seed in range(200)]
    assert found.count("b") >= least * 200
    assert found.count("a") == 0


def test_the_number_needed_is_enough() -> None:
    """With the number of people that the planner names, four in five lifts are found."""
    people = people_needed(0.10, 0.03)
    found = [arriving(random.Random(seed), (0.10, 0.13), people // 100, 100) for seed in range(200)]
    assert found.count("b") >= 0.75 * 200


def test_the_interval_covers_the_truth_at_all_looks_together() -> None:
    """The interval of every daily look holds the true difference, in at least 95 % of 300 experiments."""
    missed = 0
    for seed in range(300):
        rng, n, x = random.Random(seed), 0, [0, 0]
        for day in range(60):
            n, x = n + 100, [done + binomial(rng, 100, p) for done, p in zip(x, (0.10, 0.14), strict=True)]
            if day >= 9:
                seen = compare(of_rate("b", n, x[1]), of_rate("a", n, x[0]))
                if not seen.low <= 0.04 <= seen.high:
                    missed += 1
                    break
    assert missed <= 15


@pytest.mark.parametrize("same", [True, False])
def test_margins_are_compared_by_their_means(same: bool) -> None:
    """Skewed sums (one in ten buys, for 5 to 200): equal arms name no winner in 95 of 100, a third more is found."""
    named = []
    for seed in range(100):
        rng = random.Random(seed)
        people, acted, total, squares = [0, 0], [0, 0], [0.0, 0.0], [0.0, 0.0]
        winner = None
        for day in range(1, 41):
            for arm in (0, 1):
                people[arm] += 250
                for _ in range(binomial(rng, 250, 0.1)):
                    sum_ = min(200.0, 5 + rng.expovariate(1 / 30)) * (1.0 if same or arm == 0 else 1.33)
                    acted[arm], total[arm], squares[arm] = acted[arm] + 1, total[arm] + sum_, squares[arm] + sum_ * sum_
            arms = [Arm(name, people[i], acted[i], total[i], squares[i]) for i, name in enumerate("ab")]
            winner = judge(arms, HALVES, least=1000, age=day * DAY).winner
            if winner:
                break
        named.append(winner)
    assert named.count("a") + named.count("b") <= 5 if same else named.count("b") >= 60 and not named.count("a")


def ratio_alarm(seed: int, share: float, people: int = 20_000, days: int = 40) -> bool:
    """Does the alarm ring at any of the daily looks?"""
    rng, counts = random.Random(seed), [0, 0]
    for day in range(1, days + 1):
        first = binomial(rng, people // days, share)
        counts = [counts[0] + first, counts[1] + people // days - first]
        if look(counts, [0, 0], day).finding is Finding.INVALID:
            return True
    return False


def test_fair_halves_do_not_ring_the_ratio_alarm() -> None:
    """50/50, 1,000 seeds of 20,000 people and 40 daily looks: at most 1 % ring."""
    assert sum(ratio_alarm(seed, 0.5) for seed in range(SEEDS)) <= 0.01 * SEEDS


def test_52_to_48_of_20000_rings_the_ratio_alarm() -> None:
    """The fixed numbers, and drawn ones in 95 of 100 (their own chance moves the share by a third of a point)."""
    said = look([10_400, 9_600], [1000, 900], 30)
    assert said.finding is Finding.INVALID and said.winner is None
    assert "10400" in said.alarms[0] and said.ratio_p < 0.005
    assert look([10_050, 9_950], [1000, 1000], 30).finding is Finding.RUNNING
    assert sum(ratio_alarm(seed, 0.52) for seed in range(100)) >= 95


def test_ratio_of_unequal_shares_is_against_those() -> None:
    assert ratio_evidence([2000, 8000], [0.2, 0.8]) < 0
    assert ratio_evidence([2000, 8000], [0.25, 0.75]) > 20
    assert ratio_evidence([], []) == ratio_evidence([5], [1.0]) == ratio_evidence([0, 0], [0.5, 0.5]) == 0.0


def test_no_winner_before_the_least_number_and_a_week() -> None:
    """However clear it looks: 999 people are too few, six days too early."""
    clear = [500, 100]
    assert look([1000, 1000], clear, 7).winner == "a"
    assert look([999, 1000], clear, 7).winner is None
    assert look([1000, 1000], clear, 6).winner is None
    assert MIN_AGE == 7 * DAY


def test_of_three_arms_the_winner_beats_each() -> None:
    shares = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}

    def say(*acted: int) -> Verdict:
        arms = [of_rate(name, 3000, x) for name, x in zip("abc", acted, strict=True)]
        return judge(arms, shares, least=1000, age=30 * DAY)

    assert say(300, 300, 450).winner == "c"
    assert say(300, 440, 450).winner is None
    assert len(say(300, 300, 450).differences) == 3


def test_a_guardrail_stops_and_names_the_arm() -> None:
    """Forty of 2,000 leave after one arm, eight after the other: stop, though it wins; a few are chance."""
    worse = of_rate("a", 2000, 400, {"unsubscribed": 40, "complained": 1})
    better = of_rate("b", 2000, 200, {"unsubscribed": 8, "complained": 0})
    said = judge([worse, better], HALVES, least=1000, age=30 * DAY)
    assert said.finding is Finding.STOPPED and said.harmful == ("a",) and "unsubscribe" in said.alarms[0]
    assert harmful([worse._replace(bad={"unsubscribed": 12}), better]) == []


def test_guardrails_rarely_ring_by_chance() -> None:
    """Half a percent leave from either arm: at most 1 % of 300 experiments stop, at 40 daily looks."""
    stopped = 0
    for seed in range(300):
        rng, bad = random.Random(seed), [0, 0]
        for day in range(1, 41):
            bad = [done + binomial(rng, 250, 0.005) for done in bad]
            if harmful([of_rate(name, 250 * day, 0, {"unsubscribed": n}) for name, n in zip("ab", bad, strict=True)]):
                stopped += 1
                break
    assert stopped <= 3


def test_nothing_seen_says_nothing() -> None:
    empty = compare(of_rate("a", 0, 0), of_rate("b", 10, 1))
    assert empty.low == -math.inf and empty.p == 1.0
    assert judge([of_rate("a", 0, 0)], {"a": 1.0}, least=1, age=0).finding is Finding.RUNNING
    assert compare(of_rate("a", 100, 0), of_rate("b", 100, 0)).evidence == 0.0


def test_evidence_mirrors_and_grows() -> None:
    """Swapping the arms turns the sign of the difference and leaves the evidence; the interval shuts out 0 where the evidence is enough."""
    one, other = of_rate("a", 5000, 500), of_rate("b", 5000, 650)
    here, there = compare(one, other), compare(other, one)
    assert here.estimate == -there.estimate and here.evidence == there.evidence and here.low == -there.high
    assert (here.high < 0) == (here.evidence >= math.log(1 / ALPHA))
