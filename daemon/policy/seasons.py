"""POLICY, seasons: when the seasons that a step may wait for begin, by country. Data and pure functions.

Fixed days by country, of the Gregorian or of the Solar Hijri calendar; and the days of the lunar calendar as they are reckoned in advance
(the sighting may move them by a day), so far as the table goes: beyond it a step does not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

from daemon.model.delivery import Instant
from daemon.policy.tz import first_instant_of, local_day

ANYWHERE = "*"
_FIXED: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "back_to_school": {"US": (8, 1), "GB": (8, 15), "DE": (8, 10), "ID": (6, 25), "MY": (12, 15), "SG": (12, 10), "AU": (1, 12),
                       ANYWHERE: (8, 15)},
    "singles_day": {ANYWHERE: (11, 4)},
    "year_end": {ANYWHERE: (12, 1)},
    "new_year": {ANYWHERE: (12, 27)},
    "spring": {"AU": (9, 1), "NZ": (9, 1), "ZA": (9, 1), ANYWHERE: (3, 1)},
}  # fmt: skip
"""(month, day) on which a season begins in a country; that of 11.11 a week before it."""
_SOLAR_HIJRI: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "back_to_school": {"IR": (6, 10)},
    "year_end": {"IR": (12, 1), "AF": (12, 1)},
    "nowruz": {ANYWHERE: (12, 8)},
}
"""The same, of the calendar of Iran: schools open on 1 Mehr, the year ends with Esfand, and three weeks before Nowruz people buy for it."""
_RAMADAN = tuple(date(*day) for day in (
    (2026, 2, 18), (2027, 2, 8), (2028, 1, 28), (2029, 1, 16), (2030, 1, 6), (2030, 12, 26), (2031, 12, 15), (2032, 12, 4),
    (2033, 11, 23), (2034, 11, 12), (2035, 11, 1), (2036, 10, 20), (2037, 10, 10), (2038, 9, 30), (2039, 9, 19), (2040, 9, 7),
    (2041, 8, 28), (2042, 8, 17), (2043, 8, 6), (2044, 7, 26), (2045, 7, 15), (2046, 7, 5), (2047, 6, 24), (2048, 6, 12),
    (2049, 6, 2), (2050, 5, 22)
))  # fmt: skip
_EID = tuple(date(*day) for day in (
    (2026, 3, 20), (2027, 3, 10), (2028, 2, 27), (2029, 2, 15), (2030, 2, 5), (2031, 1, 25), (2032, 1, 14), (2033, 1, 2),
    (2033, 12, 23), (2034, 12, 12), (2035, 12, 1), (2036, 11, 19), (2037, 11, 8), (2038, 10, 29), (2039, 10, 19), (2040, 10, 7),
    (2041, 9, 26), (2042, 9, 15), (2043, 9, 4), (2044, 8, 24), (2045, 8, 14), (2046, 8, 3), (2047, 7, 24), (2048, 7, 12),
    (2049, 7, 1), (2050, 6, 20)
))  # fmt: skip
"""First days of Ramadan, and of the feast after it (Lebaran, Hari Raya, Eid). From the end of 2031 on by the Umm al-Qura calendar
(hijridate 2.6)."""
BEFORE_EID = timedelta(days=14)
"""People buy for the feast in the fortnight before it."""
NAMES = frozenset({*_FIXED, *_SOLAR_HIJRI, "black_friday", "ramadan", "lebaran"})


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
    elif (solar := _day_of(_SOLAR_HIJRI.get(name, {}), country, _FIXED.get(name, {}))) is not None:
        yield from (day for day in (_gregorian(each, *solar) for each in (year - 622, year - 621)) if day.year == year)
    else:
        days = _FIXED[name]
        yield date(year, *days.get(country or ANYWHERE, days[ANYWHERE]))


def _day_of(days: Mapping[str, tuple[int, int]], country: str | None, instead: Mapping[str, object]) -> tuple[int, int] | None:
    """The day of a country; that of all others only where the other calendar has none."""
    return days.get(country or ANYWHERE, days.get(ANYWHERE) if not instead else None)


@lru_cache(maxsize=256)
def _gregorian(year: int, month: int, day: int) -> date:
    """Of a day of the Solar Hijri calendar."""
    from persiantools.jdatetime import JalaliDate

    found: date = JalaliDate(year, month, day).to_gregorian()  # type: ignore[no-untyped-call]
    return found


def season_starts(names: Sequence[str], country: str | None, zone: str, now: Instant) -> dict[str, list[Instant]]:
    """For each season when it begins where the recipient is (00:00 of its first day there), from a year back to two years ahead."""
    year = (date(1970, 1, 1) + timedelta(days=local_day(zone, now))).year
    return {
        name: [first_instant_of(day, zone) for each in range(year - 1, year + 3) for day in starts_in(name, country, each)]
        for name in names
        if name in NAMES
    }

