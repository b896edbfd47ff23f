"""POLICY, zones: in which time zones a recipient may be. explicit > device > phone > address > country > home countries.

More than one zone may be possible; then everything must hold in each of them. Data: the tzdata package (names, zone.tab)
and phonenumbers (imported only when a phone number is all there is). An unusable name is treated as not given here;
intake and config refuse it (`known_zone`).
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import zoneinfo
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from daemon.policy import tz

tzdata_version = tz.tzdata_version


class UnknownZone(StrEnum):
    """What to do about a recipient without any zone (`[homing] unknown_zone`)."""

    INTERSECT = "intersect"
    DEFAULT = "default"
    HOLD = "hold"


class ZoneGuess(NamedTuple):
    """All zones that are possible, and what says so. No names = unknown."""

    names: tuple[str, ...]
    source: str

    @property
    def label(self) -> str | None:
        """What a touch keeps: the names with commas between them."""
        return ",".join(self.names) or None


UNKNOWN = ZoneGuess((), "unknown")


@functools.cache
def zone_names() -> frozenset[str]:
    """Every usable zone name."""
    return frozenset(zoneinfo.available_timezones() - {"Factory", "localtime", "posixrules"})


@functools.cache
def _spellings() -> dict[str, str]:
    return {name.casefold(): name for name in zone_names()}


def known_zone(name: str) -> str | None:
    """The zone's proper name, whatever the case it is written in; None for `Mars/Base`, `+25:00`, POSIX strings and the like."""
    if name in zone_names():
        return name
    return _spellings().get(name.strip().casefold())


def nearest_zone(name: str) -> str | None:
    """The zone that was probably meant, for messages."""
    found = difflib.get_close_matches(name.strip().casefold(), _spellings(), n=1, cutoff=0.75)
    return _spellings()[found[0]] if found else None


@functools.lru_cache(maxsize=4096)
def _single(name: str) -> tuple[str, ...]:
    known = known_zone(name)
    return (known,) if known else ()


@functools.lru_cache(maxsize=4096)
def explicit_zone(name: str) -> ZoneGuess | None:
    """The guess that a recipient's own zone gives; None if there is no such zone. The hot path of `candidate_zones`."""
    names = _single(name)
    return ZoneGuess(names, "explicit") if names else None


@functools.cache
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    table = (importlib.resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        if line and line[0] != "#":
            code, _, zone = line.split("\t")[:3]
            found.setdefault(code, set()).add(zone)
    return {code: tuple(sorted(zones)) for code, zones in found.items()}


@functools.cache
def _country_by_zone() -> dict[str, str]:
    return {zone: code for code, zones in _zones_by_country().items() for zone in zones}


def country_zones(country: str) -> tuple[str, ...]:
    """All zones of an ISO 3166 country code; () if there is no such country."""
    return _zones_by_country().get(country.strip().upper(), ())


def zone_country(zone: str) -> str | None:
    """The country of a zone that is on the map of one (`Asia/Jakarta` → ID); None for `UTC` or `EST`."""
    return _country_by_zone().get(zone)


def phone_zones(phone: str, country: str | None = None) -> tuple[str, ...]:
    """All zones in which a number may be; () if it is no number. `country` reads numbers without a `+`.

    A number that no range covers (satellite, made up) takes every zone of its calling code.
    """
    return _phone(*_phone_key(phone, country)).zones


def phone_country(phone: str, country: str | None = None) -> str | None:
    """The ISO 3166 country of a number, or None."""
    return _phone(*_phone_key(phone, country)).country


class _Phone(NamedTuple):
    zones: tuple[str, ...]
    country: str | None


_NO_PHONE = _Phone((), None)
_PREFIX = 10  # "+" and nine digits: no zone prefix is longer, so the further digits only have to be as many


def _phone_key(phone: str, country: str | None) -> tuple[str, str, str | None]:
    """Numbers that share their first nine digits and their length share the answer; `phone` stays outside the cache key."""
    if phone.startswith("+") and phone[1:].isascii() and phone[1:].isdigit() and len(phone) > _PREFIX:
        return phone[:_PREFIX], "0" * (len(phone) - _PREFIX), None
    return phone, "", country


@functools.lru_cache(maxsize=65_536)
def _phone(prefix: str, rest: str, country: str | None) -> _Phone:
    import phonenumbers
    from phonenumbers import timezone

    try:
        number = phonenumbers.parse(prefix + rest, country)
    except phonenumbers.NumberParseException:
        return _NO_PHONE
    code = number.country_code or 0
    names = timezone.time_zones_for_number(number)
    if timezone.UNKNOWN_TIMEZONE in names:
        regions = phonenumbers.region_codes_for_country_code(code)
        names = tuple(zone for region in regions for zone in country_zones(region))
    region = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(code)
    zones = tuple(sorted({known for name in names if (known := known_zone(name))}))
    return _Phone(zones, region if region in _zones_by_country() else None)


@functools.lru_cache(maxsize=64)
def _home(countries: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({zone for country in countries for zone in country_zones(country)}))


def candidate_zones(
    *,
    explicit: str | None = None,
    device: str | None = None,
    phone: str | None = None,
    address_zone: str | None = None,
    country: str | None = None,
    home_countries: Sequence[str] = (),
    default_zone: str | None = None,
    unknown_zone: str = UnknownZone.INTERSECT,
) -> ZoneGuess:
    """All zones that are possible for a recipient, from the best source that has any (design §5).

    Without one: those of `home_countries` (unless `hold`), then `default_zone` (only if `default`), else unknown.
    """
    if explicit and (known := explicit_zone(explicit)):
        return known
    if device and (names := _single(device)):
        return ZoneGuess(names, "device")
    if phone and (names := phone_zones(phone, country)):
        return ZoneGuess(names, "phone")
    if address_zone and (names := _single(address_zone)):
        return ZoneGuess(names, "address")
    if country and (names := country_zones(country)):
        return ZoneGuess(names, "country")
    return fallback_zones(home_countries=home_countries, default_zone=default_zone, unknown_zone=unknown_zone)


def fallback_zones(*, home_countries: Sequence[str], default_zone: str | None, unknown_zone: str) -> ZoneGuess:
    """The zones of a recipient of whom nothing is known."""
    if unknown_zone != UnknownZone.HOLD and home_countries and (names := _home(tuple(home_countries))):
        return ZoneGuess(names, "home_countries")
    if unknown_zone == UnknownZone.DEFAULT and default_zone and (names := _single(default_zone)):
        return ZoneGuess(names, "default")
    return UNKNOWN
