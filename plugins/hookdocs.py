"""Draws `docs/hooks.md` from the hook specifications and the rules of the conformance kit. Pure: text out, nothing read.

Called by `make docs` (`tools/docs.py`), which also checks that the page in the repository is what the code says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from plugins import hookspecs
from plugins.contract import API_VERSION, GRANT_SECONDS
from plugins.testing.audience_kit import RULES as AUDIENCE_RULES
from plugins.testing.report import STATEMENTS

INTRODUCTION = f"""\
# Plugin hooks

A plugin is a module with functions that carry the name of a hook and the mark `@hookimpl` (from `plugins import hookimpl`). Hooks are
plain functions that return classes; whatever is asynchronous lives on the objects. A misspelt hook, one that raises, an `async def` and a
plugin for another version of the socket (this one is `API_VERSION = {API_VERSION}`) are refused with the reason; the other plugins load.

How to write a channel, with a whole example: [writing-a-channel.md](writing-a-channel.md).
"""
RULES = f"""\
## What a channel must keep to

The conformance kit checks these rules (`homing plugins test NAME`); a grant is good for {GRANT_SECONDS:g} seconds.

| rule | what it says |
|---|---|
"""
AUDIENCES = """\
## What a plugin for an advertising platform must keep to

The same command checks these; the words are in `plugins/audience.py`, what an audience is in [audiences.md](audiences.md).

| rule | what it says |
|---|---|
"""


def hook_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each hook's name and specification, in the order in which they are written."""
    for name, value in vars(hookspecs).items():
        if inspect.isfunction(value) and hasattr(value, f"{hookspecs.PROJECT}_spec"):
            yield name, value


def hooks_page() -> str:
    """The text of `docs/hooks.md`."""
    parts = [INTRODUCTION]
    for name, function in hook_functions():
        signature = str(inspect.signature(function)).replace("'", "")
        parts.append(f"## `{name}{signature}`\n\n{inspect.getdoc(function)}\n")
    rows = "".join(f"| `{rule.value}` | {statement} |\n" for rule, statement in STATEMENTS.items())
    ours = "".join(f"| `{rule}` | {statement} |\n" for rule, statement in AUDIENCE_RULES.items())
    return "\n".join([*parts, RULES + rows, AUDIENCES + ours])
