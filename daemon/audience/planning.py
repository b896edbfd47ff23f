"""AUDIENCE, planning one body: read it, sort its rows by person, hand them out in batches for the store.

The first pass reads and checks; every RUN_ROWS rows become a sorted run on disk, the rest stays in memory. The second pass merges
them. Both can go on after a crash: `Progress` is committed with what it speaks of. Two rows with one recipient, or (marketing)
with one address, are one message: the first line counts. Blocks; runs in an executor.

A row that waits is bytes: person and line, by which it sorts, then the rest (a tenth of what it takes as objects).
"""

from __future__ import annotations

import json
import marshal
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from daemon.audience.runs import LostError, Record, Runs
from daemon.disk import Disk
from daemon.model.job import RowError
from daemon.store.plan import Batch, Chunk, Reading, Work
from daemon.store.recipients import PlanRow

READ_ROWS = 1000
PIECE_ROWS = 40
"""Read at a time: some 300 microseconds of Python."""
RUN_ROWS = 20_000
PLAN_ROWS = 1000
"""At most so many rows in one transaction."""
_PERSON, _KEY = 8, 14
"""Where the person ends in a record, and the line behind it."""
_LINE_BITS = 8 * (_KEY - _PERSON)


class Rows(Protocol):
    """The rows of one body."""

    def read(self, count: int) -> Chunk: ...
    def close(self) -> None: ...


class Bodies(Protocol):
    """What expansion needs of intake's files."""

    def open(self, work: Work, offset: int, line: int) -> Rows: ...
    def errors_path(self, key: str) -> Path: ...
    def scratch_path(self, work: Work) -> Path: ...
    def remove(self, work: Work) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where expansion of a body is. `start`: of all rows, `tail`: of those that are in no run yet (offset, line each); `read`:
    the first pass is done; `cursor`: (person, line) of the last row that was planned; `counted`: the last line that is in the
    job's counts already (after a start over)."""

    start: tuple[int, int]
    tail: tuple[int, int]
    runs: int = 0
    read: bool = False
    cursor: tuple[int, int] = (0, 0)
    counted: int = 0

    @classmethod
    def of(cls, work: Work) -> Progress:
        if work.progress is None:
            return cls(start=(work.offset, work.line), tail=(work.offset, work.line))
        plain = json.loads(work.progress)
        places = {key: (plain[key][0], plain[key][1]) for key in ("start", "tail", "cursor")}
        return cls(**places, runs=plain["runs"], read=plain["read"], counted=plain["counted"])

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def over_again(self, line: int) -> Progress:
        """From the beginning of the body, because runs are lost; rows up to `line` are counted, those up to the cursor planned."""
        return Progress(start=self.start, tail=self.start, cursor=self.cursor, counted=max(line, self.counted))


class Planning:
    """One body. `by`: the address of which two rows may not share one, "email" or "phone"; None = they may."""

    def __init__(self, work: Work, bodies: Bodies, disk: Disk, by: str | None) -> None:
        """Raises FileNotFoundError when the body is gone, LostError when its scratch files cannot be read."""
        self.progress = Progress.of(work)
        self.work = work
        self._by = by
        path = bodies.scratch_path(work)
        self._runs, self._address_runs = Runs(disk, path, "rows"), Runs(disk, path, "addresses")
        self._rows = bodies.open(work, *self.progress.tail)
        self._end = self.progress.tail
        self._kept: list[Record] = []
        self._addresses: list[Record] = []
        self._count = self._rejected = 0
        self._errors: list[RowError] = []
        self._merged: Iterator[Record] = iter(())
        self._doubles, self._firsts = array("q"), array("q")
        self._last = _place(*self.progress.cursor)
        self.seen = work.rows
        """Rows of the body that are in the job's counts, or will be with the next report."""
        if self.progress.read:
            try:
                while not self._take(self._rows.read(READ_ROWS)):
                    pass
                self._merge()
            except LostError:
                self._rows.close()
                raise

    def read_some(self, pause: Callable[[], None] = lambda: None) -> Chunk:
        """A piece of the first pass; look at `full` and at the last chunk's `ended` and `broken` after it. `pause()`: every few rows."""
        rows: list[PlanRow] = []
        for _ in range(0, READ_ROWS, PIECE_ROWS):
            pause()
            chunk = self._rows.read(PIECE_ROWS)
            rows += chunk.rows
            if self._count_in(chunk) or chunk.broken is not None:
                break
        self._keep(rows)
        return chunk

    def _take(self, chunk: Chunk) -> bool:
        self._keep(chunk.rows)
        return self._count_in(chunk)

    def _count_in(self, chunk: Chunk) -> bool:
        self._end = (chunk.offset, chunk.line)
        counted = self.progress.counted
        if counted:
            rows = sum(row.line > counted for row in chunk.rows)
            errors = [error for error in chunk.errors if (error.line or 0) > counted]
            rejected = len({error.line for error in errors})
        else:
            rows, errors, rejected = len(chunk.rows), list(chunk.errors), chunk.rejected
        self._errors += errors
        self._count += rows + rejected
        self.seen += rows + rejected
        self._rejected += rejected
        return chunk.ended

    def _keep(self, rows: Sequence[PlanRow]) -> None:
        """Each piece sorted by itself: sorting the whole then only merges, and does not hold the interpreter for long."""
        self._kept += sorted(map(_pack, rows))
        if self._by == "email":
            self._addresses += sorted(row[10][:8] + row[1].to_bytes(6) for row in rows if row[10] is not None)
        elif self._by is not None:
            self._addresses += sorted(row[11][:8] + row[1].to_bytes(6) for row in rows if row[11] is not None)

    @property
    def full(self) -> bool:
        return len(self._kept) >= RUN_ROWS or len(self._errors) >= RUN_ROWS

    def report(self, *, ended: bool) -> Reading:
        """What was read since the last report, to be committed. Before the end, it becomes a run on disk."""
        old = self.progress
        if ended:
            new = replace(old, read=True)
        else:
            self._kept.sort()
            self._runs.spill(old.runs, self._kept)
            self._addresses.sort()
            self._address_runs.spill(old.runs, self._addresses)
            new = replace(old, tail=self._end, runs=old.runs + 1)
            self._kept, self._addresses = [], []
        reading = Reading(
            rows=self._count, rejected=self._rejected, errors=self._errors, offset=self._end[0], line=self._end[1], progress=new.to_json()
        )  # fmt: skip
        self._count, self._rejected, self._errors = 0, 0, []
        self.progress = new
        if ended:
            self._merge()
        return reading

    def _merge(self) -> None:
        """Begin the second pass, behind the cursor."""
        self._errors = []
        self._addresses.sort()
        pairs: list[int] = []
        before = first = b""
        for record in self._address_runs.merge(self.progress.runs, self._addresses):
            if record[:8] == before:
                pairs.append(int.from_bytes(record[8:]) << _LINE_BITS | int.from_bytes(first[8:]))
            else:
                before, first = record[:8], record
        pairs.sort()
        low = (1 << _LINE_BITS) - 1
        self._doubles, self._firsts = array("q", (pair >> _LINE_BITS for pair in pairs)), array("q", (pair & low for pair in pairs))
        self._addresses = []
        self._kept.sort()
        self._merged = self._runs.merge(self.progress.runs, self._kept)
        if self.progress.cursor > (0, 0):
            last = self._last
            self._merged = (record for record in self._merged if record[:_KEY] > last)

    def next_batch(self, stride: int) -> Batch:
        """The next rows of the second pass, at most `stride` and PLAN_ROWS."""
        count = min(stride, PLAN_ROWS)
        rows: list[PlanRow] = []
        doubles: list[RowError] = []
        full = False
        place = last = self._last
        for record in self._merged:
            place = record[:_KEY]
            if place[:_PERSON] == last[:_PERSON]:
                doubles.append(_double(_unpack(record), "id", f"the same recipient as in line {_line(last)}"))
            else:
                last = place
                if self._doubles and (first := self._first_of(_line(record))) is not None:
                    doubles.append(_double(_unpack(record), self._by or "", f"the same address as in line {first}"))
                else:
                    rows.append(_unpack(record))
            full = len(rows) + len(doubles) >= count
            if full:
                break
        self._last = last
        if rows or doubles:
            self.progress = replace(self.progress, cursor=(int.from_bytes(place[:_PERSON]), _line(place)))
        return Batch(rows=rows, doubles=doubles, progress=self.progress.to_json(), last=not full)

    def _first_of(self, line: int) -> int | None:
        """The line that had this line's address before."""
        place = bisect_left(self._doubles, line)
        return self._firsts[place] if place < len(self._doubles) and self._doubles[place] == line else None

    def close(self) -> None:
        self._rows.close()

    def clean(self) -> None:
        """The scratch files are not needed any more."""
        self._runs.remove()
        self._address_runs.remove()


def _place(person: int, line: int) -> bytes:
    return person.to_bytes(_PERSON) + line.to_bytes(_KEY - _PERSON)


def _line(record: Record) -> int:
    return int.from_bytes(record[_PERSON:_KEY])


def _pack(row: PlanRow) -> Record:
    return row[0].to_bytes(8) + row[1].to_bytes(6) + marshal.dumps(row[2:])  # type: ignore[arg-type]  # plain values and dicts of them


def _unpack(record: Record) -> PlanRow:
    """Our own bytes, from memory or from a scratch file of mode 0600."""
    return PlanRow(int.from_bytes(record[:_PERSON]), int.from_bytes(record[_PERSON:_KEY]), *marshal.loads(record[_KEY:]))  # noqa: S302


def _double(row: PlanRow, field: str, detail: str) -> RowError:
    return RowError(line=row.line, recipient=row.key, field=field, code="duplicate_in_file", detail=detail)
