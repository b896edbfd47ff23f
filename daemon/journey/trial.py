"""JOURNEY, trial: what the numbers of an experiment say so far, by tests that may be looked at every day. Pure.

Three tests, all valid at any number of looks, because each is a mixture of likelihood ratios whose expectation is 1 where nothing differs
(Ville's inequality): who stops at the first look above 1 / alpha is wrong in at most alpha of all experiments.

- Two arms: normal mixture on the difference of rates or means (Robbins 1970; Johari, Pekelis, Walsh, "Always valid inference", 2015;
  as confidence sequence: Waudby-Smith et al., "Time-uniform central limit theory", 2021). Its clock is the number of people who did
  something, so that it also holds while people of one day answer over weeks.
- Sample ratio: Dirichlet mixture against the declared shares (Lindon, Malek, "Anytime-valid inference for multinomial count data", 2020).
- Guardrails: the same mixture on how few bad events (unsubscribed, complained) fall on the arms.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from daemon.model.delivery import DAY

ALPHA = 0.05
"""Of all experiments without a difference, at most so many ever name a winner."""
STRICT = 0.001
"""The same for guardrails: their alarm ends an arm."""
RATIO = 0.005
"""The same for the sample ratio: its alarm means a mistake in the machine, so it is to be believed."""
MIN_AGE = 7 * DAY
"""A winner is never named before a whole week was seen."""
_GUESSED_RATE = 0.1
"""Where the test is sharpest: when this share of the least number of people has done what is counted."""
_CONCENTRATION, _FEW = 1000.0, 10.0
"""How near to the expected shares a wrong one is looked for first: some 1.5 points off, for people; for rare events some 15."""
_SHARPEST = 7.94
"""Mixing variance over variance at which an interval of level 0.05 is the narrowest: about 2 ln(1/a) + ln(1 + 2 ln(1/a))."""


class Arm(NamedTuple):
    """What one arm's people did so far. `people`: all who were drawn into it, whatever became of their messages; `acted`: those with an
    outcome that is not 0; `total`, `squares`: sums of the outcomes and of their squares (for rates: both equal `acted`). `bad`:
    guardrail -> people."""

    name: str
    people: int
    acted: int
    total: float
    squares: float
    bad: Mapping[str, int] = {}

    @property
    def mean(self) -> float:
        return self.total / self.people if self.people else 0.0

    @property
    def variance(self) -> float:
        """Of one person's outcome."""
        return max(0.0, self.squares / self.people - self.mean**2) if self.people else 0.0


class Difference(NamedTuple):
    """`arm` minus `base`, by person: an interval that holds at all looks together, and the evidence against no difference."""

    arm: str
    base: str
    estimate: float
    low: float
    high: float
    evidence: float
    """Log of the likelihood ratio; p at any time = exp(-evidence)."""

    @property
    def p(self) -> float:
        return min(1.0, math.exp(-self.evidence))


class Finding(StrEnum):
    RUNNING = "running"
    """Too few people, too early, or nothing to choose between them yet."""
    WINNER = "winner"
    INVALID = "invalid"
    """The arms have not the shares that were declared: something in the machine loses or doubles people. The numbers mean nothing."""
    STOPPED = "stopped"
    """An arm drives people away."""


class Verdict(NamedTuple):
    """What to say today. `alarms`: sentences for people."""

    finding: Finding
    winner: str | None
    differences: Sequence[Difference]
    alarms: Sequence[str]
    ratio_p: float
    harmful: Sequence[str] = ()


def compare(arm: Arm, base: Arm, alpha: float = ALPHA, *, least: int = 1000) -> Difference:
    """Two arms. `least`: people in each at which the test is to be sharpest."""
    estimate = arm.mean - base.mean
    acted = arm.acted + base.acted
    if not arm.people or not base.people or not acted:
        return Difference(arm.name, base.name, estimate, -math.inf, math.inf, 0.0)
    pooled = (arm.squares + base.squares) / (arm.people + base.people) - ((arm.total + base.total) / (arm.people + base.people)) ** 2
    spread = arm.variance / arm.people + base.variance / base.people
    null = max(pooled, 0.0) * (1 / arm.people + 1 / base.people)
    ratio = _SHARPEST * acted / max(1.0, 2 * least * _GUESSED_RATE)
    shrink = ratio / (1 + ratio)
    variance = max(null, spread)
    evidence = (estimate**2 / variance * shrink - math.log1p(ratio)) / 2 if variance else 0.0
    reach = math.sqrt(variance * (2 * math.log(1 / alpha) + math.log1p(ratio)) / shrink)
    return Difference(arm.name, base.name, estimate, estimate - reach, estimate + reach, evidence)


def ratio_evidence(counts: Sequence[int], shares: Sequence[float], concentration: float = _CONCENTRATION) -> float:
    """Log of the evidence that these counts were not drawn with these shares; p at any time = exp(-evidence)."""
    total, whole = sum(counts), sum(shares)
    if not total or len(counts) < 2:
        return 0.0
    log = math.lgamma(concentration) - math.lgamma(concentration + total)
    for count, share in zip(counts, shares, strict=True):
        prior = concentration * share / whole
        log += math.lgamma(prior + count) - math.lgamma(prior) - (count * math.log(share / whole) if count else 0.0)
    return log


def judge(
    arms: Sequence[Arm], shares: Mapping[str, float], *, least: int, age: int, alpha: float = ALPHA, drawn: Mapping[str, int] | None = None
) -> Verdict:
    """What the arms' numbers say. `age`: microseconds since the step came for the first person; `least`: people in each arm before a
    winner; `drawn`: of each arm, all who were drawn by the hash, where `arms` has not all of them (one tier, or without the crossed)."""
    counts = [drawn[arm.name] if drawn else arm.people for arm in arms]
    ratio = ratio_evidence(counts, [shares[arm.name] for arm in arms])
    pairs = list(combinations(arms, 2))
    level = alpha / max(1, len(pairs))
    differences = [compare(one, other, level, least=least) for one, other in pairs]
    ratio_p = min(1.0, math.exp(-ratio))
    if ratio >= math.log(1 / RATIO):
        seen = ", ".join(f"{arm.name} {count}" for arm, count in zip(arms, counts, strict=True))
        alarm = f"the arms have not the shares that were declared ({seen}): the numbers cannot be used until the cause is found"
        return Verdict(Finding.INVALID, None, differences, [alarm], ratio_p)
    harm = harmful(arms)
    alarms = [f"{arm}: more people {_WORDS.get(kind, kind)} than in the other arms" for arm, kind in harm]
    if harm:
        return Verdict(Finding.STOPPED, None, differences, alarms, ratio_p, tuple(dict.fromkeys(arm for arm, _ in harm)))
    ready = age >= MIN_AGE and len(arms) > 1 and all(arm.people >= least for arm in arms)
    winner = _winner(arms, differences, level) if ready else None
    return Verdict(Finding.WINNER if winner else Finding.RUNNING, winner, differences, [], ratio_p)


_WORDS = {"unsubscribed": "unsubscribe", "complained": "complain"}


def _winner(arms: Sequence[Arm], differences: Sequence[Difference], level: float) -> str | None:
    """The arm that is better than each other one beyond doubt."""
    best = max(arms, key=lambda arm: arm.mean)
    sure = math.log(1 / level)
    mine = [each for each in differences if best.name in (each.arm, each.base)]
    return best.name if all(each.evidence >= sure and (each.low > 0 or each.high < 0) for each in mine) else None


def harmful(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """(arm, guardrail) of those on which more bad events fall than their number of people explains, against all others together."""
    found = []
    people = sum(arm.people for arm in arms)
    for kind in sorted({kind for arm in arms for kind in arm.bad}):
        events = sum(arm.bad.get(kind, 0) for arm in arms)
        for arm in arms:
            mine, share = arm.bad.get(kind, 0), arm.people / people if people else 0.0
            worse = 0 < share < 1 and mine > events * share
            if worse and ratio_evidence([mine, events - mine], [share, 1 - share], _FEW) >= _sure(len(arms)):
                found.append((arm.name, kind))
    return found


@functools.cache
def _sure(arms: int) -> float:
    return math.log(max(1, arms) / STRICT)


def people_needed(base: float, lift: float) -> int:
    """People an arm by which a lift of a rate is found four times in five: what a test that is looked at once would need (5 %, two-sided,
    power 0.8: Fleiss, "Statistical Methods for Rates and Proportions", 3.2), and two thirds more for looking every day (Johari et al.,
    section 5; measured: 3,000 for 10 % and 3 points, 6,500 for 2 points), rounded up to hundreds. `base`, `lift`: shares, both above 0 and
    below 1 together."""
    middle = base + lift / 2
    once = 2 * (1.96 + 0.8416) ** 2 * middle * (1 - middle) / lift**2
    return math.ceil(once * 5 / 3 / 100) * 100
