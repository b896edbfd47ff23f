"""Draws docs/config.md from `daemon/config/schema.py` and the settings of the built-in channels. Pure: a text comes out."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from daemon.config import schema, values
from daemon.config.schema import NOT_YET, Document
from daemon.config.table import Table
from daemon.config.values import Address, Rate, format_duration
from tools.docs_channels import built_in, class_of

INTRO = """\
# config.toml

TOML. Every key has a default except where it says *required*; the shipped `config.toml` shows them all. `homing check` reads it and says
everything that is wrong at once, as `file:line: key: what; did you mean "x"?`, with exit code 78; `homing run` does the same before it
starts. SIGHUP (`systemctl reload homing`) reads it again; a bad one is refused and the old one stays in force.

**Environment.** `HOMING__PROVIDERS__RELAY__HOST=mail.example.com` is `host` in `[providers.relay]` and beats the file. The value is read
as TOML, and where it is none as a string; case, `-` and `_` do not matter; arrays of tables come only whole
(`HOMING__CAP='[{ name = "w", limit = 3, rolling = "7d" }]'`).

**Secrets** are never written here, but named: `{ credential = "name" }` (systemd's `LoadCredential=`), `{ env = "NAME" }` or
`{ file = "path" }`. One trailing newline is cut off. A file that everyone may read is refused. Secrets are never logged.

**Values.** Durations: `"90s"`, `"30m"`, `"24h"`, `"7d"`, `"2w"`. Rates: `"100/s"`, `"600/m"`, `"1/10s"`. Paths start at the folder of the
file; `~` is the home folder; `STATE/..` lies below `state_dir`. Zones are IANA names, countries ISO 3166-1 codes of two letters.

The smallest config that runs:

```toml
{smallest}```
"""

SMALLEST = """\
[homing]
state_dir = "var"
default_zone = "Asia/Jakarta"
[shop]
currency = "USD"
[providers.relay]
plugin = "smtp"
host = "127.0.0.1"
port = 1025
tls = "none"
from = "Kedai <hello@mail.example.com>"
[queues.lapsed-45]
campaign = "winback"
"""

HEADINGS: Mapping[str, str] = {
    "cap": "[[cap]]", "notify": "[[notify]]", "topics": "[topics.NAME]", "providers": "[providers.NAME]", "queues": "[queues.NAME]",
}  # fmt: skip


def config_page() -> str:
    """The whole page."""
    parts = [INTRO.replace("{smallest}", SMALLEST)]
    for key in Document.model_fields:
        model = schema.table_at((key,)) or schema.table_at((key, "NAME")) or schema.table_at((key, 0))
        if model is not None:
            parts.append(section(HEADINGS.get(key, f"[{key}]"), model))
        if key == "providers":
            parts.append(section("[providers.NAME.warm_up]", schema.WarmUpTable))
            parts += [plugin_section(name, module) for name, module in built_in().items()]
    parts.append("## Not yet\n\n" + "".join(f"- `[{key}]`: {what}\n" for key, what in NOT_YET.items()))
    return "\n".join(parts)


def section(heading: str, model: type[Table]) -> str:
    """One table of the file."""
    rows = "".join(
        f"| `{name}` | {kind(field)} | {default(field)} | {escape(field.description or '')} |\n" for name, field in fields(model)
    )
    return f"## {heading}\n\n{escape(inspect.getdoc(model) or '')}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}"


def fields(model: type[Table]) -> Iterator[tuple[str, FieldInfo]]:
    yield from model.model_fields.items()


def default(field: FieldInfo) -> str:
    """As it would be written in the file."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default" in extra:
        return f"`{toml(extra['default'])}`"
    if field.default is PydanticUndefined:
        return "*required*" if field.default_factory is None else ""
    if field.default is None:
        return ""
    shown = format_duration(field.default) if values.parse_duration in readers(field) else field.default
    return f"`{toml(shown)}`"


def toml(value: Any) -> str:
    """A value in TOML's words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:_}" if isinstance(value, int) and value >= 1_000_000 else f"{value:g}"
    if isinstance(value, Table):
        return toml(value.model_dump())
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"'


def readers(field: FieldInfo) -> list[Any]:
    """The functions that read the text of a field."""
    return [getattr(each, "func", None) for each in field.metadata]


def kind(field: FieldInfo) -> str:
    """What a value of this key is, in words."""
    named = {
        values.parse_duration: "duration",
        values.parse_rate: "rate",
        values.parse_address: "HOST:PORT",
        values.parse_zone: "zone",
        values.parse_name: "name",
    }
    for reader in readers(field):
        if reader in named:
            return named[reader]
    return of_type(field.annotation)


def of_type(annotation: Any) -> str:
    """A type in the words of a config file."""
    if get_origin(annotation) is typing.Annotated:
        return of_annotated(annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"array of {of_type(get_args(annotation)[0])}"
    if get_origin(annotation) is Mapping:
        return "table"
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if arguments:
        return of_type(arguments[0])
    words = {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path", Rate: "rate", Address: "HOST:PORT"}
    return words.get(annotation, "table")


def of_annotated(annotation: Any) -> str:
    readers_of = [getattr(each, "func", None) for each in annotation.__metadata__]
    words: dict[Any, str] = {
        values.parse_duration: "duration",
        values.parse_rate: "rate",
        values.parse_country: "country",
        values.parse_name: "name",
        values.parse_network: "network",
    }
    for reader in readers_of:
        if reader in words:
            return words[reader]
    return of_type(get_args(annotation)[0])


def plugin_section(name: str, module: Any) -> str:
    """The keys of a built-in channel: its settings dataclass, and what its docstring says of them."""
    settings = class_of(name, module).settings_type
    hints = typing.get_type_hints(settings)
    rows = ""
    for field in dataclasses.fields(settings):
        rows += f"| `{field.name.rstrip('_')}` | {of_setting(hints[field.name])} | {given(field)} |\n"
    return f'### plugin = "{name}"\n\n{escape(inspect.getdoc(settings) or "")}\n\n| key | value | default |\n|---|---|---|\n{rows}'


def given(field: dataclasses.Field[Any]) -> str:
    """The default of a plugin's key."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{toml(field.default_factory())}`"
    return "*required*" if field.default is dataclasses.MISSING else "" if field.default is None else f"`{toml(field.default)}`"


def of_setting(annotation: Any) -> str:
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if getattr(annotation, "__name__", "") == "Secret" or any(getattr(each, "__name__", "") == "Secret" for each in arguments):
        return "secret"
    return of_type(annotation)


def escape(text: str) -> str:
    return text.replace("|", "\\|")
