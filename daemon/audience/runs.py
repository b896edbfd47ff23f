"""AUDIENCE, sorting what does not fit into memory: sorted runs in scratch files, merged as they are read.

Records are bytes that sort by what they begin with. A run is on disk when `spill` returns. The files are this program's own,
written and read by one version of Python; what cannot be read is `LostError`, and the body is read again. Merging is done by
`list.sort`, which finds the sorted stretches by itself: a tenth of the price of `heapq.merge`.
"""

from __future__ import annotations

import marshal
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon.disk import Disk

BATCH = 128
"""Records that are read at once of each run: what bounds the memory of a merge."""
_MAGIC = f"homing run 2 python {sys.version_info[0]}.{sys.version_info[1]}\n".encode()

Record = bytes
_ENDED: list[Record] = []


class LostError(Exception):
    """A scratch file is gone or cannot be read."""


class Runs:
    """The runs of one sort; their names begin with that of `path`, then `kind`."""

    def __init__(self, disk: Disk, path: Path, kind: str) -> None:
        self._disk, self._path, self._kind = disk, path, kind

    def _name(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{self._kind}.{number}")

    def spill(self, number: int, records: list[Record]) -> None:
        """Write run `number` (again); `records` are sorted."""
        path = self._name(number)
        self._disk.make_folder(path.parent)
        self._disk.remove(path)
        with self._disk.create(path) as file:
            file.write(_MAGIC)
            for start in range(0, len(records), BATCH):
                block = marshal.dumps(records[start : start + BATCH])
                file.write(len(block).to_bytes(4) + block)
            file.sync()
        self._disk.sync_folder(path.parent)

    def read(self, number: int) -> Iterator[list[Record]]:
        """The records of a run, BATCH at a time. Opens the file for each batch: any number of runs can be merged."""
        offset = len(_MAGIC)
        while block := self._block(number, offset):
            offset += 4 + len(block)
            try:
                yield marshal.loads(block)  # noqa: S302 - our own file, mode 0600, as private as the store itself
            except (ValueError, EOFError, TypeError) as error:
                raise LostError(f"{self._name(number)}: {error}") from error

    def _block(self, number: int, offset: int) -> bytes:
        try:
            with self._disk.open_regular(self._name(number)) as file:
                if offset == len(_MAGIC) and file.read(len(_MAGIC)) != _MAGIC:
                    raise LostError(f"{self._name(number)} was written by another version")
                file.seek(offset)
                size = int.from_bytes(file.read(4))
                block = file.read(size)
        except FileNotFoundError as error:
            raise LostError(str(error)) from error
        if len(block) < size:
            raise LostError(f"{self._name(number)} is cut off")
        return block

    def merge(self, count: int, rest: list[Record]) -> Iterator[Record]:
        """All records of the first `count` runs and of `rest`, which is sorted, in order."""
        if not count:
            return iter(rest)
        return _merge([*(self.read(number) for number in range(count)), _batches(rest)])

    def remove(self) -> None:
        """All runs of this sort."""
        if not self._disk.exists(self._path.parent):
            return
        for name in self._disk.names(self._path.parent):
            if name.startswith(f"{self._path.name}.{self._kind}."):
                self._disk.remove(self._path.with_name(name))


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    for start in range(0, len(records), BATCH):
        yield list(records[start : start + BATCH])


def _merge(sources: list[Iterator[list[Record]]]) -> Iterator[Record]:
    """In each turn all that is not above the first of the last records in memory: nothing that is still to be read comes before it."""
    heads = [(batch, source) for source in sources if (batch := next(source, _ENDED))]
    while heads:
        bound = min(batch[-1] for batch, _ in heads)
        turn: list[Record] = []
        left: list[tuple[list[Record], Iterator[list[Record]]]] = []
        for batch, source in heads:
            cut = bisect_right(batch, bound)
            turn += batch[:cut]
            rest = batch[cut:] or next(source, _ENDED)
            if rest:
                left.append((rest, source))
        heads = left
        turn.sort()
        yield from turn
