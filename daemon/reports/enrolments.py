"""Reports: a person's walks as explain shows them, and where somebody does not walk (any more), and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.clock import iso
from daemon.model.delivery import FINAL, Instant, Reason
from daemon.model.journey import WalkState
from daemon.store.read import DeliveryRow
from daemon.store.walk_facts import WalkRow

GOING = (WalkState.OPEN, WalkState.PLANNED)


def head_of(walk: WalkRow | None, rows: Sequence[DeliveryRow], campaign: str, occurrence: int) -> dict[str, Any]:
    """One enrolment, without its deliveries. `walk` None: its campaign has none, it is as its deliveries are."""
    if walk is None:
        return {
            "campaign": campaign, "version": max(row.version for row in rows), "occurrence": occurrence,
            "state": "ended" if all(row.state in FINAL for row in rows) else "open", "arms": {},
        }  # fmt: skip
    arms = json.loads(walk.arms) if walk.arms else {}
    head: dict[str, Any] = {
        "campaign": campaign, "version": walk.version, "occurrence": occurrence, "state": walk.state,
        "arms": {"holdout": bool(walk.held_out), **arms}, "entered_at": iso(walk.entered_at, digits=0), "step": walk.step,
    }  # fmt: skip
    if walk.state in GOING:
        head["next_look_at"] = _time(walk.next_at)
    else:
        head |= {"ended_at": _time(walk.ended_at), "reason": walk.end_reason}
        if sent := [row.step for row in rows if row.handed_over_at is not None and row.handed_over_at > (walk.ended_at or 0)]:
            head["would_not_have_sent"] = sent  # what ended the walk had happened by then, but was not known yet
    if walk.goal_at is not None:
        head["goal_at"] = iso(walk.goal_at, digits=0)
    return head


def absences(walks: Sequence[WalkRow]) -> list[dict[str, Any]]:
    """Campaigns in which the person does not walk now, by how the last walk there ended."""
    going = {walk.campaign for walk in walks if walk.state in GOING}
    last: dict[str, WalkRow] = {}
    for walk in walks:
        if walk.campaign not in last or (walk.ended_at or 0) > (last[walk.campaign].ended_at or 0):
            last[walk.campaign] = walk
    return [
        {"campaign": name, "reason": _REASONS.get(walk.state, Reason.ALREADY_ENROLLED.value), "at": _time(walk.ended_at)}
        for name, walk in sorted(last.items())
        if name not in going
    ]


_REASONS: Mapping[str, str] = {
    WalkState.EXITED.value: Reason.EXITED.value, WalkState.MERGED.value: Reason.MERGED.value,
    WalkState.CONVERTED.value: Reason.CONVERTED.value,
}  # fmt: skip


def line_of(walk: Mapping[str, Any]) -> str:
    """An enrolment for eyes."""
    line = f"\n{walk['campaign']} (version {walk['version']}, {walk['state']})"
    told = ["held out"] if walk["arms"].get("holdout") else []
    told += [f"{name}: {arm}" for name, arm in walk["arms"].items() if name != "holdout"]
    if walk.get("reason"):
        told.append(f"{walk['reason']} {walk['ended_at']}")
    elif walk.get("next_look_at"):
        told.append(f"next look {walk['next_look_at']}")
    return line + (f" · {' · '.join(told)}" if told else "")


def _time(at: Instant | None) -> str | None:
    return None if at is None else iso(at, digits=0)
