"""Seasons by country: their first days, and the instants at which they begin where a recipient is."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from daemon.clock import to_instant
from daemon.policy.seasons import NAMES, season_starts, starts_in

NOW = to_instant(datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "country", "year", "days"),
    [
        ("black_friday", "US", 2026, [date(2026, 11, 27)]),
        ("black_friday", None, 2029, [date(2029, 11, 23)]),
        ("year_end", "ID", 2026, [date(2026, 12, 1)]),
        ("year_end", "IR", 2027, [date(2027, 2, 20)]),
        ("back_to_school", "US", 2026, [date(2026, 8, 1)]),
        ("back_to_school", None, 2026, [date(2026, 8, 15)]),
        ("ramadan", "ID", 2027, [date(2027, 2, 8)]),
        ("ramadan", "ID", 2030, [date(2030, 1, 6), date(2030, 12, 26)]),
        ("lebaran", "ID", 2027, [date(2027, 2, 24)]),
        ("ramadan", "ID", 2040, [date(2040, 9, 7)]),
        ("lebaran", "ID", 2033, [date(2033, 12, 9)]),
        ("ramadan", "ID", 2051, []),
        ("singles_day", "ID", 2026, [date(2026, 11, 4)]),
        ("nowruz", "IR", 2027, [date(2027, 2, 27)]),
        ("nowruz", "DE", 2029, [date(2029, 2, 26)]),
        ("year_end", "IR", 2029, [date(2029, 2, 19)]),
        ("back_to_school", "IR", 2026, [date(2026, 9, 1)]),
        ("spring", "AU", 2026, [date(2026, 9, 1)]),
    ],
)
def test_first_days(name: str, country: str | None, year: int, days: list[date]) -> None:
    """By the country and its calendar: after a leap year of Iran a day earlier; lunar ones as far as the table goes, some years twice."""
    assert list(starts_in(name, country, year)) == days


def test_a_season_begins_at_midnight_where_the_recipient_is() -> None:
    """And the past year's is there too: one that is under way is not waited for again."""
    starts = season_starts(["year_end"], "ID", "Asia/Jakarta", NOW)["year_end"]
    assert starts[0] == to_instant(datetime(2025, 11, 30, 17, tzinfo=UTC))
    assert starts[1] == to_instant(datetime(2026, 11, 30, 17, tzinfo=UTC))
    assert starts == sorted(starts)


def test_each_season_has_days_and_what_is_none_has_not() -> None:
    """In order, for each country."""
    for country in (None, "ID", "MY", "IR", "US", "AU"):
        for name, starts in season_starts(sorted(NAMES), country, "UTC", NOW).items():
            assert starts == sorted(starts), name
            assert starts, name
    assert season_starts(["harvest"], None, "UTC", NOW) == {}
