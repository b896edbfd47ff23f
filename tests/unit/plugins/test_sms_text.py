"""Segments of an SMS: known examples, the edges of each alphabet, and an independent count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.sms_text import BASIC, EXTENSION, measure_sms, plain_sms

EXAMPLES = [
    ("", "GSM-7", 0, 1),
    ("x" * 160, "GSM-7", 160, 1),
    ("x" * 161, "GSM-7", 161, 2),
    ("x" * 306, "GSM-7", 306, 2),
    ("x" * 307, "GSM-7", 307, 3),
    ("x" * 459, "GSM-7", 459, 3),
    ("€" * 80, "GSM-7", 160, 1),
    ("€" * 81, "GSM-7", 162, 2),
    ("€" * 153, "GSM-7", 306, 3),  # 76 pairs to a segment: the 153rd septet stays empty
    ("x" * 152 + "€" + "x" * 152, "GSM-7", 306, 3),
    ("x" * 151 + "€" + "x" * 153, "GSM-7", 306, 2),
    ("س" * 70, "UCS-2", 70, 1),
    ("س" * 71, "UCS-2", 71, 2),
    ("س" * 134, "UCS-2", 134, 2),
    ("س" * 135, "UCS-2", 135, 3),
    ("😀" * 35, "UCS-2", 70, 1),
    ("😀" * 36, "UCS-2", 72, 2),
    ("😀" * 67, "UCS-2", 134, 3),  # 33 to a segment: no half of one is left behind
    ("x" * 66 + "😀" + "س" * 66, "UCS-2", 134, 3),
    ("ç", "UCS-2", 1, 1),
    ("Ç", "GSM-7", 1, 1),
    ("a\nb\r\f", "GSM-7", 6, 1),
    ("`", "UCS-2", 1, 1),
]


@pytest.mark.parametrize(("text", "encoding", "units", "segments"), EXAMPLES)
def test_a_text_is_counted_as_the_network_does(text: str, encoding: str, units: int, segments: int) -> None:
    """160 or 70 in one segment, 153 or 67 in each of several; no pair is cut apart."""
    size = measure_sms(text)
    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)


def test_the_alphabet_is_that_of_the_standard() -> None:
    """127 characters beside the escape, and ten of the extension table that a text can have."""
    assert len(BASIC) == len(set(BASIC)) == 127
    assert len(EXTENSION) == 10
    assert not set(BASIC) & set(EXTENSION)


def test_the_characters_that_cost_an_alphabet_are_named_once_each() -> None:
    """For the person who looks for the invisible one."""
    assert measure_sms("“x” “y” – z").culprits == ("“", "”", "–")
    assert measure_sms("plain").culprits == ()


def _cut(text: str) -> int:
    """An independent count: the segments are really made, unit by unit."""
    gsm = all(character in BASIC + EXTENSION for character in text)
    pieces = [("\x1b" + c if c in EXTENSION else c) for c in text] if gsm else [text[i].encode("utf-16-le") for i in range(len(text))]
    width = (lambda piece: len(piece)) if gsm else (lambda piece: len(piece) // 2)
    if sum(map(width, pieces)) <= (160 if gsm else 70):
        return 1
    room, segments = (153 if gsm else 67), [0]
    for piece in pieces:
        if segments[-1] + width(piece) > room:
            segments.append(0)
        segments[-1] += width(piece)
    return len(segments)


@given(st.text(st.sampled_from(BASIC + EXTENSION), max_size=700) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_is_cut_as_it_would_be(text: str) -> None:
    """The quick count and the real cut agree."""
    assert measure_sms(text).segments == _cut(text)


def test_look_alikes_are_replaced_only_if_that_helps() -> None:
    """Persian with a typographic quote stays UCS-2 anyway, and keeps its signs and joiners."""
    assert plain_sms("“Halo” – kami… rindu\u00a0kamu") == '"Halo" - kami... rindu kamu'
    persian = "«سلام» می‌خواهیم"
    assert plain_sms(persian) == persian
    assert plain_sms("tidak – 😀") == "tidak – 😀"


@given(st.text(max_size=300))
def test_a_plain_text_is_never_longer_in_segments(text: str) -> None:
    """And plain stays plain."""
    plain = plain_sms(text)
    assert measure_sms(plain).segments <= measure_sms(text).segments
    assert plain_sms(plain) == plain
