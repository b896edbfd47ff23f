"""Google: people as hashed identifiers. Normalised by the Data Manager API's rules, then SHA-256 in lower hex (`encoding` HEX).

Pure and quick: what many people share (names) is hashed once. Region and postal code stay plain, as Google wants them; a mailing address
goes along only when all four parts are there. Letters of every script stay.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from plugins import Member

_NOT_DIGITS = re.compile(r"\D+")
_EMAIL, _PHONE = 1, 2
_BYTES = 32
_WORDS = {"granted": "CONSENT_GRANTED", "denied": "CONSENT_DENIED"}


def normalise_email(value: str) -> str:
    """Without white space, lower case; only at Gmail without dots and without what follows a plus."""
    text = value.strip().lower()
    if text.endswith(("@gmail.com", "@googlemail.com")):
        local, _, domain = text.rpartition("@")
        return f"{local.partition('+')[0].replace('.', '')}@{domain}"
    return text


def normalise_phone(value: str) -> str:
    """E.164 with its plus; "" where there are no digits."""
    digits = _NOT_DIGITS.sub("", value)
    return f"+{digits}" if digits else ""


def normalise_name(value: str) -> str:
    return unicodedata.normalize("NFC", value).strip().lower()


@lru_cache(maxsize=65_536)
def hashed_name(value: str) -> str:
    """64 lower-case hex digits; "" of nothing."""
    name = normalise_name(value)
    return sha256(name.encode()).hexdigest() if name else ""


@lru_cache(maxsize=65_536)
def address_json(first: str, last: str, country: str, postal: str) -> str:
    """A mailing address as JSON; "" unless all its parts are there."""
    given, family, region, code = hashed_name(first), hashed_name(last), country.strip().upper(), postal.strip()
    if not (given and family and len(region) == 2 and code):
        return ""
    address = {"givenName": given, "familyName": family, "regionCode": region, "postalCode": code}
    return json.dumps({"address": address}, separators=(",", ":"))


@lru_cache(maxsize=16)
def consent_json(ad_user_data: str, ad_personalization: str) -> str:
    """The consent as JSON; "" where nothing was recorded."""
    said = {"adUserData": _WORDS.get(ad_user_data), "adPersonalization": _WORDS.get(ad_personalization)}
    known = {name: word for name, word in said.items() if word}
    return json.dumps(known, separators=(",", ":")) if known else ""


def handle_of(member: Member) -> bytes:
    """Which of e-mail and phone there is, and their digests; empty without either."""
    email = normalise_email(member.email) if member.email else ""
    phone = normalise_phone(member.phone) if member.phone else ""
    flags = (_EMAIL if email else 0) | (_PHONE if phone else 0)
    if not flags:
        return b""
    return bytes((flags,)) + (sha256(email.encode()).digest() if email else b"") + (sha256(phone.encode()).digest() if phone else b"")


def members_to_add(members: Sequence[Member], *, consent: bool) -> str:
    """`audienceMembers` as JSON texts with commas between. `consent`: each with its own."""
    rows: list[str] = []
    add, digits = rows.append, _NOT_DIGITS.sub
    for member in members:
        _, email, phone, first_name, last_name, country, _, _, postal, ad_user_data, ad_personalization, _ = member
        text = ""
        if email:
            plain = email.strip().lower()
            if plain.endswith("mail.com"):
                plain = normalise_email(plain)
            text = f'{{"emailAddress":"{sha256(plain.encode()).hexdigest()}"}}' if plain else ""
        if phone and (number := digits("", phone)):
            text += f'{"," if text else ""}{{"phoneNumber":"{sha256(f"+{number}".encode()).hexdigest()}"}}'
        if postal and country and first_name and last_name and (address := address_json(first_name, last_name, country, postal)):
            text += f"{',' if text else ''}{address}"
        own = f'"consent":{said},' if consent and (said := consent_json(ad_user_data, ad_personalization)) else ""
        add(f'{{{own}"userData":{{"userIdentifiers":[{text}]}}}}')
    return ",".join(rows)


def members_to_remove(members: Sequence[Member]) -> str:
    """The same out of the handles. ValueError for a handle that is none of ours."""
    rows = []
    for member in members:
        flags, digests = member.handle[:1], member.handle[1:].hex()
        email = digests[: 2 * _BYTES] if flags in (b"\x01", b"\x03") else ""
        phone = digests[-2 * _BYTES :] if flags in (b"\x02", b"\x03") else ""
        if len(digests) != (bool(email) + bool(phone)) * 2 * _BYTES or not digests:
            raise ValueError(f"{member.key}: no handle of this plugin")
        parts = [f'{{"{name}":"{value}"}}' for name, value in (("emailAddress", email), ("phoneNumber", phone)) if value]
        rows.append(f'{{"userData":{{"userIdentifiers":[{",".join(parts)}]}}}}')
    return ",".join(rows)
