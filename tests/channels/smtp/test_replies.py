"""Reading replies: however the bytes are chopped, and nothing that is not a reply (facts/reliability.md §6, §8 F10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.smtp.replies import Garbled, Reply, ReplyReader

STREAM = b"250-first\r\n250-second\r\n250 last\r\n354 go\r\n550 5.1.1 <a@b.cd>: no such user\r\n250\r\n221 2.0.0 bye\n"
WANTED = [(250, "first second last"), (354, "go"), (550, "5.1.1 <a@b.cd>: no such user"), (250, ""), (221, "2.0.0 bye")]


def read(*chunks: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies: list[Reply] = []
    for chunk in chunks:
        reader.feed(chunk, replies)
    return replies


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12).map(sorted))
def test_replies_do_not_depend_on_how_they_arrive(cuts: list[int]) -> None:
    """One byte at a time or all at once."""
    chunks = [STREAM[start:end] for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    assert [(reply.code, reply.text) for reply in read(*chunks)] == WANTED


@pytest.mark.promise("F10")
@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"099 x\r\n",
        b"150 x\r\n",
        b"600 x\r\n",
        "٢٥٠ ok\r\n".encode(),
        b"250-a\r\n550 b\r\n",
        b"<html>\r\n",
        b"\x16\x03\x01\r\n",
        b"250 " + b"x" * 9000,
        b"250 " + b"x" * 9000 + b"\r\n",
        b"250-" + b"x" * 8000 + b"\r\n" + (b"250-" + b"x" * 8000 + b"\r\n") * 10,
    ],
    ids=range(15),
)
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    """Never skipped, never guessed, never without bounds."""
    with pytest.raises(Garbled):
        read(data)


def test_what_was_whole_before_the_garbage_counts() -> None:
    """The 250 to the dot stands, whatever follows it."""
    reader, replies = ReplyReader(), []
    with pytest.raises(Garbled):
        reader.feed(b"250 ok\r\ngarbage\r\n", replies)
    assert [reply.code for reply in replies] == [250]


@pytest.mark.promise("F10")
@given(st.binary(max_size=200))
def test_any_bytes_are_replies_or_an_error(data: bytes) -> None:
    """No crash, no code outside 200-599."""
    try:
        replies = read(data)
    except Garbled:
        return
    assert all(200 <= reply.code < 600 for reply in replies)


@pytest.mark.parametrize(
    ("line", "status", "key", "queue_id"),
    [
        (b"250 2.0.0 Ok: queued as 4XyZ9q1\r\n", "2.0.0", "250 2.0.0", "4XyZ9q1"),
        (b"250 OK id=1tABCd-000000001-AbCd\r\n", "", "250", "1tABCd-000000001-AbCd"),
        (b"250 2.6.0 <x@y> [InternalId=5] Queued mail for delivery\r\n", "2.6.0", "250 2.6.0", "5"),
        (b"250 ok\r\n", "", "250", None),
        (b"450 4.7.1 try later\r\n", "4.7.1", "450 4.7.1", None),
        (b"550 4.7.1 contradicts itself\r\n", "", "550", None),
        (b"550 5.1.1234 no\r\n", "", "550", None),
    ],
)
def test_status_and_queue_id_are_read_from_the_text(line: bytes, status: str, key: str, queue_id: str | None) -> None:
    """RFC 3463, and the common ways of naming the queue file."""
    (reply,) = read(line)
    assert (reply.status, reply.key, reply.queue_id) == (status, key, queue_id)


def test_text_is_one_short_printable_line() -> None:
    """It ends up in reports and on terminals."""
    (reply,) = read(b"550 a\x1b[31m\xff\xe2\x80\xae" + b"y" * 500 + b"\r\n")
    assert len(reply.text) < 340
    assert reply.text.isprintable()
