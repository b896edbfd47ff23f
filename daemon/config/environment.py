"""GROUND, config: keys that come from the environment: `HOMING__PROVIDERS__RELAY__HOST=..` is `[providers.relay] host`.

The value is read as TOML, and where it is none as a string; case, `-` and `_` do not matter. Arrays of tables come only whole.
Takes the parsed file and the environment, gives a new document, where each such key came from, and the problems met. Values are
never put into a message.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.config.locate import Path
from daemon.config.schema import table_at
from daemon.config.values import kind
from daemon.errors import Problem

PREFIX = "homing__"


def overlay(document: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[Path, str], list[Problem]]:
    """(document with the environment's keys, path -> variable, problems). Shorter paths first, so that a key beats its table."""
    merged = copy.deepcopy(dict(document))
    origins: dict[Path, str] = {}
    problems: list[Problem] = []
    variables = sorted((name for name in environ if name.casefold().startswith(PREFIX)), key=lambda name: (name.count("__"), name))
    for name in variables:
        what = _set(merged, name, environ[name], origins)
        if what:
            problems.append(Problem(where=f"environment:{name}", key="", what=what))
    return merged, origins, problems


def read_value(text: str) -> Any:
    """A TOML value, else the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _set(document: dict[str, Any], name: str, text: str, origins: dict[Path, str]) -> str | None:
    """Put one variable's value where it belongs; what is wrong with it, if anything."""
    words = name[len(PREFIX) :].split("__")
    if not all(words):
        return "two underscores stand between the keys: HOMING__TABLE__KEY"
    table: Any = document
    path: Path = ()
    for position, word in enumerate(words):
        if isinstance(table, list):
            return "an array of tables comes only whole"
        if not isinstance(table, dict):
            return f"[{'.'.join(map(str, path))}] is {kind(table)}, not a table"
        known = table_at(path)
        found = _same(word, [*table, *(known.model_fields if known else ())])
        if len(found) > 1:
            return f"{word} may mean {' or '.join(found)}"
        key = found[0] if found else word.casefold().replace("-", "_")
        path = (*path, key)
        if position < len(words) - 1:
            table = table.setdefault(key, {})
        else:
            table[key] = read_value(text)
    if path in origins:
        return f"says the same key as {origins[path]}"
    origins[path] = name
    return None


def _same(word: str, keys: Iterable[str]) -> list[str]:
    """The keys that a word of a variable may mean."""
    wanted = word.casefold().replace("-", "_")
    return sorted({key for key in keys if key.casefold().replace("-", "_") == wanted})
