"""CONTENT: a campaign version compiled once, and the messages rendered from it.

What is static in a template stays the *same* `str` object in every message (`Rendered.text_pieces`, `html_pieces`), so that a
channel may encode it once. A missing variable, an unsafe address, a head line with a line end, an empty or huge message is a
`RenderError`: the delivery is held with its reason, never sent wrong. Pure: variables in, words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from typing import NamedTuple

from babel import Locale
from liquid.exceptions import LiquidError, OutputStreamLimitError, UndefinedError

from daemon.clock import to_datetime
from daemon.content.assemble import FOOTER, Dress
from daemon.content.audience_name import namer
from daemon.content.compile import Compiled, Need, Part, compile_file
from daemon.content.filters import UnsafeUrlError
from daemon.content.formats import zone_of
from daemon.content.hardened import Setting, run_template
from daemon.content.locales import DEFAULT_LANGUAGE, fallbacks, footer_words, is_rtl, language_of, normalise, parse_locale
from daemon.content.names import read_template_name
from daemon.content.quick import Unusual
from daemon.content.segments import Source
from daemon.content.template_file import EMAIL, MAX_HEAD, fault_of_head, parse_file, parse_inline
from daemon.content.version import INLINE_STEP, CampaignVersion
from daemon.errors import ConfigError, HomingError, Problem
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Campaign, Purpose
from daemon.model.delivery import Instant, Reason
from daemon.model.journey import ACT_CHANNELS

_DEFAULT = Locale.parse(DEFAULT_LANGUAGE)
_ODD_VALUES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the library's filters let through when a recipient's value is not what the template expects."""
MILLISECOND = 1000
"""What `now` is told to templates in, so that messages of a batch share one datetime."""


class Rendered(NamedTuple):
    """One message. `head`: `preheader` and other head lines, `from`, `from_name`, `reply_to`. `locale`: the variant taken."""

    subject: str
    head: Mapping[str, str]
    text_pieces: tuple[str, ...]
    html_pieces: tuple[str, ...]
    locale: str | None

    @property
    def text(self) -> str:
        return "".join(self.text_pieces)

    @property
    def html(self) -> str:
        return "".join(self.html_pieces)


class RenderError(HomingError):
    """A message that cannot be made: `reason` is the delivery's, `template` and `line` say where, `variable` what is missing."""

    def __init__(self, reason: Reason, what: str, *, template: str, line: int, variable: str | None = None) -> None:
        super().__init__(f"{template}:{line}: {what}")
        self.reason = reason
        self.what = what
        self.template = template
        self.line = line
        self.variable = variable


_Pairs = tuple[tuple[str, str], ...]
_Key = tuple[str, str | None, str]


class _File(NamedTuple):
    """A template file (`name` None: an inline message) for one step, variant and channel; `subject` takes the place of its own."""

    name: str | None
    parts: _Pairs
    key: _Key
    locale: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All templates of a version: by (step, variant, channel), then by locale (None: the file without one). The variant None is for all
    that have no words of their own."""

    templates: Mapping[_Key, Mapping[str | None, Compiled]]
    problems: tuple[Problem, ...]


@lru_cache(maxsize=32)
def _compile_one(
    name: str | None, parts: _Pairs, channel: str, marketing: bool, locale: str | None, utm: _Pairs, subject: str | None
) -> tuple[Compiled | None, tuple[Problem, ...]]:
    """A template file, or (no name) an inline message, and its problems. A reload, and jobs with the same message, find it compiled."""
    file = parse_inline(channel, dict(parts)) if name is None else parse_file(name, parts[0][1], channel=channel)
    if subject is not None and channel == EMAIL:
        file.head["subject"] = Source.build([(subject, 1)])
    dress = Dress(marketing=marketing, locale=locale, parameters={f"utm_{key}": value for key, value in utm})
    compiled = compile_file(file, channel=channel, dress=dress)
    return compiled, tuple(file.problems)


def compile_version(version: CampaignVersion) -> Book:
    """Compile each template of a version. Problems have the file's bare name; a missing template is one of `campaign.toml`."""
    campaign = version.campaign
    marketing, utm = campaign.purpose is Purpose.MARKETING, tuple(campaign.utm.items())
    templates: dict[_Key, dict[str | None, Compiled]] = {}
    problems: dict[Problem, None] = {}  # once: variants may share a file
    for file in _files(version):
        compiled, found = _compile_one(file.name, file.parts, file.key[2], marketing, file.locale, utm, file.subject)
        problems.update(dict.fromkeys(found))
        if compiled:
            templates.setdefault(file.key, {})[file.locale] = compiled
    return Book(templates=templates, problems=tuple(problems))


_ACT_TEXT = "{{ campaign.name }} {{ campaign.step }}"
"""Of a call that says nothing: whoever is called has the recipient, the campaign and the step beside it."""


def _files(version: CampaignVersion) -> list[_File]:
    """Each template, as often as it is used with another subject; files with a wrong name are the loader's to report."""
    if version.is_inline:
        channel = version.campaign.steps[0].channels[0]
        if channel == AUDIENCE:  # its name is no template: content.audience_name
            return []
        return [_File(None, tuple(version.files.items()), (INLINE_STEP, None, channel))]
    steps = {step.name: step for step in version.campaign.steps}
    read = [(name, ((name, content),), read_template_name(name, steps.values())) for name, content in version.files.items()]
    own = {(each.step, each.variant, each.channel) for _, _, each in read if each}
    found: list[_File] = [
        _File(None, (("text", step.act.text or _ACT_TEXT),), (step.name, None, ACT_CHANNELS[step.act.kind]))
        for step in version.campaign.steps
        if step.act is not None and step.act.kind in ACT_CHANNELS
    ]
    for name, parts, each in read:
        if each is None:
            continue
        subjects = {variant.name: variant.subject for variant in steps[each.step].variants}
        subject = subjects[each.variant] if each.variant else steps[each.step].subject
        found.append(_File(name, parts, (each.step, each.variant, each.channel), each.locale, subject))
        for variant, words in subjects.items() if each.variant is None else ():
            if words is not None and (each.step, variant, each.channel) not in own:
                found.append(_File(name, parts, (each.step, variant, each.channel), each.locale, words))
    return found


def _names_by_profile(campaign: Campaign) -> bool:
    """Its deliveries go into audiences that are named by what buyers are like."""
    named = {variable for rule in campaign.audiences for variable in namer(rule.name)[0]}
    return bool(named & {"tier", "band"}) and any(AUDIENCE in step.every_channel for step in campaign.steps)


class Renderer:
    """Makes the messages of one version. Built once; safe to use from several threads. ConfigError if a template is wrong."""

    def __init__(self, version: CampaignVersion, *, shop: Mapping[str, object] | None = None) -> None:
        book = compile_version(version)
        if book.problems:
            raise ConfigError(book.problems)
        self._templates = book.templates
        self._shop = dict(shop or {})
        self.currency = str(self._shop.get("currency", "USD"))
        self._name = version.campaign.name
        self._chosen: dict[tuple[_Key, str | None], tuple[Compiled, Locale]] = {}
        self._envelope = _envelope(version.campaign.sender, version.campaign.reply_to)
        in_templates = any(each.wants_profile for files in book.templates.values() for each in files.values())
        self.wants_profile = in_templates or _names_by_profile(version.campaign)
        """Some template of it, or the name of its audience, says what the recipient's profile knows: it is to be handed in."""
        self.wants_products = any("recommendations" in each.roots for files in book.templates.values() for each in files.values())
        """Some template of it names what is recommended to the recipient."""
        self.fallbacks = 0
        """Parts whose quick form gave up so far, so that the library rendered them (about: the count is not locked)."""

    def needs(self, step: str, channel: str, locale: str | None = None, *, variant: str | None = None) -> tuple[Need, ...]:
        """The variables of the template that a recipient of this locale would get."""
        return self._choose((step, variant, channel), locale)[0].needs

    def roots(self, step: str, channel: str, locale: str | None, *, variant: str | None = None) -> frozenset[str]:
        """The first words of all that this template reads, so that what costs something is made only for who asks."""
        return self._choose((step, variant, channel), locale)[0].roots

    def render(
        self,
        step: str,
        channel: str,
        locale: str | None,
        variables: Mapping[str, object],
        *,
        variant: str | None = None,
        zone: str | None = None,
        now: Instant | None = None,
    ) -> Rendered:
        """One message, of the best variant for `locale`. `variables`: `recipient`, `vars`, `unsubscribe_url`.. (see
        `variables.build_variables`); `campaign` and `shop` are added here. `zone`: of the recipient, for dates; `now`: what
        `"now" | date` means; `variant`: the recipient's arm of the step's experiment. Raises RenderError; KeyError if the version has no
        such step and channel.
        """
        compiled, language = self._choose((step, variant, channel), locale)
        setting = Setting(
            locale=language,
            zone=zone_of(zone),
            now=None if now is None else to_datetime(now - now % MILLISECOND),
            currency=self.currency,
        )
        names = {
            "campaign": {"name": self._name, "step": step},
            "shop": self._shop,
            FOOTER: footer_words(compiled.locale or locale),
            **variables,
        }
        head = {key: self._head_line(compiled, key, part, names, setting) for key, part in compiled.head.items()}
        html = self._run(compiled, compiled.html, names, setting) if compiled.html else []
        text = self._run(compiled, compiled.text, names, setting)
        if all(map(str.isspace, filter(None, text))):
            raise RenderError(Reason.RENDER_ERROR, "the message is empty", template=compiled.file, line=compiled.text.source.lines[0])
        subject = head.pop("subject", "")
        return Rendered(
            subject=subject, head={**self._envelope, **head}, text_pieces=tuple(text), html_pieces=tuple(html), locale=compiled.locale
        )

    def _head_line(self, compiled: Compiled, key: str, part: Part, names: Mapping[str, object], setting: Setting) -> str:
        if part.fixed is not None:
            return part.fixed
        value = "".join(self._run(compiled, part, names, setting)).strip()
        line = part.source.lines[0]
        if not value:
            raise RenderError(Reason.RENDER_ERROR, f"{key} is empty", template=compiled.file, line=line)
        if what := fault_of_head(value):
            reason = Reason.TOO_LARGE if len(value) > MAX_HEAD else Reason.CONTENT_BLOCKED
            raise RenderError(reason, f"{key} {what}", template=compiled.file, line=line)
        return value

    def _run(self, compiled: Compiled, part: Part, names: Mapping[str, object], setting: Setting) -> list[str]:
        if part.quick is not None:
            try:
                return part.quick(names, setting)
            except (Unusual, LiquidError, *_ODD_VALUES):
                self.fallbacks += 1  # the library renders it from the start, and says what is wrong if something is
        try:
            return run_template(part.template, names, setting)
        except LiquidError as error:
            raise _render_error(compiled, part, error) from error
        except _ODD_VALUES as error:
            what = f"a value is not what the template expects ({type(error).__name__})"
            raise RenderError(Reason.RENDER_ERROR, what, template=compiled.file, line=part.source.lines[0]) from error

    def _choose(self, wanted: _Key, locale: str | None) -> tuple[Compiled, Locale]:
        """The best template for a recipient's locale, and the language of its numbers and dates."""
        key = (wanted, locale)
        chosen = self._chosen.get(key)
        if chosen is None:
            step, _, channel = wanted
            files = self._templates.get(wanted) or self._templates[step, None, channel]
            compiled = next((files[name] for name in fallbacks(locale) if name in files), None) or next(iter(files.values()))
            chosen = compiled, _language(compiled, locale)
            if len(self._chosen) < 1000:  # locales are what recipients bring in
                self._chosen[key] = chosen
        return chosen


def _language(compiled: Compiled, locale: str | None) -> Locale:
    """Which language's formats a text gets: its own, in the recipient's region where that is of the same language."""
    wanted = parse_locale(normalise(locale)) if locale else None
    own = parse_locale(compiled.locale) if compiled.locale else None
    if own is None:
        rtl = compiled.reads_rtl
        return wanted if wanted and is_rtl(locale) == rtl else _DEFAULT
    return wanted if wanted and language_of(locale) == language_of(compiled.locale) else own


def _render_error(compiled: Compiled, part: Part, error: LiquidError) -> RenderError:
    line = part.line_of(error)
    if isinstance(error, UndefinedError):
        variable = str(error.args[0]).removesuffix(" is undefined").strip("'")
        what = f"{variable} is missing: give it, or mark it optional with `| default:`"
        return RenderError(Reason.RENDER_ERROR, what, template=compiled.file, line=line, variable=variable)
    reason = Reason.RENDER_ERROR
    if isinstance(error, UnsafeUrlError):
        reason = Reason.CONTENT_BLOCKED
    elif isinstance(error, OutputStreamLimitError):
        reason = Reason.TOO_LARGE
    return RenderError(reason, str(error.message), template=compiled.file, line=line)


def _envelope(sender: str | None, reply_to: str | None) -> dict[str, str]:
    """The head lines that the campaign gives each mail."""
    head: dict[str, str] = {}
    if sender:
        name, address = parseaddr(sender)
        head["from"] = address
        if name:
            head["from_name"] = name
    if reply_to:
        head["reply_to"] = reply_to
    return head
