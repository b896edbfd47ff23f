"""In which zones a recipient may be, and which source says so."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import timezone

from daemon.policy.zones import (
    ZoneGuess,
    candidate_zones,
    country_zones,
    known_zone,
    nearest_zone,
    phone_country,
    phone_zones,
    zone_country,
    zone_names,
)

EVERYTHING = {
    "explicit": "Asia/Jakarta",
    "device": "Asia/Tehran",
    "phone": "+12125551234",
    "address_zone": "Europe/Paris",
    "country": "MY",
}
ORDER = [("explicit", "explicit"), ("device", "device"), ("phone", "phone"), ("address_zone", "address"), ("country", "country")]


def test_sources_win_in_their_order() -> None:
    """explicit > device > phone > address > country."""
    given_facts = dict(EVERYTHING)
    for key, source in ORDER:
        assert candidate_zones(**given_facts).source == source
        del given_facts[key]
    assert candidate_zones() == ZoneGuess((), "unknown")


@pytest.mark.promise("F34", "P5")
def test_country_and_phone_give_all_zones_that_are_possible() -> None:
    """More than one is a set to intersect over, never a guess."""
    assert candidate_zones(country="id").names == ("Asia/Jakarta", "Asia/Jayapura", "Asia/Makassar", "Asia/Pontianak")
    assert candidate_zones(phone="+62811111111").names == ("Asia/Jakarta", "Asia/Makassar")
    assert len(candidate_zones(phone="+18005551234").names) == 42
    assert len(candidate_zones(phone="+61412345678").names) == 8
    assert candidate_zones(phone="+989121234567").names == ("Asia/Tehran",)


def test_unusable_zone_falls_to_the_next_source() -> None:
    """A name that no file has is as good as none; intake and config refuse it."""
    assert candidate_zones(explicit="Mars/Base", country="SG") == (("Asia/Singapore",), "country")


@pytest.mark.parametrize("name", ["Mars/Base", "+25:00", "UTC+7", "EST5EDT,M3.2.0,M11.1.0", "", "Factory", "../etc/passwd", "posix/UTC"])
def test_names_that_are_no_zones(name: str) -> None:
    """B18: invented names, offsets, POSIX strings, paths."""
    assert known_zone(name) is None


def test_names_are_found_whatever_their_case() -> None:
    """Marketing tools write them in all ways."""
    assert known_zone("asia/JAKARTA") == "Asia/Jakarta"
    assert nearest_zone("Asia/Jakarata") == "Asia/Jakarta"


@pytest.mark.promise("F34")
def test_unknown_zone_modes() -> None:
    """intersect: home countries; default: then the default zone; hold: never a guess."""
    home, default = ["ID", "MY"], "Asia/Jakarta"
    assert candidate_zones(home_countries=home, default_zone=default).source == "home_countries"
    assert len(candidate_zones(home_countries=home).names) == 6
    assert candidate_zones(default_zone=default).names == ()
    assert candidate_zones(default_zone=default, unknown_zone="default") == ((default,), "default")
    assert candidate_zones(home_countries=home, default_zone=default, unknown_zone="default").source == "home_countries"
    assert candidate_zones(home_countries=home, default_zone=default, unknown_zone="hold").names == ()


def test_numbers_that_no_range_covers_take_their_calling_code() -> None:
    """A made-up number still narrows to the zones of its country; what is no number says nothing."""
    assert phone_zones("+98000") == ("Asia/Tehran",)
    assert phone_zones("0811") == ()
    assert phone_zones("0811-111-111", "ID") == ("Asia/Jakarta", "Asia/Makassar")
    assert phone_zones("not a number") == ()


def test_country_of_phone_and_zone() -> None:
    """For country windows when no country is given."""
    assert phone_country("+62811111111") == "ID"
    assert phone_country("+12045551234") == "CA"
    assert zone_country("Asia/Jakarta") == "ID"
    assert zone_country("UTC") is None


def test_all_zones_of_the_phone_data_exist() -> None:
    """phonenumbers ages apart from tzdata."""
    named = {zone for names in timezone.TIMEZONE_DATA.values() for zone in names}
    assert named <= zone_names()


def test_every_country_of_the_zone_table_has_known_zones() -> None:
    """zone.tab may name links; they are zones too."""
    for country in ("US", "RU", "AU", "ID", "BR", "AQ"):
        assert set(country_zones(country)) <= zone_names()


@given(region=st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), kind=st.sampled_from([0, 1, 3, 6]), tail=st.integers(0, 10**6 - 1))
def test_cache_by_prefix_answers_like_the_whole_number(region: str, kind: int, tail: int) -> None:
    """Only nine digits and the length are looked at: valid numbers lose nothing by it."""
    example = phonenumbers.example_number_for_type(region, kind)
    if example is None:
        return
    text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    number = text[:-4] + f"{tail:06d}"[-4:]
    parsed = phonenumbers.parse(number, None)
    names = set(timezone.time_zones_for_number(parsed))
    if phonenumbers.is_valid_number(parsed) and timezone.UNKNOWN_TIMEZONE not in names:
        assert set(phone_zones(number)) == names
