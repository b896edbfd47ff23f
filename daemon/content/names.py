"""CONTENT: what a template's file name says: `STEP[.VARIANT].CHANNEL[.LOCALE].liquid`, of a mail in MJML `.mjml`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.content.locales import normalise, parse_locale
from daemon.content.template_file import EMAIL
from daemon.errors import nearest
from daemon.model.campaign import Step

SUFFIX, MJML = ".liquid", ".mjml"
SUFFIXES = (SUFFIX, MJML)
_FORM = "a template's name is STEP.CHANNEL.liquid, STEP.CHANNEL.LOCALE.liquid or STEP.VARIANT.CHANNEL[.LOCALE].liquid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateName:
    step: str
    channel: str
    locale: str | None = None
    variant: str | None = None
    """None: of the step, for all variants that have none of their own."""


def read_template_name(name: str, steps: Iterable[Step]) -> TemplateName | None:
    """The parts of a good name, else None (`fault_of_name` says why)."""
    words = _stem(name).split(".")
    step = next((step for step in steps if step.name == words[0]), None)
    if step is None or not name.endswith(SUFFIXES):
        return None
    variant = words.pop(1) if len(words) > 2 and words[1] in _variants(step) else None
    if name.endswith(MJML) and words[1:2] != [EMAIL]:
        return None
    if len(words) not in (2, 3) or words[1] not in step.every_channel or (len(words) == 3 and not _is_locale(words[2])):
        return None
    return TemplateName(step=words[0], channel=words[1], locale=normalise(words[2]) if len(words) == 3 else None, variant=variant)


def fault_of_name(name: str, steps: Iterable[Step]) -> tuple[str, str | None]:
    """(what is wrong, the nearest good name or None) of a name that `read_template_name` refuses."""
    words = _stem(name).split(".")
    by_name = {step.name: step for step in steps}
    if len(words) < 2:
        return _FORM, None
    if words[0] not in by_name:
        near = nearest(words[0], by_name)
        return f'no step "{words[0]}"', near and ".".join([near, *words[1:]]) + name[len(_stem(name)) :]
    if name.endswith(MJML) and EMAIL not in words[1:]:
        return "MJML is for mails: other channels carry no HTML", None
    return _fault_in_step(by_name[words[0]], words[1:], name[len(_stem(name)) :])


def _stem(name: str) -> str:
    return name.removesuffix(SUFFIX).removesuffix(MJML)


def _fault_in_step(step: Step, words: list[str], suffix: str) -> tuple[str, str | None]:
    """Of the words of a name after the step."""
    before = [step.name]
    if step.act is not None:
        return f"the step {step.name} is a {step.act.kind}: it has no template", None
    if words[0] in _variants(step) and len(words) > 1:
        before.append(words[0])
        words = words[1:]
    elif words[0] not in step.every_channel and len(words) > 1 and words[1] in step.every_channel:
        near = nearest(words[0], _variants(step))
        return f'the step {step.name} has no variant "{words[0]}"', near and ".".join([*before, near, *words[1:]]) + suffix
    channel, *locale = words
    if channel not in step.every_channel:
        near = nearest(channel, step.every_channel)
        return f'the step {step.name} has no channel "{channel}"', near and ".".join([*before, near, *locale]) + suffix
    if len(locale) == 1 and not _is_locale(locale[0]):
        return f'no locale "{locale[0]}"', None
    return _FORM, None


def _variants(step: Step) -> list[str]:
    return [variant.name for variant in step.variants]


def _is_locale(word: str) -> bool:
    return word[:2].isalpha() and parse_locale(word) is not None
