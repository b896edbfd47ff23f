"""CONTENT: `segments.toml` read and wholly checked: all segments, or all that is wrong with them at once, each with file and line.

Pure but for `load_segments`, which reads the one file. References go to segments of the same file; what is imported is declared there
with `imported = true`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from daemon.config.locate import TomlError, find_line, read_toml
from daemon.config.read_file import read_file
from daemon.config.values import BadValue, parse_name, text
from daemon.content.campaign_table import Report, Table, flag
from daemon.content.expression import ExpressionError, parse_expression
from daemon.content.schedule import parse_every
from daemon.errors import ConfigError, Problem, nearest
from daemon.model.expression import Expression, Scope
from daemon.model.segment import Segment, Segments, circle_of, height_of

MOST_BYTES = 1_000_000
MOST_SEGMENTS = 2000
MOST_CHAIN = 30
DAILY = "06:00"


def load_segments(path: Path) -> Segments:
    """The segments of a file; none if there is no file. ConfigError with every problem."""
    content = read_file(path, MOST_BYTES, "the file of segments ")
    if content is None:
        return Segments()
    segments, problems = read_segments(content, str(path))
    if problems:
        raise ConfigError(problems)
    return segments


def read_segments(content: str, file: str) -> tuple[Segments, list[Problem]]:
    """The segments of a text, and all that is wrong with it."""
    report = Report(file)
    try:
        document, report.lines = read_toml(content)
    except TomlError as error:
        return Segments(), [Problem(where=f"{file}:{error.line}", key="", what=error.what)]
    if len(document) > MOST_SEGMENTS:
        return Segments(), [Problem(where=f"{file}:1", key="", what=f"has {len(document)} segments; at most {MOST_SEGMENTS} are kept")]
    found: dict[str, Segment] = {}
    for name, table in document.items():
        if not isinstance(table, dict):
            report.add((name,), "is no segment: a segment is a table with `where`", None)
            continue
        if (segment := _segment(name, Table(table, (name,), report), document, content.splitlines())) is not None:
            found[name] = segment
    references = {name: sorted(segment.refers_to) for name, segment in found.items()}
    if (circle := circle_of(references)) is not None:
        shown = circle if len(circle) <= 10 else [*circle[:5], "..", *circle[-4:]]
        report.add((circle[0],), f"refers to itself: {' -> '.join(shown)}")
    elif (height := height_of(references)) > MOST_CHAIN:
        report.add((), f"a segment refers to one that refers to another, {height} in a chain; at most {MOST_CHAIN} are followed")
    problems = sorted(report.problems, key=lambda each: int(each.where.rpartition(":")[2]))
    return Segments(by_name=found), problems


def _segment(name: str, table: Table, names: Mapping[str, Any], source: list[str]) -> Segment | None:
    before = len(table.report.problems)
    try:
        parse_name(name)
    except BadValue as error:
        table.fault(None, f"the segment's name: {error.what}", error.suggestion)
    imported = table.take("imported", flag, False)
    expression = _where(table, names, source)
    if imported:
        for key in ("where", "exclude", "every"):
            if key in table.table:
                table.fault(key, "an imported list has none: it is whoever was imported")
    elif "where" not in table.table:
        table.fault(None, 'has no `where`: name a condition such as "orders >= 1", or `imported = true` for a list', _nearest_key(table))
    nobody: tuple[str, ...] = ()
    exclude = table.take("exclude", lambda value: _names(value, names), nobody)
    every = table.take("every", parse_every, DAILY)
    title = table.take("title", text, "")
    table.close()
    if len(table.report.problems) > before:
        return None if expression is None else Segment(name=name, expression=expression, exclude=exclude)
    return Segment(name=name, expression=None if imported else expression, exclude=exclude, every=every, title=title)


def _nearest_key(table: Table) -> str | None:
    return "where" if any(nearest(key, ["where"]) for key in table.table) else None


def _where(table: Table, names: Mapping[str, Any], source: list[str]) -> Expression | None:
    """The expression, faults at the line of the file on which they stand."""
    written = table.take("where", text, None)
    if written is None:
        return None
    try:
        return parse_expression(written, segments=names)
    except ExpressionError as error:
        first = find_line(table.report.lines, (*table.path, "where"))
        opening = source[first - 1].rstrip() if first <= len(source) else ""
        line = first + error.line + (1 if opening.endswith(('"""', "'''")) and "\n" in written else 0)
        what = f"{error.what} (character {error.column})" if error.offset else error.what
        key = ".".join(str(part) for part in (*table.path, "where"))
        table.report.problems.append(
            Problem(where=f"{table.report.file}:{line}", key=key, what=what, suggestion=error.suggestion)
        )  # fmt: skip
        return None


def _names(value: Any, names: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadValue('must be a list of segments such as ["active_subscribers"]')
    found = tuple(text(item) for item in value)
    for name in found:
        if name not in names:
            raise BadValue(f'no segment "{name}"', nearest(name, names))
    return found


def checkers(segments: Segments | None) -> tuple[Callable[[str], object], Callable[[str], object]]:
    """What checks expressions elsewhere: of recipients, with these segments (None: any), and of events."""
    names = None if segments is None else segments.by_name
    return (
        lambda written: parse_expression(written, segments=names),
        lambda written: parse_expression(written, scope=Scope.EVENT),
    )
