"""Numbers, money, dates and plurals in the recipient's language and zone."""

from __future__ import annotations

import datetime as dt

import pytest
from babel import Locale

from daemon.content.formats import write_date, write_money, write_number, write_plural, write_relative, zone_of

EN, ID, MS, FA = (Locale.parse(name) for name in ("en", "id", "ms", "fa"))
JAKARTA, TEHRAN = zone_of("Asia/Jakarta"), zone_of("Asia/Tehran")


@pytest.mark.parametrize(
    ("value", "currency", "locale", "text"),
    [
        (15.5, "USD", EN, "$15.50"),
        ("1234.5", "USD", EN, "$1,234.50"),
        (150000, "IDR", ID, "Rp150.000"),
        (150000.5, "IDR", ID, "Rp150.000,50"),
        (1500, "JPY", EN, "¥1,500"),
        (19.9, "MYR", MS, "RM19.90"),
        (1500000, "IRR", FA, "۱٬۵۰۰٬۰۰۰ ریال"),
        (12.5, "USD", FA, "۱۲٫۵ دلار"),
        (-3, "USD", EN, "-$3.00"),
    ],
)
def test_money_reads_as_people_write_it(value: object, currency: str, locale: Locale, text: str) -> None:
    """Symbol, separators and digits are the language's; rupiah and rial have no cents when whole."""
    assert write_money(value, currency, locale).replace("\u00a0", " ").replace("\u200e", "") == text


@pytest.mark.parametrize("value", [None, True, "", "abc", "nan", "inf", [], {}, "9" * 50, float("inf")])
def test_what_is_no_number_is_refused(value: object) -> None:
    """Better held than "$nan"."""
    with pytest.raises(ValueError, match="needs a number"):
        write_number(value, EN)


def test_unknown_currency_is_refused() -> None:
    """A typing error in a code is no currency."""
    with pytest.raises(ValueError, match="currency"):
        write_money(1, "RUPIAH", EN)


@pytest.mark.parametrize(
    ("value", "forms", "locale", "text"),
    [
        (1, ["day", "days"], EN, "1 day"),
        (45, ["day", "days"], EN, "45 days"),
        ("45", ["day", "days"], EN, "45 days"),
        (0, ["day", "days"], EN, "0 days"),
        (1234, ["day", "days"], EN, "1,234 days"),
        (45, ["hari"], ID, "45 hari"),
        (1, ["hari"], MS, "1 hari"),
        (45, ["روز"], FA, "۴۵ روز"),
        (3, ["день", "дня", "дней"], Locale.parse("ru"), "3 дня"),
        (11, ["день", "дня", "дней"], Locale.parse("ru"), "11 дней"),
    ],
)
def test_plural_follows_the_language(value: object, forms: list[str], locale: Locale, text: str) -> None:
    """The forms stand in CLDR's order; where there are fewer, the last serves."""
    assert write_plural(value, forms, locale) == text


@pytest.mark.parametrize(
    ("value", "style", "locale", "zone", "text"),
    [
        ("2026-11-25", "long", EN, JAKARTA, "November 25, 2026"),
        ("2026-11-25", "long", ID, JAKARTA, "25 November 2026"),
        ("2026-11-25", "short", ID, JAKARTA, "25 Nov 2026"),
        ("2026-11-25", "full", ID, JAKARTA, "Rabu, 25 November 2026"),
        ("2026-11-25", "long", FA, TEHRAN, "۴ آذر ۱۴۰۵"),
        ("2026-11-25", "short", FA, TEHRAN, "۴ آذر ۱۴۰۵"),
        ("2026-11-25T22:00:00Z", "full", FA, TEHRAN, "پنجشنبه ۵ آذر ۱۴۰۵"),
        ("2026-03-21", "%Y/%m/%d %H:%M", FA, TEHRAN, "۱۴۰۵/۰۱/۰۱ ۰۰:۰۰"),
        ("2026-03-20", "%F", FA, TEHRAN, "۱۴۰۴-۱۲-۲۹"),
        ("2026-11-25T20:00:00Z", "long", ID, JAKARTA, "26 November 2026"),
        ("2026-11-25T20:00:00Z", "long", EN, dt.UTC, "November 25, 2026"),
        ("2026-11-25T20:00:00", "%Y-%m-%d %H:%M", EN, JAKARTA, "2026-11-25 20:00"),
        ("2026-11-25T20:00:00+00:00", "%H:%M", EN, TEHRAN, "23:30"),
        (1795000000, "%Y-%m-%dT%H:%M:%S", EN, dt.UTC, "2026-11-18T11:06:40"),
        (dt.datetime(2026, 11, 25, 20, tzinfo=dt.UTC), "%d %B %Y, %A", ID, JAKARTA, "26 November 2026, Kamis"),
        ("2026-01-05", "%-d/%-m/%y %%", EN, JAKARTA, "5/1/26 %"),
    ],
)
def test_dates_are_in_the_recipients_zone_and_words(value: object, style: str, locale: Locale, zone: dt.tzinfo, text: str) -> None:
    """Moments are turned to the zone; dates and local times stay what they are."""
    assert write_date(value, style, locale, zone) == text


def test_another_calendar_may_be_asked_for() -> None:
    """A Gregorian date in a Persian text, a Persian one in another."""
    assert write_date("2026-11-25", "long", FA, TEHRAN, "gregorian") == "۲۵ نوامبر ۲۰۲۶"
    assert write_date("2026-11-25", "long", EN, TEHRAN, "jalali") == "4 Azar 1405"
    with pytest.raises(ValueError, match="knows the calendars gregorian and jalali"):
        write_date("2026-11-25", "long", EN, TEHRAN, "lunar")


@pytest.mark.parametrize(
    ("year", "new_year"),
    [(1402, "2023-03-21"), (1403, "2024-03-20"), (1404, "2025-03-21"), (1405, "2026-03-21"), (1406, "2027-03-21"), (1407, "2028-03-20")],
)
def test_nowruz_is_the_first_of_farvardin(year: int, new_year: str) -> None:
    """The dates of the Iranian official calendar, and the day before is the last of Esfand (29 or 30 days)."""
    assert write_date(new_year, "%Y-%m-%d", EN, TEHRAN, "jalali") == f"{year}-01-01"
    before = dt.date.fromisoformat(new_year) - dt.timedelta(days=1)
    assert write_date(before, "%m-%d", EN, TEHRAN, "jalali") == ("12-30" if year - 1 in (1403, 1408) else "12-29")


NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "locale", "text"),
    [
        ("2026-10-11T12:00:00Z", EN, "45 days ago"),
        ("2026-10-11T12:00:00Z", ID, "45 hari yang lalu"),
        ("2026-10-11T12:00:00Z", FA, "۴۵ روز پیش"),
        ("2026-11-28T12:00:00Z", EN, "in 3 days"),
        ("2026-11-27T11:00:00Z", EN, "in 47 hours"),
        ("2026-11-25T12:20:00Z", EN, "in 20 minutes"),
        ("2026-11-25T12:00:00Z", EN, "in 1 minute"),
        ("2026-11-25T10:00:00Z", EN, "2 hours ago"),
        ("2026-11-22", EN, "3 days ago"),
    ],
)
def test_how_far_from_now(value: str, locale: Locale, text: str) -> None:
    """Days from two of them on; nobody is told of 4,512 hours."""
    assert write_relative(value, NOW, locale, dt.UTC) == text


@pytest.mark.parametrize("value", [None, True, "", "tomorrow", "2026-13-40", "25/11/2026", [], "2026-11-25T99:00", 10**20])
def test_what_is_no_date_is_refused(value: object) -> None:
    """Only ISO dates and seconds since 1970: nothing is guessed."""
    with pytest.raises(ValueError, match="needs a date"):
        write_date(value, "long", EN, dt.UTC)


@pytest.mark.parametrize("style", ["medium", "%Q", "%1000000d"])
def test_unknown_style_is_refused(style: str) -> None:
    """A style that is not known is named, and widths are no patterns."""
    with pytest.raises(ValueError, match="know"):
        write_date("2026-11-25", style, EN, dt.UTC)


def test_unknown_zone_is_utc() -> None:
    """A zone that no file knows cannot stop a mail that is already allowed."""
    assert zone_of(None) is dt.UTC
    assert zone_of("Mars/Base") is dt.UTC
    assert zone_of("../etc/passwd") is dt.UTC
