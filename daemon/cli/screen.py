"""How answers look: tables for eyes on a terminal, plain columns in a pipe, JSON where it was asked for.

stdout carries the answer and nothing else; what is said beside it (progress, hints, errors) goes to stderr. What comes from
outside (names, subjects, error texts) is printed without control characters, so it cannot drive the terminal.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

Cell = str | int | float | None


def clean(value: Cell) -> str:
    """A cell as text, without what could move the cursor or change its colour."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)


def dump(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=str)


def cell(value: Any) -> Any:
    """A cell of CSV: a text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


def say(text: str = "") -> None:
    """A line of the answer."""
    print(text)


def note(text: str) -> None:
    """A line beside the answer."""
    print(text, file=sys.stderr)


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str = "none") -> None:
    """Columns; numbers to the right. On a terminal with colour and borders, in a pipe plain."""
    kept = list(rows)
    if not kept:
        say(empty)
        return
    numeric = [all(isinstance(row[i], int | float | None) for row in kept) for i in range(len(headers))]
    texts = [[clean(cell) for cell in row] for row in kept]
    if sys.stdout.isatty():
        _rich_table(headers, texts, numeric)
        return
    widths = [max(width(line[i]) for line in (list(headers), *texts)) for i in range(len(headers))]
    for line in (list(headers), *texts):
        cells = [_padded(text, widths[i], right=numeric[i]) for i, text in enumerate(line)]
        say("  ".join(cells).rstrip())


def _padded(text: str, columns: int, *, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(header_style="bold", box=None, pad_edge=False)
    for header, right in zip(headers, numeric, strict=True):
        drawn.add_column(header, justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def moment(value: str | None) -> str:
    """An RFC 3339 instant for eyes: `2026-11-24 02:30:01 UTC`."""
    return "" if value is None else value[:19].replace("T", " ") + " UTC"


def until(value: str | None, now: datetime) -> str:
    """The same, with how long that is from now: `2026-11-24 05:30:00 UTC (in 3 h 0 min)`."""
    if value is None:
        return ""
    seconds = (datetime.fromisoformat(value) - now).total_seconds()
    return f"{moment(value)} ({span(seconds)})"


def span(seconds: float) -> str:
    """`in 3 h 5 min`, `20 s ago`, `now`."""
    size = abs(round(seconds))
    if size == 0:
        return "now"
    days, hours, minutes = size // 86_400, size % 86_400 // 3_600, size % 3_600 // 60
    if days:
        text = f"{days} d {hours} h"
    elif hours:
        text = f"{hours} h {minutes} min"
    elif minutes:
        text = f"{minutes} min"
    else:
        text = f"{size} s"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def number(n: int, one: str) -> str:
    """`1 queue`, `2 queues`."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def several(number: int, what: str) -> str:
    """`1 campaign`, `2 campaigns`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def counts(by_state: Mapping[str, int]) -> str:
    """`due 40, accepted 2`: without the empty ones, in the order of a delivery's life."""
    order = ("planned", "due", "claimed", "held", "in_doubt", "accepted", "rejected", "dropped", "expired", "cancelled", "held_out")
    known = [(state, by_state[state]) for state in order if by_state.get(state)]
    return ", ".join(f"{state} {n}" for state, n in known) or "empty"
