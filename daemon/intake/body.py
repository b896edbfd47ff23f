"""INTAKE, bodies: which format one is, where its rows begin, and its rows made ready for the store, chunk by chunk.

`read_opening` looks at a body when it has arrived; `Bodies` opens it again for expansion, at the place where the job row says
it was. Reads files of STATE/jobs only. The pepper never leaves: rows carry hashes made with it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from daemon.disk import Disk
from daemon.intake.addresses import email_hash, phone_hash
from daemon.intake.parse import BodyError, Format, Reader
from daemon.intake.parse_csv import CsvReader, read_csv_head
from daemon.intake.parse_document import DocumentReader, scan_document
from daemon.intake.parse_ndjson import NdjsonReader, read_ndjson_head
from daemon.intake.quick import QuickRows
from daemon.intake.rows import Fields, RowChecker
from daemon.model.delivery import Instant
from daemon.model.job import RowError
from daemon.store.plan import Chunk, Work
from daemon.store.recipients import NAMED, PlanRow, person_id

_spell = functools.partial(json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode)
_SNIFF = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """`head`: what the body itself says (None: it is empty, or CSV). Rows begin at `offset`, behind `line` lines.

    `rows`: how many there are, where that was counted (a JSON document is gone over once as a whole).
    """

    format: Format
    head: Mapping[str, Any] | None
    offset: int
    line: int
    rows: int | None


def sniff_format(file: BinaryIO) -> Format:
    """The format of a body that has none in its name or type: a JSON document, or NDJSON if its first line is a whole object
    without recipients. BodyError when it is neither."""
    file.seek(0)
    start = file.read(_SNIFF).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start and not start.startswith((b"{", b"[")):
        raise BodyError("format", "neither JSON nor NDJSON; the name of a CSV file must end in .csv", 1)
    first, line_break, rest = start.partition(b"\n")
    if not line_break or not rest.strip():
        return Format.JSON
    try:
        head = json.loads(first)
    except (ValueError, RecursionError):
        return Format.JSON
    return Format.JSON if "recipients" in head else Format.NDJSON


def read_opening(file: BinaryIO, format: Format) -> Opening:
    """Look at a body that has arrived. BodyError when nothing of it can be taken."""
    if format is Format.CSV:
        columns = read_csv_head(file)
        return Opening(format=format, head=None, offset=columns.offset if columns else 0, line=columns.line if columns else 0, rows=None)
    if format is Format.NDJSON:
        head, offset, line = read_ndjson_head(file)
        return Opening(format=format, head=head, offset=offset, line=line, rows=None)
    document = scan_document(file)
    if document is None:
        return Opening(format=format, head=None, offset=0, line=0, rows=0)
    if document.offset is None and document.head.get("recipients") is None and document.head.get("segment") is None:
        raise BodyError("head", 'the job has no "recipients"', 1)
    return Opening(format=format, head=document.head, offset=document.offset or 0, line=0, rows=document.rows)


class BodyRows:
    """The rows of one body, from a place where one begins. Call from one thread at a time; `close` when done."""

    def __init__(self, file: BinaryIO, work: Work, offset: int, line: int, pepper: bytes) -> None:
        self._file = file
        self._pepper = pepper
        self._quick = QuickRows(pepper)
        self._cells = work.format == Format.CSV.value
        self._reader = _open_reader(file, Format(work.format), offset, line, self._quick)
        self._check = RowChecker(work.received_at).fields
        self._offset, self._line = offset, line

    def read(self, count: int) -> Chunk:
        """The next rows, at most `count`. What breaks the body off is in the chunk, not raised."""
        reader = self._reader
        if reader is None:
            return Chunk(offset=self._offset, line=self._line, ended=True)
        try:
            items = reader.read(count)
        except BodyError as error:
            return Chunk(offset=self._offset, line=self._line, ended=True, broken=(error.code, error.detail, error.line))
        rows: list[PlanRow] = []
        errors: list[RowError] = []
        rejected = 0
        for item in items:
            if isinstance(item, PlanRow):
                rows.append(item)
                continue
            if self._cells and item.value is not None and not item.suspect and (row := self._quick.of_cells(item.line, item.value)):
                rows.append(row)
                continue
            checked = self._check(item)
            if isinstance(checked, Fields):
                rows.append(plan_row(item.line, checked, self._pepper))
            else:
                rejected += 1
                errors += checked
        self._offset, self._line = reader.offset, reader.line
        ended = len(items) < count
        return Chunk(rows=rows, errors=errors, rejected=rejected, offset=reader.offset, line=reader.line, ended=ended)

    def close(self) -> None:
        self._file.close()


def _open_reader(file: BinaryIO, format: Format, offset: int, line: int, quick: QuickRows) -> Reader[PlanRow] | None:
    """None = the body is empty, and so has no rows."""
    if format is Format.NDJSON:
        return NdjsonReader(file, offset, line, quick.of_json)
    if format is Format.JSON:
        return DocumentReader(file, offset, line, quick.of_json) if offset else None
    columns = read_csv_head(file)
    return CsvReader(file, columns, offset, line) if columns else None


def plan_row(line: int, row: Fields, pepper: bytes) -> PlanRow:
    """A good row as the store takes it."""
    return PlanRow(
        person_id(row.id), line, row.id, row.email, row.phone, row.zone, row.locale, row.country,
        sum(NAMED[name] for name in row.named), _spell(row.traits) if row.traits else None,
        email_hash(pepper, row.email) if row.email else None,
        phone_hash(pepper, row.phone) if row.phone else None,
        _spell(row.vars) if row.vars else None,
        row.consent or None,
    )  # fmt: skip


class Bodies:
    """The bodies under STATE/jobs, for `audience.expand`."""

    def __init__(self, folder: Path, disk: Disk, pepper: bytes) -> None:
        self._folder, self._disk, self._pepper = folder, disk, pepper

    def open(self, work: Work, offset: int, line: int) -> BodyRows:
        """Its rows from there on. Raises FileNotFoundError when the file is gone."""
        return BodyRows(self._disk.open_regular(self._folder / work.body), work, offset, line, self._pepper)

    def errors_path(self, key: str) -> Path:
        """Where all row errors of a job stand, one JSON object a line."""
        return self._folder / f"{key}.errors.ndjson"

    def scratch_path(self, work: Work) -> Path:
        """Where expansion puts its scratch files; their names begin with this one's."""
        return self._folder / "runs" / work.body

    def remove(self, work: Work) -> None:
        """The body was read to its end."""
        self._disk.remove(self._folder / work.body)


def instant_of_file(modified: float, now: Instant) -> Instant:
    """When a file was dropped, by its time stamp, but not later than now."""
    return min(int(modified * 1_000_000), now)
