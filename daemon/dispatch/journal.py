"""The send journal: ids of what was handed over, in a file outside the database (design: life of a delivery, 9).

Written by the writer's thread after each handover commit and before the grant is answered; synced once a second by the
dispatcher. If the journal is ahead of the database at start, the database is an older copy: sending is held, and the
journal says what was sent since. One text line a commit: `COMMIT INSTANT ID ID ..`; the first line names the installation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import StoreUnavailableError
from daemon.model.delivery import Instant
from daemon.store.flight import StepDone

ROTATE_BYTES = 64 * 1024 * 1024
KEPT = 16
"""Full files kept beside the current one: about 50 million handovers. A backup older than they reach cannot be accepted."""
MAGIC = "homing-journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What the journal says: the installation's nonce and the last whole line's commit; None where there is no journal."""

    nonce: str | None
    commit: int
    at: Instant


class Journal:
    """Append-only; one per installation. `open` before use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._size = 0
        self._unsynced = False
        self._nonce = ""

    def tail(self) -> Tail:
        """Read the nonce and the last complete line. A torn last line is ignored: its grant was never answered."""
        try:
            with self.path.open("rb") as file:
                head = file.readline().decode("ascii", "replace").split()
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1024 * 1024))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return Tail(nonce=None, commit=0, at=0)
        nonce = head[1] if len(head) >= 2 and head[0] == MAGIC else None
        for line in reversed(lines):
            parts = line.split()
            if len(parts) >= 3 and all(part.isdigit() for part in parts):
                return Tail(nonce=nonce, commit=int(parts[0]), at=int(parts[1]))
        return Tail(nonce=nonce, commit=int(head[2]) if len(head) >= 3 and head[2].isdigit() else 0, at=0)

    def since(self, commit: int) -> Iterator[dict[int, Instant]]:
        """Delivery -> handover instant, of the lines after commit number `commit`, some thousands at a time."""
        batch: dict[int, Instant] = {}
        for path in self._files():
            with path.open("rb") as file:
                for line in file:
                    parts = line.split()
                    if len(parts) < 3 or not line.endswith(b"\n") or not all(part.isdigit() for part in parts) or int(parts[0]) <= commit:
                        continue
                    batch |= dict.fromkeys(map(int, parts[2:]), int(parts[1]))
                    if len(batch) >= 2000:
                        yield batch
                        batch = {}
        if batch:
            yield batch

    def reaches(self, commit: int) -> bool:
        """Everything that was handed over after this commit still stands in the files that are kept."""
        for path in self._files()[:1]:
            with path.open("rb") as file:
                head = file.readline().split()
            return len(head) == 3 and head[2].isdigit() and int(head[2]) <= commit
        return True

    def _files(self) -> list[Path]:
        """The files that are there, the oldest first."""
        files = [*(self._kept(number) for number in range(KEPT, 0, -1)), self.path]
        return [path for path in files if path.exists()]

    def _kept(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def restart(self, nonce: str, commit: int) -> None:
        """Begin a new file (full, or under a new nonce: an operator accepted the store); the old ones move on: `.1`, `.2`, .."""
        self.close()
        for number in range(KEPT - 1, 0, -1):
            if self._kept(number).exists():
                os.replace(self._kept(number), self._kept(number + 1))
        if self.path.exists():
            os.replace(self.path, self._kept(1))
        self.open(nonce, commit)

    def open(self, nonce: str, commit: int) -> None:
        """Open for appending; a new file starts with the installation's nonce and the last known commit."""
        self._nonce = nonce
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._size = os.fstat(self._fd).st_size
        if self._size == 0:
            self._write(f"{MAGIC} {nonce} {commit}\n".encode())
            os.fsync(self._fd)
        elif os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._write(b" torn\n")  # end the line that a crash cut off, so that nobody reads it as whole

    def append(self, done: Sequence[StepDone]) -> None:
        """One line for a committed group of handovers; nothing if none was granted. Raises StoreUnavailableError."""
        granted = [delivery for step in done for delivery in step.granted]
        if not granted:
            return
        line = f"{done[0].commit} {done[0].at} {' '.join(map(str, granted))}\n"
        self._write(line.encode("ascii"))
        self._unsynced = True
        if self._size > ROTATE_BYTES:
            self._rotate(done[0].commit)

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            raise StoreUnavailableError(f"{self.path}: the send journal is not open")
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                os.ftruncate(self._fd, self._size)  # a half line would swallow the next one
        except OSError as error:
            raise StoreUnavailableError(f"{self.path}: the send journal could not be written: {error.strerror}") from error
        if written != len(data):
            raise StoreUnavailableError(f"{self.path}: the send journal could not be written (disk full?)")
        self._size += written

    def _rotate(self, commit: int) -> None:
        self.restart(self._nonce, commit)

    def sync(self) -> None:
        """fdatasync if anything was written since the last one."""
        if self._fd is not None and self._unsynced:
            self._unsynced = False
            os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            self.sync()
            os.close(self._fd)
            self._fd = None
