"""The roadmap: ideas, drafts, what runs and what is decided, over all campaigns; what was decided stays when its experiment is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.content.roadmap import Idea
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.journey import Experiment, Variant
from daemon.reports.named import Reporting
from tests.stages.intake_world import IntakeWorld
from tests.stages.test_experiments import World, campaign, people

IDEAS = (
    Idea(hypothesis="the product beats the discount", campaign="back", step="offer", impact=9, confidence=9, ease=9, base=0.1, lift=0.02),
    Idea(hypothesis="mornings beat evenings", campaign="back", impact=2, confidence=2, ease=2),
    Idea(hypothesis="shipping beats percents", campaign="welcome", step="first", base=0.05, lift=0.02, impact=8, confidence=8, ease=8),
)
HALVES = (Variant(name="a", share=0.5), Variant(name="b", share=0.5))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    inner = await IntakeWorld.open(tmp_path)
    yield World(inner)
    await inner.close()


def trying(name: str, hypothesis: str, status: CampaignStatus) -> CampaignVersion:
    step = Step(name="hello", channels=("email",), experiment=Experiment(variants=HALVES, hypothesis=hypothesis))
    return CampaignVersion.of(Campaign(name=name, status=status, steps=(step,)), {"hello.email.liquid": "---\nsubject: Hi\n---\n<p>Hi</p>\n"})


async def roadmap(world: World, name: str | None = None) -> list[tuple[str, float | None, str, int | None]]:
    report = await Reporting(store=world.inner.store, ideas=lambda: IDEAS).report("roadmap", name)
    return [(row["status"], row["priority"], row["hypothesis"], row["needed"]) for row in report.rows]


async def test_what_runs_comes_before_what_is_planned_and_both_by_priority(world: World) -> None:
    """An idea lends its priority, and the people that it takes, to its experiment; a draft's experiment is planned."""
    await world.fill(people("product", 20, 2), campaign())
    await world.inner.load(trying("later", "short beats long", CampaignStatus.DRAFT))
    await world.inner.load(trying("now", "blue beats red", CampaignStatus.ACTIVE))
    assert await roadmap(world) == [
        ("running", 9.0, "the product beats the discount", 6500),
        ("running", None, "blue beats red", 1000),
        ("planned", 8.0, "shipping beats percents", 3700),
        ("planned", 2.0, "mornings beat evenings", None),
        ("planned", None, "short beats long", 1000),
    ]
    assert [row[2] for row in await roadmap(world, "later")] == ["short beats long"]


async def test_what_was_decided_stays_when_its_experiment_is_gone(world: World) -> None:
    """With its winner and its day; the same after the step tries something else."""
    await world.fill([*people("product", 600, 180), *people("discount", 590, 59)], campaign())
    await world.look()
    report = await Reporting(store=world.inner.store, ideas=lambda: IDEAS).report("roadmap", "back")
    [row] = [row for row in report.rows if row["status"] == "decided"]
    assert (row["winner"], row["people"], row["finding"], row["priority"]) == ("product", 590, "winner", 9.0)
    assert row["decided_at"] is not None
    what = campaign()
    other = replace(what.steps[0], experiment=Experiment(variants=HALVES, hypothesis="mornings beat evenings"))
    await world.inner.load(CampaignVersion.of(replace(what, steps=(other,), status=CampaignStatus.ACTIVE), {"offer.email.liquid": "---\nsubject: Hi\n---\n<p>Hi</p>\n"}))
    report = await Reporting(store=world.inner.store, ideas=lambda: IDEAS).report("roadmap", "back")
    assert [(row["status"], row["hypothesis"], row["winner"]) for row in report.rows] == [
        ("running", "mornings beat evenings", None), ("decided", "the product beats the discount", "product"),
    ]  # fmt: skip
