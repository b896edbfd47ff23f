"""Preferred hours rank the instants that the windows allow, and never widen them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.policy.hours import WindowError
from daemon.policy.prefer import ROOM, Preference, first_preferred, local_hours, parse_prefer, ranks
from daemon.policy.spread import RING, due_stretch
from daemon.policy.window import first_open, is_open
from tests.unit.policy import oracle
from tests.unit.policy.cases import EVENING, candidate, person, rules, window
from tests.unit.policy.oracle import DAY, HOUR, MINUTE

TUESDAY = oracle.at("2026-11-24T02:00:00Z")
"""09:00 in Jakarta, two days after Sunday evening."""
MONDAY = oracle.at("2026-11-23T02:00:00Z")
MORNINGS = ranks(parse_prefer(("tue-thu 09:00-12:00",)))
JAKARTA = ("Asia/Jakarta",)
OFFICE = (window("mon-fri 09:00-21:00"),)


def test_the_first_preferred_instant_is_taken() -> None:
    """Sunday evening, a life of ten days: not Monday 09:00, but Tuesday; spread inside the preferred hours."""
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 10 * DAY, MORNINGS) == (TUESDAY, TUESDAY + 3 * HOUR)
    row = candidate(campaign_window=OFFICE[0], expires_at=EVENING + 10 * DAY)
    plain, best = (due_stretch(row, person(), rules(spread=30 * MINUTE), EVENING, found) for found in ((), MORNINGS))
    assert plain.opens == MONDAY
    instants = [best.first(key, "winback") for key in range(0, RING, RING // 20)]
    assert all(at is not None and TUESDAY <= at < TUESDAY + 30 * MINUTE for at in instants)


def test_what_the_life_does_not_reach_is_not_waited_for() -> None:
    """A life of a day from Monday 09:00: Tuesday 09:00 is its end; Monday it is. Neither with less than an hour to spare."""
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY, MORNINGS, DAY) == first_open(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY)
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY, MORNINGS, DAY + ROOM) == first_open(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY)
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY, MORNINGS, DAY + ROOM + 1) == (TUESDAY, TUESDAY + 1)


def test_a_preference_outside_the_windows_counts_for_nothing() -> None:
    nights = ranks(parse_prefer(("mon-fri 21:00-09:00",)))
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY, nights) == first_open(OFFICE, JAKARTA, EVENING, EVENING + 90 * DAY)


def test_a_trigger_does_not_wait_for_better_hours() -> None:
    row = candidate(campaign_window=OFFICE[0], trigger=True)
    assert due_stretch(row, person(), rules(), EVENING, MORNINGS).opens == MONDAY


def test_a_recipients_own_hour_is_tried_first_on_the_preferred_days() -> None:
    """Who reads at 19 gets it on Tuesday at 19; without an hour of his own, the morning."""
    preference = parse_prefer(("tue-thu 09:00-12:00", "own"))
    assert preference.own
    evening = TUESDAY + 10 * HOUR
    assert first_preferred(OFFICE, JAKARTA, EVENING, EVENING + 10 * DAY, ranks(preference, 19)) == (evening, evening + HOUR)
    assert ranks(preference) == MORNINGS
    assert ranks(parse_prefer(("own",)), 23)[0].texts() == ["23:00-24:00"]
    assert ranks(parse_prefer(("own",))) == ranks(Preference(), 9) == ()
    assert local_hours([TUESDAY, TUESDAY - 1], "Asia/Jakarta") == [9, 8]


def test_a_bad_preference_is_named() -> None:
    with pytest.raises(WindowError, match="prefer"):
        parse_prefer(("mornings",))
    assert parse_prefer(()) == Preference()


ZONES = st.sampled_from(["Asia/Jakarta", "America/New_York", "Asia/Tehran", "Australia/Lord_Howe", "Pacific/Chatham"])
RANGES = st.sampled_from(["tue-thu 09:00-12:00", "mon 22:00-02:00", "sat,sun 00:00-24:00", "01:00-03:00", "own"])


@given(
    zones=st.lists(ZONES, min_size=1, max_size=2, unique=True), hours=RANGES.filter(lambda text: text != "own"),
    prefer=st.lists(RANGES, max_size=3), hour=st.none() | st.integers(0, 23), start=st.integers(0, 400 * 24), life=st.integers(1, 20 * 24),
)  # fmt: skip
def test_never_widens_and_never_loses(zones: list[str], hours: str, prefer: list[str], hour: int | None, start: int, life: int) -> None:
    """Whatever is preferred: the instant is inside the windows of all zones and the life, and there is one if there is one without."""
    windows, names = (window(hours),), tuple(zones)
    at, limit = MONDAY + start * HOUR, MONDAY + (start + 60 * 24) * HOUR
    plain = first_open(windows, names, at, limit)
    found = first_preferred(windows, names, at, limit, ranks(parse_prefer(tuple(prefer)), hour), life * HOUR)
    assert (plain is None) == (found is None)
    if plain is not None and found is not None:
        opens, closes = found
        assert plain[0] <= opens < closes <= limit
        assert opens < plain[0] + life * HOUR
        assert is_open(windows, names, opens) and is_open(windows, names, closes - 1)
