"""Messages in Segment's format, read: whatever is sent becomes rows that the store takes, or words on what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.tracking import TYPES, Reading
from daemon.model.delivery import HOUR, SECOND
from daemon.store.tracking import Message

NOW = 1_780_000_000_000_000
PEPPER = b"p" * 32


def read(value: Any, kind: str | None = None, **more: Any) -> Any:
    return Reading(now=NOW, pepper=PEPPER, **more).read(7, value, kind)


def event(**more: Any) -> Any:
    [message] = read({"type": "track", "userId": "c-1", "event": "Wished", **more}).messages
    return message.event


any_text = st.text(max_size=12) | st.sampled_from(["c-1", "a@b.co", "+62811111111", "Asia/Jakarta", "2026-01-01T00:00:00Z", "track", "identify"])
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text | st.sampled_from(["email", "consent", "address", "sms", "at", "country"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = ("type", "userId", "anonymousId", "previousId", "groupId", "event", "name", "traits", "properties", "context", "timestamp", "sentAt", "messageId")
messages = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(NAMES[1:], any_value)) | any_value


@given(messages, st.none() | st.sampled_from(TYPES), any_value)
def test_anything_becomes_rows_or_words(value: Any, kind: str | None, sent: Any) -> None:
    """Nothing is raised; every text can be kept; each error says which message it is about."""
    found = read(value, kind, sent=sent)
    for message in found.messages:
        assert isinstance(message, Message)
        for row in (message.event, message.trait, message.link):
            for cell in row or ():
                assert cell is None or isinstance(cell, int | str | bytes | bool | dict)
    for error in found.errors:
        assert (error.line, bool(error.code), bool(error.detail)) == (7, True, True)


@pytest.mark.parametrize("user", [" c-1", "c-1 ", "c\n1", "x" * 201, 1.5, {}, None, ""])
def test_an_id_is_one_that_a_job_could_name(user: Any) -> None:
    """Else two spellings of one customer would be two people."""
    found = read({"type": "track", "userId": user, "event": "Wished"})
    assert not found.messages
    assert found.errors[0].field == "userId"


def test_a_number_is_an_id_too() -> None:
    """As in a job's row."""
    assert event(userId=17).key == "17"


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({}, NOW),
        ({"timestamp": "2026-01-01T07:00:00+07:00"}, 1_767_225_600 * SECOND),
        ({"timestamp": "2026-01-01 00:00:00"}, 1_767_225_600 * SECOND),
        ({"timestamp": "2020-01-01T00:00:00Z", "sentAt": "2020-01-01T01:00:00Z"}, NOW - HOUR),
        ({"originalTimestamp": "2026-01-01T00:00:00Z", "sentAt": "soon"}, 1_767_225_600 * SECOND),
    ],
)
def test_when_it_happened(said: dict[str, Any], at: int) -> None:
    """By its own time; by ours where it has none, or where its sender's clock is wrong."""
    assert event(**said).at == at


def test_one_message_is_known_again_by_its_id_or_else_by_what_it_says() -> None:
    """The id alone decides where there is one."""
    assert event(messageId="m").id == event(messageId="m", properties={"x": 1}).id != event(messageId="n").id
    said = {"timestamp": "2026-01-01T00:00:00Z"}
    assert event(**said, properties={"x": 1, "y": 2}).id == event(**said, properties={"y": 2, "x": 1}).id != event(**said, properties={"x": 2}).id


def test_traits_find_their_places() -> None:
    """What has a column goes there; the context fills in what is not said; all else is a trait."""
    traits = {"email": "Ann@Example.com", "timezone": "Asia/Tokyo", "firstName": "Ann", "address": {"country": "JP", "city": "Ube"}, "id": "other", "vip": True}
    [message] = read({"type": "identify", "userId": "c-1", "traits": traits, "context": {"timezone": "Asia/Jakarta", "locale": "ja-JP"}}).messages
    row = message.trait
    assert row is not None
    assert (row.key, row.email, row.zone, row.locale, row.country) == ("c-1", "Ann@example.com", "Asia/Tokyo", "ja-JP", "JP")
    assert row.traits == '{"first_name":"Ann","address":{"country":"JP","city":"Ube"},"vip":true}'
