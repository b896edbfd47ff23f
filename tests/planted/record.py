"""What catches which bug, as found by the last full run: tests/planted/caught.toml, and the page that is drawn from it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.planted.plant import Bug

RECORD = Path(__file__).with_name("caught.toml")
HEAD = "# Written by `make planted ARGS='--all --write'`: what catches each bug, layer by layer, the cheapest first.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """`by`: a test, or a seed of the simulation; `how`: what it said; `chance`: only in what was drawn, which moves with the code."""

    by: str
    how: str
    chance: bool = False


def sure(caught: Mapping[str, Caught]) -> tuple[str, Caught] | None:
    """The first layer whose test catches the bug anywhere and always."""
    return next(((layer, one) for layer, one in caught.items() if not one.chance), None)


def read_record() -> dict[str, dict[str, Caught]]:
    if not RECORD.exists():
        return {}
    found = tomllib.loads(RECORD.read_text(encoding="utf-8"))
    return {bug: {layer: Caught(**caught) for layer, caught in layers.items()} for bug, layers in found.items()}


def write_record(record: Mapping[str, Mapping[str, Caught]], bugs: Mapping[str, Bug]) -> None:
    """In the order of the bugs; what is no bug any more is left out."""
    lines = [HEAD]
    for name in bugs:
        lines += [f"[{name}]\n"]
        lines += [
            f"{layer} = {{ by = {json.dumps(caught.by)}, how = {json.dumps(caught.how, ensure_ascii=False)}{', chance = true' * caught.chance} }}\n"
            for layer, caught in record.get(name, {}).items()
        ]
    RECORD.write_text("\n".join(["".join(lines[:1]), *["".join(lines[1:])]]), encoding="utf-8")
