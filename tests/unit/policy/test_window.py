"""When windows are open: against an oracle that reads the wall clock minute by minute, and the days that break clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.policy.window import SEARCH, WindowRule, closes_at, first_open, is_open, next_open, parse_window
from daemon.policy.zones import zone_names
from tests.unit.policy import oracle
from tests.unit.policy.oracle import DAY, HOUR, MINUTE, SECOND

ZONES = sorted(zone_names())
TABLES: list[dict[str, Any]] = [
    {"start": "09:00", "end": "21:00"},
    {"start": "22:00", "end": "06:00"},
    {"start": "00:00", "end": "01:00"},
    {"start": "02:15", "end": "02:45"},
    {"hours": ["mon-fri 09:00-12:00", "sat 22:00-02:00", "sun 00:30-24:00"], "closed": ["sun 03:00-03:30"]},
    {"hours": ["sat 23:30-01:30", "sun 02:30-03:00"]},
]


def shapes() -> list[tuple[str, int]]:
    """One (zone, transition) of each shape: offsets before and after, and the time of day and weekday at the change."""
    found: dict[tuple[int, int, int, int], tuple[str, int]] = {}
    for zone in ZONES[::2]:
        for second in oracle.transitions(zone, 2026, 2027):
            before, after = oracle.offset(zone, second - 1), oracle.offset(zone, second)
            local = second + before
            found.setdefault((before, after, local % 86_400, local // 86_400 % 7), (zone, second))
    return sorted(found.values())


def compare(zone: str, instants: Sequence[int]) -> None:
    """Open or shut by the table and by the wall clock, for all tables."""
    rules = [parse_window(table) for table in TABLES]
    for instant in instants:
        local = oracle.wall(zone, instant)
        for rule, table in zip(rules, TABLES, strict=True):
            assert is_open((rule,), (zone,), instant) == oracle.inside(table, local), (zone, instant, table)


def compare_minutes(zone: str, second: int) -> None:
    """Around a transition, for each minute of a day: open, and the next opening as found by walking minutes."""
    first = second // 60 - 720
    minutes = range(first, first + 4 * 1440)
    locals_ = [oracle.wall(zone, minute * MINUTE) for minute in minutes]
    for table in TABLES:
        rule = parse_window(table)
        opens: int | None = None
        for minute, local in zip(reversed(minutes), reversed(locals_), strict=True):
            if oracle.inside(table, local):
                opens = minute * MINUTE
            if minute < first + 1440 and opens is not None:
                assert next_open((rule,), (zone,), minute * MINUTE) == opens, (zone, minute * MINUTE, table)


@pytest.mark.promise("F34", "P5")
def test_windows_agree_with_the_wall_clock_around_each_kind_of_transition() -> None:
    """±61 s, second by second, for one zone of each shape of change."""
    for zone, second in shapes():
        compare(zone, [at * SECOND for at in range(second - 61, second + 62, 4)] + [(second + step) * SECOND for step in (-1, 0, 1)])


@pytest.mark.slow
def test_next_opening_agrees_minute_by_minute_around_transitions() -> None:
    """For each minute of a day around the change, the opening that walking on minute by minute finds."""
    for zone, second in shapes()[::4]:
        compare_minutes(zone, second)


@pytest.mark.promise("F34", "P5")
@pytest.mark.slow
def test_windows_agree_at_every_transition_of_every_zone() -> None:
    """Every zone x transition 2024-2030, at ±61 s, ±1 s, 0, and at random distances within two days."""
    steps = (-61, -60, -59, -1, 0, 1, 59, 60, 61, -86_400, 7_201, 90_123)
    for zone in ZONES:
        instants = [(second + step) * SECOND for second in oracle.transitions(zone) for step in steps]
        rules = [parse_window(table) for table in TABLES[:4]]
        for index, instant in enumerate(instants):
            table, rule = TABLES[index % 4], rules[index % 4]
            assert is_open((rule,), (zone,), instant) == oracle.inside(table, oracle.wall(zone, instant)), (zone, instant, table)


clock = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}")
days = st.lists(st.sampled_from(oracle.NAMES), min_size=1, max_size=7, unique=True).map(",".join)
hours = st.tuples(days, clock, st.one_of(clock, st.just("24:00"))).filter(lambda item: item[1] != item[2])
instants = st.integers(oracle.at("2024-01-01T00:00:00Z"), oracle.at("2030-12-20T00:00:00Z"))


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    table: dict[str, Any] = {"hours": [f"{d} {s}-{e}" for d, s, e in draw(st.lists(hours, min_size=1, max_size=3))]}
    if draw(st.booleans()):
        table["closed"] = [f"{d} {s}-{e}" for d, s, e in draw(st.lists(hours, max_size=2))]
        table["closed"] += draw(st.lists(st.dates(date(2024, 1, 1), date(2030, 12, 31)).map(str), max_size=2))
    return table


def parsed(table: dict[str, Any]) -> WindowRule | None:
    try:
        return parse_window(table)
    except ValueError:
        return None  # nothing is left open


@settings(max_examples=300, deadline=None)
@given(table=tables(), zone=st.sampled_from(ZONES), instant=instants)
@example(table={"hours": ["sat 22:00-02:00"], "closed": ["2026-11-21"]}, zone="Asia/Jakarta", instant=oracle.at("2026-11-21T17:30:00Z"))
def test_any_window_agrees_with_the_wall_clock(table: dict[str, Any], zone: str, instant: int) -> None:
    """Random ranges, closed ranges and dates, any zone, any instant."""
    rule = parsed(table)
    if rule is not None:
        assert is_open((rule,), (zone,), instant) == oracle.inside(table, oracle.wall(zone, instant))


@settings(max_examples=120, deadline=None)
@given(table=tables(), other=tables(), zone=st.sampled_from(ZONES), second=st.sampled_from(ZONES), instant=instants)
def test_openings_and_closes_are_the_first_ones(table: dict[str, Any], other: dict[str, Any], zone: str, second: str, instant: int) -> None:
    """Two rules in two zones: inside at the opening, outside the minute before; inside until the close, outside at it."""
    rule, narrower = parsed(table), parsed(other)
    if rule is None or narrower is None:
        return
    rules, places, both = (rule, narrower), (zone, second), (table, other)
    limit = instant + 10 * DAY
    found = first_open(rules, places, instant, limit)
    steps = range(0, 10 * 1440, 7)
    if found is None:
        assert not any(oracle.is_inside(both, places, instant + step * MINUTE) for step in steps)
        return
    opens, closes = found
    assert oracle.is_inside(both, places, opens)
    assert oracle.is_inside(both, places, closes - 1)
    if opens > instant:
        assert opens % MINUTE == 0
        assert not oracle.is_inside(both, places, opens - 1)
    assert closes == limit or not oracle.is_inside(both, places, closes)
    assert not any(oracle.is_inside(both, places, instant + step * MINUTE) for step in steps if instant + step * MINUTE < opens)
    middle = range(opens, closes, max((closes - opens) // 20, 1))
    assert all(oracle.is_inside(both, places, at) for at in middle)


def only(text: str, zone: str, when: str, **more: Any) -> tuple[bool, int | None]:
    """(open, next opening) of one range."""
    rule = parse_window({"hours": [text], **more})
    return is_open((rule,), (zone,), oracle.at(when)), next_open((rule,), (zone,), oracle.at(when))


@pytest.mark.promise("F34")
def test_window_inside_a_skipped_hour_does_not_exist_that_day() -> None:
    """New York 2026-03-08 has no 02:15: the window opens the day after."""
    assert only("02:15-02:45", "America/New_York", "2026-03-08T06:00:00Z") == (False, oracle.at("2026-03-09T06:15:00Z"))


@pytest.mark.promise("F34")
def test_window_that_starts_in_a_skipped_hour_opens_at_the_jump() -> None:
    """02:30-04:00 opens at 03:00 EDT; the common `replace(hour=..)` opens it at 03:30 or 01:30."""
    assert only("02:30-04:00", "America/New_York", "2026-03-08T06:00:00Z") == (False, oracle.at("2026-03-08T07:00:00Z"))


@pytest.mark.promise("F34")
def test_window_inside_a_repeated_hour_is_open_twice() -> None:
    """01:15-01:45 on 2026-11-01 in New York: first in EDT, again in EST."""
    rule = parse_window({"hours": ["01:15-01:45"]})
    start = oracle.at("2026-11-01T05:00:00Z")
    first = first_open((rule,), ("America/New_York",), start, start + DAY)
    assert first == (oracle.at("2026-11-01T05:15:00Z"), oracle.at("2026-11-01T05:45:00Z"))
    again = first_open((rule,), ("America/New_York",), first[1], start + DAY)
    assert again == (oracle.at("2026-11-01T06:15:00Z"), oracle.at("2026-11-01T06:45:00Z"))


def test_midnight_that_does_not_exist() -> None:
    """Santiago 2026-09-06 starts at 01:00: a window from 00:00 opens with the day, at the jump."""
    assert only("sun 00:00-02:00", "America/Santiago", "2026-09-06T03:00:00Z") == (False, oracle.at("2026-09-06T04:00:00Z"))
    assert closes_at(
        (parse_window({"hours": ["sun 00:00-02:00"]}),), ("America/Santiago",), oracle.at("2026-09-06T04:00:00Z")
    ) == oracle.at("2026-09-06T05:00:00Z")


def test_zones_at_half_and_three_quarter_hours() -> None:
    """Tehran +03:30, Kathmandu +05:45, Chatham +12:45/+13:45, Lord Howe with a jump of 30 minutes."""
    assert only("09:00-21:00", "Asia/Tehran", "2026-11-22T05:00:00Z")[1] == oracle.at("2026-11-22T05:30:00Z")
    assert only("09:00-21:00", "Asia/Kathmandu", "2026-11-22T03:00:00Z")[1] == oracle.at("2026-11-22T03:15:00Z")
    assert only("09:00-21:00", "Pacific/Chatham", "2026-11-21T19:00:00Z")[1] == oracle.at("2026-11-21T19:15:00Z")
    assert only("02:00-02:30", "Australia/Lord_Howe", "2026-10-03T15:00:00Z")[1] == oracle.at("2026-10-04T15:00:00Z")


def test_day_that_a_zone_skipped() -> None:
    """Samoa had no 2011-12-30 and Kwajalein no 1993-08-21: windows of those days do not exist."""
    assert only("fri 09:00-21:00", "Pacific/Apia", "2011-12-29T12:00:00Z")[1] == oracle.at("2012-01-05T19:00:00Z")
    assert only("thu 22:00-02:00", "Pacific/Apia", "2011-12-30T08:00:00Z")[1] == oracle.at("2011-12-30T08:00:00Z")
    assert closes_at((parse_window({"hours": ["thu 22:00-02:00"]}),), ("Pacific/Apia",), oracle.at("2011-12-30T08:00:00Z")) == oracle.at(
        "2011-12-30T10:00:00Z"
    )
    assert only("sat 09:00-21:00", "Pacific/Kwajalein", "1993-08-20T12:00:00Z")[1] == oracle.at("1993-08-27T21:00:00Z")


def test_overnight_range_belongs_to_the_day_it_opens_on() -> None:
    """sat 22:00-02:00 is open on Sunday 01:00, not on Saturday 01:00."""
    assert only("sat 22:00-02:00", "Asia/Jakarta", "2026-11-21T18:00:00Z")[0]
    assert not only("sat 22:00-02:00", "Asia/Jakarta", "2026-11-20T18:00:00Z")[0]


def test_closed_date_takes_its_whole_night_along() -> None:
    """Closed on Saturday: shut all that date, and the range that would open on it stays shut after midnight too."""
    closed = {"closed": ["2026-11-21"]}
    assert not only("sat 22:00-02:00", "Asia/Jakarta", "2026-11-21T16:00:00Z", **closed)[0]
    assert not only("sat 22:00-02:00", "Asia/Jakarta", "2026-11-21T18:00:00Z", **closed)[0]
    assert not only("fri 22:00-02:00", "Asia/Jakarta", "2026-11-20T18:00:00Z", **closed)[0]


def test_edges_are_half_open_to_the_microsecond() -> None:
    """Inside at start, outside at end; 24:00 joins the next day's 00:00."""
    rule = parse_window({"start": "09:00", "end": "24:00"})
    start = oracle.at("2026-11-22T02:00:00Z")
    assert [is_open((rule,), ("Asia/Jakarta",), at) for at in (start - 1, start, start + 15 * HOUR - 1, start + 15 * HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    joined = parse_window({"hours": ["mon 12:00-24:00", "tue 00:00-06:00"]})
    assert first_open((joined,), ("UTC",), oracle.at("2026-11-23T00:00:00Z"), oracle.at("2026-11-30T00:00:00Z")) == (
        oracle.at("2026-11-23T12:00:00Z"),
        oracle.at("2026-11-24T06:00:00Z"),
    )


@pytest.mark.promise("F34")
def test_unknown_zone_is_never_open() -> None:
    """No zone, no send; but without any rule there is nothing to know."""
    rule = parse_window({"start": "09:00", "end": "21:00"})
    assert next_open((rule,), (), 0) is None
    assert next_open((), (), 5) == 5


def test_rules_that_never_meet_are_given_up() -> None:
    """Monday and Friday; two zones 12 hours apart: None after 400 days, and `closes_at` of what is shut is now."""
    monday, friday = parse_window({"days": "mon"}), parse_window({"days": "fri"})
    assert next_open((monday, friday), ("Asia/Jakarta",), 0) is None
    morning = parse_window({"start": "08:00", "end": "12:00"})
    assert next_open((morning,), ("Asia/Tokyo", "America/New_York"), 0) is None
    assert closes_at((monday, friday), ("Asia/Jakarta",), 77) == 77


def test_openings_a_year_away_are_found() -> None:
    """A window that only a change of the clock opens: London and Vladivostok are ten hours apart in winter, nine in summer."""
    rule = parse_window({"start": "08:00", "end": "18:00"})
    start = oracle.at("2026-11-01T12:00:00Z")
    assert next_open((rule,), ("Europe/London", "Asia/Vladivostok"), start) == oracle.at("2027-03-28T07:00:00Z")


def test_limit_bounds_opening_and_close() -> None:
    """What opens at or after the limit does not count; what is open all the time closes at the limit."""
    rule, always = parse_window({"start": "09:00", "end": "21:00"}), parse_window({"start": "00:00", "end": "24:00"})
    start = oracle.at("2026-11-22T00:00:00Z")
    assert next_open((rule,), ("UTC",), start, start + 9 * HOUR) is None
    assert next_open((rule,), ("UTC",), start, start + 9 * HOUR + 1) == start + 9 * HOUR
    assert closes_at((always,), ("Europe/Berlin",), start) == start + SEARCH
    assert closes_at((always,), ("Europe/Berlin",), start, start + 90 * DAY) == start + 90 * DAY
