"""CONTENT: what the HTML of a mail may not do, found when a campaign is loaded; and the links that get campaign parameters.

A value may stand in text and in quoted attributes only (there autoescape holds); one that decides where a link leads is marked
to be guarded at render. Links with a fixed address are checked here: a whole http(s), mailto, tel or sms address. Pure.
"""

from __future__ import annotations

import bisect
import html
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.content.html_scan import Attribute, HtmlToken, Piece
from daemon.content.segments import MASK, MASK_REST, Kind, Segment

LINK_ATTRIBUTES = frozenset({"href", "action", "formaction", "cite", "xlink:href"})
IMAGE_ATTRIBUTES = frozenset({"src", "background", "poster", "data"})
LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms"})
IMAGE_SCHEMES = frozenset({"http", "https", "cid", "data"})

_MASKS = f"{MASK}{MASK_REST}"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_FIXED_HOST = re.compile(rf"https?://[^/?#\s{_MASKS}]+(?=[/?#]|$)", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"https?://[^\s<>\"'()\[\]{}]+", re.IGNORECASE)
_NAMELESS = re.compile(f"</?{MASK}")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Found:
    """`faults`: (offset, what is wrong) · `guarded`: offsets of the outputs that begin an address."""

    faults: tuple[tuple[int, str], ...]
    guarded: frozenset[int]


def check_html(masked: str, tokens: Sequence[HtmlToken], segments: Sequence[Segment]) -> Found:
    """Look through the tokens of a masked source."""
    outputs = [segment.start for segment in segments if segment.kind is Kind.OUTPUT]
    tags = {segment.start for segment in segments if segment.kind is Kind.OUTPUT and segment.name}
    faults: list[tuple[int, str]] = []
    guarded: set[int] = set()
    for token in tokens:
        if token.piece is Piece.BROKEN:
            faults.append((token.start, f"the tag <{token.name.strip(_MASKS)} is never closed"))
        elif token.piece is Piece.TEXT:
            nameless = _NAMELESS.finditer(masked, token.start, token.end)
            faults += [(match.start(), "a value may not be the name of a tag") for match in nameless]
        elif token.piece is Piece.START:
            faults += _misplaced(token, _between(outputs, token.start, token.end))
            for attribute in token.attributes:
                faults += _check_address(masked, attribute)
                guarded |= _undecided(masked, attribute, _between(outputs, attribute.start, attribute.end))
    faults += [(offset, "a value in an address is written as `{{ .. }}`") for offset in sorted(guarded & tags)]
    return Found(tuple(faults), frozenset(guarded))


def _between(offsets: Sequence[int], start: int, end: int) -> Sequence[int]:
    return offsets[bisect.bisect_left(offsets, start) : bisect.bisect_left(offsets, end)]


def _misplaced(token: HtmlToken, outputs: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Values where escaping does not help: in a tag's or attribute's name, without quotes, in a script."""
    if token.name == "script":
        yield token.start, "mail programs run no scripts, and filters refuse mail that has them: remove <script>"
    for offset in outputs:
        home = next((attribute for attribute in token.attributes if attribute.start <= offset < attribute.end), None)
        if home is None:
            yield offset, f"a value may not stand inside the tag <{token.name.strip(_MASKS)}> itself, only in an attribute's quotes"
        elif not home.quoted:
            yield offset, f"the value of {home.name} must stand in quotes"
        elif home.name.startswith("on"):
            yield offset, f"a value may not stand in {home.name}: it would be run"


def _check_address(masked: str, attribute: Attribute) -> Iterator[tuple[int, str]]:
    link = attribute.name in LINK_ATTRIBUTES
    if not link and attribute.name not in IMAGE_ATTRIBUTES:
        return
    value = html.unescape(masked[attribute.start : attribute.end]).strip()
    fixed = re.split(f"[{_MASKS}]", value, maxsplit=1)[0]
    if fixed and (what := fault_of_address(fixed, whole=fixed == value, schemes=LINK_SCHEMES if link else IMAGE_SCHEMES)):
        yield attribute.start, what


def fault_of_address(fixed: str, *, whole: bool, schemes: frozenset[str]) -> str | None:
    """What is wrong with an address of which `fixed` is known (all of it if `whole`); None if nothing."""
    shown = fixed[:60]
    if fixed.startswith("#"):
        return None
    if _CONTROL.search(fixed):
        return f"the address {shown!r} has a blank or control character"
    scheme = _SCHEME.match(fixed)
    if scheme is None:
        if not whole and not fixed.startswith("/") and "/" not in fixed:
            return None
        return f'the address "{shown}" leads nowhere from a mail: write all of it, from https:// on'
    if scheme[1].lower() not in schemes:
        return f'the address "{shown}" may not begin with "{scheme[1]}:"'
    if scheme[1].lower() in ("http", "https"):
        host = fixed[scheme.end() :].removeprefix("//")
        authority = re.split(r"[/?#]", host, maxsplit=1)[0]
        if not fixed[scheme.end() :].startswith("//") or (whole and not authority):
            return f'the address "{shown}" has no host'
        if "@" in authority:
            return f'the address "{shown}" hides its host behind an @'
        if not authority.isascii():
            return f'write the host of "{shown}" in its xn-- form'
    return None


def _undecided(masked: str, attribute: Attribute, outputs: Sequence[int]) -> set[int]:
    """The outputs of an address that stand before its scheme is fixed by the template's own text."""
    if attribute.name not in LINK_ATTRIBUTES | IMAGE_ATTRIBUTES:
        return set()
    fixed = re.split(f"[{_MASKS}]", masked[attribute.start : attribute.end], maxsplit=1)[0].strip()
    if _SCHEME.match(fixed) or fixed.startswith(("/", "#", "?")):
        return set()
    return set(outputs)


def campaign_parameters(masked: str, tokens: Sequence[HtmlToken], parameters: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The insertions that add `utm_*` to the links with a fixed host in HTML."""
    for token in tokens:
        attribute = token.attribute("href") if token.piece is Piece.START and token.name in ("a", "area") else None
        if attribute and _FIXED_HOST.match(masked[attribute.start : attribute.end]):
            yield from _insertion(masked[attribute.start : attribute.end], attribute.start, parameters, "&amp;")


def campaign_parameters_in_text(masked: str, parameters: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The same for a plain text."""
    for match in _URL_IN_TEXT.finditer(masked):
        url = match[0].rstrip(".,;:!?،؛؟")
        if _FIXED_HOST.match(url):
            yield from _insertion(url, match.start(), parameters, "&")


def _insertion(url: str, start: int, parameters: Mapping[str, str], ampersand: str) -> Iterator[tuple[int, str]]:
    missing = {key: value for key, value in parameters.items() if not re.search(rf"[?&;]{re.escape(key)}=", url)}
    if not missing:
        return
    end = url.find("#") if "#" in url else len(url)
    query = ampersand.join(f"{key}={urllib.parse.quote(value, safe='')}" for key, value in missing.items())
    sign = "?" if "?" not in url[:end] else "" if url[:end].endswith(("?", "&")) else ampersand
    yield start + end, sign + query
