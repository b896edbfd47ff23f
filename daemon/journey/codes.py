"""JOURNEY, codes: how codes are made, read and compared. Pure; the random bytes come in.

The alphabet has no two signs that look alike (no 0 O, 1 I L, 2 Z, 5 S, 8 B, U V): codes are read from phones and typed. Whoever types
in small letters, or with blanks around, is understood.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

ALPHABET = "ACDEFGHJKMNPQRTWXY34679"
"""23 signs: eight of them are 78 thousand million codes."""
LONGEST = 64
MOST_COUPONS = 20
"""Of one order."""
_GOOD = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_ENOUGH = 256 - 256 % len(ALPHABET)


def generate(pattern: str, random: bytes) -> str | None:
    """A code of a pattern such as `WB-########`, each `#` a sign of the alphabet. None: the bytes were too few (a byte that would favour
    some signs is not used), ask again with others."""
    signs = (ALPHABET[byte % len(ALPHABET)] for byte in random if byte < _ENOUGH)
    made = []
    for sign in pattern:
        if sign != "#":
            made.append(sign)
        elif (drawn := next(signs, None)) is None:
            return None
        else:
            made.append(drawn)
    return "".join(made)


def bytes_for(pattern: str) -> int:
    """Random bytes with which `generate` as good as never asks again."""
    return 2 * pattern.count("#") + 8


def normal(code: object) -> str | None:
    """What a code is compared by: without blanks around it, in capitals. None for what is no code."""
    if not isinstance(code, str):
        return None
    text = code.strip()
    return text.upper() if 0 < len(text) <= LONGEST and _GOOD.fullmatch(text) else None


def fault(code: str) -> str | None:
    """Why a line of an import is no code; None if it is one."""
    text = code.strip()
    if not text:
        return "is empty"
    if len(text) > LONGEST:
        return f"has {len(text)} characters; at most {LONGEST}"
    return None if _GOOD.fullmatch(text) else "has characters that a customer cannot type"


def coupons_of(properties: Mapping[str, Any]) -> list[str]:
    """The codes that an order names as its `coupon` (a text, several with commas between them, or a list), each as it is compared."""
    found = properties.get("coupon")
    texts = found if isinstance(found, list) else [found]
    codes: dict[str, None] = {}
    for text in texts[:MOST_COUPONS]:
        pieces = text.split(",")[:MOST_COUPONS] if isinstance(text, str) else [text]
        codes.update(dict.fromkeys(code for piece in pieces if (code := normal(piece)) is not None))
    return list(codes)[:MOST_COUPONS]


def stream(secret: bytes, what: str) -> Callable[[int], bytes]:
    """Bytes without end that follow from a secret and from what they are for: each call gives the next ones."""
    key = hashlib.blake2b(secret, digest_size=32, person=b"homing codes").digest()
    blocks = itertools.count()

    def take(count: int) -> bytes:
        found = b""
        while len(found) < count:
            found += hashlib.blake2b(f"{next(blocks)}\0{what}".encode(), key=key).digest()
        return found[:count]

    return take
