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

BLOCK = 16
"""Records of a block: what a file is read by."""
LEAST_BLOCKS, MOST_BLOCKS, ALL_BLOCKS = 2, 8, 512
"""Blocks that are read at once of each run, by how many runs there are: what bounds the memory of a merge."""
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
            for start in range(0, len(records), BLOCK * MOST_BLOCKS):
                some = [records[at : at + BLOCK] for at in range(start, min(start + BLOCK * MOST_BLOCKS, len(records)), BLOCK)]
                file.write(b"".join(len(block).to_bytes(4) + block for block in map(marshal.dumps, some)))
            file.sync()
        self._disk.sync_folder(path.parent)

    def read(self, number: int, blocks: int) -> Iterator[list[Record]]:
        """The records of a run, so many blocks at a time. Opens the file each time: any number of runs can be merged."""
        offset = len(_MAGIC)
        while found := self._blocks(number, offset, blocks):
            offset += sum(4 + len(block) for block in found)
            try:
                yield [record for block in found for record in marshal.loads(block)]  # noqa: S302 - our own file, as private as the store
            except (ValueError, EOFError, TypeError) as error:
                raise LostError(f"{self._name(number)}: {error}") from error

    def _blocks(self, number: int, offset: int, most: int) -> list[bytes]:
        found: list[bytes] = []
        try:
            with self._disk.open_regular(self._name(number)) as file:
                if offset == len(_MAGIC) and file.read(len(_MAGIC)) != _MAGIC:
                    raise LostError(f"{self._name(number)} was written by another version")
                file.seek(offset)
                while len(found) < most and (head := file.read(4)):
                    size = int.from_bytes(head)
                    found.append(file.read(size))
                    if len(found[-1]) < size:
                        raise LostError(f"{self._name(number)} is cut off")
        except FileNotFoundError as error:
            raise LostError(str(error)) from error
        return found

    def merge(self, count: int, rest: list[Record]) -> Iterator[Record]:
        """All records of the first `count` runs and of `rest`, which is sorted, in order."""
        if not count:
            return iter(rest)
        blocks = max(LEAST_BLOCKS, min(MOST_BLOCKS, ALL_BLOCKS // count))
        return _merge([*(self.read(number, blocks) for number in range(count)), _batches(rest)])

    def remove(self) -> None:
        """All runs of this sort."""
        if not self._disk.exists(self._path.parent):
            return
        for name in self._disk.names(self._path.parent):
            if name.startswith(f"{self._path.name}.{self._kind}."):
                self._disk.remove(self._path.with_name(name))


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    for start in range(0, len(records), BLOCK * MOST_BLOCKS):
        yield list(records[start : start + BLOCK * MOST_BLOCKS])


class _Head:
    """What is in memory of one source: `batch` from `at` on."""

    __slots__ = ("at", "batch", "source")

    def __init__(self, batch: list[Record], source: Iterator[list[Record]]) -> None:
        self.batch, self.at, self.source = batch, 0, source


def _merge(sources: list[Iterator[list[Record]]]) -> Iterator[Record]:
    """In each turn all that is not above the first of the last records in memory: nothing that is still to be read comes before it."""
    heads = [_Head(batch, source) for source in sources if (batch := next(source, _ENDED))]
    while heads:
        bound = min(head.batch[-1] for head in heads)
        turn: list[Record] = []
        ended = False
        for head in heads:
            batch, at = head.batch, head.at
            if batch[at] > bound:
                continue
            cut = bisect_right(batch, bound, at)
            turn += batch[at:cut]
            head.at = cut
            if cut == len(batch):
                head.batch, head.at = next(head.source, _ENDED), 0
                ended = ended or not head.batch
        if ended:
            heads = [head for head in heads if head.batch]
        turn.sort()
        yield from turn
