"""Draws docs/cli.md from the commands themselves (click). Pure: a text comes out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from daemon.cli.main import cli
from tools.docs_model import exit_codes

INTRO = """\
# The command line

`homing [OPTIONS] COMMAND`. `--config FILE` (default `./config.toml`) and `--json` are taken everywhere; progress shows only on a terminal.
While a daemon runs, commands that write speak to it over `STATE/control.sock`; without one they take the state lock themselves.

"""


def cli_page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="homing")
    return INTRO + exit_codes() + "\n" + "\n".join(command_pages(cli, context))


def command_pages(command: click.Command, context: click.Context) -> Iterator[str]:
    """A section for each command that does something, groups before their members."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from command_pages(inner, click.Context(inner, info_name=name, parent=context))
        if context.parent is not None:
            return
    if context.parent is not None:
        yield section(command, context)


def section(command: click.Command, context: click.Context) -> str:
    """Usage, what it does, and its arguments and options."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = "".join(row for parameter in command.get_params(context) if (row := parameter_row(parameter, context)))
    table = f"\n| option | meaning |\n|---|---|\n{rows}" if rows else ""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return f"## {context.command_path}\n\n`{usage}`\n\n{text}\n{table}"


def parameter_row(parameter: click.Parameter, context: click.Context) -> str:
    record = parameter.get_help_record(context)
    if record is None or "--help" in parameter.opts:
        return ""
    name, meaning = record
    return f"| `{name}` | {meaning.replace('|', chr(92) + '|')} |\n"
