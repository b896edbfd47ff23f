"""GROUND, config: which line of a TOML text says what. tomllib keeps no positions, so the text is walked once more.

Pure: a text that already parsed in, `{key path: line}` out. Paths are tuples of keys; the elements of arrays of tables are
numbered from 0. An array of inline tables is found at the line of its key. Campaign and segment files use it too.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'''"""(?:[^"\\]+|\\.|"(?!""))*+"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]+|\\.)*+"|'[^'\n]*'|#[^\n]*|[\[\]{}=,.\n]''', re.DOTALL
)  # fmt: skip
_ENDLESS = re.compile(r"[\dA-Fa-f_]{1000}")
_DECLARED = re.compile(r"^Cannot declare \((?P<keys>.*?),?\) twice$", re.DOTALL)
_SYNTAX = re.compile(r"^(?P<what>.*?)(?: \(at (?:line (?P<line>\d+), column \d+|end of document)\))?$", re.DOTALL)
MOST_DEPTH = 40
_MOST_INTEGER = 2**63


class TomlError(ValueError):
    """A text that is no TOML, or none that anybody would write; `line` from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def read_toml(source: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """(the document, `locate_keys` of it). TomlError: also for what is nested too deep and for integers of more than 64 bits, at which
    tomllib or whoever reads a value would break."""
    for _ in _statements(source):
        pass
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        line, what = syntax_error(error, source)
        raise TomlError(line, f"this is no TOML: {what}") from None
    except ValueError:  # an integer longer than Python reads
        found = _ENDLESS.search(source)
        raise TomlError(source.count("\n", 0, found.start() if found else 0) + 1, _TOO_LARGE) from None
    lines = locate_keys(source)
    for path, value in _values(document):
        if isinstance(value, int) and not -_MOST_INTEGER <= value < _MOST_INTEGER:
            raise TomlError(find_line(lines, path), _TOO_LARGE)
    return document, lines


_TOO_LARGE = "an integer has at most 64 bits, that is some 19 digits"


def locate_keys(source: str) -> dict[Path, int]:
    """Line (from 1) of each table and key of a TOML text that parses."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for line, text in _statements(source):
        path = next(iter(leaves := list(_leaves(tomllib.loads(text)))))
        if text.startswith("["):
            table = _table_path(path, counts, new=text.startswith("[["))
            _note(found, table, line)
        else:
            for path in leaves:
                _note(found, table + path, line)
    return found


def _statements(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each header and each `key = value`, which may go over several lines. TomlError: nested too deep."""
    start = depth = dots = 0
    line = first = 1
    for token in _TOKEN.finditer(source):
        sign = token[0]
        line += sign.count("\n")
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        dots = dots + 1 if sign == "." else 0 if sign in "[]{}=,\n" else dots
        if depth > MOST_DEPTH or dots > MOST_DEPTH:
            raise TomlError(line, f"is nested more than {MOST_DEPTH} deep")
        if sign == "\n" and depth <= 0:
            if (text := source[start : token.start()].strip()) and text[0] != "#":
                yield first, text
            start, first, depth = token.end(), line, 0
    if (text := source[start:].strip()) and text[0] != "#":
        yield first, text


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
    if declared := _DECLARED.match(what):  # tomllib shows the tuple of its keys
        keys = ast.literal_eval(f"({declared['keys']},)")
        what = f"cannot declare [{'.'.join(keys)}] twice"
    line = int(match["line"]) if match and match["line"] else source.count("\n") + 1
    return line, what[:1].lower() + what[1:]


def _note(found: dict[Path, int], path: Path, line: int) -> None:
    """A dotted key or header also opens the tables on its way."""
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], line)


def _table_path(keys: tuple[str, ...], counts: dict[Path, int], *, new: bool) -> Path:
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if new and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _values(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What is no table and no array, with its path."""
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _values(each, (*path, key))
    else:
        yield path, value


def _leaves(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)
