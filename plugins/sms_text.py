"""How an SMS is encoded and counted: GSM-7 or UCS-2, and into how many segments it is cut. For every SMS channel, and for the linter.

The default alphabet and its extension table are those of 3GPP TS 23.038 §6.2.1 (no national tables: no provider of ours uses them);
a message of more than one segment loses six octets of each to the header that joins them. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GSM_SINGLE, GSM_PART = 160, 153
"""Septets of a message in one segment, and of each segment of a longer one."""
UCS_SINGLE, UCS_PART = 70, 67
"""The same in UTF-16 units."""

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
"""Two septets each: an escape and the character."""

_BASIC = re.compile(f"[{re.escape(BASIC)}]*")
_GSM = re.compile(f"[{re.escape(BASIC + EXTENSION)}]*")
_NOT_GSM = re.compile(f"[^{re.escape(BASIC + EXTENSION)}]")

_LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′ʹʻʼ`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t", " "),
        **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
        "…": "...",
        "•": "*",
        "ç": "Ç",
    }
)
"""Typographic signs that look alike in GSM-7. Not ZWNJ and ZWJ: Persian and emoji are spelled with them."""


@dataclass(frozen=True, slots=True)
class SmsSize:
    """`units`: septets of GSM-7 or UTF-16 units of UCS-2 · `culprits`: the characters, each once, that forbid GSM-7."""

    encoding: str
    units: int
    segments: int
    culprits: tuple[str, ...] = ()


def measure_sms(text: str) -> SmsSize:
    """The encoding and the number of segments of a text; an empty one is one segment."""
    if _BASIC.fullmatch(text):
        units = len(text)
        return SmsSize("GSM-7", units, 1 if units <= GSM_SINGLE else -(-units // GSM_PART))
    if _GSM.fullmatch(text):
        widths = [2 if character in EXTENSION else 1 for character in text]
        return SmsSize("GSM-7", sum(widths), _packed(widths, GSM_SINGLE, GSM_PART))
    culprits = tuple(dict.fromkeys(_NOT_GSM.findall(text)))
    units = len(text) + sum(character > "\uffff" for character in text)
    if units == len(text):
        return SmsSize("UCS-2", units, 1 if units <= UCS_SINGLE else -(-units // UCS_PART), culprits)
    widths = [2 if character > "\uffff" else 1 for character in text]
    return SmsSize("UCS-2", units, _packed(widths, UCS_SINGLE, UCS_PART), culprits)


def _packed(widths: list[int], single: int, part: int) -> int:
    """Segments, where a pair (escape and character, or surrogates) is never cut apart."""
    if sum(widths) <= single:
        return 1
    segments, room = 1, part
    for width in widths:
        if width > room:
            segments, room = segments + 1, part
        room -= width
    return segments


def plain_sms(text: str) -> str:
    """The text with typographic quotes, dashes, spaces and dots replaced by their likes of GSM-7, if that makes it GSM-7; else as it is."""
    plain = text.translate(_LOOKALIKES)
    return plain if _GSM.fullmatch(plain) else text
