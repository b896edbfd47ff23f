"""CONTENT: from the parts of a template file to the sources of a whole mail, once when a version is compiled.

Adds what the author need not write: campaign parameters on links, the text part, the unsubscribe footer of marketing mail in
both parts, the hidden preheader, the document around a fragment with its language and direction. Pure; works on template
sources, so that at render nothing is left to do.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.content.html_check import campaign_parameters, campaign_parameters_in_text, check_html
from daemon.content.html_scan import HtmlToken, Piece, scan_html
from daemon.content.html_text import make_text
from daemon.content.locales import footer_words, is_rtl, reads_rtl
from daemon.content.segments import Kind, MarkupError, Segment, Source, mask, split_source
from daemon.content.template_file import TemplateFile

FOOTER = "homing_footer"
"""The variable that holds the words of the footer in the recipient's language, for a file that is for all languages."""

_HTML_FOOTER = (
    '<p dir="[dir]" style="margin-top:24px;font-size:12px;color:#666666">[why] <a href="{{ unsubscribe_url }}">[unsubscribe]</a></p>\n'
)
_TEXT_FOOTER = "\n-- \n[why]\n[unsubscribe]: {{ unsubscribe_url }}\n"
_SMS_FOOTER = "\n[sms]\n"
_SAYS_STOP = re.compile(
    r"\b(?:STOP|BERHENTI|HENTI)\b|لغو|(?i:\bunsubscribe\b|\bopt[ -]?out\b|"
    r"\b(?:reply|text|send|balas|ketik|kirim|taip|hantar)\W+(?:stop|berhenti|henti)\b)"
)
"""Words of an SMS by which a person knows the way out; "non-stop sale" is none."""
_PREHEADER = '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all" aria-hidden="true">{}</div>'
_USES_UNSUBSCRIBE = re.compile(r"\bunsubscribe_url\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dress:
    """What the campaign says about its mails, and the locale of this file (None: the file without one)."""

    marketing: bool
    locale: str | None
    parameters: Mapping[str, str]
    """`utm_source` and so on, for the links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Whole sources; `guarded`: offsets in `html` of the outputs that begin an address."""

    text: Source
    html: Source | None
    guarded: frozenset[int]


def assemble_mail(file: TemplateFile, dress: Dress) -> Mail | None:
    """The sources of a mail's parts; None if the file's problems (some added here) forbid it."""
    try:
        page = _html_part(file, file.html, dress) if file.html else None
        plain = _text_part(file, page, dress)
        whole = _document(page, file, dress) if page else None
        guarded = _check(file, whole) if whole else frozenset()
    except _Faulty:
        return None
    return Mail(text=plain, html=whole, guarded=guarded)


def assemble_sms(file: TemplateFile, dress: Dress) -> Source | None:
    """The source of an SMS: a marketing one says how to stop it, in a short line of its own if the template does not. None: see above."""
    if file.text is None:
        return None
    try:
        segments = _segments(file, file.text)
    except _Faulty:
        return None
    said = _has_unsubscribe(segments) or any(_SAYS_STOP.search(each.text) for each in segments if each.kind is Kind.TEXT)
    if said or not dress.marketing:
        return file.text
    return file.text.insert([(len(file.text.text.rstrip()), _footer(_SMS_FOOTER, dress.locale))])


class _Faulty(Exception):
    """A part that cannot be read; its problem is noted."""


def _segments(file: TemplateFile, source: Source) -> list[Segment]:
    try:
        return split_source(source.text)
    except MarkupError as error:
        file.fault(source.line(error.offset), str(error))
        raise _Faulty from error


def _html_part(file: TemplateFile, source: Source, dress: Dress) -> Source:
    segments = _segments(file, source)
    if dress.parameters:
        masked = mask(segments)
        return source.insert(campaign_parameters(masked, scan_html(masked), dress.parameters))
    return source


def _text_part(file: TemplateFile, page: Source | None, dress: Dress) -> Source:
    if file.text is not None:
        masked = mask(_segments(file, file.text))
        text = file.text.insert(campaign_parameters_in_text(masked, dress.parameters))
    elif page is not None:
        text = make_text(page, _segments(file, page))
    else:
        raise _Faulty
    if dress.marketing and not _has_unsubscribe(_segments(file, text)):
        text = text.insert([(len(text.text), _footer(_TEXT_FOOTER, dress.locale))])
    return text


def _footer(form: str, locale: str | None) -> str:
    """The footer with its words put in, or with the variables that bring them."""
    for key, words in footer_words(locale).items():
        form = form.replace(f"[{key}]", words if locale else f"{{{{ {FOOTER}.{key} }}}}")
    return form


def _has_unsubscribe(segments: Sequence[Segment]) -> bool:
    """Is the link surely written, outside every block of Liquid?"""
    depth = 0
    for segment in segments:
        if segment.kind is Kind.TAG:
            depth += segment.name in ("if", "unless", "for", "case", "tablerow", "ifchanged", "capture")
            depth -= segment.name.startswith("end")
        elif segment.kind is Kind.OUTPUT and not depth and _USES_UNSUBSCRIBE.search(segment.text):
            return True
    return False


def _document(page: Source, file: TemplateFile, dress: Dress) -> Source:
    """The whole HTML: preheader first, footer last, in a document that names language and direction."""
    segments = _segments(file, page)
    tokens = scan_html(mask(segments))
    opening = _first(tokens, (Piece.START, "body"), (Piece.END, "head"), (Piece.START, "html"))
    closing = _first(tokens[::-1], (Piece.END, "body"), (Piece.END, "html"))
    document = any(token.piece is Piece.START and token.name in ("html", "body") for token in tokens)
    edits = []
    start = _PREHEADER.format(_escaped(file, file.head["preheader"])) if "preheader" in file.head else ""
    if not document:
        start = _opening(dress.locale, direction=_direction(segments, tokens, dress)) + start
    elif _direction(segments, tokens, dress) == "rtl":
        root = next(token for token in tokens if token.piece is Piece.START and token.name in ("html", "body"))
        edits.append((root.start + 1 + len(root.name), ' dir="rtl"'))
    edits.append((opening.end if opening else 0, start))
    end = _footer(_HTML_FOOTER, dress.locale) if dress.marketing and not _has_unsubscribe(segments) else ""
    edits.append((closing.start if closing else len(page.text), end + ("" if document else "</body></html>\n")))
    return page.insert(edit for edit in edits if edit[1])


def _first(tokens: Sequence[HtmlToken], *wanted: tuple[Piece, str]) -> HtmlToken | None:
    """The first token of the first kind that there is."""
    found = (next((token for token in tokens if (token.piece, token.name) == kind), None) for kind in wanted)
    return next((token for token in found if token is not None), None)


def _opening(locale: str | None, *, direction: str | None) -> str:
    language = f' lang="{html.escape(locale)}"' if locale else ""
    way = f' dir="{direction}"' if direction else ""
    return (
        f'<!doctype html><html{language}{way}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title></title></head><body>'
    )


def _direction(segments: Sequence[Segment], tokens: Sequence[HtmlToken], dress: Dress) -> str | None:
    """`rtl` for a right-to-left locale, or text without a locale that reads so; None if the template says it itself."""
    masked = mask(segments)
    if any(token.attribute("dir") for token in tokens if token.piece is Piece.START):
        return None
    texts = (masked[token.start : token.end] for token in tokens if token.piece is Piece.TEXT)
    return "rtl" if (is_rtl(dress.locale) if dress.locale else reads_rtl(texts)) else None


def _escaped(file: TemplateFile, source: Source) -> str:
    """A head line as HTML: its own characters escaped, its markup left (autoescape does the values)."""
    return "".join(
        html.escape(segment.text, quote=False) if segment.kind is Kind.TEXT else segment.text for segment in _segments(file, source)
    )


def _check(file: TemplateFile, source: Source) -> frozenset[int]:
    segments = _segments(file, source)
    masked = mask(segments)
    found = check_html(masked, scan_html(masked), segments)
    for offset, what in found.faults:
        file.fault(source.line(offset), what)
    return found.guarded
