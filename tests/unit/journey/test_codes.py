"""Codes: no look-alikes, all signs alike likely, understood however they are typed."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daemon.journey.codes import ALPHABET, LONGEST, bytes_for, fault, generate, normal


def test_a_code_follows_its_pattern() -> None:
    made = generate("WB-########", bytes(range(24)))
    assert made is not None and made.startswith("WB-") and len(made) == 11
    assert set(made[3:]) <= set(ALPHABET)
    assert not set(ALPHABET) & set("0O1IL2Z5S8BUV"), "look-alikes"
    assert len(set(ALPHABET)) == len(ALPHABET) == 23


def test_all_signs_are_alike_likely() -> None:
    """256 is no multiple of 23: the bytes that would favour some signs are not used (chi-square, 22 degrees, 1 in 10,000)."""
    rng = random.Random(3)
    counts = Counter("".join(generate("#" * 20, rng.randbytes(60)) or "" for _ in range(2000)))
    each = sum(counts.values()) / 23
    assert sum((counts[sign] - each) ** 2 / each for sign in ALPHABET) < 56.2


def test_too_few_bytes_give_no_code() -> None:
    assert generate("########", b"\xff" * 40) is None
    assert generate("##", b"\x00") is None
    assert all(generate("X########", random.Random(seed).randbytes(bytes_for("X########"))) for seed in range(2000))


@given(st.text(alphabet=ALPHABET + "abcdefz -", min_size=1, max_size=20))
def test_a_code_is_compared_without_case_and_blanks_around(text: str) -> None:
    if fault(text) is None:
        assert normal(f"  {text.lower()}\n") == normal(text.upper()) == text.strip().upper()
    else:
        assert normal(text) is None


def test_what_is_no_code_is_said_why() -> None:
    assert normal(15) is None and normal("") is None and normal("x" * (LONGEST + 1)) is None
    assert fault("  ") == "is empty"
    assert fault("x" * 65) == "has 65 characters; at most 64"
    assert fault("Ä-1") == fault("a\x00b") == fault("a  b") == "has characters that a customer cannot type"
    assert fault("SAVE 15") is None
