"""Large files through small requests: rows go to the API in bounded pieces, with a bar on a terminal; bad ones are named by their lines.

What was taken stays taken when a later piece fails: the same file again changes nothing twice.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from daemon.cli import screen
from daemon.cli.client import Api, with_api
from daemon.cli.context import Cli
from daemon.cli.jobs import GZIP, Progress
from daemon.errors import UsageError

if TYPE_CHECKING:
    from daemon.intake.parse import BodyError, Item, Reader

MOST_ROWS = 500
MOST_BYTES = 300 * 1024
SHOWN = 100
LINES = "application/x-ndjson"


class Row(NamedTuple):
    """One row of a file. `text`: as it goes to the API, "" for a bad one, with why in `error`. `offset`: how far the file was read."""

    line: int
    text: str
    offset: int
    error: dict[str, Any] | None = None


def bad_row(line: int, offset: int, code: str, detail: str, field: str | None = None) -> Row:
    return Row(line, "", offset, {"line": line, "recipient": None, "field": field, "code": code, "detail": detail})


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[BinaryIO]:
    """A file that can be read from any place: what comes through a pipe, or packed, is laid down first."""
    packed = cast("Any", file).peek(2)[:2] == GZIP
    if file.seekable() and not packed:
        yield file
        return
    with tempfile.TemporaryFile() as laid:
        try:
            shutil.copyfileobj(gzip.GzipFile(fileobj=file) if packed else file, laid)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UsageError(f"the file is not whole gzip: {error}") from None
        laid.seek(0)
        yield cast("BinaryIO", laid)


def is_csv(name: str, file: BinaryIO) -> bool:
    """By its name, else by its first byte."""
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    if suffix in (".csv", ".ndjson", ".jsonl", ".json"):
        return suffix == ".csv"
    start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(0)
    return not start.startswith(b"{")


Make = Callable[[int, int, dict[str, Any]], Row]
"""(line, how far the file was read, what the row says) -> the row as it goes to the API."""


def read_rows(
    file: BinaryIO, of_cells: Make, of_object: Make, check: Callable[[Sequence[str]], None], *, csv_file: bool
) -> Iterator[Row]:  # fmt: skip
    """The rows of a file: CSV, whose empty cells say nothing (`check`: its columns), or NDJSON. UsageError for what is no CSV."""
    from daemon.intake.parse import BodyError
    from daemon.intake.parse_csv import Column, CsvHead, CsvReader, read_csv_names

    if not csv_file:
        yield from read_lines(file, of_object)
        return
    try:
        found = read_csv_names(file)
    except BodyError as error:
        raise _broken(error) from None
    if found is None:
        return
    check(found.names)
    if twice := sorted({name for name in found.names if found.names.count(name) > 1}):
        raise UsageError(f'the column "{screen.clean(twice[0])}" stands twice')
    head = CsvHead(tuple(Column("", name) for name in found.names), found.delimiter, found.offset, found.line)
    yield from rows_of(CsvReader(file, head, head.offset, head.line), of_cells)


def read_lines(file: BinaryIO, make: Make) -> Iterator[Row]:
    """The rows of NDJSON."""
    from daemon.intake.parse import BodyError, skip_bom
    from daemon.intake.parse_ndjson import NdjsonReader

    try:
        lines: NdjsonReader[Item] = NdjsonReader(file, skip_bom(file), 0)
    except BodyError as error:
        raise _broken(error) from None
    yield from rows_of(lines, make)


def rows_of(reader: Reader[Item], make: Make) -> Iterator[Row]:
    """What a reader of bodies finds, as rows. One at a time: what stands before the place at which a file breaks off is taken."""
    from daemon.intake.parse import BodyError

    try:
        while items := reader.read(1):
            for item in items:
                bad = item.value is None
                yield bad_row(item.line, reader.offset, item.code, item.detail) if bad else make(item.line, reader.offset, item.value or {})
    except BodyError as error:
        raise _broken(error) from None


def _broken(error: BodyError) -> UsageError:
    return UsageError(f"line {error.line}: {error} ({error.code}); what stood before it was taken")


def import_rows(cli: Cli, rows: Iterator[Row], size: int | None, path: str, *, batch: bool) -> dict[str, Any]:
    """Send all. The sums of the answers: rows, kept, known, rejected, errors (the first of them). `batch`: as messages of events, else as
    lines."""
    total: dict[str, Any] = {"rows": 0, "kept": 0, "known": 0, "rejected": 0, "errors": [], "errors_omitted": 0}

    async def work(api: Api) -> None:
        reached = 0
        with Progress(cli, "importing", size) as progress:
            for piece in _pieces(rows):
                good = [row for row in piece if row.error is None]
                found = await _send(api, path, good, batch=batch) if good else {}
                errors = [row.error for row in piece if row.error is not None]
                errors += [{**error, "line": good[error["line"] - 1].line} for error in found.get("errors", ())]
                total["rows"] += len(piece)
                total["rejected"] += len(piece) - len(good) + found.get("rejected", 0)
                for name in ("kept", "known"):
                    total[name] += found.get(name, 0)
                errors.sort(key=lambda error: error["line"])
                total["errors"] += errors[: SHOWN - len(total["errors"])]
                progress.advance(piece[-1].offset - reached)
                reached = piece[-1].offset

    with_api(cli, work)
    total["errors_omitted"] = max(0, total["rejected"] - len({error["line"] for error in total["errors"]}))
    return total


async def _send(api: Api, path: str, rows: list[Row], *, batch: bool) -> dict[str, Any]:
    texts = [row.text for row in rows]
    data = '{"batch":[' + ",".join(texts) + "]}" if batch else "\n".join(texts)
    found: dict[str, Any] = await api.call("POST", path, data=data.encode(), media="application/json" if batch else LINES)
    return found


def _pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Some rows at a time; also those before the one at which the file breaks off."""
    piece: list[Row] = []
    size = 0
    try:
        for row in rows:
            length = len(row.text.encode()) + 1
            if piece and (len(piece) >= MOST_ROWS or size + length > MOST_BYTES):
                yield piece
                piece, size = [], 0
            piece.append(row)
            size += length
    except UsageError:
        if piece:
            yield piece
        raise
    if piece:
        yield piece


def show_total(total: dict[str, Any]) -> None:
    """For eyes."""
    known = f", {total['known']} were there" if total["known"] else ""
    screen.say(f"{screen.number(total['rows'], 'row')}: {total['kept']} taken{known}, {total['rejected']} rejected")
    for error in total["errors"]:
        who = f" ({error['recipient']})" if error.get("recipient") else ""
        named = error.get("field") or (error.get("pointer") or "").removeprefix("/")
        field = f"{named}: " if named else ""
        screen.say(screen.clean(f"  line {error['line']}{who}: {field}{error['detail']} [{error['code']}]"))
    if total["errors_omitted"]:
        screen.say(f"  and {total['errors_omitted']} more")
