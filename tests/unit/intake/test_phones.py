"""Phone numbers: E.164 by the number plans (facts: reliability §9, B23)."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.intake.phones import AddressError, _calling_code, _plan, parse_phone


@pytest.mark.promise("B23")
@pytest.mark.parametrize(
    ("text", "region", "kept"),
    [
        ("+628111234567", None, "+628111234567"),
        ("00628111234567", None, "+628111234567"),
        ("00628111234567", "ID", "+628111234567"),
        ("08111234567", "ID", "+628111234567"),
        (" +62 811-1234-567 ", None, "+628111234567"),
        ("+62 (0) 811 1234567", None, "+628111234567"),
        ("+98 912 345 6789", None, "+989123456789"),
        ("09123456789", "IR", "+989123456789"),
        ("+1 202 555 0123", None, "+12025550123"),
        ("+390612345678", None, "+390612345678"),
    ],
)
def test_b23_a_number_is_kept_as_e164(text: str, region: str | None, kept: str) -> None:
    """With its calling code, with 00 in place of +, or by the row's country."""
    assert parse_phone(text, region) == kept


@pytest.mark.promise("B23")
@pytest.mark.parametrize(
    ("text", "region", "code"),
    [
        ("+19005551234", None, "address_blocked"),
        ("+628091234567", None, "address_blocked"),
        ("+870773111632", None, "address_blocked"),
        ("+881612345678", None, "address_blocked"),
        ("+979123456789", None, "address_blocked"),
        ("1" * 30, "ID", "address_invalid"),
        ("+" + "6" * 30, None, "address_invalid"),
        ("+1-800-FLOWERS", None, "address_invalid"),
        ("0811 1234567", None, "address_invalid"),
        ("+62811", None, "address_invalid"),
        ("+999123456789", None, "address_invalid"),
        ("", None, "address_invalid"),
        ("+628111234567 ext 5", None, "address_invalid"),
        ("۰۹۱۲۳۴۵۶۷۸۹", "IR", "address_invalid"),
        ("tel:+628111234567", None, "address_invalid"),
        ("+62811123\n4567", None, "address_invalid"),
    ],
)
def test_b23_premium_satellite_and_impossible_numbers_are_refused(text: str, region: str | None, code: str) -> None:
    """Premium-rate and non-geographic numbers are blocked; what is no number of a plan is invalid."""
    with pytest.raises(AddressError) as caught:
        parse_phone(text, region)
    assert caught.value.code == code


def test_a_refusal_has_no_number_of_the_librarys_own() -> None:
    """phonenumbers puts the number of its error before its words."""
    with pytest.raises(AddressError, match=r"^not a phone number: could not interpret"):
        parse_phone("+999", None)


@settings(max_examples=400)
@given(st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)), st.text(alphabet="0123456789", min_size=4, max_size=12))
def test_the_quick_way_agrees_with_the_library(code: int, national: str) -> None:
    """The compiled plans say of each +number what phonenumbers says."""
    text = f"+{code}{national}"
    plan = _plan(_calling_code(text))
    if plan is None:
        assert phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code] == ("001",)
        return
    quick = plan.valid.fullmatch(national) is not None and plan.blocked.fullmatch(national) is None
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        assert not quick
        return
    kept = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == text
    dear = phonenumbers.number_type(number) in (phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST)
    assert quick == (phonenumbers.is_valid_number(number) and kept and not dear)


@pytest.mark.promise("B23")
@given(st.text(max_size=40), st.sampled_from([None, "ID", "US"]))
def test_any_text_is_a_number_or_refused(text: str, region: str | None) -> None:
    """No text crashes the parser; what is kept is E.164."""
    try:
        kept = parse_phone(text, region)
    except AddressError:
        return
    assert kept[0] == "+"
    assert kept[1:].isascii()
    assert kept[1:].isdigit()
    assert 7 <= len(kept) - 1 <= 15
