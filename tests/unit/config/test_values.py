"""Texts that stand for values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.values import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Address,
    BadValue,
    Rate,
    format_duration,
    parse_address,
    parse_duration,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90 * SECOND),
        ("30m", 30 * MINUTE),
        ("1d 12h", 36 * HOUR),
        ("2w", 14 * DAY),
        ("0s", 0),
        ("250ms", 250_000),
        (" 7 d ", 7 * DAY),
    ],
)
def test_durations_are_microseconds(text: str, value: int):
    """With a unit, always."""
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", " ", "7", "d", "7 days", "-1d", "1.5h", "7d x", 7, True, None])
def test_what_is_no_duration_is_refused(text: object):
    """A bare number has no unit that everyone would guess alike."""
    with pytest.raises(BadValue, match="must be a duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_printed_duration_reads_back(milliseconds: int):
    """Docs and messages print what the file may say."""
    assert parse_duration(format_duration(milliseconds * 1000)) == milliseconds * 1000


@pytest.mark.parametrize(
    ("text", "rate"), [("100/s", Rate(100)), ("600/m", Rate(600, MINUTE)), ("0.5 / h", Rate(0.5, HOUR)), ("1/10s", Rate(1, 10 * SECOND))]
)
def test_rates(text: str, rate: Rate):
    """Count, then the period; printed as it was read."""
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["100", "0/s", "-1/s", "1/0s", "fast", "1/w"])
def test_what_is_no_rate_is_refused(text: str):
    """Zero too: pausing is another thing."""
    with pytest.raises(BadValue):
        parse_rate(text)


@pytest.mark.parametrize("text", ["127.0.0.1:8025", "[::1]:80", "localhost:0"])
def test_an_address_is_printed_as_it_was_read(text: str):
    """IPv6 in brackets."""
    assert str(parse_address(text)) == text
    assert isinstance(parse_address(text), Address)
