"""Caps: counting and the exact instant at which a slot frees, against a count that goes through all touches by the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.policy.caps import NEVER, UNIT, Cap, Touch, count, fits, free_from, longest_reach
from daemon.policy.periods import Calendar, period_end, period_of
from tests.unit.policy import oracle
from tests.unit.policy.oracle import DAY, HOUR, MINUTE

NOW = oracle.at("2026-11-22T15:04:00Z")
JAKARTA = ("Asia/Jakarta",)
ZONES = [
    "Asia/Jakarta",
    "America/New_York",
    "America/Havana",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Cairo",
    "Etc/GMT+12",
    "Pacific/Kiritimati",
]


def period(calendar: str, zone: str, instant: int) -> tuple[int, ...]:
    """The local period of an instant, by datetime's own calendar."""
    local: datetime = oracle.wall(zone, instant)
    if calendar == "day":
        return local.year, local.month, local.day
    return tuple(local.isocalendar()[:2]) if calendar == "week" else (local.year, local.month)


def brute(cap: Cap, touches: list[Touch], now: int, zones: tuple[str, ...]) -> int:
    """What is used: each touch looked at by itself, in the fullest zone."""

    def weigh(touch: Touch) -> int:
        return 1 if cap.weights is None else cap.weights.get(touch.channel, UNIT)

    mine = [touch for touch in touches if cap.covers(touch.channel, touch.topic, touch.campaign)]
    if cap.rolling is not None:
        return sum(weigh(touch) for touch in mine if touch.at > now - cap.rolling)
    calendar = str(cap.calendar)
    used = []
    for zone in zones:
        here = period(calendar, zone, now)
        own = [{period(calendar, zone, t.at), *(period(calendar, kept, t.at) for kept in (t.zone or zone).split(","))} for t in mine]
        used.append(sum(weigh(touch) for touch, periods in zip(mine, own, strict=True) if here in periods))
    return max(used)


caps = st.builds(
    Cap,
    name=st.just("c"),
    limit=st.integers(1, 4),
    rolling=st.sampled_from([HOUR, DAY, 7 * DAY, 30 * DAY]),
    channels=st.sampled_from([None, frozenset({"email"}), frozenset({"email", "sms"})]),
    topics=st.sampled_from([None, frozenset({"winback"})]),
    campaign=st.sampled_from([None, "winback"]),
)
calendar_caps = st.builds(
    Cap,
    name=st.just("c"),
    limit=st.integers(1, 4),
    calendar=st.sampled_from(Calendar),
    channels=st.sampled_from([None, frozenset({"email"})]),
)
unit_caps = st.builds(
    Cap,
    name=st.just("c"),
    limit=st.sampled_from([2500, 3000, 5000]),
    rolling=st.sampled_from([DAY, 7 * DAY]),
    weights=st.just({"sms": 2400, "email": 1000, "push": 200}),
)
touches = st.lists(
    st.builds(
        Touch,
        at=st.one_of(st.integers(NOW - 40 * DAY, NOW), st.integers(NOW - 3 * DAY, NOW), st.sampled_from([NOW, NOW - DAY, NOW - 7 * DAY])),
        channel=st.sampled_from(["email", "sms", "push"]),
        campaign=st.sampled_from(["winback", "cart"]),
        topic=st.sampled_from([None, "winback", "news"]),
        zone=st.sampled_from([None, *ZONES[:3], "Asia/Jakarta,Asia/Makassar"]),
    ),
    max_size=9,
)
places = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=300, deadline=None)
@given(cap=st.one_of(caps, calendar_caps, unit_caps), history=touches, zones=places)
def test_count_and_fit_agree_with_looking_at_each_touch(cap: Cap, history: list[Touch], zones: tuple[str, ...]) -> None:
    """Rolling, calendar and units; several zones; touches that kept another zone."""
    used = brute(cap, history, NOW, zones)
    assert count(cap, history, NOW, zones)[0] == used
    assert fits(cap, history, NOW, zones, "email") == (used + cap.weight("email") <= cap.limit)


@settings(max_examples=300, deadline=None)
@given(cap=st.one_of(caps, calendar_caps, unit_caps), history=touches, zones=places)
def test_slot_frees_at_the_first_instant_that_has_room(cap: Cap, history: list[Touch], zones: tuple[str, ...]) -> None:
    """Room at that instant, none at any instant before at which the count can change, nor one microsecond before."""
    free = free_from(cap, history, NOW, zones, "email")
    room = cap.limit - cap.weight("email")
    assert brute(cap, history, free, zones) <= room
    if free == NOW:
        return
    assert brute(cap, history, free - 1, zones) > room
    edges = {touch.at + cap.rolling for touch in history} if cap.rolling else set(range(NOW, free, 45 * MINUTE))
    assert all(brute(cap, history, edge, zones) > room for edge in edges if NOW <= edge < free)


@settings(max_examples=200, deadline=None)
@given(calendar=st.sampled_from(Calendar), zone=st.sampled_from(ZONES), instant=st.integers(NOW - 400 * DAY, NOW + 400 * DAY))
def test_period_ends_where_the_wall_clock_says_so(calendar: Calendar, zone: str, instant: int) -> None:
    """The same period up to one microsecond before its end, another one at it."""
    end = period_end(calendar, zone, instant)
    now = period(calendar, zone, instant)
    assert period(calendar, zone, end - 1) == now
    assert period(calendar, zone, end) != now
    assert period_of(calendar, zone, end - 1) == period_of(calendar, zone, instant) != period_of(calendar, zone, end)
    assert end - instant <= 32 * DAY


def touch(text: str, zone: str | None = "Asia/Jakarta", channel: str = "email") -> Touch:
    return Touch(oracle.at(text), channel, "winback", None, zone)


def test_rolling_slot_is_free_at_touch_plus_period_exactly() -> None:
    """(now - 7d, now]: shut one microsecond before, open at it."""
    cap = Cap(name="weekly", limit=1, rolling=7 * DAY)
    history = [touch("2026-11-18T02:00:00Z")]
    free = oracle.at("2026-11-25T02:00:00Z")
    assert free_from(cap, history, NOW, JAKARTA, "email") == free
    assert not fits(cap, history, free - 1, JAKARTA, "email")
    assert fits(cap, history, free, JAKARTA, "email")


def test_week_starts_on_monday_and_day_at_local_midnight() -> None:
    """23:30 Jakarta on Sunday and 00:00 on Monday are two days and two ISO weeks."""
    history = [touch("2026-11-22T16:30:00Z")]
    midnight = oracle.at("2026-11-22T17:00:00Z")
    for calendar in (Calendar.DAY, Calendar.WEEK):
        cap = Cap(name="c", limit=1, calendar=calendar)
        assert free_from(cap, history, midnight - MINUTE, JAKARTA, "email") == midnight
    month = Cap(name="c", limit=1, calendar=Calendar.MONTH)
    assert free_from(month, history, midnight, JAKARTA, "email") == oracle.at("2026-11-30T17:00:00Z")


def test_cap_holds_in_each_zone_that_is_possible() -> None:
    """A new day in Jakarta is not yet one in London."""
    cap = Cap(name="daily", limit=1, calendar=Calendar.DAY)
    history = [touch("2026-11-22T10:00:00Z", None)]
    assert free_from(cap, history, NOW, ("Asia/Jakarta", "Europe/London"), "email") == oracle.at("2026-11-23T00:00:00Z")


def test_touch_counts_by_the_zone_it_kept_too() -> None:
    """Monday's message in Jakarta, and on the same Monday a move to New York: that Monday is still taken."""
    cap = Cap(name="daily", limit=1, calendar=Calendar.DAY)
    history = [touch("2026-11-22T20:00:00Z")]
    monday = oracle.at("2026-11-23T14:00:00Z")
    assert not fits(cap, history, monday, ("America/New_York",), "email")
    assert fits(cap, [history[0]._replace(zone=None)], monday, ("America/New_York",), "email")


def test_local_date_that_comes_in_two_pieces_is_one_day() -> None:
    """Newfoundland 2010-11-07 turned 00:01 back to 23:01: the day before came twice, with a minute of the 7th between."""
    cap = Cap(name="daily", limit=1, calendar=Calendar.DAY)
    zone = ("America/St_Johns",)
    history = [touch("2010-11-07T02:00:00Z", None)]
    assert oracle.wall(zone[0], oracle.at("2010-11-07T02:30:30Z")).day == 7
    assert oracle.wall(zone[0], oracle.at("2010-11-07T02:32:00Z")).day == 6
    assert fits(cap, history, oracle.at("2010-11-07T02:30:30Z"), zone, "email")
    assert not fits(cap, history, oracle.at("2010-11-07T02:32:00Z"), zone, "email")
    assert free_from(cap, history, oracle.at("2010-11-07T02:32:00Z"), zone, "email") == oracle.at("2010-11-07T03:30:00Z")


def test_touch_later_than_now_counts() -> None:
    """A clock set back never frees a slot."""
    cap = Cap(name="weekly", limit=1, rolling=7 * DAY)
    history = [Touch(NOW + HOUR, "email", "winback")]
    assert free_from(cap, history, NOW, JAKARTA, "email") == NOW + HOUR + 7 * DAY


def test_units_are_weighed_exactly() -> None:
    """Five times 0.2 is 1, and an SMS of 3 units waits for enough of the old to age out."""
    cap = Cap(name="units", limit=5 * UNIT, rolling=DAY, weights={"sms": 3000, "email": 1000, "push": 200})
    history = [Touch(NOW - 20 * HOUR + step * HOUR, "email", "winback") for step in range(4)]
    assert fits(cap, history, NOW, JAKARTA, "email")
    assert not fits(cap, history, NOW, JAKARTA, "sms")
    assert free_from(cap, history, NOW, JAKARTA, "sms") == NOW + 5 * HOUR
    small = [Touch(NOW - HOUR, "push", "winback")] * 20
    assert fits(cap, small, NOW, JAKARTA, "email")
    assert not fits(cap, [*small, small[0]], NOW, JAKARTA, "email")


def test_message_heavier_than_its_cap_never_fits() -> None:
    """Not a loop, not a guess: never."""
    cap = Cap(name="units", limit=2 * UNIT, rolling=DAY, weights={"sms": 3000})
    assert free_from(cap, [], NOW, JAKARTA, "sms") == NEVER


def test_reach_covers_all_that_can_count() -> None:
    """What the store reads and keeps: the rolling period, or the calendar period and the width of the world."""
    assert longest_reach([]) == 0
    assert longest_reach([Cap(name="a", limit=1, rolling=DAY), Cap(name="b", limit=1, calendar=Calendar.WEEK)]) == 9 * DAY


@pytest.mark.parametrize("calendar", list(Calendar))
def test_no_touch_beyond_the_reach_is_in_the_same_period(calendar: Calendar) -> None:
    """The widest pair of zones, at each hour of a month with a change of the clock."""
    cap = Cap(name="c", limit=1, calendar=calendar)
    east, west = "Pacific/Kiritimati", "Etc/GMT+12"
    for hour in range(0, 31 * 24, 5):
        now = oracle.at("2026-10-15T00:00:00Z") + hour * HOUR
        old = now - cap.reach
        assert period(str(calendar), west, now) != period(str(calendar), east, old)
        assert oracle.wall(west, now) - oracle.wall(east, old) > timedelta(0)


@pytest.mark.parametrize(
    ("zone", "before", "end"),
    [
        ("America/Santiago", "2026-09-05T20:00:00Z", "2026-09-06T04:00:00Z"),
        ("Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"),
        ("America/Havana", "2026-03-07T20:00:00Z", "2026-03-08T05:00:00Z"),
        ("Pacific/Apia", "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z"),
    ],
)
def test_day_ends_at_the_jump_where_midnight_is_skipped(zone: str, before: str, end: str) -> None:
    """23:59:59 is followed by 01:00 of the next date, or by the day after the next."""
    assert period_end(Calendar.DAY, zone, oracle.at(before)) == oracle.at(end)
