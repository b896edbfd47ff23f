"""AUDIENCE, planning one body: read it, sort its rows by person, hand them out in batches for the store.

The first pass reads and checks; every RUN_ROWS rows become a sorted run on disk, the rest stays in memory. The second pass merges
them. Both can go on after a crash: `Progress` is committed with what it speaks of. Two rows with one recipient, or (marketing)
with one address, are one message: the first line counts. Blocks; runs in an executor.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from daemon.audience.runs import LostError, Record, Runs
from daemon.disk import Disk
from daemon.model.job import RowError
from daemon.store.plan import Batch, Chunk, Reading, Work
from daemon.store.recipients import PlanRow

READ_ROWS = 500
RUN_ROWS = 10_000
PLAN_ROWS = 500


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
        self._kept: list[PlanRow] = []
        self._count = self._rejected = 0
        self._errors: list[RowError] = []
        self._merged: Iterator[Record] = iter(())
        self._doubles, self._firsts = array("q"), array("q")
        self._last = self.progress.cursor
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

    def read_some(self) -> Chunk:
        """A piece of the first pass; look at `full` and at the chunk's `ended` and `broken` after it."""
        chunk = self._rows.read(READ_ROWS)
        self._take(chunk)
        return chunk

    def _take(self, chunk: Chunk) -> bool:
        self._kept += chunk.rows
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
            self._address_runs.spill(old.runs, sorted(self._addresses()))
            new = replace(old, tail=self._end, runs=old.runs + 1)
            self._kept = []
        reading = Reading(
            rows=self._count, rejected=self._rejected, errors=self._errors, offset=self._end[0], line=self._end[1], progress=new.to_json()
        )  # fmt: skip
        self._count, self._rejected, self._errors = 0, 0, []
        self.progress = new
        if ended:
            self._merge()
        return reading

    def _addresses(self) -> Iterator[Record]:
        """(hash, line) of the kept rows."""
        if self._by is None:
            return
        for row in self._kept:
            value = row.email_hash if self._by == "email" else row.phone_hash
            if value is not None:
                yield int.from_bytes(value[:8]) >> 1, row.line

    def _merge(self) -> None:
        """Begin the second pass, behind the cursor."""
        self._errors = []
        pairs: list[tuple[int, int]] = []
        before = first = -1
        for value, line in self._address_runs.merge(self.progress.runs, sorted(self._addresses())):
            if value == before:
                pairs.append((line, first))
            else:
                before, first = value, line
        pairs.sort()
        self._doubles, self._firsts = array("q", (pair[0] for pair in pairs)), array("q", (pair[1] for pair in pairs))
        self._kept.sort()
        self._merged = self._runs.merge(self.progress.runs, self._kept)
        cursor = self.progress.cursor
        if cursor > (0, 0):
            self._merged = (record for record in self._merged if record[:2] > cursor)

    def next_batch(self) -> Batch:
        """The next rows of the second pass."""
        rows: list[PlanRow] = []
        doubles: list[RowError] = []
        last = True
        for record in self._merged:
            row = PlanRow._make(record)
            if row.person == self._last[0]:
                doubles.append(_double(row, "id", f"the same recipient as in line {self._last[1]}"))
            else:
                self._last = row.person, row.line
                if self._doubles and (first := self._first_of(row.line)) is not None:
                    doubles.append(_double(row, self._by or "", f"the same address as in line {first}"))
                else:
                    rows.append(row)
            cursor = row.person, row.line
            if len(rows) + len(doubles) >= PLAN_ROWS:
                last = False
                break
        if rows or doubles:
            self.progress = replace(self.progress, cursor=cursor)
        return Batch(rows=rows, doubles=doubles, progress=self.progress.to_json(), last=last)

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


def _double(row: PlanRow, field: str, detail: str) -> RowError:
    return RowError(line=row.line, recipient=row.key, field=field, code="duplicate_in_file", detail=detail)
