"""GROUND, a port: randomness and ids. The only room that asks the machine for random bits; everything else is given `Ids`.

`rng()` is for jitter and choice, `token_bytes()` for keys and tokens, `nonce()` for incarnations. `daemon/simulate/ids.py` has
the seeded one. Also the public face of the store's 63-bit integers: 13 characters of Crockford base32.
"""

from __future__ import annotations

import os
import random
from typing import Protocol

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)} | {c.lower(): i for i, c in enumerate(_ALPHABET)}
_VALUES |= {"O": 0, "o": 0, "I": 1, "i": 1, "L": 1, "l": 1}
_LENGTH = 13
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
MAX_ID = (1 << 63) - 1


class Ids(Protocol):
    """Where random bits come from."""

    def rng(self) -> random.Random:
        """The one generator of this process: jitter, shuffles, sampling. Not for keys."""
        ...

    def token_bytes(self, count: int) -> bytes:
        """Unguessable bytes, for keys and tokens (seeded in a simulation)."""
        ...

    def nonce(self) -> str:
        """32 hex digits that no other call ever gave: incarnations, installations, requests."""
        ...


class SystemIds:
    """The machine's own randomness."""

    __slots__ = ("_rng",)

    def __init__(self) -> None:
        self._rng = random.Random(os.urandom(16))

    def rng(self) -> random.Random:
        return self._rng

    def token_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def nonce(self) -> str:
        return os.urandom(16).hex()


def encode_id(number: int) -> str:
    """A non-negative 63-bit integer as 13 characters of Crockford base32, so that order is kept. ValueError outside."""
    if not 0 <= number <= MAX_ID:
        raise ValueError(f"{number} is not a 63-bit id")
    pairs = _PAIRS  # two characters at a time: each message has an id
    return (
        f"{pairs[number >> 55 & 1023]}{pairs[number >> 45 & 1023]}{pairs[number >> 35 & 1023]}{pairs[number >> 25 & 1023]}"
        f"{pairs[number >> 15 & 1023]}{pairs[number >> 5 & 1023]}{_ALPHABET[number & 31]}"
    )


def decode_id(text: str) -> int | None:
    """The integer of a public id; small letters and the look-alikes O, I, L are read as Crockford says. None if it is no id."""
    if len(text) != _LENGTH:
        return None
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            return None
        number = number << 5 | value
    return number if number <= MAX_ID else None
