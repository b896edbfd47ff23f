"""What a message calls an offer, by kind and language."""

from __future__ import annotations

import pytest

from daemon.content.offer_words import PHRASES, offer_text, offer_value, offer_variables
from daemon.model.journey import Offer, OfferKind, Part
from tests.unit.policy import oracle


def offer(*parts: Part, **more: object) -> Offer:
    return Offer(name="back", parts=parts, **more)  # type: ignore[arg-type]


FIFTEEN = offer(Part(kind=OfferKind.PERCENT, value=15.0))
BUNDLE = offer(Part(kind=OfferKind.PERCENT, value=30.0), Part(kind=OfferKind.SHIPPING))
TIERED = offer(Part(kind=OfferKind.TIERED, tiers=((15.0, 50.0), (20.0, 100.0))))


@pytest.mark.parametrize(
    ("what", "locale", "currency", "text"),
    [
        (FIFTEEN, None, "USD", "15% off"),
        (FIFTEEN, "id", "IDR", "diskon 15%"),
        (FIFTEEN, "ms-MY", "MYR", "diskaun 15%"),
        (FIFTEEN, "fa-IR", "IRR", "۱۵٪ تخفیف"),
        (FIFTEEN, "de", "EUR", "15% off"),
        (offer(Part(kind=OfferKind.PERCENT, value=12.5)), "id", "IDR", "diskon 12,5%"),
        (BUNDLE, "en-GB", "GBP", "30% off + free shipping"),
        (BUNDLE, "id-ID", "IDR", "diskon 30% + gratis ongkir"),
        (TIERED, "en", "USD", "15% off over $50.00, 20% off over $100.00"),
        (offer(Part(kind=OfferKind.AMOUNT, value=50_000.0)), "id", "IDR", "potongan Rp\xa050.000"),
        (offer(Part(kind=OfferKind.AMOUNT, value=20.0)), "ms", "MYR", "potongan RM\xa020.00"),
        (offer(Part(kind=OfferKind.POINTS, value=1500.0)), "fa", "IRR", "۱٬۵۰۰ امتیاز هدیه"),
        (offer(Part(kind=OfferKind.TRIAL, value=30.0)), "en", "USD", "30 days free"),
        (offer(Part(kind=OfferKind.GIFT, what="mug {x}")), "en", "USD", "a free gift: mug {x}"),
        (offer(Part(kind=OfferKind.CREDIT, value=5.0)), "en", "USD", "$5.00 store credit"),
        (offer(Part(kind=OfferKind.CASHBACK, value=5.0)), "en", "USD", "$5.00 cashback"),
        (offer(Part(kind=OfferKind.ACCESS, what="spring")), "id", "IDR", "akses lebih awal: spring"),
        (offer(Part(kind=OfferKind.CONTENT, what="the care guide")), "ms", "MYR", "the care guide"),
    ],
)  # fmt: skip
def test_an_offer_has_words_in_its_readers_language(what: Offer, locale: str | None, currency: str, text: str) -> None:
    assert "".join(offer_text(what, locale, currency).split()) == "".join(text.split()), "but for blanks, which differ between releases of Babel"


def test_each_language_has_a_phrase_for_each_kind() -> None:
    kinds = set(OfferKind) - {OfferKind.BUNDLE}
    assert all(set(phrases) == kinds for phrases in PHRASES.values())


def test_the_files_own_words_come_first() -> None:
    """By locale with its fallbacks, then those for all languages."""
    said = offer(*BUNDLE.parts, text={"": "a warm welcome", "fa": "خوش آمدید", "pt-BR": "volte"})
    assert offer_text(said, "fa-IR", "USD") == "خوش آمدید"
    assert offer_text(said, "pt_br", "USD") == "volte"
    assert offer_text(said, "en", "USD") == offer_text(said, None, "USD") == "a warm welcome"


def test_what_there_is_not_is_left_out() -> None:
    """A template that names a code that the offer has not is held, as for any missing variable."""
    plain = offer_variables(offer(Part(kind=OfferKind.SHIPPING)), locale="en", currency="USD", code=None, shown_end=None)
    assert plain == {"name": "back", "text": "free shipping"}
    full = offer_variables(FIFTEEN, locale="id", currency="IDR", code="WB-1", shown_end=oracle.at("2026-11-30T16:59:00Z"))
    assert full == {"name": "back", "text": "diskon 15%", "value": 15, "code": "WB-1", "ends_at": "2026-11-30T16:59:00+00:00"}
    assert offer_value(TIERED) == 20 and offer_value(BUNDLE) == 30
    assert offer_value(offer(Part(kind=OfferKind.SHIPPING), Part(kind=OfferKind.PERCENT, value=12.5))) == 12.5
