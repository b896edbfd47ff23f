"""What the local SMTP server took: an append-only log, one line a message, and the messages themselves as files.

`FOLDER/log.ndjson` is the judge of the demo and of tests: a line is written when the final dot has arrived, before it is
answered. `FOLDER/mail/N.eml` holds the bytes. In memory only the short entries of the last messages, for the inbox page.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as policy
from pathlib import Path
from typing import IO

from daemon.clock import Clock, iso

LOG = "log.ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message that the server took. `at`: receive time by the sandbox's clock; `offset_seconds`: how far that clock is
    set ahead of the machine's (0 but in `homing demo --at`). `reply`: what the dot was answered with; "" = never answered."""

    n: int
    at: str
    offset_seconds: float
    sender: str
    recipients: tuple[str, ...]
    delivery: str
    subject: str
    size: int
    reply: str


class Mailbox:
    """The folder of one sandbox run; it must be the only one that writes there."""

    def __init__(self, folder: Path, clock: Clock, *, offset_seconds: float = 0.0, keep: int = 10_000) -> None:
        self.folder = folder
        self._clock, self._offset = clock, offset_seconds
        self._mail = folder / "mail"
        self._mail.mkdir(parents=True, exist_ok=True)
        self._entries: deque[Entry] = deque(read_log(folder), maxlen=keep)
        self.total = self._entries[-1].n if self._entries else 0
        self._log: IO[str] = (folder / LOG).open("a", encoding="utf-8")

    def take(self, sender: str, recipients: Iterable[str], content: bytes, reply: str) -> Entry:
        """Keep one message; returns its entry."""
        head = message_from_bytes(content[: content.find(b"\r\n\r\n") + 4] or content, policy=policy)
        self.total += 1
        entry = Entry(
            n=self.total, at=iso(self._clock.instant(), digits=6), offset_seconds=self._offset, sender=sender, recipients=tuple(recipients),
            delivery=str(head.get("X-Homing-Delivery", "")), subject=str(head.get("Subject", "")), size=len(content), reply=reply,
        )  # fmt: skip
        (self._mail / f"{entry.n}.eml").write_bytes(content)
        self._log.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        self._log.flush()
        self._entries.append(entry)
        return entry

    def newest(self, search: str = "", *, skip: int = 0, limit: int = 50) -> tuple[list[Entry], int]:
        """Entries, newest first, whose recipient or subject holds `search`; and how many there are in all."""
        wanted = search.casefold()
        found = [e for e in reversed(self._entries) if not wanted or wanted in " ".join((*e.recipients, e.subject, e.delivery)).casefold()]
        return found[skip : skip + limit], len(found)

    def entry(self, n: int) -> Entry | None:
        first = self._entries[0].n if self._entries else 0
        return self._entries[n - first] if self._entries and first <= n <= self._entries[-1].n else None

    def content(self, n: int) -> bytes | None:
        """The bytes of message `n`, as they came."""
        try:
            return (self._mail / f"{n}.eml").read_bytes()
        except FileNotFoundError:
            return None

    def close(self) -> None:
        self._log.close()


def read_log(folder: Path) -> list[Entry]:
    """All entries of a sandbox folder, in the order of arrival. A half-written last line is left out."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    entries = [json.loads(line) for line in lines[:-1]]
    return [Entry(**{**entry, "recipients": tuple(entry["recipients"])}) for entry in entries]


def parse(content: bytes) -> EmailMessage:
    """The message by the standard library's parser, the independent reader of what the channel wrote."""
    return message_from_bytes(content, policy=policy)


def text_of(message: EmailMessage, kind: str) -> str | None:
    """The first `text/plain` or `text/html` part as text, None if there is none. Never raises over odd charsets."""
    for part in message.walk():
        if part.get_content_type() != f"text/{kind}" or part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            continue
        try:
            return payload.decode(part.get_content_charset("utf-8"), "replace")
        except LookupError:
            return payload.decode("utf-8", "replace")
    return None
