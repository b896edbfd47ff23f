"""REPORTS, roadmap: what is planned, what runs, what is decided, the most important first; over all campaigns.

Planned are the ideas of `roadmap.toml` that no experiment has taken up, and experiments of campaigns that are drafts. An idea and an
experiment are one if campaign and hypothesis (and the step, if the idea names one) are the same. The record outlives its experiment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.clock import iso
from daemon.content.roadmap import Idea
from daemon.content.version import CampaignVersion
from daemon.journey.arms import digest_of
from daemon.journey.trial import people_needed
from daemon.model.campaign import CampaignStatus
from daemon.reports.experiments import ALL
from daemon.store.experiments import Result

COLUMNS = (
    "status", "priority", "campaign", "step", "hypothesis", "metric", "needed", "people", "finding", "winner", "decided_at",
)  # fmt: skip
PLANNED, RUNNING, DECIDED = "planned", "running", "decided"
_ORDER = (RUNNING, PLANNED, DECIDED)


def roadmap_rows(
    ideas: Sequence[Idea], campaigns: Iterable[tuple[str, str, str]], found: Iterable[tuple[str, Result]]
) -> list[dict[str, Any]]:  # fmt: skip
    """`campaigns`: (name, status, body of the newest version) of those that try something; `found`: the record. `needed` is people an arm,
    `people` those of the smallest arm."""
    results = {(name, one.step, one.trial): one for name, one in found if one.slice == ALL}
    rows: list[dict[str, Any]] = []
    for name, status, body in campaigns:
        for step in CampaignVersion.from_json(body).campaign.steps:
            if step.experiment is not None:
                result = results.pop((name, step.name, digest_of(step.experiment)), None)
                trial = step.experiment
                told = trial.hypothesis, str(trial.metric), _status(status, result), trial.min_per_variant
                rows.append(_row(name, step.name, *told, result))
    for (name, step_name, _), result in results.items():  # its experiment was changed or taken out since
        body = json.loads(result.body)
        rows.append(_row(name, step_name, body["hypothesis"], body["metric"], DECIDED, body["least"], result))
    for idea in ideas:
        mine = [row for row in rows if _same(idea, row)]
        needed = people_needed(idea.base, idea.lift) if idea.base is not None and idea.lift is not None else None
        for row in mine:
            row["priority"] = idea.priority
            row["needed"] = max(row["needed"], needed or 0)
        if not mine:
            row = _row(idea.campaign, idea.step, idea.hypothesis, str(idea.metric), PLANNED, needed, None)
            rows.append({**row, "priority": idea.priority})
    return sorted(rows, key=lambda row: (_ORDER.index(row["status"]), -(row["priority"] or 0), row["campaign"], row["step"] or ""))


def _status(status: str, result: Result | None) -> str:
    if result is not None and result.decided_at is not None:
        return DECIDED
    return PLANNED if status == CampaignStatus.DRAFT else DECIDED if status == CampaignStatus.ARCHIVED else RUNNING


def _row(
    campaign: str, step: str | None, hypothesis: str, metric: str, status: str, needed: int | None, result: Result | None
) -> dict[str, Any]:  # fmt: skip
    arms: Sequence[Mapping[str, Any]] = json.loads(result.body)["arms"] if result is not None else ()
    decided = result.decided_at if result is not None else None
    return {
        "status": status, "priority": None, "campaign": campaign, "step": step, "hypothesis": hypothesis, "metric": metric,
        "needed": needed, "people": min((arm["people"] for arm in arms), default=0),
        "finding": result.finding if result is not None else None,
        "winner": result.winner if result is not None else None, "decided_at": iso(decided) if decided is not None else None,
    }  # fmt: skip


def _same(idea: Idea, row: Mapping[str, Any]) -> bool:
    return (idea.campaign, idea.hypothesis) == (row["campaign"], row["hypothesis"]) and idea.step in (None, row["step"])
