"""INTAKE, phone numbers: to E.164, by the number plans of phonenumbers; premium-rate and satellite numbers are blocked.

A number that already has its + is judged by the plan's own patterns, compiled once a calling code (the library's parser
costs 20 µs a number); everything else, and all that fails, goes through the library itself. phonenumbers is imported when
the first number comes. Pure.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

from daemon.intake.emails import AddressError

MAX_DIGITS = 15

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_WRITTEN = re.compile(r"[+]?[0-9][0-9 ().\-/\u00a0\u2010-\u2015\u200e\u200f]*")
_NUMBERED = re.compile(r"^\(\d+\) ")
"""The library's number of an error, before its words."""
_BLOCKED = ("premium_rate", "shared_cost")
_TYPES = ("fixed_line", "mobile", "toll_free", "voip", "personal_number", "pager", "uan", "voicemail")


class _Plan(NamedTuple):
    """The numbers of one calling code, as patterns over the digits after it."""

    valid: re.Pattern[str]
    blocked: re.Pattern[str]


def parse_phone(text: str, region: str | None = None) -> str:
    """The number as E.164. `region`: the country (ISO 3166) of a number without a calling code.

    Raises AddressError: `address_invalid`, or `address_blocked` for premium-rate, shared-cost and non-geographic numbers.
    """
    if _E164.fullmatch(text):
        code = _calling_code(text)
        plan = _plan(code) if code else None
        national = text[1 + len(code) :]
        if plan is not None and plan.valid.fullmatch(national) and not plan.blocked.fullmatch(national):
            return text
    return _parse_slowly(text.strip(" "), region)


def _calling_code(number: str) -> str:
    """The calling code of `+digits`: no code is the beginning of another."""
    codes = _codes()
    for length in (1, 2, 3):
        if number[1 : 1 + length] in codes:
            return number[1 : 1 + length]
    return ""


@functools.cache
def _codes() -> frozenset[str]:
    import phonenumbers

    return frozenset(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@functools.cache
def _plan(code: str) -> _Plan | None:
    import phonenumbers

    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    if regions == ("001",):
        return None
    valid: list[str] = []
    blocked: list[str] = []
    for region in regions:
        metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        if metadata is None:
            continue
        general = f"(?={_pattern(metadata.general_desc)}$)"
        valid += [general + pattern for kind in _TYPES if (pattern := _pattern(getattr(metadata, kind)))]
        blocked += [general + pattern for kind in _BLOCKED if (pattern := _pattern(getattr(metadata, kind)))]
    return _Plan(re.compile("|".join(valid) or "(?!)"), re.compile("|".join(blocked) or "(?!)"))


def _pattern(description: Any) -> str:
    pattern = description.national_number_pattern if description is not None else None
    return f"(?:{pattern})" if pattern and pattern != "NA" else ""


def _parse_slowly(text: str, region: str | None) -> str:
    if not text:
        raise AddressError("empty")
    if not _WRITTEN.fullmatch(text):
        raise AddressError("a character that is not part of a phone number")
    digits = re.sub(r"[^0-9]", "", text)
    if len(digits) > MAX_DIGITS + 2:
        raise AddressError(f"more than {MAX_DIGITS} digits")
    international = text.startswith(("+", "00"))
    if not international and region is None:
        raise AddressError("no calling code; write it as +62.. or give the row a country")
    if international:
        text = "+" + (digits if text.startswith("+") else digits[2:])
    return _by_library(text, None if international else region)


def _by_library(text: str, region: str | None) -> str:
    import phonenumbers
    from phonenumbers import PhoneNumberType

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise AddressError(f"not a phone number: {_NUMBERED.sub('', str(error)).rstrip('.').lower()}") from None
    if phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(number.country_code or 0) == ("001",):
        raise AddressError(f"+{number.country_code} is a satellite or non-geographic number", "address_blocked")
    if not phonenumbers.is_valid_number(number):
        raise AddressError(f"no number of the plan of +{number.country_code}")
    if phonenumbers.number_type(number) in (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST):
        raise AddressError("a premium-rate or shared-cost number", "address_blocked")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
