"""Reads a body as intake does: its opening, then its rows from there, in pieces."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from daemon.intake.body import read_opening
from daemon.intake.parse import Format, Item, Reader
from daemon.intake.parse_csv import CsvReader, read_csv_head
from daemon.intake.parse_document import DocumentReader
from daemon.intake.parse_ndjson import NdjsonReader


def as_file(body: bytes | str) -> BinaryIO:
    data = body.encode() if isinstance(body, str) else body
    return cast("BinaryIO", io.BufferedReader(cast("Any", io.BytesIO(data))))


def open_reader(file: BinaryIO, format: Format, offset: int, line: int) -> Reader:
    if format is Format.CSV:
        head = read_csv_head(file)
        assert head is not None
        return CsvReader(file, head, offset, line)
    return NdjsonReader(file, offset, line) if format is Format.NDJSON else DocumentReader(file, offset, line)


def read_all(body: bytes | str, format: Format, *, piece: int = 3) -> tuple[Mapping[str, Any] | None, list[Item]]:
    """(head, rows); each piece is read by a new reader from where the last one stood, as after a crash."""
    file = as_file(body)
    opening = read_opening(file, format)
    if not opening.offset:  # empty; NDJSON without a head has no rows either
        return opening.head, []
    items: list[Item] = []
    offset, line = opening.offset, opening.line
    while True:
        reader = open_reader(file, format, offset, line)
        found = reader.read(piece)
        items += found
        offset, line = reader.offset, reader.line
        if len(found) < piece:
            break
    whole = open_reader(file, format, opening.offset, opening.line).read(10**9)
    assert list(whole) == items
    return opening.head, items
