"""Addresses: what goes on the wire is what was meant, or nothing (facts/reliability.md §9 B20-B22)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.smtp.address import BadAddress, parse_mailbox, parse_sender

BAD = [
    "d@e.f\r\nRCPT TO:<x@y.z>",
    "a@b.c,d@e.f",
    "Bob <b@x.y>",
    "<script>@x.y",
    "a@b@c.d",
    "alice@example.org)bob@evil.com",
    '"a b"@x.yz',
    "a b@x.yz",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "a@localhost",
    "a@-x.com",
    "a@x-.com",
    "a@x..com",
    "a@x.com.",
    ".a@x.com",
    "a.@x.com",
    "a..b@x.com",
    "@x.com",
    "a@",
    "",
    "a\x00@x.com",
    "a@x.com\n",
    "a\u2028b@x.com",
    "\u202ea@x.com",
    "\ud800@x.com",
    "a@\uff0e.com",
    "a@exa mple.com",
    "a" * 65 + "@x.com",
    "ü" * 33 + "@x.com",
    "a@" + ("x" * 63 + ".") * 4 + "com",
    "a@" + "x" * 64 + ".com",
]


@pytest.mark.promise("B20", "B21")
@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_an_address_that_is_not_one_plain_address_is_refused(text: str) -> None:
    """B20, B21: lists, quotes, literals, dotless names, control characters, lengths."""
    with pytest.raises(BadAddress):
        parse_mailbox(text)


@pytest.mark.parametrize(
    ("text", "spec", "utf8"),
    [
        ("Rani.Dewi+a=b@Example.CO.ID", "Rani.Dewi+a=b@Example.CO.ID", False),
        ("o'hara@x.yz", "o'hara@x.yz", False),
        ("a@bücher.example", "a@xn--bcher-kva.example", False),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example", False),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example", False),
        ("سارا@نمونه.example", "سارا@xn--hhbbbed.example", True),
        ("ü@x.yz", "ü@x.yz", True),
        ("a" * 64 + "@x.com", "a" * 64 + "@x.com", False),
    ],
)
def test_an_address_stays_as_it_is_but_for_a_labels(text: str, spec: str, utf8: bool) -> None:
    """B22: only the domain may change, and only from Unicode to its A-labels."""
    mailbox = parse_mailbox(text)
    assert mailbox.spec == spec
    assert mailbox.utf8 is utf8


@pytest.mark.promise("B20")
@given(st.text(max_size=80))
def test_any_text_is_refused_or_comes_out_unchanged(text: str) -> None:
    """No input is silently rewritten, and nothing that could end a command gets through."""
    try:
        mailbox = parse_mailbox(text)
    except BadAddress:
        return
    assert mailbox.local == text.rpartition("@")[0]
    assert not set(mailbox.spec) & set(' \r\n\t\x00<>,;:"\\()[]')
    assert mailbox.spec.count("@") == 1
    assert mailbox.domain.isascii()


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("Kedai <hello@mail.example.com>", "Kedai", "hello@mail.example.com"),
        ('"Kedai, Jakarta \\"K\\"" <a@b.cd>', 'Kedai, Jakarta "K"', "a@b.cd"),
        ("کافه <a@b.cd>", "کافه", "a@b.cd"),
        ("a@b.cd", "", "a@b.cd"),
        ("<a@b.cd>", "", "a@b.cd"),
    ],
)
def test_a_sender_is_a_name_and_one_address(text: str, name: str, spec: str) -> None:
    """The three forms of `from`."""
    found, mailbox = parse_sender(text)
    assert (found, mailbox.spec) == (name, spec)


@pytest.mark.promise("B27")
@pytest.mark.parametrize("text", ["a@b.cd, c@d.ef", "A <a@b.cd>, B <c@d.ef>", "a@b.cd>", "A <x> <a@b.cd>", "A <a b@c.de>", "Kedai"])
def test_a_sender_list_or_a_stray_bracket_is_refused(text: str) -> None:
    """B27: never more than one sender."""
    with pytest.raises(BadAddress):
        parse_sender(text)
