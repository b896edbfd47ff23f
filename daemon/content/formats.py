"""CONTENT: numbers, money, dates and plurals as a recipient's language writes them: what the filters of templates print.

Pure: the value, the locale, the zone and `now` come in; text comes out, or `ValueError` in words for the operator. Persian text gets
Persian digits and, unless it asks for the other one, the Solar Hijri calendar; all other languages get the Gregorian.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta, get_day_names, get_month_names
from babel.numbers import format_currency, format_decimal, get_currency_name, is_currency

STYLES = {"short": "medium", "long": "long", "full": "full"}
"""Our names of date styles to CLDR's; `short` is `25 Nov 2026`, for 25/11/26 means another day elsewhere."""

_PERSIAN = str.maketrans("0123456789.,", "۰۱۲۳۴۵۶۷۸۹٫٬")
_PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_LATIN_DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789")
_PERSIAN_UNITS = {"IRR": "ریال", "USD": "دلار", "EUR": "یورو"}
_WITHOUT_CENTS = frozenset({"CLP", "COP", "IDR", "IRR", "JPY", "KRW", "LAK", "MMK", "TZS", "UGX", "UZS", "VND"})
CALENDARS = ("gregorian", "jalali")
_JALALI_STYLES = {"short": "%-d %B %Y", "long": "%-d %B %Y", "full": "%A %-d %B %Y"}
_STYLES_KNOWN = 'knows the styles "short", "long", "full", "time" and patterns such as "%d %B %Y", not {!r}'
_TWO_DAYS, _NINETY_MINUTES = dt.timedelta(days=2), dt.timedelta(minutes=90)
_LARGEST = Decimal(10) ** 30
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DIRECTIVE = re.compile(r"%(-?)(.)", re.DOTALL)
_PLAIN = frozenset("YymdHMSpjIBbAaeFT%")


def to_number(value: object) -> Decimal:
    """A JSON number, or a string that is one. ValueError otherwise."""
    number = Decimal("NaN")
    if isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool) and len(str(value)) <= 40:
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            pass
    if not number.is_finite() or abs(number) > _LARGEST:
        raise ValueError(f"needs a number, not {str(value)[:40]!r}")
    return number


def write_number(value: object, locale: Locale) -> str:
    """`12345.5` as `12,345.5`, `12.345,5` or `۱۲٬۳۴۵٫۵`."""
    number = to_number(value)
    if locale.language == "fa":
        return format_decimal(number, locale="en").translate(_PERSIAN)
    return format_decimal(number, locale=locale)


def write_money(value: object, currency: str, locale: Locale) -> str:
    """An amount of an ISO 4217 currency. Where nobody writes cents (rupiah, rial, yen..) a whole amount has none."""
    number = to_number(value)
    if not is_currency(currency):
        raise ValueError(f"does not know the currency {currency[:10]!r}")
    whole = currency in _WITHOUT_CENTS and number == number.to_integral_value()
    if locale.language == "fa":
        digits = format_decimal(number, "#,##0" if whole else "#,##0.##", locale="en").translate(_PERSIAN)
        return f"{digits} {_PERSIAN_UNITS.get(currency) or get_currency_name(currency, locale=locale)}"
    if not whole:
        return format_currency(number, currency, locale=locale)
    pattern = locale.currency_formats["standard"].pattern.replace(".00", "")
    return format_currency(number, currency, pattern, locale=locale, currency_digits=False)


def write_plural(value: object, forms: Sequence[str], locale: Locale) -> str:
    """`45 days`: the number and the form that CLDR's plural rule of the language picks; the last form stands for all after it."""
    number = to_number(value)
    tags = [tag for tag in ("zero", "one", "two", "few", "many") if tag in locale.plural_form.tags]
    index = [*tags, "other"].index(locale.plural_form(number))
    return f"{write_number(number, locale)} {forms[min(index, len(forms) - 1)]}"


def to_moment(value: object, zone: dt.tzinfo) -> dt.datetime | dt.date:
    """A date, or a moment in the recipient's zone: of ISO text, seconds since 1970, a `date` or a `datetime`.

    A text without an offset is local time already. ValueError otherwise.
    """
    if isinstance(value, dt.datetime):
        return value.astimezone(zone) if value.tzinfo else value
    if isinstance(value, dt.date):
        return value
    try:
        if _is_epoch(value):
            seconds = float(str(value))
            if not math.isfinite(seconds):
                raise ValueError(value)
            return (_EPOCH + dt.timedelta(seconds=seconds)).astimezone(zone)
        if isinstance(value, str) and len(value) <= 40:
            return _read_iso(value.strip(), zone)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"needs a date such as 2026-11-25 or 2026-11-25T09:00:00Z, not {str(value)[:40]!r}")


def write_date(value: object, style: str, locale: Locale, zone: dt.tzinfo, calendar: str | None = None) -> str:
    """A date in a style (`short`, `long`, `full`, `time`) or a strftime pattern, in the locale's words and the zone's time. `calendar`:
    `gregorian` or `jalali`; None = the language's own."""
    moment = to_moment(value, zone)
    if calendar not in (None, *CALENDARS):
        raise ValueError(f"knows the calendars {' and '.join(CALENDARS)}, not {str(calendar)[:40]!r}")
    if (calendar or ("jalali" if locale.language == "fa" else "gregorian")) == "jalali" and style != "time":
        if style not in _JALALI_STYLES and "%" not in style:
            raise ValueError(_STYLES_KNOWN.format(style[:40]))
        pattern = _JALALI_STYLES.get(style, style)
        text = _DIRECTIVE.sub(lambda match: _jalali_directive(match, moment, locale), pattern)
    elif style in STYLES:
        text = format_date(moment, STYLES[style], locale=locale)
    elif style == "time":
        clock = moment if isinstance(moment, dt.datetime) else dt.datetime.combine(moment, dt.time())
        text = format_time(clock.replace(tzinfo=None), "short", locale=locale)
    elif "%" in style:
        text = _DIRECTIVE.sub(lambda match: _directive(match, moment, locale), style)
    else:
        raise ValueError(_STYLES_KNOWN.format(style[:40]))
    return text.translate(_PERSIAN_DIGITS) if locale.language == "fa" else text


def write_relative(value: object, now: dt.datetime, locale: Locale, zone: dt.tzinfo) -> str:
    """How far from now: `45 days ago`, `in 3 days`, `in 5 hours`; days from two of them on, minutes within 90."""
    moment = to_moment(value, zone)
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    away = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - now
    size = abs(away)
    unit = dt.timedelta(days=1) if size >= _TWO_DAYS else dt.timedelta(hours=1) if size >= _NINETY_MINUTES else dt.timedelta(minutes=1)
    whole = max(size // unit, 1) * unit
    granularity: Literal["day", "hour", "minute"] = "day" if unit.days else "hour" if unit.seconds == 3600 else "minute"
    sign = -1 if away < dt.timedelta(0) else 1
    text = format_timedelta(sign * whole, granularity=granularity, threshold=10**6, add_direction=True, locale=locale)
    return text.translate(_PERSIAN_DIGITS) if locale.language == "fa" else text


@functools.lru_cache(maxsize=1024)
def zone_of(name: str | None) -> dt.tzinfo:
    """The zone of a name; UTC if there is none or no file of it."""
    try:
        return zoneinfo.ZoneInfo(name) if name else dt.UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


def _is_epoch(value: object) -> bool:
    if isinstance(value, str):
        return len(value) in (9, 10) and value.isascii() and value.isdigit()
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read_iso(text: str, zone: dt.tzinfo) -> dt.datetime | dt.date:
    if len(text) == 10:
        return dt.date.fromisoformat(text)
    moment = dt.datetime.fromisoformat(text)
    return moment.astimezone(zone) if moment.tzinfo else moment


def _jalali_directive(match: re.Match[str], moment: dt.datetime | dt.date, locale: Locale) -> str:
    """One directive of a pattern in the Solar Hijri calendar. The library writes dates in Persian and in English; other languages get
    the latter's names of months."""
    from persiantools.jdatetime import JalaliDate

    letter = match[2]
    if letter not in _PLAIN:
        raise ValueError(f"does not know %{letter}")
    try:
        day = JalaliDate(moment.date() if isinstance(moment, dt.datetime) else moment)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(f"needs a date of the Solar Hijri calendar, not {moment}") from None
    if letter in "Aa" or letter in "HMSpIT%":
        return _directive(match, moment, locale)
    if letter == "F":
        return f"{day.year:04}-{day.month:02}-{day.day:02}"
    if letter == "e":
        text = f"{day.day:>2}"
    else:
        text = day.strftime(f"%{letter}", locale="fa" if locale.language == "fa" else "en").translate(_LATIN_DIGITS)
    return text.lstrip("0 ") or "0" if match[1] and text[:1] in "0 " else text


def _directive(match: re.Match[str], moment: dt.datetime | dt.date, locale: Locale) -> str:
    letter = match[2]
    if letter not in _PLAIN:
        raise ValueError(f"does not know %{letter}")
    if letter in "Bb":
        return str(get_month_names("wide" if letter == "B" else "abbreviated", locale=locale)[moment.month])
    if letter in "Aa":
        return str(get_day_names("wide" if letter == "A" else "abbreviated", locale=locale)[moment.weekday()])
    text = moment.strftime(f"%{letter}") if letter != "e" else f"{moment.day:>2}"
    return text.lstrip("0 ") or "0" if match[1] and text[:1] in "0 " else text
