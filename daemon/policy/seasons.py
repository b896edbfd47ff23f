"""POLICY, seasons: when the seasons that a step may wait for begin, by country. Data and pure functions.

Fixed days by country, the days of lunar calendars as they are reckoned in advance (the sighting may move them by a day), so far as the
table goes: beyond it a step does not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from daemon.model.delivery import Instant
from daemon.policy.tz import first_instant_of, local_day

ANYWHERE = "*"
_FIXED: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "back_to_school": {"US": (8, 1), "GB": (8, 15), "DE": (8, 10), "IR": (9, 1), "ID": (6, 25), "MY": (12, 15), "SG": (12, 10),
                       "AU": (1, 12), ANYWHERE: (8, 15)},
    "year_end": {"IR": (2, 20), "AF": (2, 20), ANYWHERE: (12, 1)},
    "new_year": {ANYWHERE: (12, 27)},
    "spring": {"AU": (9, 1), "NZ": (9, 1), "ZA": (9, 1), ANYWHERE: (3, 1)},
    "nowruz": {ANYWHERE: (2, 27)},
}  # fmt: skip
"""(month, day) on which a season begins in a country. Iran's year ends in March: its year's end is the month of Esfand."""
_RAMADAN = (date(2026, 2, 18), date(2027, 2, 8), date(2028, 1, 28), date(2029, 1, 16), date(2030, 1, 6), date(2030, 12, 26))
_EID = (date(2026, 3, 20), date(2027, 3, 10), date(2028, 2, 27), date(2029, 2, 15), date(2030, 2, 5), date(2031, 1, 25))
"""First days of Ramadan, and of the feast after it (Lebaran, Hari Raya, Eid)."""
BEFORE_EID = timedelta(days=14)
"""People buy for the feast in the fortnight before it."""
NAMES = frozenset({*_FIXED, "black_friday", "ramadan", "lebaran"})


def starts_in(name: str, country: str | None, year: int) -> Iterator[date]:
    """The first days of a season that lie in a year. KeyError for a name that is no season."""
    if name == "ramadan":
        yield from (day for day in _RAMADAN if day.year == year)
    elif name == "lebaran":
        yield from (day for day in (feast - BEFORE_EID for feast in _EID) if day.year == year)
    elif name == "black_friday":
        first = date(year, 11, 1)
        thursday = first + timedelta(days=(3 - first.weekday()) % 7 + 21)
        yield thursday + timedelta(days=1)
    else:
        days = _FIXED[name]
        yield date(year, *days.get(country or ANYWHERE, days[ANYWHERE]))


def season_starts(names: Sequence[str], country: str | None, zone: str, now: Instant) -> dict[str, list[Instant]]:
    """For each season when it begins where the recipient is (00:00 of its first day there), from a year back to two years ahead."""
    year = (date(1970, 1, 1) + timedelta(days=local_day(zone, now))).year
    return {
        name: [first_instant_of(day, zone) for each in range(year - 1, year + 3) for day in starts_in(name, country, each)]
        for name in names
        if name in NAMES
    }

