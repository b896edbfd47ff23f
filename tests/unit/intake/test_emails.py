"""E-mail addresses: what is kept, what is refused and why (facts: reliability §9, B12, B20-B22)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.intake.emails import MAX_ADDRESS, AddressError, email_key, parse_email


@pytest.mark.promise("B22")
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a@example.com", "a@example.com"),
        ("First.Last+tag@Example.COM", "First.Last+tag@example.com"),
        ("  a@example.com ", "a@example.com"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("ü@example.com", "ü@example.com"),
        ("a@日本語.example", "a@xn--wgv71a119e.example"),
        ("o'brien!#$%&*+/=?^_`{|}~-@example.co.uk", "o'brien!#$%&*+/=?^_`{|}~-@example.co.uk"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
        ("a@123.example", "a@123.example"),
    ],
)
def test_b22_an_address_is_kept_with_its_domain_as_a_labels(text: str, kept: str) -> None:
    """Local part as written, domain in small ASCII letters; Unicode local parts stay for SMTPUTF8 to carry."""
    assert parse_email(text) == kept
    assert parse_email(kept) == kept


@pytest.mark.promise("B20")
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("d@e.fr\r\nRCPT TO:<x@y.fr>", "line break"),
        ("a@b.co,d@e.fr", "more than one"),
        ("a@b.co;d@e.fr", "more than one"),
        ("Bob <b@x.yz>", "name"),
        ("a@b@c", "two @ signs"),
        ("alice@example.org)bob@evil.com", "two @ signs"),
        ("a@b.co\0", "line break"),
        ("a\u202e@b.co", "line break"),
        ("a b@c.de", "space"),
        ("a\u00a0b@c.de", "space"),
        ("", "empty"),
        ("abc", "no @"),
        ("@example.com", "before"),
        ("a@", "after"),
        (".a@example.com", "dots"),
        ("a..b@example.com", "dots"),
        ("a@example..com", "dots"),
        ("a@example.com.", "dots"),
        ("a(b)@example.com", "not allowed before"),
        ("a@exa_mple.com", "not allowed in a domain"),
        ("a@-x.com", "not allowed in a domain"),
    ],
)
def test_b20_what_is_not_one_bare_address_is_refused(text: str, word: str) -> None:
    """Injection, lists, display names, two signs: refused, with the reason in words."""
    with pytest.raises(AddressError, match=word) as caught:
        parse_email(text)
    assert caught.value.code == "address_invalid"


@pytest.mark.promise("B21")
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('"a b"@x.yz', "quoted"),
        ("a@[127.0.0.1]", "IP address"),
        ("a@[IPv6:::1]", "IP address"),
        ("a@localhost", "without a dot"),
        ("a@127.0.0.1", "top-level"),
        (f"{'a' * 65}@example.com", "64 bytes"),
        (f"{'ü' * 33}@example.com", "64"),
        (f"a@{'b' * 64}.com", "63"),
        ("a" * 10 + "@" + ".".join(["b" * 60] * 4) + ".com", "254"),
        ("a@" + ".".join(["b" * 60] * 5) + ".com", "253|254"),
        ("a@xn--a.com", "international"),
        ("a@ex\u2024ample.com", "international|allowed|dots"),
    ],
)
def test_b21_quoted_literal_dotless_and_overlong_addresses_are_refused(text: str, word: str) -> None:
    """Refused by policy although RFC 5322 knows some of them; lengths as RFC 5321 has them."""
    with pytest.raises(AddressError, match=word):
        parse_email(text)


@pytest.mark.promise("B22")
@pytest.mark.parametrize("domain", ["pаypal.com", "xn--pypal-4ve.com", "gооgle.com"])
def test_b22_a_domain_that_mixes_scripts_is_flagged(domain: str) -> None:
    """Cyrillic letters among Latin ones, in either spelling, get a code of their own."""
    with pytest.raises(AddressError) as caught:
        parse_email(f"a@{domain}")
    assert caught.value.code == "address_mixed_script"


@pytest.mark.promise("B22")
def test_b22_scripts_that_are_written_together_are_no_mixture() -> None:
    """Japanese domains mix Han, Hiragana, Katakana and Latin."""
    assert parse_email("a@東京タワーabc.example").startswith("a@xn--")


@pytest.mark.promise("B12")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("User@Example.com", "user@example.com", True),
        ("a@bücher.example", "A@XN--BCHER-KVA.example", True),
        ("straße@example.com", "STRASSE@example.com", True),
        ("a.b@example.com", "ab@example.com", False),
        ("a+x@example.com", "a@example.com", False),
    ],
)
def test_b12_spellings_of_one_mailbox_share_a_key(one: str, other: str, same: bool) -> None:
    """Case and IDN spelling do not make another mailbox; dots and plus tags do."""
    assert (email_key(parse_email(one)) == email_key(parse_email(other))) is same


@pytest.mark.promise("B20", "B21")
@given(st.text(max_size=80))
@example("a@b.co\n")
@example("a@b.co\udcff")
def test_any_text_is_kept_safe_or_refused(text: str) -> None:
    """No text crashes the parser, and what is kept can harm no SMTP line."""
    try:
        kept = parse_email(text)
    except AddressError:
        return
    assert kept.count("@") == 1
    assert len(kept.encode()) <= MAX_ADDRESS
    assert not set(kept) & set(' \t\r\n\0<>,;:()[]"\\')
    assert kept.rpartition("@")[2].isascii()
    assert parse_email(kept) == kept


_atom = st.text(alphabet="abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=12)
_label = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9]{0,9}[a-zA-Z0-9])?", fullmatch=True)


@given(st.lists(_atom, min_size=1, max_size=4), st.lists(_label, min_size=1, max_size=4), st.sampled_from(["com", "ID", "museum"]))
def test_every_plain_address_is_kept(local: list[str], labels: list[str], top: str) -> None:
    """Dot-atoms at ordinary domains pass, and only the domain's case changes."""
    name, domain = ".".join(local), ".".join([*labels, top])
    assert parse_email(f"{name}@{domain}") == f"{name}@{domain.lower()}"
