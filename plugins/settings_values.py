"""One value of a setting against one annotation: what fits is returned (converted where TOML has no such type), else `Misfit`.

Knows: str int float bool Secret Path, dates, enums, Literal, unions, list set frozenset tuple Sequence, dict and Mapping with
text keys, nested dataclasses (through `table`), Any. Pure; `settings` walks the tables and says where each value stands.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from plugins.contract import Secret

NONE = type(None)
ADVICE = 'is a secret: write { credential = "name" }, { env = "NAME" } or { file = "path" }, never the value itself'
WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Secret: "a secret",
    Path: "a path",
    datetime: "a date with time",
    date: "a date",
    time: "a time of day",
    Any: "anything",
}
LISTS: Mapping[Any, Callable[[Sequence[Any]], Any]] = {list: list, Sequence: tuple, set: set, frozenset: frozenset, AbstractSet: frozenset}
TABLES = (dict, Mapping, MutableMapping)


class Misfit(ValueError):
    """The value does not fit; the text goes behind the key: `is 25, must be text`."""


@dataclass(frozen=True, slots=True)
class Fitter:
    """Fits values: `table` reads a nested dataclass (and keeps its own problems); `literals` lets a secret be plain text."""

    literals: bool
    table: Callable[[type[Any], Mapping[str, Any]], Any]

    def fit(self, hint: Any, value: Any) -> Any:
        """`value` as the annotation `hint` wants it, or `Misfit`."""
        hint, origin, arguments = _parts(hint)
        if origin in (Union, types.UnionType):
            return self._fit_union(arguments, value, hint)
        if origin is Literal:
            return _fit_choice(hint, value, arguments)
        kind = origin or hint
        if kind in LISTS or kind is tuple:
            return self._fit_list(hint, kind, arguments, value)
        if kind in TABLES:
            return self._fit_mapping(hint, arguments, value)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(_fit_choice(hint, value, tuple(member.value for member in kind)))
        if is_dataclass(kind) and isinstance(kind, type):
            if isinstance(value, Mapping):
                return self.table(kind, value)
            if not isinstance(value, kind):
                raise Misfit(_message(hint, value))
            return value
        return self._fit_plain(hint, kind, value)

    def _fit_plain(self, hint: Any, kind: Any, value: Any) -> Any:
        if kind is Any or kind is object:
            return value
        if kind is Secret:
            if isinstance(value, str):
                if not self.literals:
                    raise Misfit(ADVICE)
                return Secret(value)
        elif isinstance(value, Secret) and kind in (str, Path):
            return kind(value.reveal())  # the plugin does not treat it as one; where the operator keeps it is the operator's affair
        elif kind is float and type(value) is int:
            return float(value)
        elif kind is Path and isinstance(value, str):
            return Path(value)
        if type(value) is kind or (isinstance(kind, type) and isinstance(value, kind) and not isinstance(value, bool | datetime)):
            return value
        raise Misfit(_message(hint, value))

    def _fit_union(self, arguments: tuple[Any, ...], value: Any, whole: Any) -> Any:
        if value is None and NONE in arguments:
            return None
        inner = [argument for argument in arguments if argument is not NONE]
        for argument in inner:
            try:
                return self.fit(argument, value)
            except Misfit:
                if len(inner) == 1:
                    raise
        if Secret in inner and isinstance(value, str):
            raise Misfit(ADVICE)
        raise Misfit(_message(whole, value))

    def _fit_list(self, hint: Any, kind: Any, arguments: tuple[Any, ...], value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise Misfit(_message(hint, value))
        if kind is tuple and arguments and arguments[-1] is not ...:
            if len(value) != len(arguments):
                raise Misfit(f"has {len(value)} entries, must have {len(arguments)}")
            return tuple(self._fit_entry(each, item, n) for n, (each, item) in enumerate(zip(arguments, value, strict=True)))
        each = arguments[0] if arguments else Any
        return LISTS.get(kind, tuple)([self._fit_entry(each, item, n) for n, item in enumerate(value)])

    def _fit_entry(self, hint: Any, item: Any, number: int) -> Any:
        try:
            return self.fit(hint, item)
        except Misfit as misfit:
            raise Misfit(f"entry {number + 1} {misfit}") from None

    def _fit_mapping(self, hint: Any, arguments: tuple[Any, ...], value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(_message(hint, value))
        each = arguments[1] if len(arguments) > 1 else Any
        fitted = {}
        for key, item in value.items():
            try:
                fitted[key] = self.fit(each, item)
            except Misfit as misfit:
                raise Misfit(f'entry "{key}" {misfit}') from None
        return fitted


def describe(hint: Any) -> str:
    """The annotation in an operator's words: `text`, `a list of text`, `one of "a", "b"`."""
    hint, origin, arguments = _parts(hint)
    kind = origin or hint
    if kind in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments if argument is not NONE)
    if kind is Literal:
        return "one of " + ", ".join(_quoted(choice) for choice in arguments)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(_quoted(member.value) for member in kind)
    if kind in LISTS or kind is tuple:
        return f"a list of {describe(arguments[0])}" if arguments else "a list"
    if kind in TABLES or is_dataclass(kind):
        return "a table"
    return WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def table_type(hint: Any) -> type[Any] | None:
    """The dataclass that a nested table is read into, if the annotation is one (or an optional one)."""
    hint, origin, arguments = _parts(hint)
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not NONE]
        return table_type(inner[0]) if len(inner) == 1 else None
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def accepts_text(hint: Any) -> bool:
    """True if plain text fits the annotation as it stands, so that `key=25` on the command line stays text."""
    hint, origin, arguments = _parts(hint)
    if origin in (Union, types.UnionType):
        return any(accepts_text(argument) for argument in arguments)
    if origin is Literal:
        return all(isinstance(choice, str) for choice in arguments)
    return hint in (str, Secret, Path, Any) or (isinstance(hint, type) and issubclass(hint, Enum))


def _parts(hint: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint, get_origin(hint), get_args(hint)


def _fit_choice(hint: Any, value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise Misfit(_message(hint, value))


def _message(hint: Any, value: Any) -> str:
    return f"is {_shown(value)}, must be {describe(hint)}"


def _shown(value: Any) -> str:
    """The value in a message: what it is if it is short and no secret, else only its kind."""
    if isinstance(value, Secret):
        return "a secret"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"text of {len(text) - 2} characters"


def _quoted(choice: Any) -> str:
    return f'"{choice}"' if isinstance(choice, str) else str(choice).lower() if isinstance(choice, bool) else str(choice)
