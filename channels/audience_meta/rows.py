"""Meta: people as hashed rows. Normalised by Meta's rules (Customer File Custom Audiences, section Hashing), then SHA-256 in lower hex.

Pure and quick: what many people share (names, cities, countries) is hashed once. A value that is empty after normalising is sent as "",
never as the hash of nothing; letters of every script stay (Meta's own SDK deletes all but a-z and so hashes an empty name).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from plugins import Member

REMOVED = ("EMAIL", "PHONE")
"""The columns by which members are taken out: what a handle holds."""
_NOT_DIGITS = re.compile(r"\D+")
_EMAIL, _PHONE = 1, 2
_BYTES = 32


def normalise_email(value: str) -> str:
    """Trimmed, lower case. Dots and +suffixes stay, at Gmail too."""
    return value.strip().lower()


def normalise_phone(value: str) -> str:
    """Digits only with the country's code, no zeros in front."""
    return _NOT_DIGITS.sub("", value).lstrip("0")


def normalise_name(value: str) -> str:
    """Lower case without punctuation and signs; letters and marks of every script stay, composed (NFC)."""
    text = unicodedata.normalize("NFC", value).strip().lower()
    return "".join(sign for sign in text if unicodedata.category(sign)[0] not in "PS").strip()


def normalise_place(value: str) -> str:
    """City or state: as a name, without blanks."""
    return "".join(normalise_name(value).split())


def normalise_postal(value: str, country: str | None) -> str:
    """Lower case without blanks and dashes; of the United States the first five digits."""
    text = "".join(value.lower().split()).replace("-", "")
    return text[:5] if (country or "").lower() == "us" else text


def normalise_country(value: str) -> str:
    text = value.strip().lower()
    return text if len(text) == 2 and text.isascii() and text.isalpha() else ""


def hashed(normalised: str) -> str:
    """64 lower-case hex digits; "" of nothing."""
    return sha256(normalised.encode()).hexdigest() if normalised else ""


@lru_cache(maxsize=65_536)
def hashed_name(value: str) -> str:
    return hashed(normalise_name(value))


@lru_cache(maxsize=65_536)
def hashed_place(value: str) -> str:
    return hashed(normalise_place(value))


@lru_cache(maxsize=65_536)
def hashed_postal(value: str, country: str | None) -> str:
    return hashed(normalise_postal(value, country))


@lru_cache(maxsize=512)
def hashed_country(value: str) -> str:
    return hashed(normalise_country(value))


def handle_of(member: Member) -> bytes:
    """Which of e-mail and phone there is, and their digests; empty without either."""
    email = normalise_email(member.email) if member.email else ""
    phone = normalise_phone(member.phone) if member.phone else ""
    flags = (_EMAIL if email else 0) | (_PHONE if phone else 0)
    if not flags:
        return b""
    return bytes((flags,)) + (sha256(email.encode()).digest() if email else b"") + (sha256(phone.encode()).digest() if phone else b"")


def columns_of(members: Sequence[Member]) -> tuple[str, ...]:
    """The columns of a batch: e-mail and phone, and what at least one member has."""
    optional = (
        ("FN", any(member.first_name for member in members)),
        ("LN", any(member.last_name for member in members)),
        ("CT", any(member.city for member in members)),
        ("ST", any(member.state for member in members)),
        ("ZIP", any(member.postal for member in members)),
        ("COUNTRY", any(member.country for member in members)),
    )
    return (*REMOVED, *(name for name, there in optional if there))


def rows_to_add(members: Sequence[Member], columns: Sequence[str]) -> str:
    """The members' rows as JSON texts with commas between, each as long as `columns`."""
    first, last, city, state, postal, country = (name in columns for name in ("FN", "LN", "CT", "ST", "ZIP", "COUNTRY"))
    rows: list[str] = []
    add, digits = rows.append, _NOT_DIGITS.sub
    for member in members:
        _, email, phone, first_name, last_name, land, town, region, code, *_ = member
        text = f'["{sha256(email.strip().lower().encode()).hexdigest()}","' if email and not email.isspace() else '["","'
        if phone and (number := digits("", phone).lstrip("0")):
            text += sha256(number.encode()).hexdigest()
        if first:
            text += f'","{hashed_name(first_name)}' if first_name else '","'
        if last:
            text += f'","{hashed_name(last_name)}' if last_name else '","'
        if city:
            text += f'","{hashed_place(town)}' if town else '","'
        if state:
            text += f'","{hashed_place(region)}' if region else '","'
        if postal:
            text += f'","{hashed_postal(code, land)}' if code else '","'
        if country:
            text += f'","{hashed_country(land)}' if land else '","'
        add(text + '"]')
    return ",".join(rows)


def rows_to_remove(members: Sequence[Member]) -> str:
    """The rows of REMOVED, out of the handles. ValueError for a handle that is none of ours."""
    rows = []
    for member in members:
        flags, digests = member.handle[:1], member.handle[1:].hex()
        match flags:
            case b"\x01" if len(digests) == 2 * _BYTES:
                rows.append(f'["{digests}",""]')
            case b"\x02" if len(digests) == 2 * _BYTES:
                rows.append(f'["","{digests}"]')
            case b"\x03" if len(digests) == 4 * _BYTES:
                rows.append(f'["{digests[: 2 * _BYTES]}","{digests[2 * _BYTES :]}"]')
            case _:
                raise ValueError(f"{member.key}: no handle of this plugin")
    return ",".join(rows)


def quoted(text: str) -> str:
    """JSON of hashes and column names as a form's value: a twentieth of what `urllib` takes, since so few signs occur in it."""
    for sign, code in (("%", "%25"), ('"', "%22"), ("[", "%5B"), ("]", "%5D"), (",", "%2C"), ("{", "%7B"), ("}", "%7D"), (":", "%3A")):
        text = text.replace(sign, code)
    return text
