"""INTAKE, reading one JSON document: `{"id": .., "recipients": [{..}, ..], ..}`, whatever its size, in constant memory.

`scan_document` goes over it once when it arrives: the head (whose keys may come after the recipients), where the rows
begin, how many there are, and whether it is whole. `DocumentReader` then takes the rows one by one, from any offset. A row
is found by its brackets alone, so a row that is no good JSON costs only itself.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO, Generic, NamedTuple

from daemon.intake.parse import (
    MAX_HEAD_BYTES,
    MAX_ROW_BYTES,
    BodyError,
    Item,
    Quick,
    Ready,
    RowJsonError,
    bad,
    loads,
    never,
    read_object,
    show,
    skip_bom,
    too_long,
)

BLOCK = 128 * 1024

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = rb'[^"{}\[\]]++|' + _STRING


def _nested(depth: int) -> bytes:
    """Objects and arrays up to `depth` inside another: one match in C for any usual row."""
    inner = b"|" + _nested(depth - 1) if depth else b""
    body = rb"(?:" + _FLAT + inner + rb")*+"
    return rb"\{" + body + rb"\}|\[" + body + rb"\]"


_OBJECT = re.compile(_nested(3), re.DOTALL)
_TEXT = re.compile(_STRING, re.DOTALL)
_SPACES = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb'[^ \t\r\n,:{}\[\]"]++')
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')


class Document(NamedTuple):
    """`head`: all keys but `recipients`. `offset`: of the first row, behind the `[`; None = there is no `recipients`."""

    head: dict[str, Any]
    offset: int | None
    rows: int


class _Scanner:
    """A place in the file and the bytes around it."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        file.seek(offset)
        self._file = file
        self._base = offset
        self._bytes = b""
        self._at = 0

    @property
    def offset(self) -> int:
        return self._base + self._at

    def _more(self) -> bool:
        """Read on; what lies behind `_at` is let go. False = the end of the file."""
        block = self._file.read(BLOCK)
        self._bytes = self._bytes[self._at :] + block
        self._base += self._at
        self._at = 0
        return bool(block)

    def peek(self) -> bytes:
        """The next byte that is not space; empty at the end."""
        while True:
            match = _SPACES.match(self._bytes, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._bytes):
                return self._bytes[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self) -> None:
        """Go past the byte that was peeked at."""
        self._at += 1

    def value(self, limit: int) -> bytes | None:
        """Go past the value that begins here; its bytes, or None when they are more than `limit`. Raises BodyError at the end."""
        first = self.peek()
        if first in (b"{", b"["):
            match = _OBJECT.match(self._bytes, self._at)
            if match is not None:
                self._at = match.end()
                return match[0] if len(match[0]) <= limit else None
            return self._slow(limit)
        if first == b'"':
            match = _TEXT.match(self._bytes, self._at)
            if match is not None:
                self._at = match.end()
                return match[0] if len(match[0]) <= limit else None
            return self._slow(limit)
        return self._scalar(limit)

    def _scalar(self, limit: int) -> bytes:
        while True:
            match = _SCALAR.match(self._bytes, self._at)
            if match is None:
                raise self.broken("a value is missing" if self.peek() else "the body breaks off")
            if len(match[0]) > limit + BLOCK:
                raise self.broken("a value that does not end")
            if match.end() < len(self._bytes) or not self._more():
                break
        self._at += len(match[0])
        return match[0]

    def _slow(self, limit: int) -> bytes | None:
        """By counting brackets: for values over the edge of a block, very deep ones, and very long ones."""
        kept: list[bytes] = []
        size = depth = 0
        inside = False
        while True:
            match = (_INSIDE if inside else _OUTSIDE).search(self._bytes, self._at)
            end = match.end() if match else len(self._bytes)
            if match is not None and match[0] == b"\\":
                end += 1
                if end > len(self._bytes):  # the escaped character lies in the next block
                    end, match = match.start(), None
            size += end - self._at
            if size <= limit:
                kept.append(self._bytes[self._at : end])
            self._at = end
            if match is None:
                if not self._more():
                    raise self.broken("the body breaks off", "cut_off")
                continue
            if match[0] == b'"':
                inside = not inside
            elif match[0] in b"{[":
                depth += 1
            elif match[0] in b"}]":
                depth -= 1
            if depth == 0 and not inside:
                return b"".join(kept) if size <= limit else None

    def broken(self, what: str, code: str = "") -> BodyError:
        if self._at >= len(self._bytes) and not self._file.read(1):
            code = "cut_off"
            what = what if "breaks off" in what else f"the body breaks off: {what}"
        return BodyError(code or "json", f"not JSON: {what}, at byte {self.offset + 1}")


def scan_document(file: BinaryIO) -> Document | None:
    """Go over the whole document once; None = the body is empty. Raises BodyError when it is no JSON object or cut off."""
    scanner = _Scanner(file, skip_bom(file))
    first = scanner.peek()
    if not first:
        return None
    if first != b"{":
        raise scanner.broken('a job is an object: {"id": .., "queue": .., "recipients": [..]}')
    scanner.take()
    head: dict[str, Any] = {}
    offset: int | None = None
    rows = 0
    while (byte := scanner.peek()) != b"}" or head or offset is not None:
        if byte != b'"':
            raise scanner.broken("a key in quotes is missing")
        key = _decode(scanner, "the head")
        if scanner.peek() != b":":
            raise scanner.broken(f"no colon after {show(key)}")
        scanner.take()
        if key in head or (key == "recipients" and offset is not None):
            raise BodyError("json", f"the key {show(key)} stands twice in the head")
        if key == "recipients" and scanner.peek() == b"[":
            scanner.take()
            offset = scanner.offset
            rows = _count(scanner)
        else:
            head[key] = _decode(scanner, f"the value of {show(key)}")
        byte = scanner.peek()
        if byte == b"}":
            break
        if byte != b",":
            raise scanner.broken("a comma or } is missing")
        scanner.take()
    scanner.take()
    if scanner.peek():
        raise scanner.broken("more text after the end of the job")
    return Document(head, offset, rows)


def _decode(scanner: _Scanner, what: str) -> Any:
    raw = scanner.value(MAX_HEAD_BYTES)
    if raw is None:
        raise BodyError("head", f"{what} is longer than {MAX_HEAD_BYTES} bytes")
    try:
        return loads(raw.decode())
    except UnicodeDecodeError:
        raise BodyError("encoding", f"{what} is not UTF-8") from None
    except RowJsonError as error:
        raise BodyError("json", f"{what}: {error.detail}") from None


def _count(scanner: _Scanner) -> int:
    """Go past all rows and the bracket behind them."""
    rows = 0
    while _next_row(scanner, rows):
        scanner.value(0)
        rows += 1
    return rows


def _next_row(scanner: _Scanner, rows: int) -> bool:
    """Go to the next row; False = the bracket behind the last one was taken."""
    byte = scanner.peek()
    if byte == b"]":
        scanner.take()
        return False
    if rows:
        if byte != b",":
            raise scanner.broken(f"a comma or ] is missing after row {rows}")
        scanner.take()
        if scanner.peek() == b"]":
            raise scanner.broken(f"a comma with nothing after it, behind row {rows}")
    if not scanner.peek():
        raise scanner.broken("the body breaks off", "cut_off")
    return True


class DocumentReader(Generic[Ready]):
    """Rows from `offset` on; `line` = how many rows lie before it."""

    def __init__(self, file: BinaryIO, offset: int, line: int, quick: Quick[Ready] = never) -> None:
        self._quick = quick
        self._scanner = _Scanner(file, offset)
        self.offset = offset
        self.line = line
        self._ended = False

    def read(self, count: int) -> list[Item | Ready]:
        items: list[Item | Ready] = []
        scanner = self._scanner
        while len(items) < count and not self._ended:
            if not _next_row(scanner, self.line):
                self._ended = True
                break
            raw = scanner.value(MAX_ROW_BYTES)
            self.line += 1
            self.offset = scanner.offset
            if raw is None:
                items.append(too_long(self.line))
                continue
            if (ready := self._quick(self.line, raw)) is not None:
                items.append(ready)
                continue
            try:
                items.append(read_object(self.line, raw))
            except RowJsonError as error:
                items.append(bad(self.line, error))
        return items
