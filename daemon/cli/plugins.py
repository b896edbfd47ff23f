"""`homing plugins`: what channel plugins there are, and whether one keeps the rules of the socket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command, group
from daemon.errors import ConfigError, PluginError, UsageError

_FOLDERS = click.option(
    "--plugin-dir", "folders", multiple=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
    help="A folder of drop-in plugins, beside those of the config; may be repeated.",
)  # fmt: skip


def _folders(cli: Cli, given: Sequence[Path]) -> list[Path]:
    """Those given, and those of the config if there is one."""
    try:
        return [*cli.config.homing.plugin_dirs, *given]
    except ConfigError:
        if cli.config_path.exists():
            raise
        return list(given)


@command("list", short_help="What plugins there are, and which providers use them.")
@_FOLDERS
def list_plugins(cli: Cli, folders: tuple[Path, ...]) -> None:
    """All plugins that could be loaded. Nothing is loaded that the config does not name."""
    from plugins.discovery import find_plugins

    found = find_plugins(_folders(cli, folders))
    used: dict[str, list[str]] = {}
    if cli.config_path.exists():
        for provider, table in cli.config.providers.items():
            used.setdefault(table.plugin, []).append(provider)
    answer: list[dict[str, Any]] = [
        {"plugin": name, "from": [place.origin for place in places], "providers": used.get(name, [])}
        for name, places in sorted(found.items())
    ]
    rows = [(each["plugin"], ", ".join(each["providers"]) or "-", " and ".join(each["from"])) for each in answer]
    cli.answer(answer, lambda: screen.table(("plugin", "providers", "from"), rows))


@command("test", short_help="Put a plugin through the conformance kit.")
@click.argument("name")
@click.option("--settings", "words", multiple=True, metavar="KEY=VALUE", help="A setting of the plugin; may be repeated.")
@click.argument("more", nargs=-1, metavar="[KEY=VALUE]..")
@_FOLDERS
def test(cli: Cli, name: str, words: tuple[str, ...], more: tuple[str, ...], folders: tuple[Path, ...]) -> None:
    """Play all scenes with the plugin NAME against a peer on this machine, and say which rules it keeps and which it breaks.

    What leads to the real provider (url, host and port) is replaced by the peer's address. Exit code 1 if a rule is broken.
    """
    from plugins.discovery import PluginRefusedError
    from plugins.loader import is_audience, load_plugin
    from plugins.settings import SettingsRefusedError, table_from_words
    from plugins.testing.audience_kit import check_audience
    from plugins.testing.conformance import check_channel

    try:
        channel: type[Any] = load_plugin(name, plugin_dirs=_folders(cli, folders))
        settings: dict[str, Any] = table_from_words(channel.settings_type, [*words, *more])
        report: Any = check_audience(channel, settings) if is_audience(channel) else check_channel(channel, settings)
    except PluginRefusedError as refusal:
        raise PluginError(str(refusal)) from None
    except SettingsRefusedError as error:
        problems = "; ".join(str(problem).strip(": ") for problem in error.problems)
        raise UsageError(f"{problems}; give the plugin's keys as --settings KEY=VALUE") from None
    cli.answer(report.as_json(), lambda: screen.say(report.text()))
    if not report.passed:
        raise click.exceptions.Exit(1)


plugins = group("plugins", "List channel plugins, and test one.", list_plugins, test)
