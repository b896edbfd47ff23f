"""GROUND, config: from a file and the environment to one frozen `Config`, or to all that is wrong with it at once.

Reads `config.toml` and the files of its secrets, nothing else; writes nothing; knows no plugin and no rule. The app compiles
windows, caps and provider settings from it later and reports their problems with `Config.locate`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.config import schema
from daemon.config.environment import overlay
from daemon.config.locate import Path as KeyPath
from daemon.config.locate import TomlError, find_line, read_toml
from daemon.config.notices import NotifyTable
from daemon.config.problems import cross_checks, from_validation, name
from daemon.config.retention import RetentionTable
from daemon.config.secret_files import is_reference, resolve_secret
from daemon.config.values import BadValue, resolve_path
from daemon.errors import ConfigError, Problem, UnreadSecret

_ROUNDS = 10
"""How often a table may turn out to be of no use without what was cut from it: tables are not nested so deeply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTables:
    """The raw window tables, each as `policy.parse_window` reads it. `default` has its start and end filled in."""

    default: Mapping[str, Any]
    channels: Mapping[str, Mapping[str, Any]]
    countries: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where each key stands: in a line of the file or in a variable of the environment."""

    file: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)

    def locate(self, path: KeyPath) -> str:
        """`config.toml:12` or `environment:HOMING__A__B`; a key that is not written stands where its table does."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return f"environment:{self.variables[path[:length]]}"
            if path[:length] in self.lines:
                break
            if inner := [variable for key, variable in self.variables.items() if key[:length] == path[:length]]:
                return f"environment:{inner[0]}"
        return f"{self.file}:{find_line(self.lines, path)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of `config.toml`, checked, with paths absolute and secrets read. Swapped as one object on reload."""

    path: Path
    homing: schema.HomingTable
    http: schema.HttpTable
    spool: schema.SpoolTable
    intake: schema.IntakeTable
    window: WindowTables
    caps: tuple[schema.CapTable, ...]
    weights: Mapping[str, float]
    consent: schema.ConsentTable
    topics: Mapping[str, schema.TopicTable]
    providers: Mapping[str, schema.ProviderTable]
    queues: Mapping[str, schema.QueueTable]
    shop: schema.ShopTable
    holdout: schema.HoldoutTable
    retention: RetentionTable
    notify: tuple[NotifyTable, ...]
    digest: str
    """`sha256:..` of what is in effect, without secrets: the same on every machine."""
    places: Places = field(repr=False, compare=False)

    def locate(self, path: KeyPath) -> str:
        """Where a key stands: `config.toml:12`."""
        return self.places.locate(path)

    def problem(self, path: KeyPath, what: str, suggestion: str | None = None) -> Problem:
        """A problem at a key, for checks that only a higher floor can make (windows, plugins, campaigns)."""
        return Problem(where=self.locate(path), key=name(path), what=what, suggestion=suggestion)

    def named_channels(self) -> list[tuple[KeyPath, str]]:
        """Each place where a channel is named, so that the app can compare it with the channels there are."""
        found: list[tuple[KeyPath, str]] = [(("window", "channels", channel), channel) for channel in self.window.channels]
        found += [(("consent", channel), channel) for channel in self.consent.channels]
        found += [(("weights", channel), channel) for channel in self.weights if channel != "audience_day"]
        for index, cap in enumerate(self.caps):
            found += [(("cap", index, "channels"), channel) for channel in cap.channels]
        return found


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check a config. ConfigError has all problems, in the order of their lines."""
    return _whole(*read_config(path, environ))


def load_for_client(path: Path, environ: Mapping[str, str]) -> Config:
    """As `load_config`, for a command that asks the daemon: a secret that it cannot read is left out (credentials of a systemd unit
    are the daemon's alone), so its provider's settings are not whole."""
    config, problems = read_config(path, environ)
    return _whole(config, [] if all(isinstance(each, UnreadSecret) for each in problems) else problems)


def read_config(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    """All that is wrong in the order of lines, and the config without it (None when nothing is left): the app checks that as
    well, so that what only a higher floor finds wrong is told in the same go. With problems it is for checks only."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        what = f"cannot be read: {error.strerror}; write one (config.toml of the source is a start) or name it with --config"
        return None, [Problem(where=str(path), key="", what=what)]
    except UnicodeDecodeError as error:
        return None, [Problem(where=str(path), key="", what=f"is not UTF-8 text (byte {error.start})")]
    return _parse(text, path, environ)


def parse_config(text: str, *, path: Path, environ: Mapping[str, str]) -> Config:
    """`load_config` of a text that is at hand; relative paths start at the folder of `path`."""
    return _whole(*_parse(text, path, environ))


def _whole(config: Config | None, problems: list[Problem]) -> Config:
    if problems or config is None:
        raise ConfigError(problems)
    return config


def _parse(text: str, path: Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    try:
        parsed, lines = read_toml(text)
    except TomlError as error:
        return None, [Problem(where=f"{path}:{error.line}", key="", what=error.what)]
    document, variables, problems = overlay(parsed, environ)
    places = Places(str(path), lines, variables)
    crossed = list(cross_checks(document, places.locate))
    problems += crossed
    raw = {key: value for key, value in document.items() if key not in schema.NOT_YET}
    base = path.parent.absolute()
    wrong: list[KeyPath] = [(problem.key.partition(".")[0].partition("[")[0],) for problem in crossed]
    resolved = _with_empty_tables(_resolve_secrets(raw, environ, base, places, problems, wrong))
    context = {"base": base, "state": _state(raw, base)}
    try:
        checked: schema.Document | None = schema.Document.model_validate(resolved, context=context)
    except ValidationError as error:
        problems += from_validation(error, places.locate)
        wrong += [detail["loc"] for detail in error.errors(include_url=False)]
        checked = None
    if checked is None or wrong:
        checked = _sound_part(resolved, wrong, context)
    config = _build(checked, raw, path, places) if checked is not None else None
    return config, sorted(dict.fromkeys(problems), key=order)


def _sound_part(document: Mapping[str, Any], wrong: list[KeyPath], context: Mapping[str, Any]) -> schema.Document | None:
    """What is left of a document without what is wrong: each key by itself, but an array of tables as a whole, since the lines of
    the others are counted from its beginning."""
    rest = _copy(document)
    for _ in range(_ROUNDS):
        for path in wrong:
            _cut(rest, path)
        try:
            return schema.Document.model_validate(_with_empty_tables(rest), context=context)
        except ValidationError as error:  # a table may be of no use without a key that was cut
            wrong = [detail["loc"] for detail in error.errors(include_url=False)]
    return None


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _cut(table: dict[str, Any], path: KeyPath) -> None:
    """Remove the innermost key of the path that is there and lies in tables only."""
    if not path or path[0] not in table:
        return
    head, *rest = path
    inner = table[str(head)]
    if rest and isinstance(inner, dict) and rest[0] in inner:
        _cut(inner, tuple(rest))
    else:
        del table[str(head)]


def _build(checked: schema.Document, raw: Mapping[str, Any], path: Path, places: Places) -> Config:
    window = checked.window
    default = window.model_dump(include={"start", "end", "days", "hours", "closed"}, exclude_none=True)
    if "hours" not in default:
        default = {**schema.WindowTable.DEFAULTS, **default}
    return Config(
        path=path.absolute(),
        homing=checked.homing,
        http=checked.http,
        spool=checked.spool,
        intake=checked.intake,
        window=WindowTables(
            default=default,
            channels={key: table.model_dump(exclude_none=True) for key, table in window.channels.items()},
            countries={key: table.model_dump(exclude_none=True) for key, table in window.countries.items()},
        ),
        caps=checked.cap,
        weights=checked.weights.model_dump(),
        consent=checked.consent,
        topics=checked.topics,
        providers=checked.providers,
        queues=checked.queues,
        shop=checked.shop,
        holdout=checked.holdout,
        retention=checked.retention,
        notify=checked.notify,
        digest=_digest(checked, raw, path.parent.absolute()),
        places=places,
    )


def _with_empty_tables(document: Mapping[str, Any]) -> dict[str, Any]:
    """An absent table is an empty one: its defaults are then checked, and its paths resolved, like written ones."""
    single: dict[str, Any] = {key: {} for key in schema.Document.model_fields if schema.table_at((key,))}
    return {**single, **document}


def _state(document: Mapping[str, Any], base: Path) -> Path:
    """The state folder, before validation: other paths need it. A bad value is reported by its own key."""
    table = document.get("homing")
    given = table.get("state_dir") if isinstance(table, dict) else None
    if not isinstance(given, str) or not given.strip() or "\0" in given:
        given = str(schema.HomingTable.model_fields["state_dir"].default)
    return resolve_path(given, base=base, state=base)


def _resolve_secrets(
    document: Mapping[str, Any], environ: Mapping[str, str], base: Path, places: Places, problems: list[Problem], wrong: list[KeyPath]
) -> dict[str, Any]:
    """The document with the secret references of providers and `[[notify]]` read; what cannot be read is a problem, its key `wrong`."""

    def walk(value: Any, path: KeyPath) -> Any:
        if is_reference(value):
            try:
                return resolve_secret(value, environ=environ, base=base)
            except BadValue as error:
                problems.append(UnreadSecret(where=places.locate(path), key=name(path), what=error.what))
                wrong.append(path)
                return value
        if isinstance(value, dict):
            return {key: walk(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, (*path, index)) for index, inner in enumerate(value)]
        return value

    holders: Mapping[str, type] = {"providers": dict, "notify": list}
    tables = {key: document[key] for key, form in holders.items() if isinstance(document.get(key), form)}
    return {**document, **{key: walk(table, (key,)) for key, table in tables.items()}}


def _digest(checked: schema.Document, raw: Mapping[str, Any], base: Path) -> str:
    """Over defaults and given values; a provider's keys as written (a secret is its reference), paths relative to the file."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return os.path.relpath(value, base) if isinstance(value, Path) else value

    effective = checked.model_dump(exclude={"providers": True, "notify": True, "homing": {"store"}})
    effective["providers"] = raw.get("providers", {})
    if raw.get("notify"):
        effective["notify"] = raw["notify"]
    effective["homing"]["store"] = os.path.relpath(checked.homing.database, base)
    text = json.dumps(plain(effective), sort_keys=True, default=str, ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def order(problem: Problem) -> tuple[bool, int, str]:
    """Sorts the problems of one file by their lines; what has none comes last."""
    _, _, line = problem.where.rpartition(":")
    return (not line.isdecimal(), int(line) if line.isdecimal() else 0, problem.key)
