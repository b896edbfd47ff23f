"""The kit's messages, each with marks by which it is known again in whatever a channel puts on the wire.

A message is found by its id, its address or a word in its text; bodies are also looked at percent-decoded, base64-decoded and
unzipped. Pure, but for nothing: ids are counted, so that two runs look alike.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

from plugins.contract import Message

LIFE = timedelta(hours=72)
BASE64_RUN = re.compile(rb"(?:[A-Za-z0-9+/_-]{16,}(?:={0,2})(?:\r?\n)?)+")

AddressOf = Callable[[int], str]


def address_maker(kind: str) -> AddressOf:
    """The n-th address of a kind: all of them reserved for documentation or fiction."""
    makers: dict[str, AddressOf] = {
        "email": lambda n: f"kit.{n:06d}@example.com",
        "phone": lambda n: f"+1555010{n:04d}",
        "push": lambda n: f"kit-push-{n:06d}",
    }
    return makers.get(kind, lambda n: f"kit-recipient-{n:06d}")


def make_message(number: int, *, channel: str, address: str, now: datetime) -> Message:
    """The n-th message of a run."""
    mark = f"kitword{number:06d}"
    html = (f"<p>A message of the conformance kit, {mark}.</p>",) if channel == "email" else ()
    return Message(
        id=f"K1T{number:010d}",
        address=address,
        addresses=(address,),
        channel=channel,
        recipient=f"kit-recipient-{number:06d}",
        locale="en",
        campaign="conformance",
        step="first",
        subject=f"Conformance {mark}",
        text_pieces=("A message of the conformance kit, ", mark, "."),
        html_pieces=html,
        unsubscribe_url=f"https://news.example.com/u/{mark}",
        created_at=now,
        expires_at=now + LIFE,
        ttl=LIFE.total_seconds(),
    )


def marks_of(message: Message) -> tuple[str, ...]:
    """Texts of which each is in this message alone."""
    return (message.id, message.address.lstrip("+"), message.subject.split()[-1])


def found_in(data: bytes, messages: Iterable[Message]) -> Sequence[str]:
    """The ids of the messages whose marks are in the bytes of one act."""
    text = _readings(data)
    return [message.id for message in messages if any(mark in text for mark in marks_of(message))]


def _readings(data: bytes) -> str:
    """The bytes in every dress that a channel may have put its message into, one after the other."""
    readings = [data, *(_unzipped(data[at:]) for at in _zip_starts(data))]
    readings += [_from_base64(run[0]) for run in BASE64_RUN.finditer(data)]
    text = "\n".join(reading.decode("latin-1") for reading in readings)
    return text + "\n" + unquote_plus(text)


def _zip_starts(data: bytes) -> Iterable[int]:
    at = data.find(b"\x1f\x8b\x08")
    return () if at < 0 else (at,)


def _unzipped(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 1 << 20)
    except zlib.error:
        return b""


def _from_base64(run: bytes) -> bytes:
    packed = re.sub(rb"\s", b"", run).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(packed[: len(packed) - (len(packed) % 4 == 1)] + b"=" * (-len(packed) % 4))
    except (binascii.Error, ValueError):
        return b""
