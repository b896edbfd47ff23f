"""Large files through small requests: rows go to the API in bounded pieces, with a bar on a terminal; bad ones are named by their lines.

What was taken stays taken when a later piece fails: the same file again changes nothing twice.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from daemon.cli import screen
from daemon.cli.client import Api, with_api
from daemon.cli.context import Cli
from daemon.cli.jobs import GZIP, Progress
from daemon.errors import UsageError

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
    file: BinaryIO, of_cells: Make, of_object: Make, check: Callable[[list[str]], None], *, csv_file: bool
) -> Iterator[Row]:  # fmt: skip
    """The rows of a file: CSV, whose empty cells say nothing (`check`: its columns), or NDJSON. UsageError for what is no CSV."""
    return _csv_rows(file, check, of_cells) if csv_file else _json_rows(file, of_object)


def _json_rows(file: BinaryIO, make: Make) -> Iterator[Row]:
    from daemon.intake.parse import MAX_ROW_BYTES, RowJsonError, read_object

    offset = line = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        line, offset = line + 1, offset + len(raw)
        if not raw.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while rest := file.readline(MAX_ROW_BYTES):
                offset += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield bad_row(line, offset, "too_long", f"a row has at most {MAX_ROW_BYTES} bytes")
            continue
        try:
            item = read_object(line, raw.removeprefix(b"\xef\xbb\xbf"))
        except RowJsonError as error:
            yield bad_row(line, offset, error.code, error.detail)
            continue
        yield bad_row(line, offset, item.code, item.detail) if item.value is None else make(line, offset, item.value)


def _csv_rows(file: BinaryIO, check: Callable[[list[str]], None], make: Make) -> Iterator[Row]:
    offset = 0

    def lines() -> Iterator[str]:
        nonlocal offset
        for raw in file:
            offset += len(raw)
            yield raw.decode("utf-8-sig" if offset == len(raw) else "utf-8", "surrogateescape")

    reader = csv.reader(lines())
    try:
        head = [name.strip() for name in next(reader, [])]
        check(head)
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if len(cells) not in (0, len(head)):
                yield bad_row(line, offset, "columns", f"{len(cells)} cells under {len(head)} column names")
            elif any("\udc80" <= char <= "\udcff" for cell in cells for char in cell):
                yield bad_row(line, offset, "encoding", "not UTF-8")
            elif cells:
                yield make(line, offset, {name: cell for name, cell in zip(head, cells, strict=True) if cell})
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num}: not CSV: {error}; what stood before it was taken") from None


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
    piece: list[Row] = []
    size = 0
    for row in rows:
        length = len(row.text.encode()) + 1
        if piece and (len(piece) >= MOST_ROWS or size + length > MOST_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += length
    if piece:
        yield piece


def show_total(total: dict[str, Any]) -> None:
    """For eyes."""
    known = f", {total['known']} were there" if total["known"] else ""
    screen.say(f"{total['rows']} rows: {total['kept']} taken{known}, {total['rejected']} rejected")
    for error in total["errors"]:
        who = f" ({error['recipient']})" if error.get("recipient") else ""
        named = error.get("field") or (error.get("pointer") or "").removeprefix("/")
        field = f"{named}: " if named else ""
        screen.say(screen.clean(f"  line {error['line']}{who}: {field}{error['detail']} [{error['code']}]"))
    if total["errors_omitted"]:
        screen.say(f"  and {total['errors_omitted']} more")
