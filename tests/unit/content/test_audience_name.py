"""Names of audiences: few variables, each value another set, whatever people are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.content.audience_name import MOST, fault_of_name, namer, values_of


def name_of(text: str, known: dict[str, object], traits: dict[str, object]) -> str:
    names, fill = namer(text)
    return fill(values_of(names, known, traits))


def test_a_name_is_filled_from_what_is_known_and_else_from_traits() -> None:
    """What nobody knows is "any"."""
    text = "winback-{{ tier }}-{{band}}-{{ country }}-{{ traits.city }}-{{ offer.name }}"
    assert name_of(text, {"country": "ID"}, {"tier": "high", "city": "Kuala Lumpur", "country": "MY"}) == "winback-high-any-ID-Kuala_Lumpur-any"
    assert name_of("plain", {}, {}) == "plain"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "1 to 200"), ("x" * 201, "1 to 200"), ("a\nb", "printable"), ("{{ tire }}", 'no variable "tire"'), ("{% if x %}", "no other Liquid"),
        ("{{ tier", "no other Liquid"), ("{{ tier | upcase }}", "no variable"), ("{{ traits. }}", "no variable"), ("{{ }}", "no variable"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_told(text: str, what: str) -> None:
    """Before anything is made at a platform."""
    found = fault_of_name(text)
    assert found is not None
    assert what in found[0]
    assert fault_of_name("winback-{{ tier }}-{{ traits.x }}") is None


@given(st.text(max_size=300) | st.integers() | st.none() | st.lists(st.integers(), max_size=2))
def test_no_trait_breaks_a_name(value: object) -> None:
    """Its length and its characters are kept in bounds."""
    name = name_of("a-{{ tier }}-b", {}, {"tier": value})
    assert name.startswith("a-") and name.endswith("-b")
    assert 0 < len(name) <= MOST
    assert name.isprintable() or not str(value).isprintable()
    assert not set(name) & set("{}\n\r\t\x00\"'<>")
