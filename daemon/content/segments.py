"""CONTENT: a template's source cut into its plain text and its Liquid markup, and a source that remembers its lines.

The assembly of a mail (footer, links, text part) works on the plain text only and must carry the markup through untouched;
the checks of `html_check` need to know between which characters of HTML a value is written. Pure.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.errors import HomingError

LONGEST_MARKUP = 2000
"""Characters of one `{{ .. }}` or `{% .. %}`."""
MAX_MARKUPS = 2000
MASK, MASK_REST = "\ufdd0", "\ufdd1"
"""Noncharacters that stand for markup in a masked source; no text may hold them."""

_OPENING = re.compile(r"\{[{%]")
_BLANKS = re.compile(r"\s{200}")
_WRITING = frozenset({"echo", "cycle", "liquid"})
_OPAQUE = {"raw": "endraw", "comment": "endcomment", "doc": "enddoc"}


class Kind(StrEnum):
    TEXT = "text"
    OUTPUT = "output"
    """`{{ .. }}`, and the tags that write a value: `echo`, `cycle`, `liquid`; those have a name."""
    TAG = "tag"
    """`{% .. %}`"""
    OPAQUE = "opaque"
    """A whole `raw`, `comment` or `doc` block: what is inside is no markup."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`start` is the offset in the source; `name` the tag's name, empty for others."""

    kind: Kind
    text: str
    start: int
    name: str = ""


class MarkupError(HomingError):
    """Liquid markup that is not closed, empty or too long; `offset` is where it opens."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Source:
    """A template text put together of chunks of files: `starts` are the chunks' offsets, `lines` their lines in the file."""

    text: str
    starts: tuple[int, ...] = (0,)
    lines: tuple[int, ...] = (1,)

    @staticmethod
    def build(chunks: Iterable[tuple[str, int]]) -> Source:
        """Of (text, line in the file where it begins)."""
        texts, starts, lines, size = [], [], [], 0
        for text, line in chunks:
            if text:
                texts.append(text)
                starts.append(size)
                lines.append(line)
                size += len(text)
        return Source("".join(texts), tuple(starts) or (0,), tuple(lines) or (1,))

    def line(self, offset: int) -> int:
        """The line in the file of an offset."""
        index = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        return self.lines[index] + self.text.count("\n", self.starts[index], offset)

    def insert(self, edits: Iterable[tuple[int, str]]) -> Source:
        """With texts put in at offsets."""
        chunks, position = [], 0
        for offset, text in sorted(edits, key=lambda edit: edit[0]):
            chunks += [*self._chunks(position, offset), (text, self.line(offset))]
            position = offset
        return Source.build([*chunks, *self._chunks(position, len(self.text))])

    def _chunks(self, start: int, end: int) -> list[tuple[str, int]]:
        cuts = [start, *(cut for cut in self.starts if start < cut < end), end]
        return [(self.text[one:two], self.line(one)) for one, two in itertools.pairwise(cuts)]


def split_source(source: str) -> list[Segment]:
    """The segments of a template in order; joined they are the source again. Raises MarkupError."""
    segments: list[Segment] = []
    position = 0
    while position < len(source):
        found = _OPENING.search(source, position)
        opening = found.start() if found else len(source)
        if opening > position:
            segments.append(Segment(Kind.TEXT, source[position:opening], position))
        if opening == len(source):
            break
        if len(segments) > 2 * MAX_MARKUPS:
            raise MarkupError(f"more than {MAX_MARKUPS} `{{{{ .. }}}}` and `{{% .. %}}`", opening)
        segment = _markup(source, opening)
        segments.append(segment)
        position = opening + len(segment.text)
    return segments


def mask(segments: Sequence[Segment]) -> str:
    """The source with each markup replaced by as many noncharacters, so that offsets stay."""
    return "".join(part.text if part.kind is Kind.TEXT else MASK + MASK_REST * (len(part.text) - 1) for part in segments)


def _markup(source: str, start: int) -> Segment:
    if source.startswith("{{", start):
        return Segment(Kind.OUTPUT, source[start : _close(source, start, "}}")], start)
    end = _close(source, start, "%}")
    words = source[start + 2 : end - 2].strip("-").split(maxsplit=1)
    name = words[0]
    if name not in _OPAQUE:
        return Segment(Kind.OUTPUT if name in _WRITING else Kind.TAG, source[start:end], start, name)
    return Segment(Kind.OPAQUE, source[start : _close_block(source, end, name, start)], start, name)


def _close(source: str, start: int, closing: str) -> int:
    """The end of a markup. The library's lexer is quadratic in blanks and in what is never closed: those are refused here."""
    end = source.find(closing, start + 2)
    opening = source[start : start + 2]
    if end < 0:
        raise MarkupError(f"`{opening}` is never closed by `{closing}`", start)
    inside = source[start + 2 : end]
    if len(inside) > LONGEST_MARKUP or _BLANKS.search(inside):
        raise MarkupError(f"`{opening} ..` is longer than {LONGEST_MARKUP} characters, or has more than 200 blanks in a row", start)
    if inside.count("[") > 20:
        raise MarkupError(f"`{opening} ..` has more than 20 brackets", start)
    if not inside.strip("-").strip():
        raise MarkupError(f"`{opening} {closing}` is empty", start)
    return end + 2


def _close_block(source: str, position: int, name: str, start: int) -> int:
    """The end of an opaque block; comments may be nested, the others not."""
    depth = 1
    while depth:
        opening = source.find("{%", position)
        end = source.find("%}", opening + 2) if opening >= 0 else -1
        if end < 0:
            raise MarkupError(f"`{{% {name} %}}` is never closed by `{{% {_OPAQUE[name]} %}}`", start)
        word = source[opening + 2 : end].strip("-").strip() if end - opening < 100 else ""
        depth += (word == "comment" == name) - (word == _OPAQUE[name])
        position = end + 2 if word in ("comment", _OPAQUE[name]) else opening + 2
    return position
