"""Loads the plugins that the config names (channels, advertising platforms), and nothing else; a bad one never stops the others.

In: provider tables (name, plugin, settings) and the drop-in folders. Out: `Loading`, what was loaded with its checked
settings and a list of problems. A plugin is found by its name alone: the name of an entry point of the group
`homing.plugins`, or of a file `NAME.py` in a drop-in folder (`discovery`). The built-in channels come through the same door.
A loaded plugin runs in this process with all its rights: that is why only the config can ask for one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pluggy

from plugins import hookspecs
from plugins.audience import AudienceCapabilities, AudienceChannel
from plugins.contract import API_VERSION, Capabilities, Channel, SettingError
from plugins.discovery import Found, PluginRefusedError, find_plugins, nearest
from plugins.settings import Locate, Problem, SettingsRefusedError, read_settings
from plugins.standing import WORD

ADDRESSES = ("email", "phone", "push", "recipient")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedAudience:
    """A provider of audiences that can be started."""

    provider: str
    plugin: str
    audience_class: type[AudienceChannel]
    settings: Any
    origin: str

    def make(self) -> AudienceChannel:
        """As `LoadedChannel.make`."""
        return self.audience_class()


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
    """What came of it: a channel, or an advertising platform, for every provider that has none of the problems."""

    channels: tuple[LoadedChannel, ...]
    problems: tuple[LoadProblem, ...]
    audiences: tuple[LoadedAudience, ...] = ()


def load_channels(providers: Iterable[ProviderTable], *, plugin_dirs: Sequence[Path] = (), locate: Locate = lambda _: "") -> Loading:
    """Load the plugin of each provider and check its settings; each plugin once, however many providers use it.

    `locate` gives the place of a key in the config: `("providers", "relay", "host")` -> `config.toml:12`.
    """
    found = find_plugins(plugin_dirs)
    problems = [_folder_problem(index, folder, locate) for index, folder in enumerate(plugin_dirs) if not folder.is_dir()]
    loaded: list[LoadedChannel | LoadedAudience] = []
    classes: dict[str, type[Any] | PluginRefusedError] = {}
    for provider in providers:
        at = ("providers", provider.name, "plugin")
        try:
            if provider.plugin not in found:
                raise SettingsRefusedError([_unknown(provider.plugin, found, locate(at), ".".join(at))])
            if provider.plugin not in classes:
                classes[provider.plugin] = _load_or_refusal(found[provider.plugin])
            loaded.append(_provide(provider, classes[provider.plugin], found[provider.plugin][0].origin, locate))
        except SettingsRefusedError as error:
            problems += [_problem(ProblemKind.CONFIG, provider, each) for each in error.problems]
        except PluginRefusedError as refusal:
            problem = Problem(where=locate(at), key=".".join(at), what=str(refusal))
            problems.append(_problem(ProblemKind.PLUGIN, provider, problem))
    channels = tuple(each for each in loaded if isinstance(each, LoadedChannel))
    problems += _strangers(channels, locate)
    return Loading(
        channels=channels, problems=tuple(problems),
        audiences=tuple(each for each in loaded if isinstance(each, LoadedAudience)),
    )  # fmt: skip


def load_plugin(name: str, *, plugin_dirs: Sequence[Path] = ()) -> type[Any]:
    """The class of one plugin, of a channel or an audience, for `homing plugins test NAME`. PluginRefusedError says why there is none."""
    found = find_plugins(plugin_dirs)
    if name not in found:
        close = nearest(name, found)
        hint = f'; did you mean "{close}"?' if close else ""
        raise PluginRefusedError(f'no plugin is called "{name}" (there are: {", ".join(sorted(found)) or "none"}){hint}')
    return load_class(found[name])


def load_class(places: Sequence[Found]) -> type[Any]:
    """Import the one place where a plugin was found and return its class; PluginRefusedError with the reason."""
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
    plugin_class: type[Any] = named[0]
    if is_audience(plugin_class):
        check_audience_class(plugin_class)
    else:
        check_class(plugin_class)
    return plugin_class


def is_audience(plugin_class: Any) -> bool:
    """Is it the class of an advertising platform? By its shape: it syncs, and sends nothing."""
    return hasattr(plugin_class, "sync") and not hasattr(plugin_class, "send")


def check_audience_class(audience_class: Any) -> None:
    """PluginRefusedError unless the class has the shape of `plugins.audience.AudienceChannel`."""
    label = getattr(audience_class, "__name__", repr(audience_class))
    if not isinstance(getattr(audience_class, "name", None), str):
        raise PluginRefusedError(f"{label} has no name (text)")
    _check_settings_type(audience_class, label)
    capabilities = getattr(audience_class, "capabilities", AudienceCapabilities())
    if not isinstance(capabilities, AudienceCapabilities | property):
        raise PluginRefusedError(f"{label}.capabilities is no AudienceCapabilities")
    if isinstance(capabilities, AudienceCapabilities):
        if capabilities.batch < 1:
            raise PluginRefusedError(f"{label}.capabilities: batch must be at least 1")
        if capabilities.asynchronous and not inspect.iscoroutinefunction(getattr(audience_class, "poll", None)):
            raise PluginRefusedError(f"{label} answers later (asynchronous), but has no `async def poll`")
    _check_methods(audience_class, label, ("start", "ensure", "sync", "stop"))
    if not callable(handles := getattr(audience_class, "handles", None)) or inspect.iscoroutinefunction(handles):
        raise PluginRefusedError(f"{label} has no plain method `handles`")


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
    _check_settings_type(channel_class, label)
    capabilities = getattr(channel_class, "capabilities", Capabilities())
    if not isinstance(capabilities, Capabilities | property):
        raise PluginRefusedError(f"{label}.capabilities is no Capabilities")
    if isinstance(capabilities, Capabilities) and min(capabilities.concurrency, capabilities.batch, capabilities.unit) < 1:
        raise PluginRefusedError(f"{label}.capabilities: concurrency, batch and unit must be at least 1")
    if isinstance(capabilities, Capabilities) and capabilities.spare < 0:
        raise PluginRefusedError(f"{label}.capabilities: spare must not be negative")
    _check_methods(channel_class, label, ("start", "send", "stop"))


def _check_settings_type(plugin_class: Any, label: str) -> None:
    settings_type = getattr(plugin_class, "settings_type", None)
    if not (isinstance(settings_type, type) and is_dataclass(settings_type)):
        raise PluginRefusedError(f"{label}.settings_type is no dataclass")


def _check_methods(plugin_class: Any, label: str, methods: Sequence[str]) -> None:
    for method in methods:
        if not inspect.iscoroutinefunction(getattr(plugin_class, method, None)):
            raise PluginRefusedError(f"{label} has no `async def {method}`")
    if inspect.isabstract(plugin_class):
        raise PluginRefusedError(f"{label} leaves {', '.join(sorted(plugin_class.__abstractmethods__))} unwritten")


def _load_or_refusal(places: Sequence[Found]) -> type[Any] | PluginRefusedError:
    try:
        return load_class(places)
    except PluginRefusedError as refusal:
        return refusal


def _registered(module: Any, place: Found) -> list[Any]:
    """What the plugin's own `register_channels` and `register_audiences` return; its hooks are checked and called by themselves."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, place.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        names = [each for each in vars(hookspecs) if each.startswith("register_")]
        raise PluginRefusedError(f"{place.origin}: {error} (the hooks are: {', '.join(names)})") from error
    hooks = {name: getattr(manager.hook, name).get_hookimpls() for name in ("register_channels", "register_audiences")}
    if not any(hooks.values()):
        raise PluginRefusedError(f"{place.origin} has no function register_channels or register_audiences marked with @hookimpl")
    return [each for name, impls in hooks.items() for impl in impls for each in _classes(name, impl.function, place)]


def _classes(hook: str, function: Callable[[], Any], place: Found) -> Sequence[type[Any]]:
    classes = _call(hook, function, place)
    if not isinstance(classes, list | tuple) or not all(isinstance(each, type) for each in classes):
        raise PluginRefusedError(f"{place.origin}: {hook} must return a list of classes, not {_kind(classes)}")
    return classes


def _call(hook: str, function: Callable[[], Any], place: Found) -> Any:
    try:
        result = function()
    except Exception as error:  # isolation: the plugin is not loaded, the others are
        raise PluginRefusedError(f"{place.origin}: {hook} raised {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(result):
        result.close()
        raise PluginRefusedError(f"{place.origin}: {hook} must be a plain function, not `async def`")
    return result


def _kind(value: Any) -> str:
    return f"a list with {value!r}" if isinstance(value, list | tuple) else type(value).__name__


def _provide(
    provider: ProviderTable, loaded: type[Any] | PluginRefusedError, origin: str, locate: Locate
) -> LoadedChannel | LoadedAudience:
    if isinstance(loaded, PluginRefusedError):
        raise loaded
    try:
        settings = read_settings(loaded.settings_type, provider.settings, path=("providers", provider.name), locate=locate)
        if is_audience(loaded):
            return LoadedAudience(provider=provider.name, plugin=provider.plugin, audience_class=loaded, settings=settings, origin=origin)
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


def _strangers(channels: Sequence[LoadedChannel], locate: Locate) -> list[LoadProblem]:
    """Providers of one channel that cannot stand in for each other, since its addresses are bound to what only one of them has
    (`bound_to(settings)`, optional). The first of a channel is right."""
    problems = []
    firsts: dict[str, LoadedChannel] = {}
    for each in channels:
        try:
            mine = _bound_to(each)
        except SettingError as error:
            path = ("providers", each.provider, error.key)
            problem = Problem(where=locate(path), key=".".join(path), what=error.what)
            problems.append(_problem(ProblemKind.CONFIG, ProviderTable(name=each.provider, plugin=each.plugin, settings={}), problem))
            continue
        if mine is None or (first := firsts.setdefault(each.channel, each)) is each:
            continue
        its = _bound_to(first)
        if its is None or mine[1] == its[1]:
            continue
        path = ("providers", each.provider, mine[0])
        what = (
            f"is another one than in [providers.{first.provider}]: the addresses of the channel {each.channel} belong to one of them, "
            "so these two cannot stand in for each other; give both the same"
        )  # fmt: skip
        problem = Problem(where=locate(path), key=".".join(path), what=what)
        table = ProviderTable(name=each.provider, plugin=each.plugin, settings={})
        problems.append(_problem(ProblemKind.CONFIG, table, problem))
    return problems


def _bound_to(loaded: LoadedChannel) -> tuple[str, str] | None:
    """SettingError for a setting that it cannot be bound to."""
    ask: Any = getattr(loaded.channel_class, "bound_to", None)
    if ask is None:
        return None
    try:
        key, value = ask(loaded.settings)
    except SettingError:
        raise
    except Exception:  # noqa: BLE001 - isolation: what is wrong with its settings, its start says
        return None
    return str(key), str(value)


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
