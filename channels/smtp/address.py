"""SMTP: e-mail addresses as they go on the wire. What goes in is what comes out, or nothing does.

No parser that guesses: the ones at hand turn `d@e.f\\r\\nRCPT TO:<x@y.z>` into `d@e.f` and `alice@example.org)bob@evil.com` into
`alice@example.org` (facts/reliability.md §6, CVE-2023-27043). Only the domain may change, from Unicode to its A-labels.
Quoted local parts, address literals and dotless domains are refused. Strings come from messages and settings.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import idna

MAX_LOCAL = 64
MAX_DOMAIN = 253
MAX_ADDRESS = 254
"""Bytes (RFC 5321 §4.5.3.1; the whole fits a path of 256 with its angle brackets)."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL}"
_ascii_address = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_DOMAIN})")
_ascii_domain = re.compile(_DOMAIN)
_specials = frozenset('()<>[]:;@\\,"')
_quoted_pair = re.compile(r"\\(.)")


class BadAddress(ValueError):
    """The text is not one plain address; the message says why and never repeats the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One address: `local` as given, `domain` in A-labels; `utf8` when only a relay with SMTPUTF8 can carry it."""

    local: str
    domain: str
    utf8: bool = False

    @property
    def spec(self) -> str:
        """`local@domain`, without angle brackets."""
        return f"{self.local}@{self.domain}"


def parse_mailbox(text: str) -> Mailbox:
    """Read one bare address. Raises BadAddress."""
    if len(text) <= MAX_ADDRESS and (match := _ascii_address.fullmatch(text)) is not None:
        local, domain = match.groups()
        if len(local) > MAX_LOCAL:
            raise BadAddress(f"the local part is longer than {MAX_LOCAL} bytes")
        return Mailbox(local=local, domain=domain)
    local, at, domain = text.rpartition("@")
    if not at:
        raise BadAddress("there is no @")
    mailbox = Mailbox(local=_checked_local(local), domain=_a_labels(domain), utf8=not local.isascii())
    if len(mailbox.spec.encode()) > MAX_ADDRESS:
        raise BadAddress(f"it is longer than {MAX_ADDRESS} bytes")
    return mailbox


def parse_sender(text: str) -> tuple[str, Mailbox]:
    """Read `Name <address>`, `"Name" <address>` or a bare address: the display name ('' if none) and the mailbox."""
    text = text.strip()
    if not text.endswith(">"):
        return "", parse_mailbox(text)
    name, opening, address = text[:-1].rpartition("<")
    if not opening:
        raise BadAddress("there is a > without a <")
    name = name.strip()
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return _quoted_pair.sub(r"\1", name[1:-1]), parse_mailbox(address)
    if "<" in name or ">" in name or '"' in name:
        raise BadAddress("the display name has a stray bracket or quote")
    return name, parse_mailbox(address)


def _checked_local(local: str) -> str:
    try:
        size = len(local.encode())
    except UnicodeEncodeError as error:
        raise BadAddress("it has half a surrogate pair") from error
    if not 0 < size <= MAX_LOCAL:
        raise BadAddress("the local part is empty" if not size else f"the local part is longer than {MAX_LOCAL} bytes")
    if local[0] == "." or local[-1] == "." or ".." in local:
        raise BadAddress("the local part has a dot at an end or two in a row")
    for char in local:
        if char in _specials or unicodedata.category(char)[0] in "CZ":
            raise BadAddress(f"the local part has U+{ord(char):04X}, which is not allowed there")
    return local


def _a_labels(domain: str) -> str:
    """The domain as DNS and SMTP know it (RFC 5890), lower-cased only where it is not ASCII."""
    if domain.isascii():
        result = domain
    else:
        try:
            labels = [idna.alabel(unicodedata.normalize("NFC", label.lower())).decode("ascii") for label in domain.split(".")]
        except (idna.IDNAError, UnicodeError) as error:
            raise BadAddress("the domain is not a valid international name") from error
        result = ".".join(labels)
    if len(result) > MAX_DOMAIN or _ascii_domain.fullmatch(result) is None:
        raise BadAddress("the domain is not a full host name")
    return result
