"""CONTENT: what a template's file name says: `STEP.CHANNEL[.LOCALE].liquid`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.content.locales import normalise, parse_locale
from daemon.errors import nearest
from daemon.model.campaign import Step

SUFFIX = ".liquid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateName:
    step: str
    channel: str
    locale: str | None = None


def read_template_name(name: str, steps: Iterable[Step]) -> TemplateName | None:
    """The parts of a good name, else None (`fault_of_name` says why)."""
    words = name.removesuffix(SUFFIX).split(".")
    channels = {step.name: step.every_channel for step in steps}
    if not name.endswith(SUFFIX) or len(words) not in (2, 3) or words[1] not in channels.get(words[0], ()):
        return None
    if len(words) == 2:
        return TemplateName(step=words[0], channel=words[1])
    return TemplateName(step=words[0], channel=words[1], locale=normalise(words[2])) if _is_locale(words[2]) else None


def fault_of_name(name: str, steps: Iterable[Step]) -> tuple[str, str | None]:
    """(what is wrong, the nearest good name or None) of a name that `read_template_name` refuses."""
    words = name.removesuffix(SUFFIX).split(".")
    channels = {step.name: step.every_channel for step in steps}
    form = "a template's name is STEP.CHANNEL.liquid or STEP.CHANNEL.LOCALE.liquid"
    if len(words) < 2:
        return form, None
    step, channel, *rest = words
    if step not in channels:
        near = nearest(step, channels)
        return f'no step "{step}"', near and ".".join([near, channel, *rest]) + SUFFIX
    if channel not in channels[step]:
        if rest and rest[0] in channels[step]:
            return f'variants ("{channel}") are not supported yet', None
        near = nearest(channel, channels[step])
        return f'the step {step} has no channel "{channel}"', near and ".".join([step, near, *rest]) + SUFFIX
    if len(rest) == 1 and not _is_locale(rest[0]):
        return f'no locale "{rest[0]}"', None
    return form, None


def _is_locale(word: str) -> bool:
    return word[:2].isalpha() and parse_locale(word) is not None
