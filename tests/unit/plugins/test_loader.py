"""The loader: only what the config names, from entry points and drop-in folders; a bad plugin costs nobody else."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins import Secret
from plugins.discovery import GROUP, PluginRefusedError, find_plugins
from plugins.loader import Loading, ProblemKind, ProviderTable, load_channels, load_plugin

GUIDE = Path(__file__).parents[3] / "docs/writing-a-channel.md"
HEAD = "from dataclasses import dataclass\nfrom plugins import *\n\n@dataclass(frozen=True)\nclass Settings:\n    url: str = 'x'\n\n"
CHANNEL = """
class {name}(SimpleChannel[Settings]):
    name, channel, address, settings_type = "{plugin}", "call", "phone", Settings
    async def send_one(self, message):
        return Accepted()
"""
REGISTER = "\n@hookimpl\ndef register_channels():\n    return [{name}]\n"


def sound(plugin: str) -> str:
    return CHANNEL.format(name="It", plugin=plugin) + REGISTER.format(name="It")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dropins").mkdir(mode=0o755)
    return tmp_path / "dropins"


@pytest.fixture
def drop(folder: Path) -> Callable[..., Path]:
    """Write a drop-in file; by default a sound one."""

    def write(plugin: str, source: str | None = None) -> Path:
        path = folder / f"{plugin}.py"
        whole = source if source is not None and source.startswith('"""') else HEAD + (source if source is not None else sound(plugin))
        path.write_text(whole)
        path.chmod(0o644)
        return path

    return write


def load(folder: Path, *plugins: str, **settings: Any) -> Loading:
    tables = [ProviderTable(name=f"my-{plugin}", plugin=plugin, settings=settings) for plugin in plugins]
    return load_channels(tables, plugin_dirs=[folder], locate=lambda path: f"config.toml:{len(path)}")


def test_a_drop_in_file_is_loaded_by_its_name(folder: Path, drop: Callable[..., Path]) -> None:
    """The guide's own example, word for word, with its settings."""
    drop("dialler", GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0])
    settings = {"url": "https://api.dialler.example/calls", "token": Secret("t")}
    loading = load_channels([ProviderTable(name="calls", plugin="dialler", settings=settings)], plugin_dirs=[folder])
    (loaded,) = loading.channels
    assert loading.problems == ()
    assert (loaded.provider, loaded.plugin, loaded.channel, loaded.address) == ("calls", "dialler", "call", "phone")
    assert loaded.settings.url == "https://api.dialler.example/calls"
    assert loaded.origin == str(folder / "dialler.py")
    assert type(loaded.make()).__name__ == "Dialler"
    assert loaded.make() is not loaded.make()


def test_the_built_in_channels_come_through_the_same_door() -> None:
    """Both are entry points of the installed distribution; console stands for the channel that its settings name."""
    assert {point.name for point in importlib.metadata.entry_points(group=GROUP)} >= {"smtp", "console"}
    table = ProviderTable(name="dry", plugin="console", settings={"channel": "sms"})
    (loaded,) = load_channels([table]).channels
    assert (loaded.channel, loaded.address) == ("sms", "phone")
    assert loaded.origin.startswith("channels.console of homing")


def test_only_what_the_config_names_is_imported(folder: Path, drop: Callable[..., Path]) -> None:
    """A file next to it, however evil, never runs; without a provider nothing is."""
    drop("wanted")
    drop("evil", "raise SystemExit('boom')")
    assert load(folder, "wanted").problems == ()
    assert "homing_dropin_wanted" in sys.modules
    assert "homing_dropin_evil" not in sys.modules
    assert load(folder) == Loading(channels=(), problems=())


def test_a_drop_in_shadows_no_library(folder: Path, drop: Callable[..., Path]) -> None:
    """A file json.py is a plugin called json, not the json of others; no compiled file is left or trusted."""
    drop("json")
    before = sys.modules.get("json")
    assert load(folder, "json").problems == ()
    assert sys.modules.get("json") is before
    assert not (folder / "__pycache__").exists()


BAD: dict[str, tuple[str, str]] = {
    "syntax": ("def (:\n", r"syntax.py cannot be imported: line \d+: "),
    "raises": ("1 / 0\n", r"raises.py cannot be imported: line \d+: ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(3)\n", r"cannot be imported: line \d+: SystemExit: 3"),
    "nothing": ("", r"has no function register_channels or register_audiences marked with @hookimpl"),
    "unmarked": ("def register_channels():\n    return []\n", r"has no function register_channels or register_audiences marked with @hookimpl"),
    "misspelt": ("@hookimpl\ndef register_chanels():\n    return []\n", r"register_chanels.*the hooks are: register_channels"),
    "arguments": ("@hookimpl\ndef register_channels(config):\n    return []\n", r"Argument\(s\) \{'config'\}"),
    "hookraises": ("@hookimpl\ndef register_channels():\n    raise OSError('no disk')\n", r"register_channels raised OSError: no disk"),
    "coroutine": ("@hookimpl\nasync def register_channels():\n    return []\n", r"must be a plain function, not `async def`"),
    "notalist": ("@hookimpl\ndef register_channels():\n    return 7\n", r"must return a list of classes, not int"),
    "instances": ("@hookimpl\ndef register_channels():\n    return [7]\n", r"must return a list of classes, not a list with \[7\]"),
    "othername": (
        CHANNEL.format(name="It", plugin="another") + REGISTER.format(name="It"),
        r'exactly one channel whose name is "othername", but registers "another"',
    ),
    "newer": ("API_VERSION = 2\n" + CHANNEL.format(name="It", plugin="newer") + REGISTER.format(name="It"), r"written for version 2 .* has 1"),
    "nosettings": (
        CHANNEL.format(name="It", plugin="nosettings").replace('"phone", Settings', '"phone", dict') + REGISTER.format(name="It"),
        r"It.settings_type is no dataclass",
    ),
    "badaddress": (
        CHANNEL.format(name="It", plugin="badaddress").replace('"phone"', '"fax"') + REGISTER.format(name="It"),
        r'It.address is "fax": it must be one of email, phone, push, recipient',
    ),
    "badchannel": (
        CHANNEL.format(name="It", plugin="badchannel").replace('"call"', '"Phone call"') + REGISTER.format(name="It"),
        r"must be a lower-case word",
    ),
    "nosendone": (
        CHANNEL.format(name="It", plugin="nosendone").replace("send_one", "send_it") + REGISTER.format(name="It"),
        r"It leaves send_one unwritten",
    ),
    "syncsend": (
        "class It:\n    name, channel, address, settings_type = 'syncsend', 'call', 'phone', Settings\n    def start(self): ...\n"
        + REGISTER.format(name="It"),
        r"It has no `async def start`",
    ),
    "nounit": (
        CHANNEL.format(name="It", plugin="nounit") + "    capabilities = Capabilities(unit=0)\n" + REGISTER.format(name="It"),
        r"concurrency, batch and unit must be at least 1",
    ),
    "nospare": (
        CHANNEL.format(name="It", plugin="nospare") + "    capabilities = Capabilities(spare=-1)\n" + REGISTER.format(name="It"),
        r"spare must not be negative",
    ),
    "noname": ("class It: ...\n" + REGISTER.format(name="It"), r'"noname", but registers "None"'),
}


@pytest.mark.promise("B60")
@pytest.mark.parametrize("plugin", BAD)
def test_a_bad_plugin_is_not_loaded_and_the_others_are(plugin: str, folder: Path, drop: Callable[..., Path]) -> None:
    """B60: the problem says what and where; its neighbours start; nothing of it stays in sys.modules unless it ran."""
    drop("good")
    drop(plugin, BAD[plugin][0])
    loading = load(folder, plugin, "good")
    assert [loaded.plugin for loaded in loading.channels] == ["good"]
    (problem,) = loading.problems
    assert problem.kind is ProblemKind.PLUGIN
    assert (problem.provider, problem.plugin, problem.where, problem.key) == (f"my-{plugin}", plugin, "config.toml:3", f"providers.my-{plugin}.plugin")
    with pytest.raises(PluginRefusedError, match=BAD[plugin][1]) as refused:
        load_plugin(plugin, plugin_dirs=[folder])
    assert str(refused.value) in str(problem)


def test_an_unknown_plugin_is_an_error_of_the_config_with_the_nearest_name(folder: Path, drop: Callable[..., Path]) -> None:
    """A typo ends the start like any other wrong value."""
    drop("dialler")
    (problem,) = load(folder, "dialer").problems
    assert problem.kind is ProblemKind.CONFIG
    assert str(problem).startswith('config.toml:3: providers.my-dialer.plugin: no plugin is called "dialer" (there are: ')
    assert str(problem).endswith('did you mean "dialler"?')
    with pytest.raises(PluginRefusedError, match=r'no plugin is called "dialer".*did you mean "dialler"\?'):
        load_plugin("dialer", plugin_dirs=[folder])


def test_settings_that_do_not_fit_are_errors_of_the_config_all_at_once(folder: Path, drop: Callable[..., Path]) -> None:
    """Each with its own place; the plugin itself is fine."""
    drop("dialler")
    problems = load(folder, "dialler", url=7, tokn="x").problems
    assert [problem.kind for problem in problems] == [ProblemKind.CONFIG] * 2
    assert {problem.key for problem in problems} == {"providers.my-dialler.url", "providers.my-dialler.tokn"}


@pytest.mark.promise("B60")
def test_two_plugins_of_one_name_are_both_refused(folder: Path, drop: Callable[..., Path], tmp_path: Path) -> None:
    """A drop-in can neither replace a built-in channel nor another drop-in by being found first."""
    drop("console")
    (problem,) = load(folder, "console").problems
    assert "more than one plugin has this name: channels.console of homing" in problem.what
    assert problem.kind is ProblemKind.PLUGIN


def test_the_same_folder_named_twice_is_one(folder: Path, drop: Callable[..., Path]) -> None:
    """Also through a symbolic link."""
    drop("dialler")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert len(find_plugins([folder, folder, link])["dialler"]) == 1


def test_a_folder_that_is_not_there_is_an_error_of_the_config(tmp_path: Path) -> None:
    """Named with its entry, whatever the providers."""
    (problem,) = load(tmp_path / "absent").problems
    assert (problem.kind, problem.key, problem.where) == (ProblemKind.CONFIG, "homing.plugin_dirs", "config.toml:2")
    assert "entry 1" in problem.what


@pytest.mark.promise("B60")
def test_a_file_or_folder_that_everyone_may_write_is_refused(folder: Path, drop: Callable[..., Path]) -> None:
    """Whoever may write it could run code as the daemon."""
    path = drop("dialler")
    path.chmod(0o666)
    assert f"{path} may be written by everyone: chmod o-w" in load(folder, "dialler").problems[0].what
    path.chmod(0o644)
    folder.chmod(0o777)
    assert f"{folder} may be written by everyone" in load(folder, "dialler").problems[0].what
    folder.chmod(0o755)
    assert load(folder, "dialler").problems == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_refused(folder: Path, drop: Callable[..., Path]) -> None:
    """It must belong to root or to the user that runs Homing."""
    path = drop("dialler")
    os.chown(path, 12345, -1)
    assert "belongs to user 12345" in load(folder, "dialler").problems[0].what


def test_hidden_files_and_private_modules_are_no_plugins(folder: Path, drop: Callable[..., Path]) -> None:
    """`_shared.py` may lie beside them."""
    drop("_shared")
    drop(".hidden")
    drop("dialler")
    assert {name for name, places in find_plugins([folder]).items() if places[0].path} == {"dialler"}


def test_one_plugin_serves_several_providers_and_is_run_once(folder: Path, drop: Callable[..., Path]) -> None:
    """Two tables, one class, two settings."""
    drop("dialler")
    tables = [ProviderTable(name=name, plugin="dialler", settings={"url": name}) for name in ("one", "two")]
    first, second = load_channels(tables, plugin_dirs=[folder]).channels
    assert first.channel_class is second.channel_class
    assert (first.settings.url, second.settings.url) == ("one", "two")


def test_settings_that_raise_when_made_cost_their_provider_only(folder: Path, drop: Callable[..., Path]) -> None:
    """An author's mistake in `__post_init__` or `stands_for` is a plugin's problem, not the config's."""
    broken = CHANNEL.format(name="It", plugin="broken") + "    @classmethod\n    def stands_for(cls, settings):\n        return settings.nothing\n"
    drop("broken", broken + REGISTER.format(name="It"))
    drop("good")
    loading = load(folder, "broken", "good")
    assert [loaded.plugin for loaded in loading.channels] == ["good"]
    assert "AttributeError" in loading.problems[0].what
    assert loading.problems[0].kind is ProblemKind.PLUGIN
