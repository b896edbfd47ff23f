"""Country and kind of a number, beside the library that knows the plans."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from channels.sms_twilio.numbers import place_of

BARRED = {
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
}


def _expected(text: str) -> tuple[str | None, str | None] | None:
    """By the library; None where it has no opinion."""
    number = phonenumbers.parse(text)
    region = phonenumbers.region_code_for_number(number)
    return None if region is None else (None if region == "001" else region, BARRED.get(phonenumbers.number_type(number)) if region != "001" else None)


def test_the_example_of_every_kind_in_every_country_is_known() -> None:
    """Some 1,400 numbers of the library's own; below seven digits no number is written to at all."""
    seen = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            text = phonenumbers.format_number(example, PhoneNumberFormat.E164) if example else ""
            if len(text) > 7:
                assert place_of(text) == (_expected(text) or place_of(text)), text
                seen += 1
    assert seen > 1000


def test_any_number_is_placed_as_the_library_does() -> None:
    """20,000 by chance, more where several countries share a code."""
    rng = random.Random(7)
    codes = [*map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE), *["1"] * 80, *["44"] * 20, *["7"] * 20, *["39"] * 5]
    known = 0
    for _ in range(20_000):
        text = f"+{rng.choice(codes)}{rng.randrange(10 ** rng.randrange(8, 11)):d}"
        if 9 <= len(text) <= 16 and (expected := _expected(text)) is not None:
            assert place_of(text) == expected, text
            known += 1
    assert known > 2000


@pytest.mark.parametrize("text", ["", "+", "628111111111", "+0811", "+62 811 1111", "+999999999999", "+6281111111111111111", "x"])
def test_what_is_no_number_is_nowhere(text: str) -> None:
    """So no country's leave covers it."""
    assert place_of(text) == (None, None)


def test_an_unassigned_number_of_a_small_island_is_not_the_united_states() -> None:
    """Jamaica's area codes belong to Jamaica whatever follows; a number that no plan knows is the main country's."""
    assert place_of("+18761111111").country == "JM"
    assert place_of("+15550100001").country == "US"
