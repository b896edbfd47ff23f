"""The head of a job: every field checked, all errors at once (contract §3; facts: reliability §9, B2, B16, B17)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import to_instant
from daemon.errors import IntakeError
from daemon.intake.head import HeadRules, canonical, check_values, job_id_problem, parse_head, read_key
from daemon.model.delivery import MINUTE
from daemon.model.job import InlineMessage, JobHead, RowError

NOW = to_instant(datetime(2026, 11, 22, 4, 40, tzinfo=UTC))
RULES = HeadRules(sent_at=NOW, late_grace=30 * MINUTE, channels=("email",))
HEAD = {"id": "lapsed-45-2026-11-22", "queue": "lapsed-45"}


def parse(**fields: Any) -> JobHead:
    return parse_head({**HEAD, **fields}, RULES)


def wrong(**fields: Any) -> list[tuple[str | None, str]]:
    with pytest.raises(IntakeError) as caught:
        parse(**fields)
    assert caught.value.type == "invalid-job"
    return [(error.field, error.code) for error in caught.value.errors if isinstance(error, RowError)]


def test_the_head_of_the_contract_is_good() -> None:
    """The example of contract §3, and every optional field."""
    assert parse(campaign="winback", expected_count=2) == JobHead(**HEAD, campaign="winback", expected_count=2)
    full = parse(
        priority=0, not_before="2026-11-23T09:00:00+07:00", expires_at="2026-11-30T00:00:00Z", window={"hours": ["mon-fri 09:00-12:00"]}
    )
    assert full.priority == 0
    assert full.not_before == to_instant(datetime(2026, 11, 23, 2, tzinfo=UTC))
    assert full.window == {"hours": ["mon-fri 09:00-12:00"]}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"priority": 101}, [("priority", "number")]),
        ({"priority": True}, [("priority", "number")]),
        ({"priority": "50"}, [("priority", "number")]),
        ({"expected_count": -1}, [("expected_count", "number")]),
        ({"expected_count": 1.0}, [("expected_count", "number")]),
        ({"campaign": "../x"}, [("campaign", "name")]),
        ({"campaign": 5}, [("campaign", "name")]),
        ({"window": "09:00-12:00"}, [("window", "type")]),
        ({"window": {"hours": ["25:00-26:00"]}}, [("window", "window")]),
        ({"window": {"start": "09:00", "hours": ["09:00-12:00"]}}, [("window", "window")]),
        ({"segment": "la psed"}, [("segment", "name")]),
        ({"recipients": "all"}, [("recipients", "type")]),
        ({"prioritty": 5}, [("prioritty", "unknown_field")]),
        ({"not_before": 5, "priority": -1, "foo": 1}, [("foo", "unknown_field"), ("not_before", "instant"), ("priority", "number")]),
    ],
)
def test_every_wrong_field_is_named_at_once(fields: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    """Unknown fields, wrong types, values out of range."""
    assert wrong(**fields) == errors


@pytest.mark.promise("B17")
@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("2026-11-22T03:00:00Z", "past"),
        ("9999-12-31T00:00:00Z", "instant"),
        ("2036-01-01T00:00:00Z", "instant"),
        ("2026-11-23T09:00:00", "instant"),
        ("2026-11-23", "instant"),
        ("tomorrow", "instant"),
        ("", "instant"),
        ("2026-13-01T00:00:00Z", "instant"),
    ],
)
def test_b17_not_before_is_an_instant_within_reach(moment: str, code: str) -> None:
    """Past beyond the grace, year 9999, no offset: the job is refused."""
    assert wrong(not_before=moment) == [("not_before", code)]


@pytest.mark.promise("B17")
def test_b17_not_before_may_lie_back_within_the_grace() -> None:
    """A job that took a while on its way is still welcome."""
    assert parse(not_before="2026-11-22T04:11:00Z").not_before is not None


def test_expires_at_lies_after_everything_else() -> None:
    """In the past, or before `not_before`: nothing could ever be sent."""
    assert wrong(expires_at="2026-11-22T04:00:00Z") == [("expires_at", "past")]
    assert wrong(not_before="2026-11-24T00:00:00Z", expires_at="2026-11-23T00:00:00Z") == [("expires_at", "past")]


@pytest.mark.promise("B26")
def test_a_message_of_its_own_is_checked() -> None:
    """Channel, purpose, a subject for e-mail, a text or html part, nothing else."""
    message = {"channel": "email", "purpose": "transactional", "subject": "Hi", "text": "Hello"}
    assert parse(message=message).message == InlineMessage(channel="email", purpose="transactional", subject="Hi", text="Hello")
    assert wrong(message="hello") == [("message", "type")]
    assert wrong(message={**message, "channel": "fax"}) == [("message/channel", "channel")]
    assert wrong(message={**message, "purpose": "spam"}) == [("message/purpose", "purpose")]
    assert wrong(message={**message, "subjct": "x"}) == [("message/subjct", "unknown_field")]
    assert wrong(message={**message, "text": 5}) == [("message/text", "type")]
    assert wrong(message={"channel": "email", "purpose": "marketing"}) == [("message/text", "missing"), ("message/subject", "missing")]
    assert wrong(message=message, campaign="winback") == [("message", "both")]


@pytest.mark.promise("B2")
@pytest.mark.parametrize(
    "value", ["../../etc/x", "-x", "", ".", "a/b", "a b", "a\nb", "x" * 129, "é", "a\0b", 17, None, "a%00b", "a\\b", "job?x=1"]
)
def test_b2_an_id_that_could_be_a_path_is_refused(value: object) -> None:
    """It names files, links and metrics: plain characters only."""
    assert job_id_problem(value)
    with pytest.raises(IntakeError):
        read_key({"id": value, "queue": "q"})


def test_id_and_queue_are_required() -> None:
    """Both are named when both are missing."""
    with pytest.raises(IntakeError) as caught:
        read_key({})
    assert [error.field for error in caught.value.errors if isinstance(error, RowError)] == ["id", "queue"]


def test_the_canonical_head_knows_no_order_and_no_rows() -> None:
    """What is compared when an id comes again."""
    assert canonical({"b": 1, "a": None, "recipients": [1]}) == canonical({"b": 1}) == '{"b":1}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.promise("B11")
@given(st.dictionaries(st.sampled_from([*HEAD, "campaign", "message", "priority", "not_before", "expires_at", "window", "x"]), json_values))
def test_any_head_is_good_or_refused(head: dict[str, Any]) -> None:
    """No head crashes."""
    try:
        parse_head({**HEAD, **head}, RULES)
    except IntakeError as error:
        if not error.errors:
            raise


@pytest.mark.promise("B9", "B11")
@pytest.mark.parametrize(
    ("head", "field", "code"),
    [
        ({"message": {"subject": "a\ud800"}}, "message", "control_char"),
        ({"message": {"text": "a\0b"}}, "message", "control_char"),
        ({"message": {"html": "a\x1b[2J"}}, "message", "control_char"),
        ({"x\ud800": 1}, "x\\ud800", "control_char"),
        ({"window": {"hours": ["\x9f"]}}, "window", "control_char"),
        ({"window": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}}}, "window", "json_depth"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_whatever_field_it_stands(head: dict[str, Any], field: str, code: str) -> None:
    """Before anything else looks at it: neither the store nor an answer could hold it."""
    with pytest.raises(IntakeError) as caught:
        check_values({**HEAD, **head})
    assert [(error.field, error.code) for error in caught.value.errors if isinstance(error, RowError)] == [(field, code)]


def test_a_message_may_have_lines_and_any_script() -> None:
    """Line breaks and tabs are text; so are right-to-left marks and joiners."""
    check_values({**HEAD, "message": {"text": "سلام\u200f\r\n\tنمی‌خواهم"}})
