"""CONTENT: `campaigns/roadmap.toml`, what is to be tried and how much that matters: read and wholly checked, all that is wrong at once.

Pure but for `load_roadmap`, which reads the one file. What has become of an idea is no matter of this file: reports find it in the
campaigns and in the record of experiments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config.locate import TomlError, read_toml
from daemon.config.read_file import read_file
from daemon.config.values import BadValue, kind, one_of, parse_name
from daemon.content.campaign_table import Report, Table, short_text, step_name, whole
from daemon.errors import ConfigError, Problem
from daemon.model.journey import Metric

FILE = "roadmap.toml"
MOST_BYTES = 200_000
SCORES = ("impact", "confidence", "ease")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """One `[[test]]`. It is the experiment of this campaign's step that has the same hypothesis, once there is one. `base`: the rate today,
    `lift`: the least difference that would matter, both shares; `impact`, `confidence`, `ease`: 1 to 10."""

    hypothesis: str
    campaign: str
    step: str | None = None
    metric: Metric = Metric.GOAL
    base: float | None = None
    lift: float | None = None
    impact: int = 5
    confidence: int = 5
    ease: int = 5

    @property
    def priority(self) -> float:
        """The mean of the three scores."""
        return round((self.impact + self.confidence + self.ease) / 3, 1)


def load_roadmap(folder: Path) -> tuple[Idea, ...]:
    """The ideas of the folder of campaigns; none if there is no file. ConfigError with every problem."""
    path = folder / FILE
    content = read_file(path, MOST_BYTES)
    if content is None:
        return ()
    ideas, problems = read_roadmap(content, str(path))
    if problems:
        raise ConfigError(problems)
    return ideas


def read_roadmap(content: str, file: str) -> tuple[tuple[Idea, ...], list[Problem]]:
    """The ideas of a text, in its order, and all that is wrong with it."""
    report = Report(file)
    try:
        document, report.lines = read_toml(content)
    except TomlError as error:
        return (), [Problem(where=f"{file}:{error.line}", key="", what=error.what)]
    top = Table(document, (), report)
    ideas = tuple(_idea(table) for table in top.array("test") or ())
    top.close()
    return ideas, sorted(report.problems, key=lambda each: int(each.where.rpartition(":")[2]))


def _idea(table: Table) -> Idea:
    table.need("hypothesis", "campaign")
    scores = {name: table.take(name, lambda value: whole(value, 1, 10), 5) for name in SCORES}
    idea = Idea(
        hypothesis=table.take("hypothesis", short_text, ""),
        campaign=table.take("campaign", parse_name, ""),
        step=table.take("step", step_name, None),
        metric=table.take("metric", lambda value: Metric(one_of(value, Metric)), Metric.GOAL),
        base=table.take("base", _rate, None),
        lift=table.take("lift", _rate, None),
        **scores,
    )
    if idea.base is not None and idea.lift is not None and idea.base + idea.lift >= 1:
        table.fault("lift", f"leads from {idea.base:g} to {idea.base + idea.lift:g}: both are shares of people, below 1 together")
    table.close()
    return idea


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"must be a share such as 0.1, not {kind(value)}")
    if not 0 < value < 1:
        raise BadValue(f"must be a share between 0 and 1 (got {value:g})")
    return float(value)
