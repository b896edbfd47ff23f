"""Until when an offer holds: what is printed is kept."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.journey import Offer
from daemon.policy.deadlines import end_of, fixed_end, round_up, shown_end
from daemon.policy.tz import utc_text
from tests.unit.policy import oracle

JAKARTA = "Asia/Jakarta"


@pytest.mark.parametrize(
    ("accepted", "hours", "zone", "ends", "shown"),
    [
        ("2026-11-23T02:10:00Z", 7 * 24, JAKARTA, "2026-11-30T17:00:00Z", "2026-11-30T16:59:00Z"),  # Monday 09:10 + 7 d: Monday, 23:59
        ("2026-11-23T02:10:00Z", 48, JAKARTA, "2026-11-25T17:00:00Z", "2026-11-25T16:59:00Z"),
        ("2026-11-22T17:00:00Z", 24, JAKARTA, "2026-11-23T17:00:00Z", "2026-11-23T16:59:00Z"),  # from midnight: that one day
        ("2026-11-23T02:10:00Z", 36, JAKARTA, "2026-11-24T15:00:00Z", "2026-11-24T15:00:00Z"),  # 21:10: 22:00
        ("2026-11-23T02:00:00Z", 5, JAKARTA, "2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z"),
        ("2026-11-23T02:10:00Z", 5, "Asia/Tehran", "2026-11-23T07:30:00Z", "2026-11-23T07:30:00Z"),  # the hour of the local clock
        ("2026-11-23T02:10:00Z", 24, None, "2026-11-25T00:00:00Z", "2026-11-24T23:59:00Z"),
    ],
)  # fmt: skip
def test_a_duration_ends_with_the_local_day_or_hour(accepted: str, hours: int, zone: str | None, ends: str, shown: str) -> None:
    offer = Offer(name="x", parts=(), valid=hours * HOUR)
    end = end_of(offer, oracle.at(accepted), zone)
    assert end is not None
    assert utc_text(end) == ends
    assert utc_text(shown_end(end, zone)) == shown


def test_fixed_ends_are_midnight_there_or_one_instant() -> None:
    """A date is 00:00 where the recipient is; of several possible zones the first; an instant is one for all."""
    day = Offer(name="x", parts=(), ends=date(2027, 3, 31))
    assert utc_text(fixed_end(date(2027, 3, 31), (JAKARTA,))) == "2027-03-30T17:00:00Z"
    assert fixed_end(date(2027, 3, 31), ("America/New_York", JAKARTA)) == fixed_end(date(2027, 3, 31), (JAKARTA,))
    assert end_of(day, 0, JAKARTA) == fixed_end(date(2027, 3, 31), (JAKARTA,))
    moment = datetime(2027, 3, 31, 18, tzinfo=timezone(timedelta(hours=3)))
    assert utc_text(fixed_end(moment, (JAKARTA,))) == "2027-03-31T15:00:00Z"
    assert end_of(Offer(name="x", parts=()), 0, JAKARTA) is None


ZONES = st.sampled_from([JAKARTA, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "America/Havana", "Pacific/Apia"])


@given(at=st.integers(1_700_000_000, 1_900_000_000), minutes=st.integers(1, 30 * 24 * 60), days=st.booleans(), zone=ZONES)
def test_an_end_is_never_earlier_than_what_was_promised_or_printed(at: int, minutes: int, days: bool, zone: str) -> None:
    """At least the duration, at most a day and an hour more (a day of a clock change has 25); printed by date it is the day it ends."""
    start = at * 1_000_000
    valid = minutes * DAY // 60 if days else minutes * MINUTE
    end = round_up(start, valid, zone)
    assert start + valid <= end <= start + valid + (25 * HOUR if valid % DAY == 0 else HOUR)
    local = datetime.fromtimestamp(shown_end(end, zone) / 1e6, UTC).astimezone(ZoneInfo(zone))
    promised = datetime.fromtimestamp((start + valid) / 1e6, UTC).astimezone(ZoneInfo(zone))
    assert local.date() in (promised.date(), (promised - timedelta(microseconds=1)).date()) or valid % DAY != 0
    assert shown_end(end, zone) <= end
