"""REPORTS, experiments: counts people by arm, asks the tests of `journey.trial` what that says, and puts it into words and rows.

All people together, each tier by itself, and each arm against those who were held out. A person with two arms (joined of two) is left out
and counted; whoever began after the decision is not part of it. Reads stretch by stretch; what it found is written by who asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daemon.content.version import CampaignVersion
from daemon.journey.arms import crossed, digest_of
from daemon.journey.profile import MICROS, Shop, in_order, orders_of
from daemon.journey.tiers import tier_of
from daemon.journey.trial import ALPHA, Arm, Difference, Finding, Verdict, compare, judge
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY, Instant
from daemon.model.journey import Experiment, Metric
from daemon.store.experiments import CLICKED, COMPLAINED, Result, Tried
from plugins.contract import UNSUBSCRIBED

ALL = ""
"""The slice of all people."""
HELD_OUT = "(held out)"
GUARDRAILS = (UNSUBSCRIBED, COMPLAINED)
HORIZON = 30 * DAY


class Trial(NamedTuple):
    """One experiment of a campaign. `versions`: those of the campaign that have it."""

    campaign: int
    name: str
    step: str
    experiment: Experiment
    horizon: int
    versions: frozenset[int]

    @property
    def digest(self) -> str:
        return digest_of(self.experiment)

    @property
    def everyone(self) -> bool:
        """Do its arms differ in when the step comes? Then people count from their entry on, not from the step."""
        return any(variant.day is not None or variant.delay is not None for variant in self.experiment.variants)

    @property
    def shares(self) -> dict[str, float]:
        return {variant.name: variant.share for variant in self.experiment.variants}


def trials_of(number: int, newest: int, bodies: Mapping[int, str]) -> list[Trial]:
    """The experiments of a campaign's newest version, each with all versions that have the same one."""
    campaigns: dict[int, Campaign] = {}
    for version, body in bodies.items():
        if '"experiment"' in body:
            campaigns[version] = CampaignVersion.from_json(body).campaign
    if newest not in campaigns:
        return []
    found = []
    for step in campaigns[newest].steps:
        if step.experiment is not None:
            digest = digest_of(step.experiment)
            same = frozenset(version for version, campaign in campaigns.items() if _has(campaign.steps, step.name, digest))
            goal = campaigns[newest].goal
            found.append(Trial(number, campaigns[newest].name, step.name, step.experiment, goal.horizon if goal else HORIZON, same))
    return found


def _has(steps: Iterable[Step], name: str, digest: str) -> bool:
    return any(step.name == name and step.experiment is not None and digest_of(step.experiment) == digest for step in steps)


@dataclass(slots=True)
class _Sum:
    """One arm in one slice."""

    people: int = 0
    acted: int = 0
    total: float = 0.0
    squares: float = 0.0
    bad: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: float, did: frozenset[str]) -> None:
        self.people += 1
        if outcome:
            self.acted += 1
            self.total += outcome
            self.squares += outcome * outcome
        for kind in GUARDRAILS:
            self.bad[kind] = self.bad.get(kind, 0) + (kind in did)

    def arm(self, name: str) -> Arm:
        return Arm(name, self.people, self.acted, self.total, self.squares, dict(self.bad))


class Counting:
    """The people of one experiment, taken in by stretches. `margin`: share of revenue that is margin."""

    def __init__(self, trial: Trial, shop: Shop, margin: float) -> None:
        self._trial, self._shop, self._margin = trial, shop, margin
        self._sums: dict[tuple[str, str], _Sum] = {}
        self.crossed = 0
        self.began: Instant | None = None
        self.drawn = dict.fromkeys(trial.shares, 0)

    def buyers(self, page: Sequence[Tried]) -> list[int]:
        """Those of whom the orders have to be known: what they are worth now is not what they were worth when they entered."""
        return sorted({one.person for one in page if one.goal_at is not None})

    def take(self, page: Sequence[Tried], told: Mapping[int, Sequence[Any]]) -> None:
        """A stretch of walks, by person; `told`: what is known of the orders of its buyers."""
        by_person: dict[int, list[Tried]] = {}
        for one in page:
            if one.version in self._trial.versions and (one.held_out or one.arm in self.drawn):
                by_person.setdefault(one.person, []).append(one)
        for person, walks in by_person.items():
            first = walks[0]
            if crossed([{"": arm} for one in walks if (arm := HELD_OUT if one.held_out else one.arm) is not None]):
                self.crossed += 1
                continue
            self.began = first.reached_at if self.began is None else min(self.began, first.reached_at)
            name = HELD_OUT if first.held_out else first.arm or ""
            if name in self.drawn:
                self.drawn[name] += 1
            tier, worth = self._standing(first, told.get(person, ()))
            outcome = self._outcome(first, worth)
            for slice in (ALL, tier):
                self._sums.setdefault((slice, name), _Sum()).add(outcome, first.did)

    def _standing(self, one: Tried, told: Sequence[Any]) -> tuple[str, float]:
        """(tier at entry, margin of what was bought since the step)."""
        orders = orders_of(in_order(told), self._shop) if told else []
        later = [order for order in orders if order.at >= one.entered_at]
        before = {"orders": one.orders - len(later), "value": one.value - sum(order.value or 0 for order in later)}
        bought = [order for order in later if one.reached_at <= order.at < one.reached_at + self._trial.horizon]
        return tier_of(before, self._shop), sum(order.value or 0 for order in bought) / MICROS * self._margin

    def _outcome(self, one: Tried, worth: float) -> float:
        match self._trial.experiment.metric:
            case Metric.GOAL:
                return float(one.goal_at is not None)
            case Metric.CLICK:
                return float(CLICKED in one.did)
            case Metric.MARGIN:
                return worth

    def results(self, now: Instant) -> list[Result]:
        """What that comes to: of all people, and of each tier. A tier's own level is so much stricter that all tiers together are wrong as
        seldom as one test."""
        tiers = sorted({slice for slice, name in self._sums if slice != ALL and name != HELD_OUT})
        return [self._result(slice, now, ALPHA if slice == ALL else ALPHA / len(tiers)) for slice in (ALL, *tiers)]

    def _result(self, slice: str, now: Instant, alpha: float) -> Result:
        trial, least = self._trial, self._trial.experiment.min_per_variant
        arms = [self._sums.get((slice, name), _Sum()).arm(name) for name in trial.shares]
        age = 0 if self.began is None else now - self.began
        verdict = judge(arms, trial.shares, least=least, age=age, alpha=alpha, drawn=self.drawn)
        winner = verdict.winner
        if verdict.finding is Finding.STOPPED:
            left = [arm for arm in arms if arm.name not in verdict.harmful]
            winner = max(left, key=lambda arm: arm.mean).name if left else None
        held = self._sums.get((slice, HELD_OUT))
        lifts = [compare(arm, held.arm(HELD_OUT), ALPHA, least=least) for arm in arms] if held is not None else []
        body = self._body(arms, verdict, held.arm(HELD_OUT) if held is not None else None, lifts)
        ended = verdict.finding in (Finding.WINNER, Finding.STOPPED)
        return Result(
            trial.campaign, trial.step, trial.digest, slice, verdict.finding.value, winner, now, now if ended else None,
            json.dumps(body, separators=(",", ":")),
        )  # fmt: skip

    def _body(self, arms: Sequence[Arm], verdict: Verdict, held: Arm | None, lifts: Sequence[Difference]) -> dict[str, Any]:
        experiment = self._trial.experiment
        against = {lift.arm: lift for lift in lifts}
        return {
            "hypothesis": experiment.hypothesis,
            "metric": str(experiment.metric),
            "least": experiment.min_per_variant,
            "began_at": self.began,
            "crossed": self.crossed,
            "ratio_p": round(verdict.ratio_p, 6),
            "alarms": list(verdict.alarms),
            "arms": [
                {**_plain(arm), "share": self._trial.shares[arm.name], "lift": _interval(against.get(arm.name))} for arm in arms
            ],
            "held_out": _plain(held) if held is not None else None,
            "differences": [{"arm": each.arm, "base": each.base, "p": round(each.p, 6), **_interval(each)} for each in verdict.differences],
        }  # fmt: skip


def _plain(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, "people": arm.people, "acted": arm.acted, "mean": round(arm.mean, 6), **arm.bad}


def _interval(difference: Difference | None) -> dict[str, float | None]:
    if difference is None or not difference.high < float("inf"):
        return {"estimate": None, "low": None, "high": None}
    return {"estimate": round(difference.estimate, 6), "low": round(difference.low, 6), "high": round(difference.high, 6)}


COLUMNS = (
    "campaign", "step", "segment", "finding", "winner", "arm", "share", "people", "acted", "mean", "unsubscribed", "complained",
    "lift", "low", "high",
)  # fmt: skip


def rows_of(found: Iterable[tuple[str, Result]]) -> list[dict[str, Any]]:
    """The record as rows for eyes: one for each arm of each slice; `lift`, `low`, `high`: against those held out."""
    rows = []
    for campaign, result in found:
        body = json.loads(result.body)
        arms = [*body["arms"], *([{**body["held_out"], "share": None, "lift": {}}] if body["held_out"] else [])]
        for arm in arms:
            lift = arm["lift"]
            rows.append({
                "campaign": campaign, "step": result.step, "segment": result.slice or "all", "finding": result.finding,
                "winner": result.winner, "arm": arm["name"], "share": arm["share"], "people": arm["people"], "acted": arm["acted"],
                "mean": arm["mean"], "unsubscribed": arm.get(UNSUBSCRIBED, 0), "complained": arm.get(COMPLAINED, 0),
                "lift": lift.get("estimate"), "low": lift.get("low"), "high": lift.get("high"),
            })  # fmt: skip
    return rows
