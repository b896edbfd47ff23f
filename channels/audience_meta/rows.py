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
from urllib.parse import quote

from plugins import Member

REMOVED = ("EMAIL", "PHONE")
"""The columns by which members are taken out: what a handle holds."""
OPEN, NEXT, CLOSE, COMMA = "%5B%22", "%22%2C%22", "%22%5D", "%2C"
"""`["`, `","`, `"]` and `,` as a form has them: quoting the whole afterwards took a third of the time."""
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
    """The members' rows, each as long as `columns`: JSON, written as it goes into a form (see `quoted`)."""
    first, last = "FN" in columns, "LN" in columns
    places = tuple(name for name in ("CT", "ST", "ZIP", "COUNTRY") if name in columns)
    rows: list[str] = []
    add, digits = rows.append, _NOT_DIGITS.sub
    for member in members:
        _, email, phone, first_name, last_name, land, town, region, code, *_ = member
        text = f"{OPEN}{sha256(email.strip().lower().encode()).hexdigest()}{NEXT}" if email and not email.isspace() else OPEN + NEXT
        if phone and (number := digits("", phone).lstrip("0")):
            text += sha256(number.encode()).hexdigest()
        if first:
            text += f"{NEXT}{hashed_name(first_name)}" if first_name else NEXT
        if last:
            text += f"{NEXT}{hashed_name(last_name)}" if last_name else NEXT
        if places:
            text += place_cells(places, land, town, region, code)
        add(text + CLOSE)
    return COMMA.join(rows)


@lru_cache(maxsize=65_536)
def place_cells(places: tuple[str, ...], land: str | None, town: str | None, region: str | None, code: str | None) -> str:
    """The cells of these columns, each behind its comma: many people live in one place."""
    cells = {
        "CT": hashed(normalise_place(town)) if town else "", "ST": hashed(normalise_place(region)) if region else "",
        "ZIP": hashed(normalise_postal(code, land)) if code else "", "COUNTRY": hashed(normalise_country(land)) if land else "",
    }  # fmt: skip
    return "".join(NEXT + cells[name] for name in places)


def rows_to_remove(members: Sequence[Member]) -> str:
    """The rows of REMOVED in the same form, out of the handles. ValueError for a handle that is none of ours."""
    rows = []
    for member in members:
        flags, digests = member.handle[:1], member.handle[1:].hex()
        match flags:
            case b"\x01" if len(digests) == 2 * _BYTES:
                rows.append(f"{OPEN}{digests}{NEXT}{CLOSE}")
            case b"\x02" if len(digests) == 2 * _BYTES:
                rows.append(f"{OPEN}{NEXT}{digests}{CLOSE}")
            case b"\x03" if len(digests) == 4 * _BYTES:
                rows.append(f"{OPEN}{digests[: 2 * _BYTES]}{NEXT}{digests[2 * _BYTES :]}{CLOSE}")
            case _:
                raise ValueError(f"{member.key}: no handle of this plugin")
    return COMMA.join(rows)


def quoted(text: str) -> str:
    """What surrounds the rows, as a form has it."""
    return quote(text, safe="")


def payload_of(columns: Sequence[str], slices: Sequence[str]) -> str:
    """The whole payload of a form: `{"schema": columns, "data": rows}`. `slices`: what the two functions above gave."""
    names = ",".join(f'"{name}"' for name in columns)
    return quoted('{"schema":[' + names + '],"data":[') + COMMA.join(slices) + quoted("]}")
