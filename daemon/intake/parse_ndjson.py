"""INTAKE, reading NDJSON: the first line is the head, each further line one recipient. Empty lines are no rows.

Constant memory: a line over the limit is skipped, not kept. A last line that has no line break must be whole JSON, else
the body was cut off.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Generic

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
    skip_bom,
    too_long,
)

_SKIP = 1024 * 1024


def read_ndjson_head(file: BinaryIO) -> tuple[dict[str, Any] | None, int, int]:
    """(head, offset, line) behind the head; None = the body is empty. Raises BodyError."""
    skip_bom(file)
    line = 0
    while raw := file.readline(MAX_HEAD_BYTES + 1):
        line += 1
        if len(raw) > MAX_HEAD_BYTES:
            raise BodyError("head", f"the first line, the head, is longer than {MAX_HEAD_BYTES} bytes", line)
        if not raw.strip():
            continue
        try:
            head = loads(raw.decode())
        except UnicodeDecodeError:
            raise BodyError("encoding", "the head is not UTF-8", line) from None
        except RowJsonError as error:
            raise BodyError("json", f"the head is {error.detail}" if error.broken else f"the head: {error.detail}", line) from None
        if not isinstance(head, dict):
            raise BodyError("head", "the first line is the head: a JSON object with id and queue", line)
        return head, file.tell(), line
    return None, file.tell(), line


class NdjsonReader(Generic[Ready]):
    """Rows from `offset` on."""

    def __init__(self, file: BinaryIO, offset: int, line: int, quick: Quick[Ready] = never) -> None:
        file.seek(offset)
        self._file, self._quick = file, quick
        self.offset = offset
        self.line = line

    def read(self, count: int) -> list[Item | Ready]:
        items: list[Item | Ready] = []
        readline, quick = self._file.readline, self._quick
        line, offset = self.line, self.offset
        try:
            while len(items) < count and (raw := readline(MAX_ROW_BYTES + 1)):
                line += 1
                offset += len(raw)
                if (ready := quick(line, raw)) is not None:
                    items.append(ready)
                elif len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
                    offset += self._skip_line(line)
                    items.append(too_long(line))
                elif not raw.isspace():
                    items.append(self._item(line, raw))
        finally:
            self.line, self.offset = line, offset
        return items

    @staticmethod
    def _item(line: int, raw: bytes) -> Item:
        try:
            item = read_object(line, raw)
        except RowJsonError as error:
            if error.broken and not raw.endswith(b"\n"):
                raise BodyError("cut_off", "the body breaks off in its last line", line) from None
            return bad(line, error)
        if item.code == "encoding" and not raw.endswith(b"\n"):
            raise BodyError("cut_off", "the body breaks off in its last line", line)
        return item

    def _skip_line(self, line: int) -> int:
        """Bytes up to the end of the line."""
        skipped = 0
        while raw := self._file.readline(_SKIP):
            skipped += len(raw)
            if raw.endswith(b"\n"):
                return skipped
        raise BodyError("cut_off", "the body breaks off in its last line", line)
