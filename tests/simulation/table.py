"""The table of states x faults: how many deliveries were in each state when a fault of each class struck, over all seeds."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.relay import BEHAVIOURS
from tests.simulation.workload import DEATHS, FAULTS

STATES = ("planned", "due", "claimed", "handed_over", "accepted", "rejected", "in_doubt", "held", "dropped", "expired", "cancelled")
"""`held_out` is left out: nothing is held out in this version."""
MET = ("refused_connect",)
"""What a relay does when it is met, beside its behaviours; a slow banner has the name of its fault."""
CLASSES = (*DEATHS, *FAULTS, *MET, *BEHAVIOURS)
IMPOSSIBLE: Mapping[tuple[str, str], str] = {}
"""(fault, state) -> why no delivery can be in that state when that fault strikes."""


def show_table(table: Mapping[tuple[str, str], int]) -> str:
    """As text: a line a fault."""
    wide = max(map(len, CLASSES)) + 1
    lines = [" " * wide + "".join(f"{state:>12}" for state in STATES)]
    lines += [f"{fault:{wide}}" + "".join(f"{table.get((fault, state), 0) or '.':>12}" for state in STATES) for fault in CLASSES]
    return "\n".join(lines)


def empty_cells(table: Mapping[tuple[str, str], int]) -> list[tuple[str, str]]:
    """Cells that were never met, though they could be."""
    return [(fault, state) for fault in CLASSES for state in STATES if not table.get((fault, state)) and (fault, state) not in IMPOSSIBLE]
