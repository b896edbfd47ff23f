"""SMTP: bytes from a relay become replies. Strict: what is not a reply is an error, never skipped. Pure, no socket.

A reply is one or more lines `250-text` closed by `250 text`, all with the same code (RFC 5321 §4.2.1). Lines have at most 8 KB and
a reply 64 KB, so a relay that streams cannot fill the memory.
"""

from __future__ import annotations

import re

MAX_LINE = 8 * 1024
MAX_REPLY = 64 * 1024
_CODES = {b"%d" % code: code for code in range(200, 600)}
_MARKS = (b" ", b"-", b"\r", b"")

_status = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_queue_id = re.compile(rb"(?:queued as|queued mail for delivery|id=|accepted for delivery:?)\s*<?([A-Za-z0-9][\w.@$+=-]*)", re.IGNORECASE)


class Garbled(ValueError):
    """The bytes are no SMTP reply; the message quotes the beginning of them."""


class Reply:
    """One reply. The text is decoded only when somebody asks: most replies are plain consent."""

    __slots__ = ("_text", "code")

    def __init__(self, code: int, text: bytes) -> None:
        self.code = code
        self._text = text

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463), such as `5.1.1`; '' if there is none or if it contradicts the code."""
        match = _status.match(self._text)
        if match is None or match[1][:1] != b"%d" % (self.code // 100):
            return ""
        return match[1].decode("ascii")

    @property
    def text(self) -> str:
        """The text on one line, control characters shown as escapes, cut at 300 characters."""
        text = " ".join(self._text.decode("utf-8", "backslashreplace").split())
        if len(text) <= 300 and text.isprintable():
            return text
        return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:300])

    @property
    def queue_id(self) -> str | None:
        """What the relay calls the mail that it took, when it says so in one of the common forms."""
        match = _queue_id.search(self._text)
        return match[1].decode("ascii", "replace") if match is not None else None

    @property
    def key(self) -> str:
        """`550 5.1.1`, or `550` alone."""
        status = self.status
        return f"{self.code} {status}" if status else str(self.code)

    def __repr__(self) -> str:
        return f"Reply({self.code}, {self.text!r})"


class ReplyReader:
    """Cuts a stream of bytes into replies, however it was chopped on the way."""

    __slots__ = ("_code", "_lines", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes, replies: list[Reply]) -> None:
        """Append the replies that are whole now. Raises Garbled; what was whole before the bad line is appended all the same."""
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line, replies)
        if len(self._rest) > MAX_LINE:
            raise Garbled(f"a line of more than {MAX_LINE} bytes")

    def _line(self, line: bytes, replies: list[Reply]) -> None:
        if len(line) > MAX_LINE:
            raise Garbled(f"a line of more than {MAX_LINE} bytes")
        code, mark = _CODES.get(line[:3]), line[3:4]
        if code is None or mark not in _MARKS:
            raise Garbled(repr(line[:80])[1:])
        if not self._lines:
            if mark != b"-":
                replies.append(Reply(code, line[4:].rstrip()))
                return
            self._code = code
            self._size = 0
        elif code != self._code:
            raise Garbled(f"a reply whose lines begin with {self._code} and with {code}")
        self._lines.append(line[4:].rstrip())
        self._size += len(line)
        if self._size > MAX_REPLY:
            raise Garbled(f"a reply of more than {MAX_REPLY} bytes")
        if mark != b"-":
            replies.append(Reply(code, b"\n".join(self._lines)))
            self._lines = []

    @property
    def partial(self) -> bool:
        """True while a reply has begun and not ended."""
        return bool(self._rest or self._lines)
