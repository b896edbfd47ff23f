"""Rows: what makes one good, what is said about a bad one (facts: reliability §9, B9, B18-B23; contract §3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.parse import Item, RowJsonError, read_object
from daemon.intake.rows import RowChecker
from daemon.model.job import RecipientRow, RowError

NOW = 1_795_318_811_120_000
CHECKER = RowChecker(NOW)


def check(row: dict[str, Any] | str, *, line: int = 7) -> RecipientRow | list[RowError]:
    raw = row if isinstance(row, str) else json.dumps(row)
    return CHECKER.check(read_object(line, raw.encode("utf-8", "surrogatepass")))


def good(row: dict[str, Any] | str) -> RecipientRow:
    found = check(row)
    assert isinstance(found, RecipientRow), found
    return found


def errors(row: dict[str, Any] | str) -> list[tuple[str | None, str]]:
    found = check(row)
    assert isinstance(found, list), found
    assert all(error.line == 7 and error.detail for error in found)
    return [(error.field, error.code) for error in found]


def test_the_row_of_the_contract_is_good() -> None:
    """The example of contract §3."""
    row = good({
        "id": "c-1", "email": "a@example.com", "phone": "+628111111111", "zone": "Asia/Jakarta", "locale": "id", "vars": {"last_product": "shoes"},
    })  # fmt: skip
    assert (row.line, row.id, row.email, row.phone, row.zone, row.locale) == (7, "c-1", "a@example.com", "+628111111111", "Asia/Jakarta", "id")
    assert row.named == {"email", "phone", "zone", "locale"}
    assert row.vars == {"last_product": "shoes"}


def test_null_names_a_field_to_clear_it_and_an_empty_text_names_nothing() -> None:
    """`null` clears; "" is what exports write for "do not know"."""
    row = good({"id": "c-1", "email": None, "zone": "", "country": "id", "traits": {"nps": None}})
    assert row.named == {"email", "country"}
    assert (row.email, row.zone, row.country) == (None, None, "ID")
    assert row.traits == {"nps": None}


def test_spellings_that_mean_one_thing_are_kept_as_one() -> None:
    """Zones by their proper name, locales with a hyphen, countries in capitals, numbers as E.164 by the row's country, ids as text."""
    row = good({"id": 17, "zone": "asia/jakarta", "locale": "fa_IR", "country": "id", "phone": "0811 1234567"})
    assert (row.id, row.zone, row.locale, row.country, row.phone) == ("17", "Asia/Jakarta", "fa-IR", "ID", "+628111234567")


@pytest.mark.promise("B18")
@pytest.mark.parametrize("zone", ["Mars/Base", "+25:00", "EST5EDT,M3.2.0,M11.1.0", "../../etc/passwd", "Factory", "posixrules", "GMT+7:00"])
def test_b18_what_is_no_zone_makes_the_row_bad(zone: str) -> None:
    """Unknown names, offsets, POSIX strings, paths."""
    assert errors({"id": "c-1", "zone": zone}) == [("zone", "zone")]


@pytest.mark.promise("B9")
@pytest.mark.parametrize("character", ["\0", "\x07", "\n", "\r", "\t", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\ud800"])
@pytest.mark.parametrize("escaped", [True, False])
def test_b9_control_and_direction_characters_make_the_row_bad(character: str, escaped: bool) -> None:
    """In any value or key, deep inside too, escaped or as they are; the field is named."""
    try:
        row = json.dumps({"id": "c-1", "vars": {"a": [{"b": f"x{character}y"}]}}, ensure_ascii=escaped)
        found = errors(row)
    except RowJsonError:
        assert character < " " and not escaped
        return
    if not escaped and character == "\ud800":
        assert found == [(None, "encoding")]
        return
    assert found == [("vars", "control_char")]
    assert errors(json.dumps({"id": f"c{character}1"}, ensure_ascii=True)) == [("id", "control_char")]
    assert errors(json.dumps({"id": "c1", "traits": {f"k{character}": 1}})) == [("traits", "control_char")]


def test_letters_of_all_scripts_and_their_joiners_are_no_control_characters() -> None:
    """Persian needs the zero-width non-joiner; emoji and right-to-left marks are text."""
    text = "نمی‌خواهم 👩‍👩‍👧 \u200fok é ü 日本"
    assert good({"id": "c-1", "vars": {"text": text}}).vars == {"text": text}


@pytest.mark.promise("B20", "B21")
@pytest.mark.parametrize("address", ["d@e.fr\r\nRCPT TO:<x@y.fr>", "a@b.co,d@e.fr", "Bob <b@x.yz>", "a@b@c", '"a b"@x.yz', "a@localhost", "a\0@b.co"])
def test_b20_b21_a_bad_address_makes_the_row_bad(address: str) -> None:
    """Code `address_invalid` on field `email`."""
    assert errors({"id": "c-9", "email": address}) == [("email", "address_invalid")]


def test_the_error_of_the_contract_is_named_as_there() -> None:
    """`two @ signs`, with line, recipient and field."""
    [error] = check({"id": "c-9", "email": "a@b@c"}, line=3)  # type: ignore[misc]
    assert error == RowError(line=3, recipient="c-9", field="email", code="address_invalid", detail="two @ signs")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"email": "a@b.co"}, [("id", "id")]),
        ({"id": ""}, [("id", "id")]),
        ({"id": None}, [("id", "id")]),
        ({"id": True}, [("id", "type")]),
        ({"id": 1.5}, [("id", "type")]),
        ({"id": ["a"]}, [("id", "type")]),
        ({"id": " a"}, [("id", "id")]),
        ({"id": "x" * 201}, [("id", "too_long")]),
        ({"id": "a", "email": 5}, [("email", "type")]),
        ({"id": "a", "phone": 628111234567}, [("phone", "type")]),
        ({"id": "a", "phone": "+19005551234"}, [("phone", "address_blocked")]),
        ({"id": "a", "locale": "en_US.UTF-8"}, [("locale", "locale")]),
        ({"id": "a", "country": "UK"}, [("country", "country")]),
        ({"id": "a", "country": "IDN"}, [("country", "country")]),
        ({"id": "a", "vars": []}, []),
        ({"id": "a", "vars": [1]}, [("vars", "type")]),
        ({"id": "a", "vars": "x"}, [("vars", "type")]),
        ({"id": "a", "traits": {"quiet_hours": ["25:00-26:00"]}}, [("traits.quiet_hours", "quiet_hours")]),
        ({"id": "a", "traits": {"quiet_hours": 22}}, [("traits.quiet_hours", "type")]),
        ({"id": "a", "traits": {"preferred_channels": "sms"}}, [("traits.preferred_channels", "type")]),
        ({"id": "a", "traits": {"preferred_channels": ["sms", 1]}}, [("traits.preferred_channels", "type")]),
        ({"id": "a", "traits": {"quiet_hours": ["00:00-24:00"]}}, [("traits.quiet_hours", "quiet_hours")]),
        ({"id": "a", "emial": "x"}, [("emial", "unknown_field")]),
        ({"id": "a", "first_name": "Ana"}, [("first_name", "unknown_field")]),
        ({"id": "a", "email": "x", "zone": "y", "foo": 1}, [("email", "address_invalid"), ("zone", "zone"), ("foo", "unknown_field")]),
    ],
)
def test_each_wrong_field_is_named(row: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """All of them at once, the recipient's own fields in their order."""
    if found:
        assert errors(row) == found
    else:
        good(row)


@pytest.mark.promise("B10")
def test_b10_an_unknown_field_says_what_was_meant() -> None:
    """The nearest field, or where values of one's own go."""
    [error] = check({"id": "a", "emial": "x"})  # type: ignore[misc]
    assert 'did you mean "email"?' in error.detail
    [error] = check({"id": "a", "shoe_size": 42})  # type: ignore[misc]
    assert "vars or traits" in error.detail


@pytest.mark.promise("B19")
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"x": "y" * 65_537}, "too_long"),
        ({"x": "é" * 32_769}, "too_long"),
        ({"x": ["y" * 65_537]}, "too_long"),
        ({f"k{i}": 1 for i in range(1001)}, "too_long"),
        ({"x": list(range(1001))}, "too_long"),
        ({"x": [[[[[[[[1]]]]]]]]}, "json_depth"),
    ],
)
def test_b19_fields_have_limits(values: dict[str, Any], code: str) -> None:
    """64 KB a text, 1,000 keys, 8 levels: the row is bad, with the limit named."""
    assert [error[1] for error in errors({"id": "a", "vars": values})] == [code]


@pytest.mark.promise("B19")
def test_b19_a_field_of_exactly_64_kb_is_good() -> None:
    """The limit itself passes."""
    good({"id": "a", "vars": {"x": "y" * 65_536}})


def test_consent_needs_time_and_source() -> None:
    """A row grants consent only with its proof."""
    row = good({"id": "a", "consent": {"sms": {"at": "2026-01-15T08:00:00Z", "source": "checkout", "text": "Yes"}}})
    assert row.consent == {"sms": {"at": 1_768_464_000_000_000, "source": "checkout", "text": "Yes", "topic": "*"}}


@pytest.mark.parametrize(
    ("consent", "field"),
    [
        (True, "consent"),
        ({"sms": True}, "consent.sms"),
        ({"sms": {"source": "x"}}, "consent.sms.at"),
        ({"sms": {"at": "2026-01-15", "source": "x"}}, "consent.sms.at"),
        ({"sms": {"at": "2026-01-15T08:00:00", "source": "x"}}, "consent.sms.at"),
        ({"sms": {"at": "9999-01-15T08:00:00Z", "source": "x"}}, "consent.sms.at"),
        ({"sms": {"at": "2026-12-15T08:00:00Z", "source": "x"}}, "consent.sms.at"),
        ({"sms": {"at": "2026-01-15T08:00:00Z"}}, "consent.sms.source"),
        ({"sms": {"at": "2026-01-15T08:00:00Z", "source": "x", "text": 5}}, "consent.sms.text"),
        ({"sms": {"at": "2026-01-15T08:00:00Z", "source": "x", "by": "me"}}, "consent.sms.by"),
        ({"SMS!": {"at": "2026-01-15T08:00:00Z", "source": "x"}}, "consent"),
    ],
)
def test_consent_without_its_proof_makes_the_row_bad(consent: Any, field: str) -> None:
    """Never a guess, never a grant from the future."""
    assert [error[0] for error in errors({"id": "a", "consent": consent})] == [field]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(["id", "email", "phone", "zone", "locale", "country", "traits", "vars", "consent", "other"])


@pytest.mark.promise("B11")
@given(st.dictionaries(fields, json_values, max_size=8), st.booleans())
def test_any_row_is_good_or_named(value: dict[str, Any], suspect: bool) -> None:
    """No row crashes the checker; a good one has an id and only what it named."""
    found = CHECKER.check(Item(1, value, suspect))
    if isinstance(found, list):
        assert found
        assert all(error.code and error.detail for error in found)
        return
    assert found.id
    assert found.named <= value.keys()
    assert all(getattr(found, name) is None for name in ("email", "phone", "zone", "locale", "country") if name not in found.named)


@pytest.mark.promise("B9", "B19")
@pytest.mark.parametrize("quiet", [["\ud800"], ["\u202e22:00-08:00"], ["22:00-08:00\0"], ["x" * 60_000], ["a" + " " * 60_000], ["\x1b[31m"] * 1000])
def test_an_error_never_carries_the_value_that_it_is_about(quiet: list[str]) -> None:
    """What cannot be kept as a value cannot be kept as a quotation either: errors stand in the store, in files and in answers."""
    value = {"id": "c-1", "traits": {"quiet_hours": quiet}}
    found = CHECKER.check(Item(1, value, suspect=True))
    assert isinstance(found, list)
    for error in found:
        told = f"{error.recipient}{error.field}{error.code}{error.detail}"
        assert told.isprintable()
        assert len(told) < 400


any_character = st.text(st.characters(exclude_categories=()), max_size=12)
any_value = st.recursive(any_character, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_character, inner, max_size=3), max_leaves=6)


@pytest.mark.promise("B9")
@given(st.dictionaries(fields | any_character, any_value, max_size=6))
def test_errors_of_any_row_can_be_kept_and_shown(value: dict[str, Any]) -> None:
    """Half pairs, controls and direction marks in any value or key."""
    found = CHECKER.check(Item(1, value, suspect=True))
    if isinstance(found, list):
        assert all(f"{error.recipient}{error.field}{error.detail}".isprintable() for error in found)
