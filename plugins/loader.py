"""Loads the channel plugins that the config names, and nothing else; a bad one never stops the others.

In: provider tables (name, plugin, settings) and the drop-in folders. Out: `Loading`, the loaded channels with their checked
settings and a list of problems. A plugin is found by its name alone: the name of an entry point of the group
`homing.plugins`, or of a file `NAME.py` in a drop-in folder (`discovery`). The built-in channels come through the same door.
A loaded plugin runs in this process with all its rights: that is why only the config can ask for one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pluggy

from plugins import hookspecs
from plugins.contract import API_VERSION, Capabilities, Channel
from plugins.discovery import Found, PluginRefusedError, find_plugins, nearest
from plugins.settings import Locate, Problem, SettingsRefusedError, read_settings

ADDRESSES = ("email", "phone", "push", "recipient")
WORD = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTable:
    """One `[providers.NAME]` table: the plugin it names and the plugin's own keys (without `plugin`, `rate`, `domains`)."""

    name: str
    plugin: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedChannel:
    """A provider that can be started. `channel` and `address` are those of the class, or what its settings make of them."""

    provider: str
    plugin: str
    channel_class: type[Channel]
    settings: Any
    channel: str
    address: str
    origin: str

    def make(self) -> Channel:
        """A new instance, not started. The plugin's constructor may raise whatever it likes: call it in isolation."""
        return self.channel_class()


class ProblemKind(StrEnum):
    """What a problem means for the start."""

    CONFIG = "config"
    """The config is wrong (unknown plugin, settings that do not fit): the start ends with 78, with all other such errors."""
    PLUGIN = "plugin"
    """The plugin is bad: it is not loaded, the daemon starts without it, campaigns that need the provider are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProblem(Problem):
    """Why a provider has no channel: `config.toml:12: providers.calls.plugin: what; did you mean "dialler"?`."""

    kind: ProblemKind
    provider: str
    plugin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What came of it: a channel for every provider that has none of the problems."""

    channels: tuple[LoadedChannel, ...]
    problems: tuple[LoadProblem, ...]


def load_channels(providers: Iterable[ProviderTable], *, plugin_dirs: Sequence[Path] = (), locate: Locate = lambda _: "") -> Loading:
    """Load the plugin of each provider and check its settings; each plugin once, however many providers use it.

    `locate` gives the place of a key in the config: `("providers", "relay", "host")` -> `config.toml:12`.
    """
    found = find_plugins(plugin_dirs)
    problems = [_folder_problem(index, folder, locate) for index, folder in enumerate(plugin_dirs) if not folder.is_dir()]
    channels: list[LoadedChannel] = []
    classes: dict[str, type[Any] | PluginRefusedError] = {}
    for provider in providers:
        at = ("providers", provider.name, "plugin")
        try:
            if provider.plugin not in found:
                raise SettingsRefusedError([_unknown(provider.plugin, found, locate(at), ".".join(at))])
            if provider.plugin not in classes:
                classes[provider.plugin] = _load_or_refusal(found[provider.plugin])
            channels.append(_provide(provider, classes[provider.plugin], found[provider.plugin][0].origin, locate))
        except SettingsRefusedError as error:
            problems += [_problem(ProblemKind.CONFIG, provider, each) for each in error.problems]
        except PluginRefusedError as refusal:
            problem = Problem(where=locate(at), key=".".join(at), what=str(refusal))
            problems.append(_problem(ProblemKind.PLUGIN, provider, problem))
    return Loading(channels=tuple(channels), problems=tuple(problems))


def load_plugin(name: str, *, plugin_dirs: Sequence[Path] = ()) -> type[Any]:
    """The channel class of one plugin, for `homing plugins test NAME`. PluginRefusedError says why there is none."""
    found = find_plugins(plugin_dirs)
    if name not in found:
        close = nearest(name, found)
        hint = f'; did you mean "{close}"?' if close else ""
        raise PluginRefusedError(f'no plugin is called "{name}" (there are: {", ".join(sorted(found)) or "none"}){hint}')
    return load_class(found[name])


def load_class(places: Sequence[Found]) -> type[Any]:
    """Import the one place where a plugin was found and return its channel class; PluginRefusedError with the reason."""
    if len(places) > 1:
        where = " and ".join(place.origin for place in places)
        raise PluginRefusedError(f"more than one plugin has this name: {where}; rename or remove all but one")
    place = places[0]
    module = place.load()
    version = getattr(module, "API_VERSION", API_VERSION)
    if version != API_VERSION:
        raise PluginRefusedError(f"{place.origin} is written for version {version} of the plugin socket, this Homing has {API_VERSION}")
    classes = _registered(module, place)
    named = [each for each in classes if getattr(each, "name", None) == place.name]
    if len(named) != 1:
        names = ", ".join(f'"{getattr(each, "name", None)}"' for each in classes) or "no channel"
        raise PluginRefusedError(f'{place.origin} must register exactly one channel whose name is "{place.name}", but registers {names}')
    channel_class: type[Any] = named[0]
    check_class(channel_class)
    return channel_class


def check_class(channel_class: Any) -> None:
    """PluginRefusedError unless the class has the shape of a channel (`plugins.contract.Channel`)."""
    label = getattr(channel_class, "__name__", repr(channel_class))
    for attribute in ("name", "channel", "address"):
        if not isinstance(getattr(channel_class, attribute, None), str):
            raise PluginRefusedError(f"{label} has no {attribute} (text)")
    if not WORD.match(channel_class.channel):
        raise PluginRefusedError(f'{label}.channel is "{channel_class.channel}": it must be a lower-case word')
    if channel_class.address not in ADDRESSES:
        raise PluginRefusedError(f'{label}.address is "{channel_class.address}": it must be one of {", ".join(ADDRESSES)}')
    settings_type = getattr(channel_class, "settings_type", None)
    if not (isinstance(settings_type, type) and is_dataclass(settings_type)):
        raise PluginRefusedError(f"{label}.settings_type is no dataclass")
    capabilities = getattr(channel_class, "capabilities", Capabilities())
    if not isinstance(capabilities, Capabilities | property):
        raise PluginRefusedError(f"{label}.capabilities is no Capabilities")
    if isinstance(capabilities, Capabilities) and min(capabilities.concurrency, capabilities.batch, capabilities.unit) < 1:
        raise PluginRefusedError(f"{label}.capabilities: concurrency, batch and unit must be at least 1")
    for method in ("start", "send", "stop"):
        if not inspect.iscoroutinefunction(getattr(channel_class, method, None)):
            raise PluginRefusedError(f"{label} has no `async def {method}`")
    if inspect.isabstract(channel_class):
        raise PluginRefusedError(f"{label} leaves {', '.join(sorted(channel_class.__abstractmethods__))} unwritten")


def _load_or_refusal(places: Sequence[Found]) -> type[Any] | PluginRefusedError:
    try:
        return load_class(places)
    except PluginRefusedError as refusal:
        return refusal


def _registered(module: Any, place: Found) -> list[Any]:
    """What the plugin's own `register_channels` returns; its hooks are checked and called by themselves."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, place.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        names = [each for each in vars(hookspecs) if each.startswith("register_")]
        raise PluginRefusedError(f"{place.origin}: {error} (the hooks are: {', '.join(names)})") from error
    functions = [impl.function for impl in manager.hook.register_channels.get_hookimpls()]
    if not functions:
        raise PluginRefusedError(f"{place.origin} has no function register_channels marked with @hookimpl")
    classes = _call(functions[0], place)
    if not isinstance(classes, list | tuple) or not all(isinstance(each, type) for each in classes):
        raise PluginRefusedError(f"{place.origin}: register_channels must return a list of classes, not {_kind(classes)}")
    return list(classes)


def _call(function: Callable[[], Any], place: Found) -> Any:
    try:
        result = function()
    except Exception as error:  # isolation: the plugin is not loaded, the others are
        raise PluginRefusedError(f"{place.origin}: register_channels raised {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(result):
        result.close()
        raise PluginRefusedError(f"{place.origin}: register_channels must be a plain function, not `async def`")
    return result


def _kind(value: Any) -> str:
    return f"a list with {value!r}" if isinstance(value, list | tuple) else type(value).__name__


def _provide(provider: ProviderTable, loaded: type[Any] | PluginRefusedError, origin: str, locate: Locate) -> LoadedChannel:
    if isinstance(loaded, PluginRefusedError):
        raise loaded
    try:
        settings = read_settings(loaded.settings_type, provider.settings, path=("providers", provider.name), locate=locate)
        channel, address = stands_for(loaded, settings)
    except SettingsRefusedError:
        raise
    except Exception as error:  # isolation: a settings class or `stands_for` that raises costs this provider only
        raise PluginRefusedError(f"{origin}: its settings cannot be made: {type(error).__name__}: {error}") from error
    return LoadedChannel(
        provider=provider.name,
        plugin=provider.plugin,
        channel_class=loaded,
        settings=settings,
        channel=channel,
        address=address,
        origin=origin,
    )


def stands_for(channel_class: type[Any], settings: Any) -> tuple[str, str]:
    """The channel and address that a class stands for: its own, or what its optional `stands_for(settings)` answers."""
    chosen = getattr(channel_class, "stands_for", None)
    channel, address = (channel_class.channel, channel_class.address) if chosen is None else chosen(settings)
    return channel, address


def _unknown(plugin: str, found: Mapping[str, Sequence[Found]], where: str, key: str) -> Problem:
    known = ", ".join(sorted(found)) or "none"
    what = f'no plugin is called "{plugin}" (there are: {known}; a drop-in file must be called {plugin}.py)'
    return Problem(where=where, key=key, what=what, suggestion=nearest(plugin, found))


def _folder_problem(index: int, folder: Path, locate: Locate) -> LoadProblem:
    key = ("homing", "plugin_dirs")
    what = f"entry {index + 1}, {folder}, is no folder"
    return LoadProblem(kind=ProblemKind.CONFIG, provider="", plugin="", where=locate(key), key=".".join(key), what=what)


def _problem(kind: ProblemKind, provider: ProviderTable, problem: Problem) -> LoadProblem:
    return LoadProblem(
        kind=kind,
        provider=provider.name,
        plugin=provider.plugin,
        where=problem.where,
        key=problem.key,
        what=problem.what,
        suggestion=problem.suggestion,
    )
