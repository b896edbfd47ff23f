"""What the docs say of the built-in channel plugins: the table in `docs/channels.md`, read off the classes themselves."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from plugins.discovery import GROUP
from plugins.feedback import Prices, Reconciles, TakesFeedback

HEAD = """\
| `plugin` | channel | address | calls at once | messages a call | in one act | longest text | feedback | settles doubts | knows its price |
|---|---|---|---|---|---|---|---|---|---|
"""


def built_in() -> Mapping[str, Any]:
    """Built-in plugin -> its module, by name."""
    points = [point for point in importlib.metadata.entry_points(group=GROUP) if point.value.startswith("channels.")]
    return {point.name: importlib.import_module(point.value) for point in sorted(points)}


def class_of(name: str, module: Any) -> type[Any]:
    """The class that the plugin registers under its name."""
    found: type[Any] = next(kind for kind in vars(module).values() if hasattr(kind, "settings_type") and kind.name == name)
    return found


def channels() -> str:
    """One row a plugin that brings a channel. What its settings change is shown as without them."""
    rows = (row(name, class_of(name, module)) for name, module in built_in().items() if hasattr(module, "register_channels"))
    return HEAD + "".join(rows)


def row(name: str, kind: type[Any]) -> str:
    can = kind.capabilities
    channel = f"{kind.channel}, or as set" if hasattr(kind, "stands_for") else kind.channel
    marks = ("yes" if issubclass(kind, each) else "" for each in (TakesFeedback, Reconciles, Prices))
    cells = (f"`{name}`", channel, kind.address, can.concurrency, can.batch, can.unit, can.max_text or "", *marks)
    return "| " + " | ".join(map(str, cells)) + " |\n"
