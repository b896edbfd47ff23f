"""Google's normalisation and hashes: the vendor's own vectors, and JSON that is what the hashes say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.audience_google import rows
from plugins import Member

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
FUNCTIONS = {
    "email": rows.normalise_email, "phone": rows.normalise_phone, "given_name": rows.normalise_name, "family_name": rows.normalise_name
}  # fmt: skip


def hexed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: f"{each['key']}-{each['raw']}")
def test_the_vendors_vectors_are_met(vector: dict[str, Any]) -> None:
    """Normalised as told, hashed as told, and so it stands in a request."""
    assert FUNCTIONS[vector["key"]](vector["raw"]) == vector["normalised"]
    digest = vector["sha256"] or hexed(vector["normalised"])
    assert hexed(vector["normalised"]) == digest
    if vector["key"] in ("email", "phone"):
        (identifier,) = json.loads(rows.members_to_add([Member(key="k", **{vector["key"]: vector["raw"]})], consent=False))["userData"]["userIdentifiers"]
        assert list(identifier.values()) == [digest]
    else:
        assert rows.hashed_name(vector["raw"]) == digest


def test_an_address_goes_along_only_when_it_is_whole() -> None:
    """Names hashed, region and postal code plain; a Persian name keeps its letters."""
    whole = Member(key="k", email="a@example.com", first_name=" سارا ", last_name="Lestari", country="ir", postal=" 11369 ")
    identifiers = json.loads(rows.members_to_add([whole], consent=False))["userData"]["userIdentifiers"]
    assert identifiers == [
        {"emailAddress": hexed("a@example.com")},
        {"address": {"givenName": hexed("سارا"), "familyName": hexed("lestari"), "regionCode": "IR", "postalCode": "11369"}},
    ]
    for missing in ("first_name", "last_name", "country", "postal"):
        found = json.loads(rows.members_to_add([whole._replace(**{missing: None})], consent=False))["userData"]["userIdentifiers"]
        assert len(found) == 1


def test_consent_is_said_as_it_was_recorded() -> None:
    """Nothing recorded: nothing said."""
    assert rows.consent_json("unknown", "unknown") == ""
    assert json.loads(rows.consent_json("granted", "denied")) == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
    one, two = Member(key="1", email="a@b.example", ad_user_data="granted"), Member(key="2", email="c@b.example")
    found = json.loads(f"[{rows.members_to_add([one, two], consent=True)}]")
    assert [each.get("consent") for each in found] == [{"adUserData": "CONSENT_GRANTED"}, None]


_texts = st.none() | st.text(max_size=12)
_members = st.builds(
    Member, key=st.just("k"), email=st.none() | st.emails() | st.sampled_from(["A.b+c@GMail.com", "x@hotmail.com"]), phone=_texts,
    first_name=_texts, last_name=_texts, country=st.none() | st.sampled_from(["US", "id"]), postal=_texts,
)  # fmt: skip


@given(st.lists(_members, min_size=1, max_size=6))
def test_a_handle_removes_what_was_added(members: list[Member]) -> None:
    """By the same hashes; and what is written is JSON whatever people are called."""
    added = json.loads(f"[{rows.members_to_add(members, consent=False)}]")
    for member, row in zip(members, added, strict=True):
        identifiers = [each for each in row["userData"]["userIdentifiers"] if "address" not in each]
        handle = rows.handle_of(member)
        assert bool(handle) == bool(identifiers)
        if handle:
            assert json.loads(rows.members_to_remove([Member(key="k", handle=handle)]))["userData"]["userIdentifiers"] == identifiers


def test_a_strange_handle_is_refused() -> None:
    """It would remove somebody else, or nobody."""
    for handle in (b"", b"\x01short", b"\x04" + bytes(32)):
        with pytest.raises(ValueError, match="no handle"):
            rows.members_to_remove([Member(key="k", handle=handle)])
