"""INTAKE, e-mail addresses: one strict policy, and the one form in which an address is kept.

Kept form: local part as written (NFC), domain in small letters as A-labels. Refused although RFC 5322 knows them: quoted
local parts, IP literals, domains without a dot, display names, lists. Plain ASCII addresses take one regular expression;
everything else goes the long way, by email-validator and idna. Pure.
"""

from __future__ import annotations

import re
import unicodedata

MAX_ADDRESS = 254
MAX_LOCAL = 64
MAX_DOMAIN = 253

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_SHORT_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"(?=[^@]{{1,{MAX_LOCAL}}}@){_ATEXT}(?:\.{_ATEXT})*@(?:{_SHORT_LABEL}\.)+[a-z]{{2,63}}")
"""An address in its kept form already, but for its whole length: nearly all."""
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_MIXES = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
"""Scripts that are written together (Unicode TS 39, highly restrictive). Any other mixture in a label is a trick or a slip."""


class AddressError(ValueError):
    """An address that is refused. `code` is for machines (`address_invalid`, `address_blocked`), `str()` says why."""

    def __init__(self, detail: str, code: str = "address_invalid") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse_email(text: str) -> str:
    """The kept form of an address. Raises AddressError with the reason in words."""
    if _PLAIN.fullmatch(text) is not None and len(text) <= MAX_ADDRESS and "xn--" not in text:
        return text
    return _parse_slowly(text)


def email_key(address: str) -> str:
    """What two spellings of one mailbox share: the kept form, casefolded. Dots and plus tags are parts of the name."""
    return address.casefold()


def _parse_slowly(text: str) -> str:
    text = text.strip(" ")
    _refuse_shape(text)
    local, _, domain = text.partition("@")
    if not local or not domain:
        raise AddressError("nothing before the @ sign" if not local else "nothing after the @ sign")
    if local.isascii():
        if not _LOCAL.fullmatch(local):
            what = "dots in a row or at an end" if _dots(local) else "a character that is not allowed"
            raise AddressError(f"{what} before the @ sign")
    else:
        local = _parse_unicode_local(local)
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise AddressError(f"more than {MAX_LOCAL} bytes before the @ sign")
    address = f"{local}@{_parse_domain(domain)}"
    if len(address.encode("utf-8")) > MAX_ADDRESS:
        raise AddressError(f"longer than {MAX_ADDRESS} bytes")
    return address


def _dots(text: str) -> bool:
    return ".." in text or text.startswith(".") or text.endswith(".")


def _refuse_shape(text: str) -> None:
    """What is more, or something else, than one bare address."""
    if not text:
        raise AddressError("empty")
    if any(unicodedata.category(c) in _CONTROL for c in text):
        raise AddressError("a line break, control or invisible character")
    if "<" in text or ">" in text:
        raise AddressError("a name with the address; give the bare address")
    if '"' in text:
        raise AddressError("a quoted local part, which is not supported")
    if "," in text or ";" in text:
        raise AddressError("more than one address; give one a row")
    if any(c.isspace() for c in text):
        raise AddressError("a space inside")
    if (signs := text.count("@")) != 1:
        raise AddressError("no @ sign" if signs == 0 else "two @ signs" if signs == 2 else f"{signs} @ signs")
    if text.rpartition("@")[2].startswith("["):
        raise AddressError("an IP address in place of a domain, which is not supported")


def _parse_unicode_local(local: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(f"{local}@example.com", check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        raise AddressError(f"before the @ sign: {error}") from None
    return found.local_part


def _parse_domain(domain: str) -> str:
    """The domain as A-labels in small letters."""
    if _dots(domain):
        raise AddressError("dots in a row or at an end of the domain")
    domain = domain.lower()
    if not domain.isascii() or "xn--" in domain:
        domain = _to_a_labels(domain)
    if len(domain) > MAX_DOMAIN:
        raise AddressError(f"a domain longer than {MAX_DOMAIN} characters")
    labels = domain.split(".")
    if len(labels) < 2:
        raise AddressError("a domain without a dot")
    for label in labels:
        if len(label) > 63:
            raise AddressError("a part of the domain is longer than 63 characters")
        if not re.fullmatch(_LABEL, label):
            raise AddressError("a character that is not allowed in a domain")
    if labels[-1].isdigit() or not re.fullmatch(r"[a-z]{2,63}|xn--[a-z0-9-]+", labels[-1]):
        raise AddressError("the domain does not end in a top-level domain")
    return domain


def _to_a_labels(domain: str) -> str:
    import idna

    try:
        unicode = idna.decode(domain, uts46=True, std3_rules=True)
        domain = idna.encode(unicode, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise AddressError("the domain is not a valid international name") from None
    for label in unicode.split("."):
        if _mixes_scripts(label):
            raise AddressError(f"the domain mixes scripts that look alike ({domain})", "address_mixed_script")
    return domain


def _mixes_scripts(label: str) -> bool:
    scripts = {unicodedata.name(c, "?").split()[0] for c in label if unicodedata.category(c) in ("Ll", "Lo")}
    return len(scripts) > 1 and not any(scripts <= together for together in _MIXES)
