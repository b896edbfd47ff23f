"""Meta's normalisation and hashes: the vendor's own vectors, letters of every script, and nothing that is a hash of nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.audience_meta import rows
from plugins import Member


def read(text: str) -> Any:
    """What stands in a form, as JSON."""
    return json.loads(unquote(text))


VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
FUNCTIONS = {"EMAIL": rows.normalise_email, "PHONE": rows.normalise_phone, "FN": rows.normalise_name, "LN": rows.normalise_name}
FIELDS = {"EMAIL": "email", "PHONE": "phone", "FN": "first_name", "LN": "last_name"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: f"{each['key']}-{each['raw']}")
def test_the_vendors_vectors_are_met(vector: dict[str, Any]) -> None:
    """Normalised as told, hashed as told, and so it stands in a row."""
    assert FUNCTIONS[vector["key"]](vector["raw"]) == vector["normalised"]
    assert rows.hashed(vector["normalised"]) == vector["sha256"]
    member = Member(key="k", **{FIELDS[vector["key"]]: vector["raw"]})
    assert read(rows.rows_to_add([member], (vector["key"],) if vector["key"] in ("FN", "LN") else rows.REMOVED))
    columns = rows.columns_of([member])
    row = read(rows.rows_to_add([member], columns))
    assert row[columns.index(vector["key"])] == vector["sha256"]
    assert sum(map(bool, row)) == 1


@pytest.mark.parametrize(
    ("name", "kept"),
    [("سارا", "سارا"), ("  Siti  ", "siti"), ("Nor'ain", "norain"), ("José", "josé"), ("علی‌رضا", "علی‌رضا"), ("Jose\u0301", "josé"), ("--", "")],
)
def test_a_name_keeps_the_letters_of_its_script(name: str, kept: str) -> None:
    """Meta's own SDK would make nothing of a Persian name; an empty name is sent as nothing."""
    assert rows.normalise_name(name) == kept
    expected = hashlib.sha256(kept.encode()).hexdigest() if kept else ""
    assert rows.hashed_name(name) == expected


def test_places_and_codes() -> None:
    """City and state without blanks, ZIP of the United States cut to five, countries of two letters only."""
    assert rows.normalise_place("Kuala Lumpur") == "kualalumpur"
    assert rows.normalise_postal("94105-1234", "US") == "94105"
    assert rows.normalise_postal("SW1A 2AA", "GB") == "sw1a2aa"
    assert (rows.normalise_country(" ID "), rows.normalise_country("Indonesia")) == ("id", "")


_texts = st.none() | st.text(max_size=12)
_members = st.builds(
    Member, key=st.just("k"), email=st.none() | st.emails() | st.text(max_size=5), phone=_texts, first_name=_texts, last_name=_texts,
    country=st.none() | st.sampled_from(["US", "ID", "xx1"]), city=_texts, state=_texts, postal=_texts,
)  # fmt: skip


@given(st.lists(_members, min_size=1, max_size=6))
def test_every_row_is_as_long_as_the_schema_and_holds_hashes_only(members: list[Member]) -> None:
    """Whatever people are called; and never the hash of nothing."""
    columns = rows.columns_of(members)
    found = read(f"[{rows.rows_to_add(members, columns)}]")
    nothing = hashlib.sha256(b"").hexdigest()
    for row in found:
        assert len(row) == len(columns)
        assert all(value == "" or (len(value) == 64 and value != nothing and not set(value) - set("0123456789abcdef")) for value in row)


@given(st.lists(_members, min_size=1, max_size=6))
def test_a_handle_removes_what_was_added(members: list[Member]) -> None:
    """By the same hashes of e-mail and phone; without either there is no handle."""
    for member in members:
        row = read(rows.rows_to_add([member], rows.REMOVED))
        handle = rows.handle_of(member)
        assert bool(handle) == any(row)
        if handle:
            assert read(rows.rows_to_remove([Member(key="k", handle=handle)])) == row


def test_a_strange_handle_is_refused() -> None:
    """It would remove somebody else, or nobody."""
    for handle in (b"", b"\x01short", b"\x04" + bytes(32)):
        with pytest.raises(ValueError, match="no handle"):
            rows.rows_to_remove([Member(key="k", handle=handle)])


def test_the_payload_of_a_form_is_json() -> None:
    """Rows of several slices, with what surrounds them."""
    slices = [rows.rows_to_add([Member(key="k", email=f"{n}@example.com")], rows.REMOVED) for n in range(2)]
    assert read(rows.payload_of(rows.REMOVED, slices)) == {
        "schema": ["EMAIL", "PHONE"], "data": [[rows.hashed("0@example.com"), ""], [rows.hashed("1@example.com"), ""]]
    }  # fmt: skip
