"""CONTENT: frozen dataclasses as plain JSON values and back. What is at its default is left out, so that a new field changes nothing of
what does not use it. Pure.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
_HINTS: dict[type, dict[str, Any]] = {}
"""Looking annotations up takes milliseconds; there are some twenty classes."""


def to_plain(value: Any) -> Any:
    """JSON of a dataclass, and of what is in its fields: texts, numbers, enums, dates, tuples, mappings, dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: to_plain(getattr(value, each.name))
            for each in dataclasses.fields(value)
            if getattr(value, each.name) != _default(each)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [to_plain(each) for each in value]
    return {key: to_plain(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def from_plain(kind: type[T], plain: Mapping[str, Any]) -> T:
    """The dataclass that `to_plain` was given, equal to it. TypeError for a field that it does not have."""
    hints = _hints_of(kind)
    return kind(**{key: _value(hints[key], each) if key in hints else each for key, each in plain.items()})


def read_moment(text: str) -> date | datetime:
    """A date, or a moment with its offset."""
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def _default(each: dataclasses.Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default


def _hints_of(kind: type) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _value(hint: Any, plain: Any) -> Any:
    """A value of the type that a field's annotation names."""
    if plain is None:
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        kinds = [each for each in arguments if each is not types.NoneType]
        return read_moment(plain) if date in kinds or datetime in kinds else _value(kinds[0], plain)
    if origin is tuple:
        kinds = list(arguments[:1]) * len(plain) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(_value(each, item) for each, item in zip(kinds, plain, strict=True))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, plain)
    if origin is not None and arguments and isinstance(plain, Mapping):
        return {key: _value(arguments[1], each) for key, each in plain.items()}
    return hint(plain) if isinstance(hint, type) and issubclass(hint, Enum) else plain
