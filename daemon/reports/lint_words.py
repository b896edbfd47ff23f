"""REPORTS, lint: mistakes of the words: nothing personal, no text part, no way out, a language that is missing in one step. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from daemon.content.names import TemplateName, read_template_name
from daemon.content.render import compile_version
from daemon.content.template_file import EMAIL, parse_file
from daemon.content.variables import FIELDS, PROFILE_WORDS
from daemon.model.campaign import Purpose
from daemon.reports.lint import ERROR, Finding, Look, Rule

_PERSONAL = re.compile(r"\{[{%][^}]*\b(recipient|vars|event|recommendations)\b")
_UNSUBSCRIBE = re.compile(r"\bunsubscribe_url\b")


def _templates(look: Look) -> Iterator[tuple[str, str, TemplateName]]:
    """(file, its text, what its name says) of each template."""
    for file, text in look.version.files.items():
        name = read_template_name(file, look.campaign.steps)
        if name is not None:
            yield file, text, name


def generic(look: Look) -> Iterator[Finding]:
    """A letter to nobody."""
    if look.campaign.purpose is not Purpose.MARKETING:
        return
    for file, text, _ in _templates(look):
        if not _PERSONAL.search(text):
            what = "says nothing personal; use {{ recipient.first_name }}, what was bought last, or how long ago that was"
            yield Finding(level="warning", rule="generic-text", file=file, line=1, what=what)


def parts(look: Look) -> Iterator[Finding]:
    """What a mail should have of its own, though Homing puts it in where it is missing."""
    for file, text, name in _templates(look):
        if name.channel != EMAIL:
            continue
        parsed = parse_file(file, text, channel=EMAIL)
        if parsed.html is not None and parsed.text is None:
            what = "has no text part: it is made from the HTML, and reads like it; write one after a line `--- text`"
            yield Finding(level="warning", rule="no-text-part", file=file, line=1, what=what)
        if look.campaign.purpose is Purpose.MARKETING and not _UNSUBSCRIBE.search(text):
            what = "has no unsubscribe link: a footer with one is put under it; write {{ unsubscribe_url }} where it fits"
            yield Finding(level="warning", rule="no-unsubscribe", file=file, line=1, what=what)


def languages(look: Look) -> Iterator[Finding]:
    """A recipient who got the first message in Persian gets the second in English."""
    spoken: dict[str, set[str]] = defaultdict(set)
    for _, _, name in _templates(look):
        if name.locale is not None:
            spoken[name.locale].add(name.step)
    steps = [step.name for _, step in look.messages]
    for locale, there in sorted(spoken.items()):
        for index, step in look.messages:
            if step.name not in there and any(step.channels) and step.channels != ("audience",) and len(steps) > 1:
                what = f"the step {step.name} has no words in {locale}, others have: those recipients get the default language there"
                yield look.at(("step", index), "language-missing", what)


def one_subject(look: Look) -> Iterator[Finding]:
    """A subject in campaign.toml is the same for every language."""
    spoken = {(name.step, name.locale) for _, _, name in _templates(look) if name.locale is not None}
    for index, step in look.messages:
        locales = sorted(locale for name, locale in spoken if name == step.name and locale)
        paths = [("step", index, "subject")] if step.subject is not None else []
        places = [place for place, variant in enumerate(step.variants) if variant.subject is not None]
        for path in (*paths, *(("step", index, "experiment", "variant", place, "subject") for place in places)):
            if locales:
                what = f"takes the place of the subjects in {', '.join(locales)} too: give it templates of its own in each language"
                yield look.at(path, "subject-in-one-language", what)


def nobody_has(look: Look) -> Iterator[Finding]:
    """A variable that no recipient has holds every message."""
    traits = look.facts.traits
    if traits is None:
        return
    known = {*traits, *FIELDS, *PROFILE_WORDS}
    told: set[tuple[str, str]] = set()
    for files in compile_version(look.version).templates.values():
        for compiled in files.values():
            for need in compiled.needs:
                word = re.match(r"recipient\.([A-Za-z0-9_-]+)", need.variable)
                if word is None or need.optional or word[1] in known or (compiled.file, word[1]) in told:
                    continue
                told.add((compiled.file, word[1]))
                what = f"no recipient has {word[0]}: every message would be held; import it, or mark it optional with `| default:`"
                yield Finding(level=ERROR, rule="variable-nobody-has", file=compiled.file, line=need.line, what=what)


RULES: tuple[Rule, ...] = (generic, parts, languages, one_subject, nobody_has)
