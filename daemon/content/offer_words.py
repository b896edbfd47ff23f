"""CONTENT: what a message calls an offer: `offer.text`, `.value`, `.ends_at`, `.code`, `.name`, in the recipient's language. Pure.

The file may give the words (`text`, by locale); else they are made from the offer's parts, a bundle's with a plus between them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from babel import Locale

from daemon.content.formats import write_money, write_number
from daemon.content.locales import DEFAULT_LANGUAGE, fallbacks, language_of, normalise, parse_locale
from daemon.model.delivery import Instant
from daemon.model.journey import Offer, OfferKind, Part

PHRASES: Mapping[str, Mapping[OfferKind, str]] = {
    "en": {
        OfferKind.PERCENT: "{percent} off",
        OfferKind.AMOUNT: "{money} off",
        OfferKind.TIERED: "{percent} off over {over}",
        OfferKind.SHIPPING: "free shipping",
        OfferKind.POINTS: "{number} bonus points",
        OfferKind.GIFT: "a free gift: {what}",
        OfferKind.ACCESS: "early access: {what}",
        OfferKind.CREDIT: "{money} store credit",
        OfferKind.TRIAL: "{number} days free",
        OfferKind.CASHBACK: "{money} cashback",
        OfferKind.CONTENT: "{what}",
    },
    "id": {
        OfferKind.PERCENT: "diskon {percent}",
        OfferKind.AMOUNT: "potongan {money}",
        OfferKind.TIERED: "diskon {percent} untuk belanja di atas {over}",
        OfferKind.SHIPPING: "gratis ongkir",
        OfferKind.POINTS: "bonus {number} poin",
        OfferKind.GIFT: "hadiah gratis: {what}",
        OfferKind.ACCESS: "akses lebih awal: {what}",
        OfferKind.CREDIT: "saldo belanja {money}",
        OfferKind.TRIAL: "gratis {number} hari",
        OfferKind.CASHBACK: "cashback {money}",
        OfferKind.CONTENT: "{what}",
    },
    "ms": {
        OfferKind.PERCENT: "diskaun {percent}",
        OfferKind.AMOUNT: "potongan {money}",
        OfferKind.TIERED: "diskaun {percent} untuk belian melebihi {over}",
        OfferKind.SHIPPING: "penghantaran percuma",
        OfferKind.POINTS: "bonus {number} mata",
        OfferKind.GIFT: "hadiah percuma: {what}",
        OfferKind.ACCESS: "akses awal: {what}",
        OfferKind.CREDIT: "kredit kedai {money}",
        OfferKind.TRIAL: "percuma {number} hari",
        OfferKind.CASHBACK: "pulangan tunai {money}",
        OfferKind.CONTENT: "{what}",
    },
    "fa": {
        OfferKind.PERCENT: "{percent} تخفیف",
        OfferKind.AMOUNT: "{money} تخفیف",
        OfferKind.TIERED: "{percent} تخفیف برای خرید بالای {over}",
        OfferKind.SHIPPING: "ارسال رایگان",
        OfferKind.POINTS: "{number} امتیاز هدیه",
        OfferKind.GIFT: "هدیهٔ رایگان: {what}",
        OfferKind.ACCESS: "دسترسی زودهنگام: {what}",
        OfferKind.CREDIT: "{money} اعتبار خرید",
        OfferKind.TRIAL: "{number} روز رایگان",
        OfferKind.CASHBACK: "{money} بازگشت وجه",
        OfferKind.CONTENT: "{what}",
    },
}
"""What each kind is called. Other languages get English words."""
_PERCENT_SIGNS = {"fa": "٪"}
_COMMAS = {"fa": "، "}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def offer_variables(
    offer: Offer, *, locale: str | None, currency: str, code: str | None, shown_end: Instant | None
) -> dict[str, object]:  # fmt: skip
    """The `offer` of a template's variables. What there is not (a code, an end, a value) is left out, so that a template that names it
    holds its message. `shown_end`: the instant to print (policy.deadlines)."""
    found: dict[str, object] = {"name": offer.name, "text": offer_text(offer, locale, currency)}
    if (value := offer_value(offer)) is not None:
        found["value"] = value
    if code is not None:
        found["code"] = code
    if shown_end is not None:
        found["ends_at"] = (_EPOCH + timedelta(microseconds=shown_end)).isoformat()
    return found


def offer_value(offer: Offer) -> int | float | None:
    """The one number of an offer: of a tiered one the best, of a bundle that of its first part that has one."""
    for part in offer.parts:
        value = max((value for value, _ in part.tiers), default=part.value)
        if value is not None:
            return int(value) if value == int(value) else value
    return None


def offer_text(offer: Offer, locale: str | None, currency: str) -> str:
    """`15% off`, `diskon 30% + gratis ongkir`, or what the file says, for a locale."""
    for name in (*fallbacks(locale), ""):
        if name is not None and (said := _own_words(offer).get(name)) is not None:
            return said
    return " + ".join(_made(part, locale, currency) for part in offer.parts)


def money_text(amount: float, currency: str, locale: str | None) -> str:
    """A sum as people of a locale write it; of one that is not known, as in English."""
    return write_money(amount, currency, (parse_locale(locale) if locale else None) or Locale.parse(DEFAULT_LANGUAGE))


def _own_words(offer: Offer) -> Mapping[str, str]:
    return {normalise(name) if name else "": text for name, text in offer.text.items()}


def _made(part: Part, locale: str | None, currency: str) -> str:
    language = language_of(locale)
    if language not in PHRASES:
        language, locale = DEFAULT_LANGUAGE, None
    return _phrase(part, language, locale, currency)


@functools.lru_cache(maxsize=4096)
def _phrase(part: Part, language: str, locale: str | None, currency: str) -> str:
    there = parse_locale(locale) if locale else None
    speech = there or Locale.parse(language)
    pattern = PHRASES[language][part.kind]
    write: dict[str, Callable[[float], str]] = {
        "percent": lambda value: write_number(_plain(value), speech) + _PERCENT_SIGNS.get(language, "%"),
        "money": lambda value: write_money(_plain(value), currency, speech),
        "number": lambda value: write_number(_plain(value), speech),
    }
    if part.kind is OfferKind.TIERED:
        tiers = [pattern.format(percent=write["percent"](value), over=write["money"](over)) for value, over in part.tiers]
        return _COMMAS.get(language, ", ").join(tiers)
    words = {name: each(part.value) for name, each in write.items() if part.value is not None and f"{{{name}}}" in pattern}
    return pattern.format(**words, what=part.what or "")


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value
