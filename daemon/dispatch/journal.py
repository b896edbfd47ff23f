"""The send journal: ids of what was handed over, in a file outside the database (design: life of a delivery, 9).

Written by the writer's thread after each handover commit and before the grant is answered; synced once a second by the
dispatcher. If the journal is ahead of the database at start, the database is an older copy: sending is held, and the
journal says what was sent since. One text line a commit: `COMMIT INSTANT ID ID ..`; the first line names the installation. After an
operator has accepted a clock that was set back a new file begins with `clock INSTANT`: from there on instants grow again.
"""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from daemon.disk import Disk, DiskFile, SystemDisk
from daemon.errors import HomingError, StoreBrokenError, StoreUnavailableError
from daemon.model.delivery import Instant
from daemon.store.flight import StepDone

ROTATE_BYTES = 64 * 1024 * 1024
KEPT = 16
"""Full files kept beside the current one: about 50 million handovers. A backup older than they reach cannot be accepted."""
NEAR_BYTES = 16 * 1024
MAGIC = "homing-journal"
SET_BACK = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What the journal says: the installation's nonce and the last whole line's commit; None where there is no journal."""

    nonce: str | None
    commit: int
    at: Instant


class Journal:
    """Append-only; one per installation. `open` before use."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path, self._disk = path, disk or SystemDisk()
        self._old = [self._kept(number) for number in range(KEPT, 0, -1)]
        self._file: DiskFile | None = None
        self._size = 0
        self._unsynced = False
        self._broken: StoreBrokenError | None = None
        self._nonce, self._head = "", b""
        self._moving = threading.RLock()
        """Held while files are moved on, and by whoever reads or syncs them in another thread than the writer's."""
        self.newest: Instant | None = None
        """The instant of the last line that this process wrote; None: none yet."""

    def tail(self) -> Tail:
        """Read the nonce and the last complete line. A torn last line is ignored: its grant was never answered. Where a crash fell
        between the renames of a rotation the next file, which is whole already, is the one that counts."""
        path = self.path if self._disk.exists(self.path) else self._next
        try:
            with self._disk.open_regular(path) as file:
                head = file.readline().decode("ascii", "replace").split()
                size = file.seek(0, io.SEEK_END)
                file.seek(max(0, size - 1024 * 1024))
                lines = file.readlines()
        except FileNotFoundError:
            return Tail(nonce=None, commit=0, at=0)
        nonce = head[1] if len(head) >= 2 and head[0] == MAGIC else None
        for line in reversed(lines):
            if parts := _parts(line):
                return Tail(nonce=nonce, commit=parts[0], at=parts[1])
        return Tail(nonce=nonce, commit=int(head[2]) if len(head) >= 3 and head[2].isdigit() else 0, at=0)

    def since(self, commit: int) -> Iterator[dict[int, Instant]]:
        """Delivery -> handover instant, of the lines after commit number `commit`, some thousands at a time."""
        batch: dict[int, Instant] = {}
        for path in self._files():
            with self._disk.open_regular(path) as file:
                for line in file:
                    parts = _parts(line)
                    if not parts or parts[0] <= commit:
                        continue
                    batch |= dict.fromkeys(parts[2:], parts[1])
                    if len(batch) >= 2000:
                        yield batch
                        batch = {}
        if batch:
            yield batch

    def after(self, at: Instant, limit: int) -> list[tuple[Instant, list[int]]]:
        """The lines after an instant, the oldest first, as (instant, deliveries): about `limit` deliveries, of one file. None = no more.

        Found by halving the file, so that it costs the same however long the file is. Instants grow from line to line; commit
        numbers do not, once an operator has accepted an older store.
        """
        with self._moving:
            return self._after(at, limit)

    def _after(self, at: Instant, limit: int) -> list[tuple[Instant, list[int]]]:
        for path in self._era():
            with self._disk.open_regular(path) as file:
                found, count = [], 0
                _seek(file, at)
                for line in file:
                    parts = _parts(line)
                    if parts and parts[1] > at:
                        found.append((parts[1], parts[2:]))
                        count += len(parts) - 2
                        if count >= limit:
                            break
            if found:
                return found
        return []

    def reaches(self, commit: int) -> bool:
        """Everything that was handed over after this commit still stands in the files that are kept."""
        for path in self._files()[:1]:
            with self._disk.open_regular(path) as file:
                head = file.readline().split()
            return len(head) == 3 and head[2].isdigit() and int(head[2]) <= commit
        return True

    def _files(self) -> list[Path]:
        """The files that are there, the oldest first."""
        return [path for path in (*self._old, self.path) if self._disk.exists(path)]

    def _era(self) -> list[Path]:
        """The files since the clock was last accepted after it had been set back, the oldest first: only in these do instants grow."""
        era: list[Path] = []
        for path in reversed(self._files()):
            era.insert(0, path)
            with self._disk.open_regular(path) as file:
                file.readline()
                if file.readline().startswith(SET_BACK.encode()):
                    break
        return era

    def _kept(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    @property
    def _next(self) -> Path:
        """The file that a rotation is about to begin."""
        return self.path.with_name(f"{self.path.name}.next")

    def restart(self, nonce: str, commit: int) -> None:
        """Begin a new file (full, or under a new nonce: an operator accepted the store); the old ones move on: `.1`, `.2`, .."""
        with self._moving:
            self.close()
            self._name(nonce, commit)
            self._move_on(self._rotate)

    def set_back(self, now: Instant) -> None:
        """An operator takes a clock for right that is behind lines of before: in the next file instants are counted from `now` on."""
        with self._moving:
            last = self.tail()
            if last.nonce is None:
                return
            self.close()
            self._name(last.nonce, last.commit)
            self._head += f"{SET_BACK} {now}\n".encode()
            self._move_on(self._rotate)
            self.newest = None

    def _rotate(self) -> None:
        """Each step may be the last: the new file is whole before the old one loses its name."""
        with self._moving:
            if self._disk.exists(self.path):
                self._disk.write_atomic(self._next, self._head)
                for number in range(KEPT - 1, 0, -1):
                    if self._disk.exists(self._kept(number)):
                        self._disk.rename(self._kept(number), self._kept(number + 1))
                self._disk.rename(self.path, self._kept(1))
            self._begin()

    def open(self, nonce: str, commit: int) -> None:
        """Open for appending; a new file starts with the installation's nonce and the last known commit."""
        self._name(nonce, commit)
        self._move_on(self._begin)
        self._disk.remove(self._next)  # of a rotation that had only begun

    def _name(self, nonce: str, commit: int) -> None:
        self._nonce, self._head = nonce, f"{MAGIC} {nonce} {commit}\n".encode()

    def _begin(self) -> None:
        if not self._disk.exists(self.path):
            if self._disk.exists(self._next):
                self._disk.rename(self._next, self.path)
            else:
                self._disk.write_atomic(self.path, self._head)
        self._file = self._disk.append(self.path)
        self._size = self._disk.status(self.path).st_size
        if self._size and self._last_byte() != b"\n":
            self._write(b" torn\n")  # end the line that a crash cut off, so that nobody reads it as whole

    def _last_byte(self) -> bytes:
        with self._disk.open_regular(self.path) as file:
            file.seek(-1, io.SEEK_END)
            return file.read(1)

    def append(self, done: Sequence[StepDone]) -> None:
        """One line for a committed group of handovers; nothing if none was granted. Raises StoreUnavailableError."""
        granted = [delivery for step in done for delivery in step.granted]
        if not granted:
            return
        if self._file is None and self._head:
            self._move_on(self._rotate)  # there was no room for the next one when the last one was full
        line = f"{done[0].commit} {done[0].at} {' '.join(map(str, granted))}\n"
        self._write((b"" if self._size else self._head) + line.encode("ascii"))
        self._unsynced = True
        self.newest = done[0].at
        if self._size > ROTATE_BYTES:
            self.restart(self._nonce, done[0].commit)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise StoreUnavailableError(f"{self.path}: the send journal is not open")
        if self._broken is not None:
            raise self._broken
        try:
            self._file.write(data)
        except OSError as error:
            self._cut()
            raise self._failed(error) from error
        self._size += len(data)

    def _cut(self) -> None:
        """A half line would swallow the next one."""
        try:
            if self._file is not None:
                self._file.cut(self._size)
        except OSError as error:
            what = f"{self.path}: the send journal ends in half a line that cannot be cut off: {error.strerror}; see to its disk"
            self._broken = StoreBrokenError(what)
            raise self._broken from error

    def _failed(self, error: OSError) -> HomingError:
        """A full disk passes; anything else is a broken one."""
        what = f"{self.path}: the send journal could not be written: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StoreUnavailableError(f"{what}; make room on its disk")
        return StoreBrokenError(f"{what}; see to its disk")

    def _move_on(self, move: Callable[[], None]) -> None:
        try:
            move()
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """On disk, if anything was written since the last time."""
        with self._moving:
            if self._file is not None and self._unsynced and self._broken is None:
                self._unsynced = False
                try:
                    self._file.sync()
                except OSError as error:  # never asked again: the kernel may have forgotten what it could not write
                    what = f"{self.path}: the send journal could not be synced: {error.strerror}; see to its disk"
                    self._broken = StoreBrokenError(what)
                    raise self._broken from error

    def close(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None
        self._head = b""


def _parts(line: bytes) -> list[int]:
    """Commit, instant and deliveries of a whole line; nothing of any other."""
    parts = line.split()
    if len(parts) < 3 or not line.endswith(b"\n") or not b"".join(parts).isdigit():
        return []
    return list(map(int, parts))


def _seek(file: BinaryIO, at: Instant) -> None:
    """Go to the beginning of a line not far before the first one after `at`."""
    low, high = 0, file.seek(0, io.SEEK_END)
    while high - low > NEAR_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        start, parts = file.tell(), _parts(file.readline())
        while not parts and file.tell() < high:
            start, parts = file.tell(), _parts(file.readline())
        if start < high and parts and parts[1] <= at:
            low = start
        else:
            high = middle
    file.seek(low)
