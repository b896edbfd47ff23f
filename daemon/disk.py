"""GROUND, a port: files that must survive. A write is on disk when `sync` returned; a name is on disk when its folder was synced.

The functions that change names (`write_atomic`, `rename`, `remove`, `make_folder`) sync the folders themselves. Opening never
follows a symlink in the last place and never waits on a pipe. All calls block: go through an executor when the file may be
large or the disk slow. `daemon/simulate/disk.py` has the one that forgets what was not synced.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self


class DiskFile(Protocol):
    """A file open for writing at its end."""

    def write(self, data: bytes) -> None:
        """All of it, or OSError."""
        ...

    def sync(self) -> None:
        """All that was written is on disk when this returns."""
        ...

    def cut(self, size: int) -> None:
        """Only the first `size` bytes stay."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Disk(Protocol):
    """A file system that tells when things are safe. OSError as the system gives it."""

    def create(self, path: Path, *, mode: int = 0o600) -> DiskFile:
        """A new file; FileExistsError if the name is taken. Its name is safe after `sync_folder`."""
        ...

    def append(self, path: Path, *, mode: int = 0o600) -> DiskFile:
        """The file, made if it is absent, to be written at its end."""
        ...

    def open_regular(self, path: Path) -> BinaryIO:
        """A regular file for reading; OSError(ELOOP) for a symlink, OSError(EINVAL) for what is no regular file."""
        ...

    def allocate(self, path: Path, size: int, *, mode: int = 0o600) -> None:
        """The file is there and takes up so much room; what is in it does not matter. OSError(ENOSPC) when there is not so much."""
        ...

    def write_atomic(self, path: Path, data: bytes, *, mode: int = 0o600) -> None:
        """The file has either its old or its new content, whatever happens, and the new one when this returns."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Replaces `target`; both folders are synced."""
        ...

    def remove(self, path: Path) -> None:
        """Gone for good when this returns; not being there is no error."""
        ...

    def make_folder(self, path: Path, *, mode: int = 0o700) -> None:
        """With those above it; being there is no error, and then its mode is left."""
        ...

    def names(self, folder: Path) -> list[str]:
        """What is in it, sorted."""
        ...

    def exists(self, path: Path) -> bool:
        """Something has this name, be it a link to nowhere."""
        ...

    def status(self, path: Path) -> os.stat_result:
        """As `lstat`. FileNotFoundError."""
        ...

    def status_of(self, file: BinaryIO) -> os.stat_result:
        """As `fstat`, of a file from `open_regular`."""
        ...

    def set_mode(self, path: Path, mode: int, group: int | None = None) -> None:
        """Who may do what with it; `group`: its group's number, None = as it is."""
        ...

    def sync_folder(self, folder: Path) -> None: ...

    def free(self, path: Path) -> int:
        """Bytes that may still be written there."""
        ...


class SystemFile:
    """A file descriptor; writes are not buffered here."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class SystemDisk:
    """The machine's own file system (POSIX, local: NFS gives no such promises)."""

    __slots__ = ()

    def create(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        return SystemFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode))

    def append(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        return SystemFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, mode))

    def open_regular(self, path: Path) -> BinaryIO:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return os.fdopen(descriptor, "rb")

    def allocate(self, path: Path, size: int, *, mode: int = 0o600) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)

    def write_atomic(self, path: Path, data: bytes, *, mode: int = 0o600) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)  # left by a crash; one process writes here
        try:
            with self.create(temporary, mode=mode) as file:
                file.write(data)
                file.sync()
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self.sync_folder(path.parent)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)
        self.sync_folder(target.parent)
        if source.parent != target.parent:
            self.sync_folder(source.parent)

    def remove(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            return
        self.sync_folder(path.parent)

    def make_folder(self, path: Path, *, mode: int = 0o700) -> None:
        if path.is_dir():
            return
        if path.parent != path:
            self.make_folder(path.parent, mode=mode)
        path.mkdir(mode=mode, exist_ok=True)
        self.sync_folder(path.parent)

    def names(self, folder: Path) -> list[str]:
        return sorted(entry.name for entry in folder.iterdir())

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def status(self, path: Path) -> os.stat_result:
        return path.lstat()

    def status_of(self, file: BinaryIO) -> os.stat_result:
        return os.fstat(file.fileno())

    def set_mode(self, path: Path, mode: int, group: int | None = None) -> None:
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free(self, path: Path) -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize
