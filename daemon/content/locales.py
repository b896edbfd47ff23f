"""CONTENT: languages: which template variant a recipient gets, which way it is read, and the words that Homing adds itself.

Data and pure functions. A locale is written as the recipient or a file name has it (`fa-IR`, `pt_BR`); inside, it is
compared with `-` and the usual case.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterable, Mapping

from babel import Locale, UnknownLocaleError

FOOTERS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "why": "You get this mail because you are a customer of ours.",
        "unsubscribe": "Unsubscribe",
        "sms": "Reply STOP to opt out.",
        "dir": "ltr",
    },
    "id": {
        "why": "Anda menerima email ini karena Anda pelanggan kami.",
        "unsubscribe": "Berhenti berlangganan",
        "sms": "Balas STOP untuk berhenti.",
        "dir": "ltr",
    },
    "ms": {
        "why": "Anda menerima e-mel ini kerana anda pelanggan kami.",
        "unsubscribe": "Berhenti melanggan",
        "sms": "Balas STOP untuk berhenti.",
        "dir": "ltr",
    },
    "fa": {
        "why": "این نامه را دریافت کرده‌اید چون مشتری ما هستید.",
        "unsubscribe": "لغو اشتراک",
        "sms": "برای لغو، STOP بفرستید.",
        "dir": "rtl",
    },
}
"""What a marketing mail ends with when its template has no unsubscribe link, and (`sms`) an SMS that names no way out, by language."""

DEFAULT_LANGUAGE = "en"


@functools.lru_cache(maxsize=512)
def parse_locale(name: str) -> Locale | None:
    """Babel's locale of a name, of its language if the region is unknown to it, or None if the language is."""
    parts = name.replace("_", "-").split("-")
    for length in (len(parts), 1):
        try:
            return Locale.parse("-".join(parts[:length]), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return None


@functools.lru_cache(maxsize=512)
def normalise(name: str) -> str:
    """`fa_ir` as `fa-IR`, so that names from files and from recipients meet."""
    language, *rest = name.replace("_", "-").split("-")
    return "-".join([language.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


@functools.lru_cache(maxsize=512)
def fallbacks(name: str | None) -> tuple[str | None, ...]:
    """The variants to look for, best first: `fa-IR` gives `fa-IR`, `fa`, None (the file without a locale)."""
    if not name:
        return (None,)
    parts = normalise(name).split("-")
    return (*("-".join(parts[:length]) for length in range(len(parts), 0, -1)), None)


def language_of(name: str | None) -> str:
    """The language of a locale's name; the default one if there is none."""
    return normalise(name).partition("-")[0] if name else DEFAULT_LANGUAGE


def footer_words(name: str | None) -> Mapping[str, str]:
    """The footer in a locale's language, else in English."""
    return FOOTERS.get(language_of(name), FOOTERS[DEFAULT_LANGUAGE])


def is_rtl(name: str | None) -> bool:
    """Is a locale's script written from right to left?"""
    locale = parse_locale(name) if name else None
    return locale is not None and locale.text_direction == "rtl"


def reads_rtl(texts: Iterable[str]) -> bool:
    """Are most of the letters of these texts (of the first 2,000 characters) of a right-to-left script?"""
    counts = {"L": 0, "R": 0, "AL": 0}
    for character in itertools.islice(itertools.chain.from_iterable(texts), 2000):
        if (direction := unicodedata.bidirectional(character)) in counts:
            counts[direction] += 1
    return counts["R"] + counts["AL"] > counts["L"]
