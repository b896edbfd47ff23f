"""The bytes of a mail: read back by Python's `email`, they say what the message said (facts/reliability.md §9 B26, B28)."""

from __future__ import annotations

import quopri
import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.smtp import headers
from channels.smtp.mime import Composer, Letter, Unsendable
from channels.smtp.quoted import Encoder, _encode_any, encode_piece
from plugins import Message, Rejected
from tests.channels.smtp.line import message

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
lines = st.text(st.sampled_from("ab.= \t\r\nFrom é😀\x00"), max_size=200)
pieces = st.lists(texts | lines | st.sampled_from([".", "From ", "\r", "\n", " ", "x" * 75, "x" * 76, "é" * 40]), max_size=8)
subjects = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200)


def composer() -> Composer:
    return Composer(sender="Kedai <hello@mail.example.com>", provider="relay")


def composed(it: Message) -> Letter:
    return composer().compose(it)


def unstuffed(content: bytes) -> bytes:
    """What a relay keeps: transparency undone (RFC 5321 §4.5.2)."""
    return re.sub(rb"(?m)^\.", b"", content)


def parsed(content: bytes) -> EmailMessage:
    found = message_from_bytes(unstuffed(content), policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def as_lines(text: str) -> str:
    """The text as mail has it: line breaks unified, one at the end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def encoded_body(encoder: Encoder, pieces: list[str]) -> bytes:
    encoder.next_mail()
    parts: list[bytes] = []
    encoder.body(pieces, parts)
    return b"".join(parts)


def body_of(part: Any) -> str:
    return bytes(part.get_payload(decode=True)).decode().replace("\r\n", "\n")


def assert_wire(content: bytes) -> None:
    """Rules of the wire: CRLF only, 7 bit, lines of 76 but for long header tokens, no lone dot."""
    assert content.endswith(b"\r\n")
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert content.isascii()
    head, _, body = content.partition(b"\r\n\r\n")
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    for line in body.split(b"\r\n"):
        assert len(line) <= 76 + line.startswith(b"..")
        assert not line.startswith(b"From ")
        assert not re.match(rb"\.(?!\.)", line)


@pytest.mark.promise("B28")
@settings(max_examples=150)
@given(pieces)
@example(["a\r", "\nb"])
@example(["a\r", "", "\nb"])
@example(["Hello ", "", "\n.\n", "..x", "From me\nFrom you"])
@example(["From From From x"])
@example(["x" * 75 + "\n" + "y" * 76])
@example([" "])
def test_a_body_in_any_pieces_reads_back_as_its_text(parts: list[str]) -> None:
    """B28, and the joints between the pieces: nothing is lost, added or left bare."""
    encoded = encoded_body(Encoder(), parts)
    wanted = as_lines("".join(parts))
    assert quopri.decodestring(unstuffed(encoded)).decode().replace("\r\n", "\n") == wanted
    if any(parts):
        assert_wire(b"X: y\r\n\r\n" + encoded)


@settings(max_examples=100)
@given(pieces)
def test_a_cached_piece_gives_the_same_bytes(parts: list[str]) -> None:
    """Same message, same bytes, whatever was sent before it."""
    encoder = Encoder(limit=4096)
    first = encoded_body(encoder, parts)
    for _ in range(3):
        encoded_body(encoder, ["other " * 50, *parts])
        assert encoded_body(encoder, parts) == first == encoded_body(Encoder(), parts)


@given(texts | lines)
@example("x" * 75)
@example("x" * 76)
@example(" ")
@example("a ")
def test_the_short_way_gives_the_bytes_of_the_long_one(text: str) -> None:
    """Most names, codes and links need no encoder."""
    assert encode_piece(text) == _encode_any(text)


def test_the_cache_stays_within_its_bounds() -> None:
    """Two generations of at most the limit, however many templates pass."""
    encoder = Encoder(limit=10_000)
    for round_ in range(200):
        for _ in range(3):
            encoded_body(encoder, [f"template {round_} " * 20])
    assert sum(map(len, encoder._young.values())) <= 10_000
    assert sum(map(len, encoder._old.values())) <= 10_000
    assert encoder._young
    assert len(encoder._seen) <= 1024


def test_a_piece_seen_once_is_not_kept() -> None:
    """What belongs to one recipient does not push templates out."""
    encoder = Encoder()
    for number in range(50):
        encoded_body(encoder, ["static", f"https://example.com/u/{number}", "static ", f"https://example.com/u/{number}"])
    assert list(encoder._young) == ["static", "static "]


@pytest.mark.promise("B26", "B28")
@settings(max_examples=80)
@given(pieces, pieces, subjects)
@example(["Hi"], ["<p>--=_homing-m1</p>\n--=_homing-m1--\n"], "s")
def test_a_mail_reads_back_whole(text: list[str], html: list[str], subject: str) -> None:
    """Any text in any pieces: `email` finds the same parts, subject and headers."""
    it = message(subject=subject, text_pieces=tuple(text), html_pieces=tuple(html))
    if not any(text) and not any(html):
        with pytest.raises(Unsendable):
            composed(it)
        return
    try:
        letter = composed(it)
    except Unsendable:
        assert re.search(r"=\?[^?\s]+\?[bqBQ]\?", subject)
        return
    assert_wire(letter.content)
    found = parsed(letter.content)
    assert str(found["Subject"]) == subject.strip(" ")
    bodies = {part.get_content_type(): body_of(part) for part in found.walk() if not part.is_multipart()}
    wanted = {"text/plain": "".join(text), "text/html": "".join(html)}
    assert bodies == {kind: as_lines(body) for kind, body in wanted.items() if body}
    assert found.get_content_type() == ("multipart/alternative" if len(bodies) == 2 else next(iter(bodies)))


def test_the_headers_are_those_of_the_contract() -> None:
    """Contract §8: Message-ID and X-Homing-Delivery carry the id, List-Unsubscribe and -Post as RFC 8058 wants them."""
    found = parsed(composed(message(head={"reply_to": "Aiko <care@mail.example.com>"})).content)
    assert list(found.keys()) == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Reply-To",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Feedback-ID",
        "X-Homing-Delivery",
        "MIME-Version",
        "Content-Type",
    ]
    assert found["From"].addresses[0].display_name == "Kedai"
    assert found["To"] == "m1@example.com"
    assert found["Date"].datetime == message().created_at
    assert found["Message-ID"] == "<m1@mail.example.com>"
    assert found["Reply-To"] == "Aiko <care@mail.example.com>"
    assert found["List-Unsubscribe"] == "<https://example.com/u/m1>"
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["Feedback-ID"] == "winback:offer:relay:homing"
    assert found["X-Homing-Delivery"] == "m1"


def test_a_second_copy_is_marked() -> None:
    """P2: what may arrive twice says so, and nothing else does."""
    assert parsed(composed(message(copy=True)).content)["X-Homing-Copy"] == "2"
    assert "X-Homing-Copy" not in parsed(composed(message()).content)


def test_a_mail_without_unsubscribe_url_has_no_list_headers() -> None:
    """A transactional mail."""
    found = parsed(composed(message(unsubscribe_url=None)).content)
    assert "List-Unsubscribe" not in found
    assert "List-Unsubscribe-Post" not in found


def test_a_long_unsubscribe_link_stays_whole_on_its_line() -> None:
    """libraries.md trap 1: an encoded or folded link is a dead one."""
    url = "https://example.com/u/v1.k1." + "A" * 800
    content = composed(message(unsubscribe_url=url)).content
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in content


@pytest.mark.promise("B30")
@pytest.mark.parametrize(
    "url", ["https://a.b/ c", "https://a.b/<x>", "https://a.b/\r\nBcc: x", "a.b/u", "https://a.b/é", "https://a.b/" + "u" * 990]
)
def test_an_unsubscribe_url_that_is_no_url_is_refused(url: str) -> None:
    """Never a header that a reader cannot use, never one that ends early."""
    assert refused(unsubscribe_url=url).code == "bad_header"


def test_the_same_message_gives_the_same_bytes() -> None:
    """Retries and doubts can be compared byte by byte."""
    one, other = composer(), composer()
    for number in range(5):
        other.compose(message(f"x{number}"))
    assert one.compose(message()).content == other.compose(message()).content


def refused(**changes: Any) -> Rejected:
    with pytest.raises(Unsendable) as caught:
        composed(message(**changes))
    return caught.value.outcome


@pytest.mark.promise("B26")
@pytest.mark.parametrize(
    "value",
    [
        "a\r\nBcc: x@y.z",
        "a\nb",
        "a\rb",
        "a\x00b",
        "a\x0bb",
        "a\x85b",
        "a\u2028b",
        "a\ud800b",
        "=?utf-8?q?a=0aBcc:x?=",
        "x =?utf-8?B?YQpCY2M6IHhAeS56?= y",
        "x" * 10_000,
    ],
    ids=ascii,
)
def test_a_value_that_could_open_a_header_is_refused(value: str) -> None:
    """B26, in the subject and in the sender's name."""
    assert refused(subject=value).code == "bad_header"
    assert refused(head={"from_name": value}).code == "bad_header"


@pytest.mark.promise("B27")
@pytest.mark.parametrize("sender", ["a@b.cd, c@d.ef", "x\r\nBcc: y <a@b.cd>", "ü@x.yz", "a b@c.de"])
def test_a_bad_sender_or_reply_address_is_refused(sender: str) -> None:
    """B27."""
    assert refused(head={"from": sender}).code in ("bad_sender", "bad_header")
    assert refused(head={"reply_to": sender}).code in ("bad_sender", "bad_header")


@pytest.mark.promise("B20")
def test_a_bad_address_concerns_the_address() -> None:
    """So that it is suppressed and not tried again."""
    assert refused(address="a@b.c,d@e.f") == Rejected(
        scope="address", code="invalid_address", detail="the local part has U+0040, which is not allowed there"
    )


@pytest.mark.promise("B9")
def test_half_a_surrogate_pair_in_a_body_is_refused() -> None:
    """It has no bytes in UTF-8."""
    assert refused(text_pieces=("a\ud800",)).code == "bad_text"


@pytest.mark.parametrize("id", ["", "a b", "a\r\nb", "<a>", "a..b", ".a", "x" * 61, "ü"])
def test_an_id_that_cannot_stand_in_a_message_id_is_refused(id: str) -> None:
    """It goes into Message-ID, X-Homing-Delivery and the boundary."""
    assert refused(id=id, address="a@b.cd").code == "bad_header"


@pytest.mark.promise("B26")
@settings(max_examples=100)
@given(subjects)
@example("Berlaku sampai 30 November, hanya untuk Anda yang sudah lama tidak berkunjung ke kedai kami")
@example("  two   blanks   " * 12)
@example("a" * 150 + " b " + "c" * 150)
@example("=? ?=")
@example("یک پیشنهاد ویژه برای شما که مدتی است به ما سر نزده‌اید، فقط تا پایان این هفته")
@example("👩‍👩‍👧‍👦" * 20)
def test_a_subject_reads_back_and_folds_at_76(subject: str) -> None:
    """RFC 2047 and folding by ourselves; a token longer than a line stays whole."""
    try:
        field = headers.text_field("Subject", subject)
    except headers.BadHeader:
        assert re.search(r"=\?[^?\s]+\?[bqBQ]\?", subject)
        return
    found = message_from_bytes((field + "\r\n\r\n").encode(), policy=policy.default)
    assert str(found["Subject"]) == subject.strip(" ")
    assert field.isascii()
    for line in field.split("\r\n"):
        assert len(line) <= 76 or " " not in line.removeprefix("Subject: ").strip(" ")


@settings(max_examples=100)
@given(subjects)
@example("Kedai, Jakarta")
@example('He said "hi" \\ bye')
@example("کافه نادری")
@example("a" * 61)
def test_a_display_name_reads_back(name: str) -> None:
    """As atoms, as a quoted string or as encoded words."""
    try:
        field = headers.address_field("From", name, "hello@mail.example.com")
    except headers.BadHeader:
        assert re.search(r"=\?[^?\s]+\?[bqBQ]\?", name)
        return
    found = message_from_bytes((field + "\r\n\r\n").encode(), policy=policy.default)
    (address,) = found["From"].addresses
    assert address.addr_spec == "hello@mail.example.com"
    read = address.display_name
    if field.count("=?") > 1:  # Python 3.11 puts blanks between the encoded words of a name, against RFC 2047 §6.2
        read = str(make_header(decode_header(field.removeprefix("From: ").rpartition("<")[0]))).strip(" ")
    assert re.sub(r"\s+", " ", read) == re.sub(r"\s+", " ", name.strip(" "))
    assert field.isascii()
    assert all(len(line) <= 76 for line in field.split("\r\n"))


def test_a_name_in_the_message_goes_before_the_one_in_the_address() -> None:
    """`from_name` of the campaign's head."""
    found = parsed(composed(message(head={"from": "Old <aiko@shop.example.com>", "from_name": "Aiko"})).content)
    assert found["From"] == "Aiko <aiko@shop.example.com>"
    assert found["Message-ID"] == "<m1@shop.example.com>"


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC), "Thu, 01 Jan 2026 00:00:00 +0000"),
        (datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "Thu, 31 Dec 2026 23:59:59 +0000"),
        (datetime(2026, 3, 1, 3, 0, tzinfo=timezone(timedelta(hours=3, minutes=30))), "Sat, 28 Feb 2026 23:30:00 +0000"),
    ],
)
def test_the_date_is_in_utc_and_english(at: datetime, wanted: str) -> None:
    """RFC 5322 §3.3, whatever the locale."""
    assert headers.date(at) == wanted


def test_an_address_beyond_ascii_is_a_utf8_letter() -> None:
    """Its To line is raw UTF-8 (RFC 6532), and only a relay with SMTPUTF8 gets it."""
    letter = composed(message(address="سارا@نمونه.example"))
    assert letter.utf8
    assert "\r\nTo: سارا@xn--hhbbbed.example\r\n".encode() in letter.content


@pytest.mark.promise("B26")
def test_a_campaign_name_cannot_break_the_feedback_id() -> None:
    """Its fields are divided by colons."""
    found = parsed(composed(message(campaign="job:2026-11 é:x", step="a b")).content)
    assert found["Feedback-ID"] == "job-2026-11-x:a-b:relay:homing"


def test_pieces_do_not_depend_on_their_neighbours() -> None:
    """Each starts at column 0 and ends with a line break: that is what makes them cacheable."""
    for piece in ("Hello ", "x" * 200, "a\n", "a \n", "=", ".", "é" * 30):
        assert encode_piece(piece).endswith(b"\r\n")
