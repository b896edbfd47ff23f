"""What a window table may say, and what is refused with the key's name."""

from __future__ import annotations

import timeit
from datetime import date, time

import pytest

from daemon.policy.hours import WindowError, WindowRule, parse_quiet_hours, parse_window


def test_both_forms_of_a_window() -> None:
    """start/end/days, or hours: the same rule either way."""
    one = parse_window({"start": "09:00", "end": "12:00", "days": ["mon-fri"]})
    assert one == parse_window({"hours": ["mon-fri 09:00-12:00"]})
    assert hash(one) == hash(parse_window({"hours": ["mon-fri 09:00-12:00"]}))
    assert one.texts() == ["mon-fri 09:00-12:00"]


def test_spellings_of_days_and_times() -> None:
    """Lists, commas, runs over the week's end, long names, capitals, TOML's own times and dates."""
    assert parse_window({"days": "sat,sun", "start": "10:00", "end": "18:00"}).texts() == ["sat-sun 10:00-18:00"]
    assert parse_window({"hours": ["fri-mon 10:00-18:00"]}).texts() == ["mon,fri-sun 10:00-18:00"]
    assert parse_window({"hours": "Monday 9:00 - 24:00"}).texts() == ["mon 09:00-24:00"]
    assert parse_window({"start": time(9), "end": time(21, 30)}).texts() == ["09:00-21:30"]
    assert parse_window({"closed": [date(2027, 3, 20), "fri 11:30-13:30", "sun"]}).closed_dates == (date(2027, 3, 20),)


def test_defaults_fill_only_the_first_form() -> None:
    """The config's [window] has 09:00-21:00; tables that narrow have the whole day."""
    assert parse_window({"days": ["mon"]}).texts() == ["mon 00:00-24:00"]
    assert parse_window({"end": "20:00"}, start="09:00", end="21:00").texts() == ["09:00-20:00"]
    assert parse_window({}).always
    assert WindowRule.full().always
    assert not parse_window({"closed": ["2027-03-20"]}).always


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ({"hours": ["mon 09:00-12:00"], "start": "09:00"}, "start", "either"),
        ({"start": "9", "end": "21:00"}, "start", "time of day"),
        ({"start": "24:00", "end": "21:00"}, "start", "00:00 to 23:59"),
        ({"start": "09:00", "end": "24:01"}, "end", "00:00 to 24:00"),
        ({"start": "09:60", "end": "21:00"}, "start", "00:00"),
        ({"start": "09:00", "end": "09:00"}, "end", "whole day"),
        ({"start": 9, "end": "21:00"}, "start", "time of day"),
        ({"days": ["mon-fry"]}, "days", "no such day"),
        ({"days": []}, "days", "name days"),
        ({"days": 3}, "days", "name days"),
        ({"hours": []}, "hours", "list of ranges"),
        ({"hours": ["mon-fri"]}, "hours", "a range is"),
        ({"hours": [9]}, "hours", "list of ranges"),
        ({"hours": ["09:00-12:00 mon"]}, "hours", "a range is"),
        ({"closed": ["holidays"]}, "closed", "not supported yet"),
        ({"closed": ["2027-02-30"]}, "closed", "no such date"),
        ({"closed": [7]}, "closed", "must be a list"),
        ({"hours": ["fri 12:00-13:00"], "closed": ["fri 11:30-13:30"]}, "closed", "no open hour"),
        ({"prefer": ["tue 09:00-12:00"]}, "prefer", "not supported yet"),
        ({"strat": "09:00"}, "strat", "unknown key"),
    ],
)
def test_bad_windows_name_their_key(table: dict[str, object], key: str, words: str) -> None:
    """Every refusal says which key and what is wrong."""
    with pytest.raises(WindowError, match=words) as caught:
        parse_window(table)
    assert caught.value.key == key


def test_a_typo_gets_a_suggestion() -> None:
    """The nearest key or day."""
    with pytest.raises(WindowError, match='did you mean "start"'):
        parse_window({"strat": "09:00"})
    with pytest.raises(WindowError, match='did you mean "thu"'):
        parse_window({"days": "thru"})


def test_quiet_hours_are_a_window_turned_inside_out() -> None:
    """Open at all other times; a whole week of quiet is refused."""
    rule = parse_quiet_hours(["22:00-08:00"])
    assert rule == parse_window({"closed": ["22:00-08:00"]})
    assert parse_quiet_hours("sat-sun 00:00-24:00").texts() == ["00:00-24:00", "closed sat-sun 00:00-24:00"]
    with pytest.raises(WindowError, match="no open hour"):
        parse_quiet_hours(["00:00-24:00"])
    with pytest.raises(WindowError, match="quiet_hours"):
        parse_quiet_hours(["late"])


@pytest.mark.promise("B19")
@pytest.mark.parametrize("table", [{"hours": ["a" + " " * 60_000]}, {"days": "mon," * 60_000}, {"start": "9" * 60_000}, {"closed": ["mon"] * 501}])
def test_texts_and_lists_without_end_are_refused_unread(table: dict[str, object]) -> None:
    """A job's window comes from outside; 60 KB of blanks cost the pattern of a range half a minute."""
    began = timeit.default_timer()
    with pytest.raises(WindowError, match=r"more than 100 characters|at most 500"):
        parse_window(table)
    with pytest.raises(WindowError, match="more than 100 characters"):
        parse_quiet_hours(["a" + " " * 60_000])
    assert timeit.default_timer() - began < 5


def test_all_that_is_wrong_with_a_window_is_said_at_once() -> None:
    """The first key's error has those of the others beside it; what is not to be read at all is told alone."""
    with pytest.raises(WindowError, match="start: must be a time of day") as caught:
        parse_window({"start": "9", "end": "25:00", "days": ["mon-xyz"], "closed": ["2027-02-30"]})
    assert [error.key for error in caught.value.others] == ["end", "days", "closed"]
    with pytest.raises(WindowError, match="starts: unknown key") as caught:
        parse_window({"starts": "9", "hours": ["mon"], "end": "9", "closed": ["x" * 101]})
    assert [error.key for error in caught.value.others] == ["end", "closed"]
