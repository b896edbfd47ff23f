"""CONTENT: template sources into parsed templates, with everything that can be known wrong about them before a send.

Unknown tags, filters and variables, wrong numbers of filter arguments, unclosed markup: each with file and line. Also which
variables a template needs, for `campaigns show` and `check`. Pure.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from liquid import BoundTemplate
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.static_analysis import Variable

from daemon.content.assemble import FOOTER, Dress, assemble_mail, assemble_sms
from daemon.content.filters import URL_GUARD
from daemon.content.hardened import HTML, OptionalPath, parse_template, walk_nodes
from daemon.content.locales import reads_rtl
from daemon.content.quick import Quick, compile_quick
from daemon.content.segments import Kind, MarkupError, Segment, Source, split_source
from daemon.content.template_file import EMAIL, SMS, TemplateFile, fault_of_head
from daemon.content.variables import PROFILE_WORDS
from daemon.errors import Problem, nearest

ROOTS = frozenset({
    "recipient", "vars", "event", "offer", "campaign", "shop", "recommendations", "unsubscribe_url", "preferences_url", "countdown_url",
    "push_join_token",
})  # fmt: skip
OFFER_WORDS = frozenset({"name", "text", "code", "ends_at", "value"})
EVENT_WORDS = frozenset({"name", "at", "properties"})
CAMPAIGN_WORDS = frozenset({"name", "step"})

_FILES = frozenset({"include", "render"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A variable that a template uses: where first, and whether each use has a `| default:`."""

    variable: str
    line: int
    optional: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One parsed part: the subject, a head line, the HTML, the text."""

    template: BoundTemplate
    source: Source
    variables: tuple[Variable, ...] = ()
    """What it reads from outside, once for each place."""
    quick: Quick | None = None
    """The fast form, where there is one."""
    fixed: str | None = None
    """What it says to everybody, if that is the same and may be said: no tag, no variable."""

    def line_of(self, error: LiquidError) -> int:
        offset = error.token.start_index if error.token and error.token.start_index >= 0 else 0
        return self.source.line(min(offset, len(self.source.text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A template file ready to render. `head` has the subject too, where there is one."""

    file: str
    locale: str | None
    head: Mapping[str, Part] = field(default_factory=dict)
    html: Part | None
    text: Part
    reads_rtl: bool = False
    """Most letters of the text are of a right-to-left script."""
    needs: tuple[Need, ...] = ()
    wants_profile: bool = False
    """It says something that the recipient's profile knows."""
    roots: frozenset[str] = frozenset()
    """The first words of all that it reads: `recipient`, `unsubscribe_url`.."""


def compile_file(file: TemplateFile, *, channel: str, dress: Dress) -> Compiled | None:
    """Parse the parts of a file; what is wrong is added to `file.problems`. None if there is nothing to render."""
    head = {key: _compile(file, source, html=False) for key, source in file.head.items()}
    html = text = None
    if channel == EMAIL:
        mail = assemble_mail(file, dress)
        if mail and mail.html and (html := _compile(file, mail.html, html=True)):
            _guard_urls(html.template, mail.guarded)
        text = _compile(file, mail.text, html=False) if mail and (html or not mail.html) else None
    elif source := assemble_sms(file, dress) if channel == SMS else file.text:
        text = _compile(file, source, html=False)
    parts = [part for part in (*head.values(), html, text) if part]
    if file.problems or text is None:
        return None
    return Compiled(
        file=file.name,
        locale=dress.locale,
        head={key: _fixed(_quickened(part)) for key, part in head.items() if part},
        html=_quickened(html) if html else None,
        text=_quickened(text),
        reads_rtl=reads_rtl(segment.text for segment in split_source(text.source.text) if segment.kind is Kind.TEXT),
        needs=tuple(needs_of(parts)),
        wants_profile=any(_of_profile(variable) for part in parts for variable in part.variables),
        roots=frozenset(str(variable.segments[0]) for part in parts for variable in part.variables),
    )


def _of_profile(variable: Variable) -> bool:
    """Is it `recipient.tier` and the like, or the whole `recipient`, or one of its words that is known only at render?"""
    second = variable.segments[1] if len(variable.segments) > 1 else None
    return variable.segments[0] == "recipient" and (not isinstance(second, str) or second in PROFILE_WORDS)


def _quickened(part: Part) -> Part:
    return replace(part, quick=compile_quick(part.template))


def _fixed(part: Part) -> Part:
    nodes = part.template.nodes
    if not all(type(node) is ContentNode for node in nodes):
        return part
    text = "".join([node.text for node in nodes]).strip()  # type: ignore[attr-defined]
    return replace(part, fixed=text) if text and fault_of_head(text) is None else part


def needs_of(parts: Iterable[Part]) -> Iterator[Need]:
    """What must be known of a recipient and its job row, each variable once, in order of their first line."""
    uses: dict[str, list[tuple[int, bool]]] = {}
    for part in parts:
        optional = _optional_offsets(part.template)
        for variable in part.variables:
            offset = variable.span.index
            uses.setdefault(str(variable), []).append((part.source.line(offset), offset in optional))
    found = [
        Need(variable=name, line=min(line for line, _ in lines), optional=all(optional for _, optional in lines))
        for name, lines in uses.items()
        if re.match(r"(recipient|vars)\b", name)
    ]
    return iter(sorted(found, key=lambda need: (need.line, need.variable)))


def check_part(file: TemplateFile, source: Source) -> None:
    """Note what is wrong with the Liquid of a part that is not compiled as it stands."""
    _compile(file, source, html=True)


def _compile(file: TemplateFile, source: Source, *, html: bool) -> Part | None:
    """Parse one part and look through it; None if it does not parse."""
    try:
        split_source(source.text)
        template = parse_template(source.text, html=html, name=file.name)
    except MarkupError as error:
        _note(file, Problem(where=f"{file.name}:{source.line(error.offset)}", key="", what=str(error)))
        return None
    except LiquidError as error:
        _note(file, _syntax_problem(file, source, error))
        return None
    part = Part(template, source, tuple(_variables(template)))
    for problem in itertools.chain(_wrong_filters(file, part), _wrong_variables(file, part)):
        _note(file, problem)
    return part


def _note(file: TemplateFile, problem: Problem) -> None:
    """Once: the text part made of the HTML repeats its mistakes."""
    if problem not in file.problems:
        file.problems.append(problem)


def _syntax_problem(file: TemplateFile, source: Source, error: LiquidError) -> Problem:
    cause = error.__cause__ if isinstance(error.__cause__, LiquidError) else error
    offset = cause.token.start_index if cause.token and 0 <= cause.token.start_index < len(source.text) else None
    what, suggestion = str(cause.message), None
    if what.startswith("unexpected tag '"):
        name = what.split("'")[1]
        if name in _FILES:
            return Problem(where=f"{file.name}:{source.line(offset or 0)}", key=name, what="a template reads no other file")
        what, suggestion = f"unknown or misplaced tag `{name}`", nearest(name, [tag for tag in HTML.tags if tag.isalpha()])
    elif offset is None and (open_tag := _never_closed(source)):
        offset, what = open_tag.start, f"`{{% {open_tag.name} %}}` is never closed by `{{% end{open_tag.name} %}}`"
    return Problem(where=f"{file.name}:{source.line(offset or 0)}", key="", what=what, suggestion=suggestion)


def _never_closed(source: Source) -> Segment | None:
    """The innermost block that is still open at the end."""
    blocks: list[Segment] = []
    for segment in split_source(source.text):
        if segment.kind is Kind.TAG and getattr(HTML.tags.get(segment.name), "block", False):
            blocks.append(segment)
        elif blocks and segment.name == f"end{blocks[-1].name}":
            blocks.pop()
    return blocks[-1] if blocks else None


def _wrong_filters(file: TemplateFile, part: Part) -> Iterator[Problem]:
    for used in _filters(part.template):
        where = f"{file.name}:{part.source.line(used.token.start_index)}"
        function = part.template.env.filters.get(used.name)
        if function is None:
            known = [name for name in part.template.env.filters if name != URL_GUARD]
            yield Problem(where=where, key=used.name, what="unknown filter", suggestion=nearest(used.name, known))
            continue
        named = {argument.name: None for argument in used.args if hasattr(argument, "name")}
        given = {name: None for name in ("context", "environment") if getattr(function, f"with_{name}", False)}
        try:
            inspect.signature(function).bind(None, *[None] * (len(used.args) - len(named)), **named, **given)
        except TypeError as error:
            yield Problem(where=where, key=used.name, what=f"wrong arguments: {error}")


def _wrong_variables(file: TemplateFile, part: Part) -> Iterator[Problem]:
    for variable in part.variables:
        name, root = str(variable)[:80], str(variable.segments[0])[:80]
        where = f"{file.name}:{part.source.line(variable.span.index)}"
        second = variable.segments[1] if len(variable.segments) > 1 else None
        if root not in ROOTS and root != FOOTER:
            yield Problem(where=where, key=name, what="unknown variable", suggestion=nearest(root, ROOTS) or _at_home(root))
        elif root == "campaign" and second not in CAMPAIGN_WORDS:
            yield Problem(where=where, key=name, what="campaign has name and step", suggestion=nearest(str(second), CAMPAIGN_WORDS))
        elif root == "offer" and second is not None and second not in OFFER_WORDS:
            what = "offer has name, text, code, ends_at and value"
            yield Problem(where=where, key=name, what=what, suggestion=nearest(str(second), OFFER_WORDS))
        elif root == "event" and second is not None and second not in EVENT_WORDS:
            what = "event has name, at and properties"
            yield Problem(where=where, key=name, what=what, suggestion=f"event.properties.{second}")


def _at_home(root: str) -> str | None:
    """A bare name is mostly a trait whose `recipient.` was left out."""
    return f"recipient.{root}" if root.isidentifier() and root.islower() else None


def _variables(template: BoundTemplate) -> Iterator[Variable]:
    return itertools.chain.from_iterable(template.analyze(include_partials=False).globals.values())


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    for node in walk_nodes(template):
        waiting = list(node.expressions())
        while waiting:
            expression = waiting.pop()
            yield expression
            waiting.extend(expression.children())


def _filters(template: BoundTemplate) -> Iterator[Filter]:
    for expression in _expressions(template):
        if isinstance(expression, FilteredExpression):
            yield from expression.filters or ()


def _optional_offsets(template: BoundTemplate) -> frozenset[int]:
    return frozenset(expression.token.start_index for expression in _expressions(template) if isinstance(expression, OptionalPath))


def _guard_urls(template: BoundTemplate, offsets: frozenset[int]) -> None:
    """Put the guard behind each output that begins an address."""
    for node in walk_nodes(template):
        if isinstance(node, OutputNode) and node.token.start_index in offsets and isinstance(node.expression, FilteredExpression):
            guard = Filter(node.expression.token, URL_GUARD, [])
            node.expression.filters = [*(node.expression.filters or []), guard]
