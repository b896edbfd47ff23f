"""Everything that operators and marketers write, read and checked as one: config, rules, campaigns, plugins.

`homing check`, `homing run` and a reload all go through `read_setup`, so they find the same problems, all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.config import Config, key_name, order, read_config
from daemon.content.campaigns import Catalogue, Surroundings, Wanted, load_campaigns, read_campaigns
from daemon.content.roadmap import load_roadmap
from daemon.content.segment_file import checkers, load_segments
from daemon.dispatch.door import PROVIDER, AudienceDoor
from daemon.errors import ConfigError, Problem, nearest
from daemon.intake.tracker import shop_of
from daemon.journey.profile import Shop
from daemon.journey.worth import Budgets
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import CampaignStatus
from daemon.model.segment import Segments
from daemon.policy.hours import parse_window
from daemon.policy.rules import Rules, compile_rules
from daemon.policy.seasons import NAMES
from plugins.contract import Secret
from plugins.loader import LoadedChannel, Loading, ProblemKind, ProviderTable, load_channels

DOOR = LoadedChannel(
    provider=PROVIDER, plugin="audience", channel_class=AudienceDoor, settings=None, channel=AudienceDoor.channel,
    address=AudienceDoor.address, origin="built in",
)  # fmt: skip
"""The channel `audience`, wherever a platform is configured."""
NO_SEGMENTS = Segments()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One consistent reading of everything. `warnings`: what does not stop a start (a plugin that cannot be loaded)."""

    config: Config
    rules: Rules
    catalogue: Catalogue
    loading: Loading
    warnings: tuple[str, ...]
    segments: Segments = NO_SEGMENTS

    @property
    def shop(self) -> Shop:
        """What value and tiers are counted by."""
        return shop_of(self.config)

    @property
    def costs(self) -> dict[str, float]:
        """Channel -> what a message over its first provider costs by the config; those without a `cost` are not in it."""
        first = {each.channel: self.config.providers.get(each.provider) for each in reversed(self.loading.channels)}
        return {channel: float(table.cost) for channel, table in first.items() if table is not None and table.cost}

    @property
    def budgets(self) -> Budgets:
        """What messages cost, and which share of a campaign's budget each channel may use."""
        return Budgets(self.costs, self.config.shop.budget)


def read_setup(path: Path, environ: Mapping[str, str], *, lenient: bool = False) -> Setup:
    """Read and check it all. ConfigError holds every problem found, each with its file and line. `lenient`: mistakes of campaigns and
    segments stop nothing; those campaigns are there that have none."""
    config, problems = read_config(path, environ)
    if config is None:
        raise ConfigError(problems)
    wrong = tuple(problem.key for problem in problems)
    rules, catalogue, loading = None, None, None
    try:
        rules = compile_rules(config)
    except ConfigError as error:
        problems += error.problems
    if not any(key.startswith("homing.plugin_dirs") for key in wrong):
        loading = load_channels(
            [
                ProviderTable(name=name, plugin=table.plugin, settings=_filled(name, table.settings, wrong))
                for name, table in config.providers.items()
            ],
            plugin_dirs=config.homing.plugin_dirs,
            locate=config.locate,
        )
        problems += [
            Problem(where=each.where, key=each.key, what=each.what, suggestion=each.suggestion)
            for each in loading.problems
            if each.kind is ProblemKind.CONFIG
        ]
    problems.sort(key=order)
    segments: Segments | None = NO_SEGMENTS
    mistakes: list[Problem] = []
    if "homing.segments" not in wrong:
        try:
            segments = load_segments(config.homing.segments)
        except ConfigError as error:
            segments = None
            mistakes += error.problems
    if not any(key == "homing.campaigns" or key.startswith("topics") for key in wrong):  # what it is checked against
        try:
            catalogue = _load_catalogue(config, segments, loading)
        except ConfigError as error:
            mistakes += error.problems
            catalogue = read_campaigns(config.homing.campaigns, surroundings_of(config, segments))[0]
        try:
            load_roadmap(config.homing.campaigns)
        except ConfigError as error:
            mistakes += error.problems
    if problems or (mistakes and not lenient) or rules is None or catalogue is None or loading is None:
        raise ConfigError(problems + mistakes)
    if loading.audiences:
        loading = replace(loading, channels=(*loading.channels, DOOR))
    warnings = [str(each) for each in loading.problems if each.kind is ProblemKind.PLUGIN]
    warnings += _channels(config, loading) + _campaigns(config, catalogue) + _templates(config, catalogue)
    warnings += _unserved(config, catalogue, loading) + _audiences(config, catalogue, loading)
    return Setup(
        config=config, rules=rules, catalogue=catalogue, loading=loading, warnings=tuple(warnings), segments=segments or NO_SEGMENTS
    )  # fmt: skip


def _filled(provider: str, settings: Mapping[str, Any], wrong: tuple[str, ...]) -> dict[str, Any]:
    """The provider's keys with something for each secret that cannot be read, so that it is not complained of twice."""
    keys = (key.removeprefix(f"providers.{provider}.") for key in wrong if key.startswith(f"providers.{provider}."))
    return {**settings, **{key: Secret("unread") for key in keys if "." not in key and key not in ("plugin", "rate", "domains")}}


def _load_catalogue(config: Config, segments: Segments | None, loading: Loading | None) -> Catalogue:
    """`segments` None: their file is wrong, so that what refers to them is not judged; `loading` likewise."""
    wanted = [
        Wanted(campaign=table.campaign, where=config.locate(("queues", name, "campaign")), key=f"queues.{name}.campaign")
        for name, table in config.queues.items()
        if table.campaign
    ]
    return load_campaigns(config.homing.campaigns, surroundings_of(config, segments, loading), wanted=wanted)


def surroundings_of(config: Config, segments: Segments | None, loading: Loading | None = None) -> Surroundings:
    """What campaigns are checked against. `segments`, `loading`: see `_load_catalogue`."""
    where, event = checkers(segments)
    providers: dict[str, str | None] = dict.fromkeys(config.providers)
    if loading is not None:
        providers |= dict.fromkeys((each.provider for each in loading.audiences), AUDIENCE)
        providers |= {each.provider: each.channel for each in loading.channels}
    return Surroundings(
        check_window=parse_window, topics=config.topics, check_where=where, check_event=event,
        segments=None if segments is None else segments.by_name, seasons=NAMES, providers=providers,
    )  # fmt: skip


def _channels(config: Config, loading: Loading) -> list[str]:
    """Channels that the config speaks of and no provider serves: no error, but worth a word."""
    known = {channel.channel for channel in loading.channels} | {"email", "sms", "push"}
    return [
        f'{config.locate(path)}: {key_name(path)}: no provider serves a channel "{channel}"'
        for path, channel in config.named_channels()
        if channel not in known
    ]


def _unserved(config: Config, catalogue: Catalogue, loading: Loading) -> list[str]:
    """Channels of active campaigns that no provider serves: what would go over them is held."""
    folder, served = config.homing.campaigns, {channel.channel for channel in loading.channels}
    return [
        f'{folder / name}/campaign.toml:1: step {step.name}: no provider serves the channel "{channel}": its messages will be held'
        for name, version in catalogue.versions.items() if version.campaign.status is CampaignStatus.ACTIVE
        for step in version.campaign.steps for channel in step.every_channel
        if channel not in served
    ]  # fmt: skip


def _templates(config: Config, catalogue: Catalogue) -> list[str]:
    """SMS templates that cost more than they need."""
    folder = config.homing.campaigns
    versions = {name: each for name, each in catalogue.versions.items() if any("sms" in step.every_channel for step in each.campaign.steps)}
    if not versions:
        return []
    from daemon.content.sms_check import sms_warnings

    return [f"{folder / name / what}" for name, version in versions.items() for what in sms_warnings(version)]


def _audiences(config: Config, catalogue: Catalogue, loading: Loading) -> list[str]:
    """Platforms that a campaign names and no provider is: its people are in no audience there."""
    known = [each.provider for each in loading.audiences]
    missing = sorted({
        (name, provider)
        for name, version in catalogue.versions.items() for rule in version.campaign.audiences for provider in rule.providers
        if provider not in known
    })  # fmt: skip
    folder = config.homing.campaigns
    return [
        str(Problem(where=f"{folder / name}/campaign.toml:1", key="audience.providers", what=what, suggestion=nearest(provider, known)))
        for name, provider in missing
        for what in (f'no platform "{provider}" (no [providers.{provider}] with an audience plugin)',)
    ]


def _campaigns(config: Config, catalogue: Catalogue) -> list[str]:
    """Caps for campaigns that are not there: a slip of the pen would leave a campaign without its cap."""
    return [
        str(Problem(where=config.locate(path), key=key_name(path), what=f'no campaign "{cap.campaign}"', suggestion=near))
        for path, cap in ((("cap", index, "campaign"), cap) for index, cap in enumerate(config.caps))
        if cap.campaign and not cap.campaign.startswith("job:") and cap.campaign not in catalogue.versions
        for near in (nearest(cap.campaign, catalogue.versions),)
    ]
