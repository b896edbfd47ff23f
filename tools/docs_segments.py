"""Docs of the language of segments, from the lists by which it is read; and the shipped segments, from their file."""

from __future__ import annotations

from pathlib import Path

from daemon.content.segment_file import load_segments
from daemon.model.expression import COLUMNS, FUNCTIONS

SHIPPED = Path(__file__).resolve().parent.parent / "segments.toml"


def columns() -> str:
    """A row for each column."""
    rows = [f"| `{name}` | {column.kind.value} | {_cell(column.says)} |" for name, column in COLUMNS.items()]
    return "\n".join(["| column | kind | is |", "|---|---|---|", *rows, "| `traits.X` | as it is compared | trait X of the recipient |"])


def functions() -> str:
    """A line for each function."""
    told = [says.partition(": ") for says in FUNCTIONS.values()]
    return "\n".join([f"- `{form}`: {says}" for form, _, says in told])


def shipped() -> str:
    """A row for each segment of the shipped file."""
    rows = []
    for name, segment in load_segments(SHIPPED).by_name.items():
        where = " ".join(segment.expression.text.split()) if segment.expression else ""
        rows.append(f"| `{name}` | `{_cell(where)}` | {', '.join(segment.exclude)} |")
    return "\n".join(["| segment | where | without |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
