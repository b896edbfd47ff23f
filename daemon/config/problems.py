"""GROUND, config: what pydantic and the cross checks find wrong, in the operator's words with file and line.

Takes errors and the places of keys, gives `Problem`s. Pure. No value of a provider's own keys can get here: those are the
plugin loader's to check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.config.locate import Path
from daemon.config.schema import NOT_YET, Document, table_at
from daemon.config.values import BadValue, kind
from daemon.errors import Problem, nearest

Locate = Callable[[Path], str]

_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "string_type": "a string",
    "tuple_type": "an array",
    "mapping_type": "a table",
    "model_type": "a table",
    "dict_type": "a table",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def from_validation(error: ValidationError, locate: Locate) -> Iterator[Problem]:
    """One problem for each of pydantic's errors."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        what, suggestion = _words(detail, path)
        yield Problem(where=locate(path), key=name(path), what=what, suggestion=suggestion)


def cross_checks(document: Mapping[str, Any], locate: Locate) -> Iterator[Problem]:
    """What no single key shows: one form of a window, one period of a cap, names given twice. Looks at the raw document, so that
    it speaks even when other keys are wrong."""
    yield from _window_forms(document.get("window"), ("window",), locate)
    caps = document.get("cap")
    seen: set[str] = set()
    for index, cap in enumerate(caps if isinstance(caps, list) else ()):
        if not isinstance(cap, dict):
            continue
        path: Path = ("cap", index)
        if ("rolling" in cap) == ("calendar" in cap):
            yield Problem(where=locate(path), key=name(path), what="needs exactly one of rolling and calendar")
        title = cap.get("name")
        if isinstance(title, str) and title in seen:
            yield Problem(where=locate((*path, "name")), key=name((*path, "name")), what=f'there is another cap of the name "{title}"')
        elif isinstance(title, str):
            seen.add(title)
    http = document.get("http")
    if isinstance(http, dict) and http.get("listen") == http.get("public_listen") and not str(http.get("listen", ":0")).endswith(":0"):
        path = ("http", "public_listen")
        yield Problem(where=locate(path), key=name(path), what="is the same as listen: operators and the world need listeners of their own")
    yield from _same_urls(document.get("notify"), locate)
    for table, what in NOT_YET.items():
        if table in document:
            yield Problem(where=locate((table,)), key=table, what=what)


def _same_urls(tables: Any, locate: Locate) -> Iterator[Problem]:
    """A target is known by its url."""
    seen: set[str] = set()
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        url = table.get("url") if isinstance(table, dict) else None
        if isinstance(url, str) and url in seen:
            path = ("notify", index, "url")
            yield Problem(where=locate(path), key=name(path), what="is another [[notify]]'s url too: give it all events in one")
        elif isinstance(url, str):
            seen.add(url)


def name(path: Path) -> str:
    """`cap[1].limit`, `providers.relay.port`, `providers.relay.domains."gmail.com"`; elements are counted from 1."""
    words = (f"[{part + 1}]" if isinstance(part, int) else f'."{part}"' if "." in part else f".{part}" for part in path)
    return "".join(words).lstrip(".")


def _window_forms(table: Any, path: Path, locate: Locate) -> Iterator[Problem]:
    if not isinstance(table, dict):
        return
    rival = [key for key in ("start", "end", "days") if key in table]
    if rival and "hours" in table:
        what = f"hours and {' and '.join(rival)} are two forms of one thing: give exactly one"
        yield Problem(where=locate((*path, "hours")), key=name((*path, "hours")), what=what)
    for group in ("channels", "countries") if path == ("window",) else ():
        inner = table.get(group)
        tables = inner if isinstance(inner, dict) else {}
        for key, value in tables.items():
            yield from _window_forms(value, (*path, group, key), locate)


def _words(detail: ErrorDetails, path: Path) -> tuple[str, str | None]:
    """(what, suggestion) of one pydantic error."""
    kind_of_error, given = detail["type"], detail["input"]
    context: dict[str, Any] = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, BadValue):
        return cause.what, cause.suggestion
    if kind_of_error == "extra_forbidden":
        return _unknown(path)
    if kind_of_error == "missing":
        meant = nearest(str(path[-1]), given) if isinstance(given, dict) else None
        return f'missing; "{meant}" here may be meant for it' if meant else "missing; it has no default", None
    if kind_of_error in _EXPECTED:
        return f"must be {_EXPECTED[kind_of_error]}, not {kind(given)}", None
    if kind_of_error in _BOUNDS:
        words, bound = _BOUNDS[kind_of_error]
        return f"must be {words} {context[bound]:g} (got {given})", None
    if kind_of_error == "literal_error":
        expected = str(context["expected"]).replace("'", '"')
        words_allowed = expected.replace(" or ", ", ").replace('"', "").split(", ")
        shown = f'"{given}"' if isinstance(given, str) else kind(given)
        return f"must be {expected} (got {shown})", nearest(given, words_allowed) if isinstance(given, str) else None
    if kind_of_error == "string_too_short":
        return "must not be empty", None
    if kind_of_error == "finite_number":
        return "must be a finite number", None
    return detail["msg"][:1].lower() + detail["msg"][1:], None


def _unknown(path: Path) -> tuple[str, str | None]:
    """An unknown key, with the nearest known one beside it, or the table where it would be right."""
    key = str(path[-1])
    table = table_at(path[:-1]) or Document
    near = nearest(key, [*table.model_fields, *(NOT_YET if len(path) == 1 else ())])
    homes = [f"[{other}]" for other in Document.model_fields if (home := table_at((other,))) and key in home.model_fields]
    if near is None and homes:
        return f"unknown key here; it belongs to {' or '.join(homes)}", None
    return "unknown key", near
