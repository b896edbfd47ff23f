"""CONTENT: HTML cut into tags, text and comments, with the offsets of each attribute's value. One pass, linear in the text.

It serves a mail's assembly, its checks and its text part. The standard library's parser gives no offsets of attributes and is
quadratic on crafted input. Knows nothing of Liquid: a masked source (`segments.mask`) passes through as ordinary characters.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from enum import StrEnum

RAW_ELEMENTS = frozenset({"script", "style", "title", "textarea", "xmp"})
"""Elements whose content is no markup."""

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NAME = re.compile(r"[^\s/>]+")
_ATTRIBUTE = re.compile(r"[^\s/>=][^\s/>=]*")
_BLANK = re.compile(r"[\s/]*")
_SPACE = re.compile(r"\s*")
_UNQUOTED = re.compile(r"[^\s>]*")


class Piece(StrEnum):
    TEXT = "text"
    START = "start"
    END = "end"
    COMMENT = "comment"
    RAW = "raw"
    """The content of a raw element, whose name it has."""
    BROKEN = "broken"
    """From a tag that never ends to the end of the text."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`start` to `end` is the value without its quotes; both are the end of the name where there is none."""

    name: str
    start: int
    end: int
    quoted: bool = True


@dataclass(frozen=True, slots=True)
class HtmlToken:
    piece: Piece
    start: int
    end: int
    name: str = ""
    attributes: tuple[Attribute, ...] = ()

    def attribute(self, name: str) -> Attribute | None:
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


def scan_html(text: str) -> list[HtmlToken]:
    """The tokens in order, without gaps."""
    lower = text.translate(_LOWER)
    tokens: list[HtmlToken] = []
    position = plain = 0
    while (opening := text.find("<", position)) >= 0:
        token = _markup(text, lower, opening)
        if token is None:
            position = opening + 1
            continue
        if opening > plain:
            tokens.append(HtmlToken(Piece.TEXT, plain, opening))
        tokens.append(token)
        position = plain = token.end
        if token.piece is Piece.START and token.name in RAW_ELEMENTS:
            end = lower.find(f"</{token.name}", position)
            end = end if end >= 0 else len(text)
            tokens.append(HtmlToken(Piece.RAW, position, end, token.name))
            position = plain = end
    if len(text) > plain:
        tokens.append(HtmlToken(Piece.TEXT, plain, len(text)))
    return tokens


def _markup(text: str, lower: str, opening: int) -> HtmlToken | None:
    """The tag or comment that opens here; None if it is a mere `<`."""
    after = text[opening + 1 : opening + 2]
    if after in ("!", "?"):
        closing = "-->" if text.startswith("<!--", opening) else ">"
        end = text.find(closing, opening + 2)
        return HtmlToken(Piece.COMMENT, opening, end + len(closing) if end >= 0 else len(text))
    if after == "/":
        end = text.find(">", opening)
        name = _NAME.match(lower, opening + 2)
        return HtmlToken(Piece.END, opening, end + 1 if end >= 0 else len(text), name[0] if name else "")
    if after.isascii() and after.isalpha():
        return _start_tag(text, lower, opening)
    return None


def _start_tag(text: str, lower: str, opening: int) -> HtmlToken:
    name = _NAME.match(lower, opening + 1)
    position = name.end() if name else opening + 1
    attributes: list[Attribute] = []
    while True:
        blank = _BLANK.match(text, position)
        position = blank.end() if blank else position
        if position >= len(text):
            return HtmlToken(Piece.BROKEN, opening, len(text), name[0] if name else "")
        if text[position] == ">":
            return HtmlToken(Piece.START, opening, position + 1, name[0] if name else "", tuple(attributes))
        attribute, position = _attribute(text, lower, position)
        attributes.append(attribute)


def _attribute(text: str, lower: str, position: int) -> tuple[Attribute, int]:
    """The attribute at a position and the offset after it."""
    name = _ATTRIBUTE.match(lower, position)
    end = name.end() if name else position + 1
    word = lower[position:end]
    space = _SPACE.match(text, end)
    sign = space.end() if space else end
    if text[sign : sign + 1] != "=":
        return Attribute(word, end, end), end
    space = _SPACE.match(text, sign + 1)
    start = space.end() if space else sign + 1
    quote = text[start : start + 1]
    if quote in ('"', "'"):
        closing = text.find(quote, start + 1)
        if closing < 0:
            return Attribute(word, start + 1, len(text)), len(text)
        return Attribute(word, start + 1, closing), closing + 1
    value = _UNQUOTED.match(text, start)
    stop = value.end() if value else start
    return Attribute(word, start, stop, quoted=False), stop
