"""CONTENT: the text part of a mail made of its HTML, once per template, with the Liquid markup carried through.

Links become `text (address)`, lists lines with `-` or numbers, rows of tables lines with ` | ` (layout tables, marked
role="presentation", one line a cell). Blocks of Liquid keep their line breaks inside, so that a loop over items gives one
line each. Pure; works on the tokens of `html_scan`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.content.html_scan import HtmlToken, Piece, scan_html
from daemon.content.segments import MASK, MASK_REST, Kind, Segment, Source, mask

_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "dl"})
_LINES = frozenset({"div", "li", "tr", "section", "article", "header", "footer", "main", "center", "dt", "dd", "form", "figure", "caption"})
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr"})
_SKIPPED = frozenset({"head", "script", "style", "title", "template", "noscript", "object", "svg"})
_OPENING = frozenset({"if", "unless", "for", "case", "tablerow", "ifchanged", "capture"})
_MIDDLE = frozenset({"else", "elsif", "when"})
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_WORDS = re.compile(rf"[{MASK}][{MASK_REST}]*|[^\S{MASK}\u00a0]+|[^\s{MASK}{MASK_REST}]+|\u00a0")

Mark = tuple[int, bool]
"""How the text stands: line breaks at its end, and whether it ends with a blank."""

_START = 9
"""At the start of the text all line breaks are paid."""


@dataclass(slots=True)
class _List:
    ordered: bool
    loops: int
    count: int = 0


@dataclass(slots=True)
class _Writer:
    """The text so far: plain strings and markup segments."""

    out: list[str | Segment] = field(default_factory=list)
    owed: int = 0
    """Line breaks that the next word begins after."""
    ended: int = _START
    """Line breaks at the end of what is written."""
    blank: bool = False
    """A blank is owed before the next word."""
    spaced: bool = False
    """A blank is at the end of what is written."""
    prefix: str = ""
    preformatted: int = 0

    @property
    def mid_line(self) -> bool:
        return not self.ended and not self.owed

    def lines(self, count: int) -> None:
        self.owed = max(self.owed, count)

    def hard_break(self) -> None:
        self.owed = min(max(self.owed, self.ended) + 1, 3)

    def word(self, part: str | Segment) -> None:
        self.settle()
        if self.prefix:
            self.out.append(self.prefix)
            self.prefix = ""
        self.out.append(part)
        self.ended, self.spaced = 0, False

    def settle(self) -> None:
        """Pay the owed line breaks or blank."""
        if self.owed:
            if self.owed > self.ended:
                self.out.append("\n" * (self.owed - self.ended))
                self.ended, self.spaced = self.owed, False
        elif self.blank and not self.ended:
            self.out.append(" ")
            self.spaced = True
        self.owed, self.blank = 0, False


class TextPart:
    """One conversion. `source_of` maps a markup's offset to its segment."""

    def __init__(self, source: Source, segments: Sequence[Segment]) -> None:
        self._source = source
        self._segments = _undashed(segments)
        self._by_start = {segment.start: segment for segment in self._segments}
        self._masked = mask(self._segments)
        self._write = _Writer()
        self._links: list[tuple[int, list[str | Segment]]] = []
        self._lists: list[_List] = []
        self._tables: list[bool] = []
        self._blocks: list[tuple[str, Mark]] = []
        self._skip: tuple[str, int] = ("", 0)
        self._lines: dict[int, int] = {}
        for segment, original in zip(self._segments, segments, strict=True):
            self._lines[segment.start] = source.line(original.start)

    def convert(self) -> Source:
        """The text part; each markup in it stands at the line that it has in the file."""
        for token in scan_html(self._masked):
            self._take(token)
        chunks, line = [], 1
        for part in self._trimmed():
            if isinstance(part, Segment):
                line = self._lines[part.start]
                chunks.append((part.text, line))
            else:
                chunks.append((_without_markup(part), line))
        return Source.build(chunks)

    def _trimmed(self) -> list[str | Segment]:
        """What is written, without blanks at the end and with one line break there."""
        kept = list(self._write.out)
        ended = 0 < self._write.ended < _START
        while kept and isinstance(kept[-1], str) and not kept[-1].strip():
            kept.pop()
            ended = False
        return kept if ended or not kept else [*kept, "\n"]

    def _take(self, token: HtmlToken) -> None:
        if token.piece in (Piece.TEXT, Piece.RAW):
            self._text(token)
        elif token.piece is Piece.START:
            if not self._skip_start(token):
                self._start(token)
        elif token.piece is Piece.END and not self._skip_end(token):
            self._end(token.name)

    def _skip_start(self, token: HtmlToken) -> bool:
        name, depth = self._skip
        if depth and token.name != "body":
            self._skip = (name, depth + (token.name == name))
            return True
        self._skip = ("", 0)
        style = token.attribute("style")
        hidden = token.attribute("hidden") or (style and _HIDDEN.search(self._masked[style.start : style.end]))
        if (hidden or token.name in _SKIPPED) and token.name not in _VOID:
            self._skip = (token.name, 1)
        return bool(hidden) or token.name in _SKIPPED

    def _skip_end(self, token: HtmlToken) -> bool:
        name, depth = self._skip
        if depth and token.name == name:
            self._skip = (name, depth - 1)
        return depth > 0

    def _text(self, token: HtmlToken) -> None:
        text = self._masked[token.start : token.end]
        if self._skip[1] or token.piece is Piece.RAW:
            for match in re.finditer(f"{MASK}", text):
                self._tag(self._by_start[token.start + match.start()])
            return
        for match in _WORDS.finditer(text):
            if match[0][0] == MASK:
                self._markup(self._by_start[token.start + match.start()])
            elif match[0].isspace() and match[0] != "\u00a0":
                self._space(match[0])
            else:
                self._write.word(html.unescape(match[0]))

    def _space(self, blanks: str) -> None:
        if self._write.preformatted:
            self._write.word(blanks)
        elif self._write.mid_line and not self._write.spaced:
            self._write.blank = True

    def _markup(self, segment: Segment) -> None:
        if segment.kind is Kind.OUTPUT or segment.name == "raw":
            self._write.word(segment)
        else:
            self._tag(segment)

    def _tag(self, segment: Segment) -> None:
        """A block's tag: what is owed is paid outside it, and each arm of a branch begins as the first did."""
        if segment.kind is not Kind.TAG:
            return
        write = self._write
        write.settle()
        if segment.name in _OPENING:
            self._blocks.append((segment.name, (write.ended, write.spaced)))
        elif segment.name in _MIDDLE and self._blocks:
            write.ended, write.spaced = self._blocks[-1][1]
        elif segment.name.startswith("end") and self._blocks:
            self._blocks.pop()
        write.out.append(segment)

    def _start(self, token: HtmlToken) -> None:
        name, write = token.name, self._write
        if name in _PARAGRAPHS:
            write.lines(1 if name in ("ul", "ol") and self._lists else 2)
        elif name in _LINES:
            write.lines(1)
        if name == "br":
            write.hard_break()
        elif name == "hr":
            write.lines(2)
            write.word("-" * 20)
            write.lines(2)
        elif name == "img":
            for part in self._value(token, "alt"):
                write.word(part)
        elif name == "a":
            write.settle()
            self._links.append((len(write.out), self._value(token, "href")))
        elif name in ("ul", "ol"):
            self._lists.append(_List(name == "ol", self._loops()))
        elif name == "li":
            self._item()
        elif name == "pre":
            write.preformatted += 1
        elif name == "table":
            role = token.attribute("role")
            self._tables.append(role is not None and self._masked[role.start : role.end] in ("presentation", "none"))
        elif name in ("td", "th"):
            self._cell()

    def _item(self) -> None:
        if not self._lists:
            self._write.prefix = "- "
            return
        home = self._lists[-1]
        home.count += 1
        numbered = home.ordered and self._loops() == home.loops
        self._write.prefix = "  " * (len(self._lists) - 1) + (f"{home.count}. " if numbered else "- ")

    def _cell(self) -> None:
        write = self._write
        if not write.mid_line:
            return
        if self._tables and self._tables[-1]:
            write.lines(1)
        else:
            write.blank = False
            write.word(" | ")

    def _loops(self) -> int:
        return sum(name in ("for", "tablerow") for name, _ in self._blocks)

    def _end(self, name: str) -> None:
        write = self._write
        if name in _PARAGRAPHS:
            write.lines(1 if name in ("ul", "ol") and len(self._lists) > 1 else 2)
        elif name in _LINES:
            write.lines(1)
        if name == "a" and self._links:
            self._close_link()
        elif name in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif name == "pre" and write.preformatted:
            write.preformatted -= 1
        elif name == "table" and self._tables:
            self._tables.pop()
        elif name == "li":
            write.prefix = ""

    def _close_link(self) -> None:
        start, address = self._links.pop()
        shown = self._write.out[start:]
        if not address or (isinstance(address[0], str) and address[0].startswith("#")):
            return
        if isinstance(address[0], str):
            address = [re.sub(r"^(mailto|tel|sms):", "", address[0]), *address[1:]]
        if _plain(shown) == _plain(address):
            return
        empty = not _plain(shown)
        if not empty:
            self._write.blank = True
            self._write.word("(")
        for part in address:
            self._write.word(part)
        if not empty:
            self._write.word(")")

    def _value(self, token: HtmlToken, name: str) -> list[str | Segment]:
        """An attribute's value as plain strings and markup."""
        attribute = token.attribute(name)
        if attribute is None:
            return []
        parts: list[str | Segment] = []
        text = self._masked[attribute.start : attribute.end]
        for match in re.finditer(f"{MASK}{MASK_REST}*|[^{MASK}]+", text):
            start = attribute.start + match.start()
            plain = html.unescape(match[0]).strip() if match[0][0] != MASK else ""
            if match[0][0] == MASK:
                parts.append(self._by_start[start])
            elif plain:
                parts.append(plain)
        return parts


def make_text(source: Source, segments: Sequence[Segment]) -> Source:
    """The text part of an HTML source."""
    return TextPart(source, segments).convert()


def _plain(parts: Sequence[str | Segment]) -> str:
    """What is compared to see whether a link shows its own address."""
    joined = "".join(part.text if isinstance(part, Segment) else part for part in parts)
    return re.sub(r"^https?://|/$", "", re.sub(r"\s+", " ", joined).strip())


def _undashed(segments: Sequence[Segment]) -> list[Segment]:
    """The segments with `{{-` and `-%}` carried out: in the text part line breaks are put beside tags that they would eat."""
    texts = [segment.text for segment in segments]
    for index, segment in enumerate(segments):
        if segment.kind is Kind.TEXT:
            continue
        if segment.text[2] == "-":
            texts[index] = segment.text[:2] + segment.text[3:]
            if index and segments[index - 1].kind is Kind.TEXT:
                texts[index - 1] = texts[index - 1].rstrip()
        if segment.text[-3] == "-":
            texts[index] = texts[index][:-3] + texts[index][-2:]
            if index + 1 < len(texts) and segments[index + 1].kind is Kind.TEXT:
                texts[index + 1] = texts[index + 1].lstrip()
    result, offset = [], 0
    for segment, text in zip(segments, texts, strict=True):
        result.append(Segment(segment.kind, text, offset, segment.name))
        offset += len(text)
    return result


def _without_markup(text: str) -> str:
    """Plain text in which character references had spelt Liquid's own signs."""
    return re.sub(r"\{(?=[{%])|\{$", "{{ '{' }}", text)
