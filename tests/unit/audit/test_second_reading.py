"""The audit's own reading of hours and caps, beside that of the rules: two texts by two hands must say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.audit.counting import Contact, Limit, excess
from daemon.audit.hours import UnreadableError, read_hours, read_quiet_hours, wall_clock
from daemon.policy.caps import Cap, Touch, fits
from daemon.policy.hours import WindowError, parse_quiet_hours, parse_window
from daemon.policy.periods import Calendar
from daemon.policy.window import is_open

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = 1_772_000_000 * SECOND  # February 2026: the year's changes of the clocks lie ahead
ZONES = ("Asia/Jakarta", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia", "America/St_Johns")
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

clock = st.tuples(st.integers(0, 23), st.sampled_from((0, 0, 30, 59))).map(lambda t: f"{t[0]:02d}:{t[1]:02d}")
end = st.one_of(clock, st.just("24:00"))
days = st.one_of(st.just(""), st.sampled_from(NAMES), st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).map("-".join), st.just("sat,sun"))
ranges = st.tuples(days, clock, end).map(lambda t: f"{t[0]} {t[1]}-{t[2]}".strip())
dates = st.integers(0, 400).map(lambda n: wall_clock(START + n * DAY, "UTC").date().isoformat())
tables = st.one_of(
    st.fixed_dictionaries({"hours": st.lists(ranges, min_size=1, max_size=3)}, optional={"closed": st.lists(st.one_of(ranges, dates, st.sampled_from(NAMES)), max_size=3)}),
    st.fixed_dictionaries({"start": clock, "end": end}, optional={"days": st.lists(st.sampled_from((*NAMES, "mon-fri", "fri-mon")), min_size=1, max_size=2)}),
)  # fmt: skip
instants = st.one_of(
    st.integers(0, 400 * DAY).map(lambda n: START + n),
    st.integers(0, 400 * 48).map(lambda n: START // HOUR * HOUR + n * HOUR // 2),  # on the edges
    st.integers(0, 400 * 48).map(lambda n: START // HOUR * HOUR + n * HOUR // 2 - 1),
)


@settings(max_examples=400, deadline=None)
@given(table=tables, zone=st.sampled_from(ZONES), at=instants)
def test_both_readings_of_a_window_agree(table: dict[str, Any], zone: str, at: int):
    """Any window text, any zone, any instant: open by the rules is open by the audit, and shut is shut."""
    try:
        rule = parse_window(table)
    except WindowError:
        return
    assert read_hours(json.dumps(table)).open_at(wall_clock(at, zone)) is is_open((rule,), (zone,), at)


@settings(max_examples=150, deadline=None)
@given(quiet=st.lists(ranges, min_size=1, max_size=2), zone=st.sampled_from(ZONES), at=instants)
def test_both_readings_of_quiet_hours_agree(quiet: list[str], zone: str, at: int):
    """A recipient's own hours, by both."""
    try:
        rule = parse_quiet_hours(quiet)
    except WindowError:
        return
    assert read_quiet_hours(quiet).open_at(wall_clock(at, zone)) is is_open((rule,), (zone,), at)


kinds = st.sampled_from((("email", "winback", "offers"), ("sms", "winback", "offers"), ("email", "cart", None), ("push", "cart", "news")))
touches = st.lists(st.tuples(st.integers(0, 40 * 24 * 4), kinds, st.sampled_from((*ZONES[:3], None))), max_size=8)


@settings(max_examples=400, deadline=None)
@given(
    touches=touches, kind=kinds, zones=st.lists(st.sampled_from(ZONES[:4]), min_size=1, max_size=2, unique=True), limit=st.integers(1, 4),
    period=st.sampled_from((DAY, 7 * DAY, "day", "week", "month")), units=st.booleans(), at=st.integers(0, 200 * 24 * 4),
    channels=st.sampled_from(((), ("email",), ("email", "sms"))), topics=st.sampled_from(((), ("offers",))), campaign=st.sampled_from(("", "cart")),
)  # fmt: skip
def test_both_counts_of_a_cap_agree(
    touches: list[Any], kind: Any, zones: list[str], limit: int, period: Any, units: bool, at: int, channels: Any, topics: Any, campaign: str
):
    """Any touches before a send, rolling or calendar, weighted or not: a slot by the rules is a slot by the audit."""
    now = START + 60 * DAY + at * HOUR // 4
    weights = {"sms": 3.0, "email": 1.0, "push": 0.5}
    table = {
        "name": "c", "limit": limit, "rolling": period if isinstance(period, int) else None, "calendar": None if isinstance(period, int) else period,
        "channels": channels, "topics": topics, "campaign": campaign, "count": "units" if units else "touches",
    }  # fmt: skip
    cap = Cap(
        name="c", limit=limit * 1000 if units else limit, rolling=table["rolling"], calendar=Calendar(period) if isinstance(period, str) else None,
        channels=frozenset(channels) or None, topics=frozenset(topics) or None, campaign=campaign or None,
        weights={name: round(weight * 1000) for name, weight in weights.items()} if units else None,
    )  # fmt: skip
    channel, of_campaign, topic = kind
    send = Contact(delivery=99, at=now, channel=channel, campaign=of_campaign, topic=topic, zones=tuple(zones), transactional=False)
    before = [
        Contact(delivery=n, at=now - 1 - back * HOUR // 4, channel=c, campaign=name, topic=t, zones=(zone,) if zone else (), transactional=False)
        for n, (back, (c, name, t), zone) in enumerate(touches)
    ]  # fmt: skip
    known = [Touch(each.at, each.channel, each.campaign, each.topic, each.zones[0] if each.zones else None) for each in before]
    allowed = not cap.covers(channel, topic, of_campaign) or fits(cap, known, now, tuple(zones), channel)
    assert (excess(Limit.of(table, weights), send, [*before, send]) is None) is allowed


@pytest.mark.parametrize("text", ['{"hours": ["late"]}', '{"start": "nine"}', '{"hours": ["xyz 09:00-10:00"]}', "[]"])
def test_a_window_that_cannot_be_read_judges_nobody(text: str):
    """It says so instead of taking some other hours."""
    with pytest.raises(UnreadableError):
        read_hours(text)
