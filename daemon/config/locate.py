"""GROUND, config: which line of a TOML text says what. tomllib keeps no positions, so the text is walked once more.

Pure: a text that already parsed in, `{key path: line}` out. Paths are tuples of keys; the elements of arrays of tables are
numbered from 0. An array of inline tables is found at the line of its key. Campaign and segment files use it too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]

_HEADER = re.compile(r"(\[\[?)(.+?)\]\]?\s*(#.*)?$")
_SYNTAX = re.compile(r"^(?P<what>.*?)(?: \(at (?:line (?P<line>\d+), column \d+|end of document)\))?$", re.DOTALL)


def locate_keys(source: str) -> dict[Path, int]:
    """Line (from 1) of each table and key of a TOML text that parses."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    lines = source.splitlines()
    index = 0
    while index < len(lines):
        line = lines[index].strip()
        last = index
        if header := _HEADER.match(line):
            table = _table_path(_header_keys(header[2]), counts, new=header[1] == "[[")
            _note(found, table, index + 1)
        elif line and line[0] != "#" and "=" in line:
            parsed, last = _statement(lines, index)
            for path in _leaves(parsed):
                _note(found, table + path, index + 1)
        index = last + 1
    return found


def find_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path, else of the nearest table around it, else 1."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def syntax_error(error: tomllib.TOMLDecodeError, source: str) -> tuple[int, str]:
    """(line, what) of tomllib's message."""
    match = _SYNTAX.match(str(error))
    what = match["what"] if match else str(error)
    line = int(match["line"]) if match and match["line"] else source.count("\n") + 1
    return line, what[:1].lower() + what[1:]


def _note(found: dict[Path, int], path: Path, line: int) -> None:
    """A dotted key or header also opens the tables on its way."""
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], line)


def _header_keys(text: str) -> tuple[str, ...]:
    return next(_leaves(tomllib.loads(f"{text} = 0")))


def _table_path(keys: tuple[str, ...], counts: dict[Path, int], *, new: bool) -> Path:
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if new and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _statement(lines: list[str], first: int) -> tuple[dict[str, Any], int]:
    """The `key = value` that starts at a line, and its last line (a value may go over several)."""
    text = ""
    for last in range(first, len(lines)):
        text += lines[last] + "\n"
        try:
            return tomllib.loads(text), last
        except tomllib.TOMLDecodeError:
            continue
    return {}, first


def _leaves(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)
