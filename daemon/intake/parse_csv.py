"""INTAKE, reading CSV: a first line of column names (recipient fields, `vars.X`, `traits.X`), then one recipient a record.

Comma, or semicolon or tab if the header has no comma. Quoted cells may go over lines. A record that cannot be read costs
its own line only: reading goes on with the next one. An empty cell is "not named", never "clear it".
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from daemon.errors import nearest
from daemon.intake.parse import MAX_COLUMNS, MAX_HEAD_BYTES, MAX_ROW_BYTES, BodyError, Item, plain, show, skip_bom

FIELDS = ("id", "email", "phone", "zone", "locale", "country")
GROUPS = ("vars", "traits")


class Column(NamedTuple):
    """Where a cell belongs: `group` "" = a field of the recipient, else `vars` or `traits`."""

    group: str
    name: str


class CsvHead(NamedTuple):
    columns: tuple[Column, ...]
    delimiter: str
    offset: int
    line: int


class CsvNames(NamedTuple):
    """The first line that is not empty: the names as they stand; the rows begin at `offset`, behind `line` lines."""

    names: Sequence[str]
    delimiter: str
    offset: int
    line: int


def read_csv_head(file: BinaryIO) -> CsvHead | None:
    """The columns; None = the body is empty. Raises BodyError naming every column that is wrong."""
    found = read_csv_names(file)
    return None if found is None else CsvHead(_columns(found.names, found.line), found.delimiter, found.offset, found.line)


def read_csv_names(file: BinaryIO) -> CsvNames | None:
    """The names of the columns, whatever they are; None = the body is empty. Raises BodyError."""
    offset, line = skip_bom(file), 0
    while raw := file.readline(MAX_HEAD_BYTES + 1):
        line, offset = line + 1, offset + len(raw)
        if len(raw) > MAX_HEAD_BYTES:
            raise BodyError("columns", f"the first line, the column names, is longer than {MAX_HEAD_BYTES} bytes", line)
        if raw.strip():
            return _names(raw, offset, line)
    return None


def _names(raw: bytes, offset: int, line: int) -> CsvNames:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BodyError("encoding", "the column names are not UTF-8", line) from None
    delimiter = next((d for d in ",;\t" if d in text), ",")
    try:
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise BodyError("columns", f"the column names cannot be read: {_told(error)}", line) from None
    return CsvNames(names, delimiter, offset, line)


def _told(error: Exception) -> str:
    """In words of ours where Python's speak to its programmers."""
    return "a carriage return in a cell without quotes: lines end in LF or CRLF" if "new-line character" in str(error) else str(error)


def _columns(names: Sequence[str], line: int) -> tuple[Column, ...]:
    problems: list[str] = []
    if len(names) > MAX_COLUMNS:
        raise BodyError("columns", f"{len(names)} columns; at most {MAX_COLUMNS}", line)
    columns: list[Column] = []
    for position, name in enumerate(names, start=1):
        group, dot, rest = name.partition(".")
        if dot and group in GROUPS and rest:
            columns.append(Column(group, rest))
        elif name in FIELDS:
            columns.append(Column("", name))
        else:
            hint = nearest(name, FIELDS)
            own = f"; for a value of your own write vars.{plain(name, 60)} or traits.{plain(name, 60)}" if name else ""
            problems.append(f"unknown column {show(name)} ({position}.)" + (f'; did you mean "{hint}"?' if hint else own))
    twice = sorted({name for name in names if name and names.count(name) > 1})
    problems += [f"the column {show(name)} stands twice" for name in twice]
    if "id" not in names:
        problems.append('no column "id"')
    if problems:
        raise BodyError("columns", "; ".join(problems[:10]), line)
    return tuple(columns)


class _Broken(Exception):
    """A record that goes on over too many lines."""


class CsvReader:
    """Records from `offset` on."""

    def __init__(self, file: BinaryIO, head: CsvHead, offset: int, line: int) -> None:
        file.seek(offset)
        self._file, self._head = file, head
        self.offset, self.line = offset, line
        self._again: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._size = 0
        self._undecoded = self._suspect = False
        self._new_csv()
        self._fields = [(i, column.name) for i, column in enumerate(head.columns) if not column.group]
        groups = {group: [(i, column.name) for i, column in enumerate(head.columns) if column.group == group] for group in GROUPS}
        self._groups = {group: columns for group, columns in groups.items() if columns}

    def _new_csv(self) -> None:
        self._csv = csv.reader(self, delimiter=self._head.delimiter, strict=True)

    def __iter__(self) -> CsvReader:
        return self

    def __next__(self) -> str:
        """The next line, for the csv module."""
        raw = self._again.popleft() if self._again else self._file.readline(MAX_ROW_BYTES + 1)
        if not raw:
            raise StopIteration
        self._taken.append(raw)
        self._size += len(raw)
        if self._size > MAX_ROW_BYTES:
            raise _Broken
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self._undecoded = True
            return raw.decode(errors="replace")
        self._suspect = self._suspect or not text.rstrip("\r\n").isprintable()
        return text

    def read(self, count: int) -> list[Item]:
        items: list[Item] = []
        while len(items) < count:
            self._taken, self._size, self._undecoded, self._suspect = [], 0, False, False
            line = self.line + 1
            try:
                cells = next(self._csv)
            except StopIteration:
                break
            except (csv.Error, _Broken) as error:
                items.append(self._resume(line, error))
                continue
            self.line += len(self._taken)
            self.offset += self._size
            if item := self._item(line, cells):
                items.append(item)
        return items

    def _item(self, line: int, cells: list[str]) -> Item | None:
        if len(cells) != len(self._head.columns):
            if not cells:
                return None
            if len(cells) < len(self._head.columns) and not self._taken[-1].endswith(b"\n"):
                raise BodyError("cut_off", "the body breaks off in its last line", line)
            return Item(line, None, False, "columns", f"{len(cells)} cells under {len(self._head.columns)} column names")
        if self._undecoded:
            return Item(line, None, False, "encoding", "not UTF-8")
        value: dict[str, object] = {name: cells[i] for i, name in self._fields if cells[i]}
        for group, columns in self._groups.items():
            if found := {name: cells[i] for i, name in columns if cells[i]}:
                value[group] = found
        return Item(line, value, self._suspect or len(self._taken) > 1)

    def _resume(self, line: int, error: Exception) -> Item:
        """Count the record's first line as read, and take the others again as records of their own."""
        taken = self._taken
        ended = not taken[-1].endswith(b"\n") and len(taken[-1]) <= MAX_ROW_BYTES
        if ended and isinstance(error, csv.Error) and "end of data" in str(error):
            raise BodyError("cut_off", "the body breaks off inside a quoted cell", line)
        self.line += 1
        self.offset += len(taken[0])
        self._again.extendleft(reversed(taken[1:]))
        if not taken[0].endswith(b"\n"):
            self._skip_line()
        self._new_csv()
        if len(taken) == 1 and isinstance(error, _Broken):
            return Item(line, None, False, "too_long", f"a row has at most {MAX_ROW_BYTES} bytes")
        detail = "a quoted cell that does not end" if isinstance(error, _Broken) or "end of data" in str(error) else _told(error)
        return Item(line, None, False, "csv", f"not CSV: {detail}")

    def _skip_line(self) -> None:
        while raw := self._again.popleft() if self._again else self._file.readline(MAX_ROW_BYTES):
            self.offset += len(raw)
            if raw.endswith(b"\n"):
                return
