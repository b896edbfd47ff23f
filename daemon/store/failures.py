"""What a failure of the store's file means: it may pass by itself (full disk, a lock), or file or disk are broken.

Broken is final for this process. After a failed fsync the kernel may forget pages that were never written and call the next
fsync a success, so it is never asked again: the daemon ends (exit code 74), and the next start checks the file before it
sends (facts: reliability, F24, F45). Nothing here writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from daemon.errors import StoreBrokenError, StoreUnavailableError

FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
"""No room. The second: the index of the write-ahead log could not grow, which SQLite calls an I/O error."""
WRITE = "SQLITE_IOERR_WRITE"
"""A write that failed with anything but ENOSPC: a disk quota that is used up looks to SQLite like a broken disk."""
BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
BROKEN = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_READONLY")
"""Beginnings of the names. READONLY: of a file that could be written before; a disk with errors is remounted so."""


def error_name(failure: BaseException) -> str:
    """SQLite's name of the error, whether SQLAlchemy wrapped it or not; empty for what is none of SQLite's."""
    inner = getattr(failure, "orig", None) or failure
    return str(getattr(inner, "sqlite_errorname", None) or "")


def told(failure: BaseException, *, reading: bool = False, full: bool = False) -> BaseException:
    """The failure in words for the operator: StoreUnavailableError, StoreBrokenError; everything else as it is. `full`: for want of
    room, whatever SQLite calls it."""
    name = error_name(failure)
    inner = getattr(failure, "orig", None) or failure
    if full or name in FULL or name in BUSY:
        return StoreUnavailableError(f"the store cannot be written now ({inner}); make room on its disk")
    if name.startswith(BROKEN) and not (reading and name.startswith("SQLITE_READONLY")):
        return broken(f"{inner} ({name})")
    return failure


def broken(what: str) -> StoreBrokenError:
    return StoreBrokenError(
        f"the store is broken: {what}; nothing more is sent. See to the disk; the next start checks the store before it sends"
        " (docs/operations.md)"
    )


class Kept:
    """What may be wrong with a store; every kind of store has it."""

    def __init__(self) -> None:
        self.broken: StoreBrokenError | None = None
        """Why its file is not touched any more: each call gets this error, at once."""
        self.frozen: StoreUnavailableError | None = None
        """Why nothing may be written, though all may be read."""
        self.when_broken: Callable[[], object] = _nothing
        """Called once when it breaks, in whatever thread finds out."""
        self.make_room: Callable[[], bool] = _nothing
        """Called in the writer's thread when the disk is full and what is on its way cannot be recorded; true: try again."""
        self.no_room: Callable[[], bool] = _nothing
        """Called in the writer's thread when a write failed and SQLite does not say why; true: the disk, or a quota on it, is full."""

    def is_full(self, failure: BaseException) -> bool:
        """It failed for want of room, which passes."""
        name = error_name(failure)
        return name in FULL or (name == WRITE and self.no_room())

    def condemn(self, error: StoreBrokenError) -> None:
        """It is not used any more, and the rest of the daemon is told."""
        if self.broken is None:
            self.broken = error
            self.when_broken()

    def check_file(self) -> None:
        """See that the files are still those that were opened."""


def _nothing() -> bool:
    return False


class FileMark:
    """Knows the store's files (database and write-ahead log) again: by device and inode, as they were at the first look."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, Path(f"{path}-wal"))
        self._seen: dict[Path, tuple[int, int]] = {}

    def strange(self) -> str | None:
        """What is wrong with them; None = the same files as ever, or one that was not there before."""
        for path in self._paths:
            before = self._seen.get(path)
            try:
                status = os.stat(path)  # noqa: PTH116 - two looks a second, beside the writer
            except FileNotFoundError:
                if before is not None:
                    return f"{path} was deleted while the daemon runs"
                continue
            except OSError as error:
                return f"{path} cannot be looked at any more: {error.strerror}"
            now = (status.st_dev, status.st_ino)
            if self._seen.setdefault(path, now) != now:
                return f"{path} was replaced by another file while the daemon runs"
        return None
