"""SMTP: bodies as quoted-printable (RFC 2045 §6.7), already dot-stuffed for the wire. Pure; strings in, bytes out.

A body comes in pieces. Each piece is encoded by itself, starts at column 0 and ends with a line break, a soft one (`=`) where the
text has none: so the bytes of a piece do not depend on its neighbours, and what all mails of a template share is encoded once
(3 µs instead of 80 per mail, facts/performance.md §1). No line is longer than 76, none starts with `From `.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

SEEN = 1024
"""How many first sightings are remembered; a piece is kept from its second sighting on."""

CACHE_BYTES = 4 * 1024 * 1024
"""Encoded bytes in one of the two generations of the cache."""


_simple = re.compile(r"(?!From |\.)[ -<>-~]{1,75}")
"""What stands on one line as it is: most names, codes and links."""


def encode_piece(text: str) -> bytes:
    """One piece, wire-ready. Raises UnicodeEncodeError for half a surrogate pair."""
    if _simple.fullmatch(text) is not None:
        return text.encode("ascii") + b"=\r\n"
    return _encode_any(text)


def _encode_any(text: str) -> bytes:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # The sentinel keeps the encoder from treating the piece's end as the text's end: a last line of at most 75 columns leaves
    # room for our soft break, and a blank before it needs no escape.
    encoded = binascii.b2a_qp(text.encode() + b"x", istext=True)[:-1]
    if encoded.startswith(b"From "):
        encoded = b"=46=\nrom " + encoded[5:]
    if b"\nFrom " in encoded:
        encoded = encoded.replace(b"\nFrom ", b"\n=46=\nrom ")
    if not encoded.endswith(b"\n"):
        encoded += b"=\n"
    encoded = encoded.replace(b"\n", b"\r\n")
    if b"\r\n." in encoded:
        encoded = encoded.replace(b"\r\n.", b"\r\n..")
    return b"." + encoded if encoded.startswith(b".") else encoded


class Encoder:
    """Encodes bodies and remembers the pieces that come again: two generations, the older one dropped when the younger is full.

    A piece is kept once it came in two mails, so that the names and links of single recipients do not push the templates out.
    """

    __slots__ = ("_limit", "_mail", "_old", "_seen", "_size", "_young")

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}
        self._seen: dict[int, int] = {}
        self._mail = 0
        self._size = 0

    def next_mail(self) -> None:
        """The bodies from here on belong to another mail."""
        self._mail += 1

    def body(self, pieces: Sequence[str], parts: list[bytes]) -> None:
        """Append the whole body, with a line break at its end. The same pieces give the same bytes."""
        young = self._young
        start = len(parts)
        last = ""
        for piece in pieces:
            if not piece:
                continue
            if last[-1:] == "\r" and piece[0] == "\n":  # one line break cut in two
                del parts[start:]
                self.body(("".join(pieces),), parts)
                return
            last = piece
            parts.append(young.get(piece) or self._encode(piece))
        if last[-1:] not in ("\n", "\r"):
            parts.append(b"\r\n")

    def _encode(self, piece: str) -> bytes:
        encoded = self._old.get(piece)
        if encoded is None:
            encoded = encode_piece(piece)
            mark = hash(piece)
            if self._seen.setdefault(mark, self._mail) == self._mail:
                if len(self._seen) > SEEN:
                    self._seen.clear()
                return encoded
        self._keep(piece, encoded)
        return encoded

    def _keep(self, piece: str, encoded: bytes) -> None:
        if len(encoded) > self._limit // 4:
            return
        if self._size + len(encoded) > self._limit:
            self._old, self._young = self._young, {}
            self._size = 0
        self._young[piece] = encoded
        self._size += len(encoded)
