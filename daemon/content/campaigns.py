"""CONTENT: the campaigns folder read into a catalogue of versions: `campaigns/NAME/campaign.toml` and its templates.

Everything is checked before anything counts: all problems come at once, each as `file:line: key: what; did you mean "x"?`. A job's
own message goes the same way. Reads files, writes none; the store numbers the versions, `render` makes messages of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from daemon.config.locate import find_line, locate_keys
from daemon.config.values import BadValue, parse_name
from daemon.content.campaign_file import NAME, Surroundings, read_campaign
from daemon.content.mjml import html_of
from daemon.content.names import MJML, SUFFIX, SUFFIXES, fault_of_name, read_template_name
from daemon.content.render import compile_version
from daemon.content.template_file import MAX_FILE, normalise_text
from daemon.content.version import CampaignVersion, inline_campaign
from daemon.errors import ConfigError, Problem, nearest
from daemon.model.audience import AUDIENCE
from daemon.model.job import InlineMessage
from daemon.model.journey import Variant

__all__ = ["Catalogue", "CampaignVersion", "Surroundings", "Wanted", "inline_version", "load_campaigns", "read_campaigns", "read_folder"]  # noqa: RUF022

MAX_FILES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A campaign that the config names: `where` is `config.toml:12`, `key` e.g. `queues.lapsed-45.campaign`."""

    campaign: str
    where: str
    key: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The good campaigns of a folder, by name."""

    versions: Mapping[str, CampaignVersion]


def load_campaigns(folder: Path, around: Surroundings | None = None, *, wanted: Iterable[Wanted] = ()) -> Catalogue:
    """All campaigns below `folder`. Raises ConfigError with every problem of every campaign, and of those that are wanted but
    not there.
    """
    catalogue, problems = read_campaigns(folder, around)
    broken = {_folder_of(problem, folder) for problem in problems}
    for want in wanted:
        if want.campaign not in catalogue.versions and want.campaign not in broken:
            near = nearest(want.campaign, catalogue.versions)
            problems.append(Problem(where=want.where, key=want.key, what=f'no campaign "{want.campaign}" in {folder}', suggestion=near))
    if problems:
        raise ConfigError(problems)
    return catalogue


def read_campaigns(folder: Path, around: Surroundings | None = None) -> tuple[Catalogue, list[Problem]]:
    """The good campaigns and the problems of the others (`campaigns lint` shows both)."""
    versions: dict[str, CampaignVersion] = {}
    problems: list[Problem] = []
    try:
        folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "_")))
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        what = f"the campaigns folder cannot be read: {reason}; make it, or name another as [homing] campaigns"
        return Catalogue(MappingProxyType({})), [Problem(where=f"{folder}:1", key="", what=what)]
    for entry in folders:
        version, found = read_folder(entry, around)
        problems += found
        if version and not found:
            versions[version.campaign.name] = version
    lost = _lost(versions, {entry.name for entry in folders}, folder)
    for name in lost:
        versions.pop(name)
    problems += [problem for found in lost.values() for problem in found]
    return Catalogue(MappingProxyType(versions)), problems


def read_folder(folder: Path, around: Surroundings | None = None) -> tuple[CampaignVersion | None, list[Problem]]:
    """One campaign's folder: its version, and all that is wrong with it."""
    files, problems = _read_files(folder)
    try:
        parse_name(folder.name)
    except BadValue as error:
        problems.append(Problem(where=f"{NAME}:1", key="", what=f"the folder's name: {error.what}"))
    if NAME not in files:
        if not problems:
            problems.append(Problem(where=f"{NAME}:1", key="", what="missing: a campaign's folder has a campaign.toml"))
        return None, _placed(folder, problems)
    campaign, found = read_campaign(folder.name, files[NAME], around or Surroundings())
    problems += found
    if campaign is None:
        return None, _placed(folder, problems)
    version = CampaignVersion.of(campaign, files)
    if campaign.steps:
        problems += _wrong_names(version)
        problems += compile_version(version).problems
        problems += _missing(version) + _alike(version)
    return version, _placed(folder, problems)


def inline_version(job: str, message: InlineMessage) -> CampaignVersion:
    """The version of a job's own message. Raises ConfigError: problems at `message:LINE`, with the key of the part."""
    parts = {"subject": message.subject, "text": message.text, "html": message.html}
    files = {key: normalise_text(value) for key, value in parts.items() if value}
    version = CampaignVersion.of(inline_campaign(job, message), files)
    if problems := compile_version(version).problems:
        raise ConfigError(problems)
    return version


def _read_files(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """The text of `campaign.toml` and of each template."""
    files: dict[str, str] = {}
    problems: list[Problem] = []
    entries = sorted(entry for entry in folder.iterdir() if entry.name == NAME or entry.name.endswith(SUFFIXES))
    for entry in entries[:MAX_FILES]:
        try:
            with entry.open("rb") as file:
                content = file.read(4 * MAX_FILE + 1)
            files[entry.name] = normalise_text(content.decode())
            if entry.name.endswith(MJML):
                files[entry.name], found = html_of(entry.name, files[entry.name])
                problems += found
        except OSError as error:
            problems.append(Problem(where=f"{entry.name}:1", key="", what=f"cannot be read: {os.strerror(error.errno or errno.EIO)}"))
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problems.append(Problem(where=f"{entry.name}:{line}", key="", what="is not UTF-8 text"))
    if len(entries) > MAX_FILES:
        problems.append(Problem(where=f"{NAME}:1", key="", what=f"more than {MAX_FILES} files"))
    return files, problems


def _wrong_names(version: CampaignVersion) -> list[Problem]:
    problems = []
    seen: dict[object, str] = {}
    for name in version.files:
        if name == NAME:
            continue
        parsed = read_template_name(name, version.campaign.steps)
        if parsed is None:
            what, near = fault_of_name(name, version.campaign.steps)
            problems.append(Problem(where=f"{name}:1", key="", what=what, suggestion=near))
        elif seen.setdefault(parsed, name) != name:
            problems.append(Problem(where=f"{name}:1", key="", what=f"the same variant as {seen[parsed]}"))
    return problems


def _missing(version: CampaignVersion) -> list[Problem]:
    """A template without locale for each channel of each step: it is what every other language gets. A variant may have its own; one that
    has none gets the step's, which may be left out where no variant needs it."""
    there = {read_template_name(name, version.campaign.steps) for name in version.files}
    bare = {(name.step, name.variant, name.channel) for name in there if name and name.locale is None}
    problems = []
    for step in version.campaign.steps:
        for channel in step.every_channel:
            if channel == AUDIENCE or (step.name, None, channel) in bare:
                continue
            lacking = [variant.name for variant in step.variants if (step.name, variant.name, channel) not in bare]
            wanted: list[str | None] = [*lacking] if len(lacking) < len(step.variants) else [None]
            for variant in wanted:
                file = ".".join(filter(None, (step.name, variant, channel))) + SUFFIX
                whose = f"of variant {variant} of step {step.name}" if variant else f"of step {step.name}"
                problems.append(Problem(where=f"{file}:1", key="", what=f"missing: the template {whose} for {channel}"))
    return problems


def _alike(version: CampaignVersion) -> list[Problem]:
    """Variants of one step that differ in nothing: an experiment that tries nothing."""
    there = {read_template_name(name, version.campaign.steps) for name in version.files}
    own = {(name.step, name.variant) for name in there if name and name.variant}
    problems = []
    for step in version.campaign.steps:
        same = [
            each.name for each in step.variants if (step.name, each.name) not in own and each == Variant(name=each.name, share=each.share)
        ]
        if len(same) > 1:
            what = f"the variants {' and '.join(same)} of step {step.name} differ in nothing: give one its own template, subject or offer"
            problems.append(Problem(where=f"{NAME}:1", key="step.experiment", what=what))
    return problems


def _lost(versions: Mapping[str, CampaignVersion], there: Collection[str], folder: Path) -> dict[str, list[Problem]]:
    """What campaigns say of others that are not there (`there`: the broken ones too), by campaign."""
    steps = {f"{name}.{step.name}" for name, version in versions.items() for step in version.campaign.steps}
    bare = {step.rpartition(".")[2] for step in steps}
    lost: dict[str, list[Problem]] = {}
    for name, version in versions.items():
        lines = locate_keys(version.files[NAME])
        after, trigger = version.campaign.after.goal, version.campaign.enrol.trigger
        wrong: list[tuple[tuple[str, ...], str, str | None]] = []
        if after is not None and after not in there:
            wrong.append((("after", "goal"), f'no campaign "{after}" in {folder}', nearest(after, there)))
        elif after == name:
            wrong.append((("after", "goal"), "is this campaign itself; [enrol] again lets its people come back", None))
        of = trigger.of if trigger else None
        if of is not None and of not in steps | bare and there == versions.keys():
            wrong.append((("enrol", "trigger", "of"), f'no step "{of}" in any campaign', nearest(of, sorted(steps | bare))))
        if wrong:
            lost[name] = [
                Problem(where=f"{folder / name / NAME}:{find_line(lines, path)}", key=".".join(path), what=what, suggestion=near)
                for path, what, near in wrong
            ]
    return lost


def _placed(folder: Path, problems: Iterable[Problem]) -> list[Problem]:
    return [replace(problem, where=f"{folder / problem.where.partition(':')[0]}:{problem.where.partition(':')[2]}") for problem in problems]


def _folder_of(problem: Problem, folder: Path) -> str:
    place = Path(problem.where.rpartition(":")[0])
    return place.relative_to(folder).parts[0] if place.is_relative_to(folder) and place != folder else ""
