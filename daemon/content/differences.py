"""CONTENT: what has changed between two versions of a campaign, in lines for eyes; and where a walk stands in the other. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from daemon.content.names import SUFFIXES
from daemon.content.plain import to_plain
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign

_APART = ("name", "status", "steps", "offers")


def differences(old: CampaignVersion, new: CampaignVersion) -> list[str]:
    """`+ step c`, `- step b`, `~ step a: day 45 -> 50`; the words (templates) last. Empty: nothing that counts differs."""
    before, after = to_plain(old.campaign), to_plain(new.campaign)
    found = [f"~ {line}" for line in _changes(before, after, _APART)]
    for kind, one, two in (
        ("step", {step["name"]: step for step in before.get("steps", ())}, {step["name"]: step for step in after.get("steps", ())}),
        ("offer", before.get("offers", {}), after.get("offers", {})),
    ):
        found += [f"- {kind} {name}" for name in one if name not in two]
        found += [f"+ {kind} {name}" for name in two if name not in one]
        found += [f"~ {kind} {name}: {line}" for name in one if name in two for line in _changes(one[name], two[name], ("rank",))]
        if kind == "step" and [name for name in one if name in two] != [name for name in two if name in one]:
            found.append(f"~ order of steps: {', '.join(one)} -> {', '.join(two)}")
    words = [name for name in {**old.files, **new.files} if name.endswith(SUFFIXES) and old.files.get(name) != new.files.get(name)]
    return found + [f"~ words of {name} (these are always the newest)" for name in sorted(words)]


def _changes(one: dict[str, Any], two: dict[str, Any], apart: tuple[str, ...]) -> Iterator[str]:
    for key in sorted({*one, *two} - {*apart}):
        if one.get(key) != two.get(key):
            yield f"{key} {_spell(one.get(key))} -> {_spell(two.get(key))}"


def _spell(value: Any) -> str:
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)


def places(old: Campaign, new: Campaign) -> dict[str, str | None]:
    """For each step of the old version the one at which a walk that has done it stands in the new: itself, else the nearest one before it
    that is still there; None = the beginning."""
    there = {step.name for step in new.steps}
    found: dict[str, str | None] = {}
    last: str | None = None
    for step in old.steps:
        last = step.name if step.name in there else last
        found[step.name] = last
    return found
