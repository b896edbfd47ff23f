"""A provider's table of settings, checked against the plugin's dataclass: all that is wrong at once, each with its place.

The values come from the config (secrets already resolved to `Secret`) or from words of the command line; the finished
instance goes to the channel as `Context.settings`. Nothing is guessed: text is not a number, a number is not text.
A field may carry a trailing underscore where its key is a word of Python (`from_` holds the key `from`).
"""

from __future__ import annotations

import dataclasses
import difflib
import keyword
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from plugins.contract import SettingError
from plugins.settings_values import Fitter, Misfit, accepts_text, table_type

Locate = Callable[[tuple[str, ...]], str]
"""Where a key stands: `("providers", "relay", "host")` -> `config.toml:12`. Without such a line: that of its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: `file:line: key: what; did you mean "x"?`."""

    where: str
    key: str
    what: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        return f"{place}{self.key}: {self.what}{hint}"


class SettingsRefusedError(ValueError):
    """The settings do not fit the plugin; `problems` has them all, `str()` one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class _Reader:
    """One reading: where the keys stand, whether a secret may be written out, and what was found wrong."""

    locate: Locate
    literals: bool
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def complain(self, path: tuple[str, ...], what: str, suggestion: str | None = None) -> None:
        self.problems.append(Problem(where=self.locate(path), key=".".join(path), what=what, suggestion=suggestion))


def read_settings(
    settings_type: type[Any], table: Mapping[str, Any], *, path: tuple[str, ...] = (), locate: Locate = lambda _: "", literals: bool = False
) -> Any:
    """The instance of `settings_type` that `table` describes; SettingsRefusedError with every problem.

    `path` is the table's own place, e.g. `("providers", "relay")`. `literals`: a secret may be given as plain text, as it is
    on the command line; a config file must name where it is kept.
    """
    reader = _Reader(locate, literals)
    settings = _read_table(settings_type, table, path, reader)
    if reader.problems:
        raise SettingsRefusedError(reader.problems)
    return settings


def field_keys(settings_type: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The keys that a settings dataclass takes, with their fields."""
    return {_key(field.name): field for field in dataclasses.fields(settings_type) if field.init}


def _key(name: str) -> str:
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def _read_table(settings_type: type[Any], table: Mapping[str, Any], path: tuple[str, ...], reader: _Reader) -> Any:
    hints, known, before = get_type_hints(settings_type), field_keys(settings_type), len(reader.problems)
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            reader.complain((*path, key), f"unknown key; the plugin takes {', '.join(known) or 'none'}", close[0] if close else None)
    values = {}
    for key, field in known.items():
        if key in table:
            values[field.name] = _read_value(hints[field.name], table[key], (*path, key), reader)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            reader.complain((*path, key), "is missing")
    if len(reader.problems) > before:
        return None
    try:
        return settings_type(**values)
    except ExceptionGroup as several:  # a plugin that names all its problems at once
        errors: Sequence[Exception] = several.exceptions
    except (ValueError, TypeError) as error:
        errors = (error,)
    for each in errors:
        if isinstance(each, SettingError):
            reader.complain((*path, each.key) if each.key else path, each.what)
        else:
            reader.complain(path, str(each) or type(each).__name__)
    return None


def _read_value(hint: Any, value: Any, path: tuple[str, ...], reader: _Reader) -> Any:
    nested = table_type(hint)
    if nested is not None and isinstance(value, Mapping):
        return _read_table(nested, value, path, reader)
    try:
        return Fitter(reader.literals, lambda type_, inner: _read_table(type_, inner, path, reader)).fit(hint, value)
    except Misfit as misfit:
        reader.complain(path, str(misfit))
        return None


def table_from_words(settings_type: type[Any], words: Sequence[str]) -> dict[str, Any]:
    """A table of settings from `key=value` words of the command line; a nested key has dots: `tls.mode=none`.

    Where the field takes text or a secret the value is taken as it stands, otherwise it is read as TOML (`port=25`,
    `countries=["ID", "MY"]`). SettingsRefusedError for a word without `=`.
    """
    table: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not equals or not all(names):
            raise SettingsRefusedError([Problem(where="", key=word, what="a setting is written key=value")])
        inner = table
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise SettingsRefusedError([Problem(where="", key=word, what=f"{name} has a value of its own already")])
        inner[names[-1]] = _word_value(_hint_of(settings_type, names), value)
    return table


def _hint_of(settings_type: type[Any] | None, names: Sequence[str]) -> Any:
    """The annotation of the field that dotted names lead to; None where they lead nowhere."""
    for depth, name in enumerate(names):
        if settings_type is None or (field := field_keys(settings_type).get(name)) is None:
            return None
        hint = get_type_hints(settings_type)[field.name]
        if depth == len(names) - 1:
            return hint
        settings_type = table_type(hint)
    return None


def _word_value(hint: Any, value: str) -> Any:
    if hint is not None and accepts_text(hint):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return value
