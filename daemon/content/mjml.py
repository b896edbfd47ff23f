"""CONTENT: a mail's template in MJML (`STEP.email.mjml`), made into one of HTML once, when its campaign is read; a version holds the HTML.

Liquid is put away before and put back after, so that the engine sees only words; what it loses, or tells twice, is named. The engine drops
what it does not know and gives no lines: tags and their nesting are checked here first. Pure but for the engine, the package `mjml-python`,
which is asked for only where there is such a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from xml.parsers import expat

from daemon.content.compile import check_part
from daemon.content.locales import is_rtl, normalise, parse_locale, reads_rtl
from daemon.content.names import MJML
from daemon.content.segments import Kind, MarkupError, Segment, Source, split_source
from daemon.content.template_file import EMAIL, TemplateFile, parse_file
from daemon.errors import Problem, nearest

STRUCTURE = frozenset({
    "mjml", "mj-head", "mj-attributes", "mj-all", "mj-class", "mj-breakpoint", "mj-font", "mj-body", "mj-wrapper", "mj-section", "mj-group",
    "mj-column", "mj-hero", "mj-image", "mj-divider", "mj-spacer", "mj-social", "mj-navbar", "mj-accordion", "mj-accordion-element",
    "mj-carousel", "mj-carousel-image",
})  # fmt: skip
WORDY = frozenset({
    "mj-text", "mj-button", "mj-table", "mj-raw", "mj-style", "mj-title", "mj-preview", "mj-accordion-title", "mj-accordion-text",
    "mj-navbar-link", "mj-social-element",
})  # fmt: skip
"""Tags of MJML in which there may be HTML and words."""
KNOWN = STRUCTURE | WORDY
_FAULTY = "<p>.</p>"
"""Stands for a body whose problems are told already."""
_MARK = re.compile(r"HMGLQ(\d{6})X")
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;|#)[A-Za-z][A-Za-z0-9]*;")
_POSITION = re.compile(r" in root template(?: at position (\d+):\d+)?$")
"""How the engine says where; bytes."""
_NO_WAY = ' lang="und" dir="auto"'
_RTL = '<mj-attributes><mj-all direction="rtl" /><mj-text align="right" /></mj-attributes>'


def html_of(name: str, content: str) -> tuple[str, list[Problem]]:
    """The template file with its body as HTML, on as many lines as before, and what is wrong. `content`: normalised text."""
    file = parse_file(name, content, channel=EMAIL)
    if file.problems or file.html is None:
        return content, []  # told by who compiles it
    lines = content.split("\n")
    first = file.html.lines[0] - 1
    last = first + file.html.text.count("\n")
    html = _converted(file, file.html)
    body = (html or _FAULTY).replace("\n", " ")
    return "\n".join([*lines[:first], body, *[""] * (last - first - 1), *lines[last:]]), file.problems


def _converted(file: TemplateFile, source: Source) -> str | None:
    """None: its problems are noted."""
    try:
        segments = split_source(source.text)
    except MarkupError as error:
        file.fault(source.line(error.offset), str(error))
        return None
    check_part(file, source)
    _check_tags(file, source, segments)
    if file.problems:
        return None
    convert = _engine(file, source)
    if convert is None:
        return None
    locale = _locale(file.name)
    rtl = is_rtl(locale) if locale else reads_rtl(re.sub(r"<[^>]*>", "", each.text) for each in segments if each.kind is Kind.TEXT)
    text = "".join(each.text if each.kind is Kind.TEXT else f"HMGLQ{number:06}X" for number, each in enumerate(segments))
    try:
        text = _turned(text) if rtl else text
        html = convert(text)
    except ValueError as error:
        place = _POSITION.search(str(error))
        before = text.encode()[: int(place[1]) if place else 0]
        file.fault(source.lines[0] + before.count(b"\n"), f"MJML: {_POSITION.sub('', str(error))}")
        return None
    _check_kept(file, source, segments, html)
    way = f' lang="{locale}"' if locale else ""
    return None if file.problems else _restored(segments, html.replace(_NO_WAY, way, 1).replace(_NO_WAY, ""))


def _engine(file: TemplateFile, source: Source) -> Callable[[str], str] | None:
    try:
        from mjml import mjml2html
    except ImportError:
        file.fault(source.lines[0], "MJML needs a package that is not installed: pip install 'homing[mjml]'")
        return None
    return lambda text: str(mjml2html(text, fonts={}))  # no font is loaded from elsewhere when the mail is read


def _locale(name: str) -> str | None:
    """That of the file's name; None: for all languages, or none that is known."""
    last = name.removesuffix(MJML).rpartition(".")[2]
    return normalise(last) if last != EMAIL and parse_locale(last) is not None else None


def _turned(text: str) -> str:
    """With right-to-left as what holds where the author says nothing: the engine writes `direction:ltr` else."""
    if re.search(r"<mj-head\s*>", text):
        return re.sub(r"(<mj-head\s*>)", rf"\1{_RTL}", text, count=1)
    return re.sub(r"(<mjml\b[^>]*>)", rf"\1<mj-head>{_RTL}</mj-head>", text, count=1)


def _check_tags(file: TemplateFile, source: Source, segments: Sequence[Segment]) -> None:
    """Well-formed, known, and HTML only where MJML takes it. The first few problems."""
    shown = "".join(each.text if each.kind is Kind.TEXT else "x" + "\n" * each.text.count("\n") for each in segments)
    first = source.lines[0]
    parser = expat.ParserCreate()
    open_tags: list[str] = []

    def line() -> int:
        return first + parser.CurrentLineNumber - 1

    def start(name: str, _: dict[str, str]) -> None:
        within = [tag for tag in open_tags if tag in WORDY]
        if name.startswith("mj") and name not in KNOWN:
            file.fault(line(), f"MJML has no tag <{name}>", "", nearest(name, KNOWN))
        elif name not in KNOWN and not within:
            file.fault(line(), f"<{name}> is HTML, which stands in <mj-text>, <mj-table> or <mj-raw> only")
        elif name in STRUCTURE and within:
            file.fault(line(), f"<{name}> stands in <{within[-1]}>, which takes HTML only")
        open_tags.append(name)

    def no_types(*_: object) -> None:
        raise expat.error("a document type is not taken")

    parser.StartElementHandler, parser.EndElementHandler = start, lambda _: open_tags.pop()
    parser.StartDoctypeDeclHandler = no_types
    try:
        parser.Parse(_ENTITY.sub(lambda found: "x" * len(found[0]), shown), True)
    except expat.ExpatError as error:
        file.fault(line(), f"not well-formed: {str(error).partition(':')[0]}; each tag is closed, `<br />` too")
    del file.problems[5:]


def _check_kept(file: TemplateFile, source: Source, segments: Sequence[Segment], html: str) -> None:
    """Each value is somewhere, and each tag once, in the old order."""
    found = [int(match[1]) for match in _MARK.finditer(html)]
    there = set(found)
    steps = [number for number in found if number < len(segments) and segments[number].kind is not Kind.OUTPUT]
    for number, each in _markup(segments):
        where = source.line(each.start)
        if number not in there:
            file.fault(where, f"`{each.text[:40]}` is lost: MJML takes no text there; put it into <mj-text> or <mj-raw>")
        elif each.kind is not Kind.OUTPUT and steps.count(number) > 1:
            file.fault(where, f"`{each.text[:40]}` would stand in the mail more than once: put it into <mj-text> or <mj-raw>")
    if not file.problems and steps != sorted(steps):
        file.fault(source.lines[0], "the tags of Liquid would change their order: put them into <mj-raw>")


def _markup(segments: Sequence[Segment]) -> Iterator[tuple[int, Segment]]:
    return ((number, each) for number, each in enumerate(segments) if each.kind is not Kind.TEXT)


def _restored(segments: Sequence[Segment], html: str) -> str:
    return _MARK.sub(lambda match: segments[int(match[1])].text if int(match[1]) < len(segments) else match[0], html)
