"""Twilio SMS: the country of an E.164 number, and whether it is of a kind that no message goes to: premium rate and its like.

By the number plans of phonenumbers, compiled once a calling code (the library's own parser costs some 60 µs a number, this 2 µs;
a test holds both together). phonenumbers is imported when the first number comes.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_BEFORE = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
"""The library's order of asking, up to what an ordinary phone is."""
_BARRED = frozenset({"premium_rate", "shared_cost", "personal_number", "pager", "uan", "voicemail"})


class Place(NamedTuple):
    """`country`: ISO 3166, None if no country has this calling code · `barred`: `premium_rate`, `pager`.., None for a usual number."""

    country: str | None
    barred: str | None = None


class _Region(NamedTuple):
    country: str
    owns: re.Pattern[str]
    """Matches the numbers of the region among those of its calling code."""
    kinds: tuple[tuple[str, re.Pattern[str]], ...]


@functools.lru_cache(maxsize=4096)
def place_of(number: str) -> Place:
    """Where a number belongs. One that no plan knows belongs to the main country of its calling code."""
    if not _E164.fullmatch(number):
        return Place(None)
    code = next((number[1:end] for end in (2, 3, 4) if number[1:end] in _codes()), "")
    regions = _regions(code) if code else ()
    if not regions:
        return Place(None)
    national = number[1 + len(code) :]
    region = regions[0] if len(regions) == 1 else next((each for each in regions if each.owns.match(national)), regions[0])
    kind = next((kind for kind, pattern in region.kinds if pattern.fullmatch(national)), None)
    return Place(region.country, kind if kind in _BARRED else None)


@functools.cache
def _codes() -> frozenset[str]:
    import phonenumbers

    return frozenset(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@functools.cache
def _regions(code: str) -> tuple[_Region, ...]:
    """The countries of a calling code, the main one first; none for satellites and other codes that belong to no country."""
    import phonenumbers

    found = []
    for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
        plan: Any = None if country == "001" else phonenumbers.PhoneMetadata.metadata_for_region(country, None)
        if plan is not None:
            found.append(_region(country, plan))
    return tuple(found)


def _region(country: str, plan: Any) -> _Region:
    general = _pattern(plan.general_desc) or "[0-9]+"
    kinds = [(kind, pattern) for kind in (*_BEFORE, "fixed_line", "mobile") if (pattern := _pattern(getattr(plan, kind)))]
    owns = plan.leading_digits or f"(?={general}$)(?:{'|'.join(pattern for _, pattern in kinds)})$"
    compiled = ((kind, re.compile(f"(?={general}$){pattern}")) for kind, pattern in kinds if kind in _BEFORE)
    return _Region(country, re.compile(owns), tuple(compiled))


def _pattern(description: Any) -> str:
    pattern = description.national_number_pattern if description is not None else None
    return f"(?:{pattern})" if pattern and pattern != "NA" else ""
