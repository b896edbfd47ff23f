"""FLOOR 7, simulate: a disk in memory that forgets at a crash what was not synced: bytes, names, renames and removals.

What a real disk may do, this one does by the seed: of unsynced bytes a part may survive (a torn write), of unsynced names in a
folder each may. It can also be full, or fail. Fulfils `daemon.disk.Disk`; paths are names only, modes and owners are not kept.
"""

from __future__ import annotations

import errno
import io
import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


@dataclass(slots=True, eq=False)
class _Node:
    """A file: what a reader sees now, and how much of it would survive a crash."""

    number: int
    modified: float
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    room: int = 0
    """Allocated behind the content; it takes up room and nobody reads it."""


@dataclass(slots=True, eq=False)
class _Folder:
    names: dict[str, _Node] = field(default_factory=dict)
    durable: dict[str, _Node] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    """The names of the folders in it."""


class SimFile:
    """A file of a `SimDisk`, open for writing at its end."""

    def __init__(self, disk: SimDisk, node: _Node) -> None:
        self._disk = disk
        self._node: _Node | None = node
        self._life = disk.life

    def write(self, data: bytes) -> None:
        self._disk.take(len(data))
        node = self._open()
        node.content += data
        node.modified = self._disk.seconds()

    def sync(self) -> None:
        self._disk.check()
        node = self._open()
        node.durable = bytes(node.content)

    def cut(self, size: int) -> None:
        self._disk.check()
        del self._open().content[size:]

    def close(self) -> None:
        self._node = None

    def _open(self) -> _Node:
        if self._node is None or self._life != self._disk.life:
            raise OSError(errno.EBADF, "the file is closed, or the machine went down since it was opened")
        return self._node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Reading(io.BytesIO):
    """A file that is being read, as it was when it was opened."""

    def __init__(self, node: _Node) -> None:
        super().__init__(bytes(node.content))
        self.node = node


class SimDisk:
    """`capacity`: bytes until ENOSPC; `left`: how many are left now. `failing`: set it, and every write and sync is an EIO.
    `seconds`: the wall clock, for the times of files."""

    def __init__(self, seed: int, *, capacity: int = 1 << 40, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.seconds = seconds
        self._made = 0
        self._rng = random.Random(f"disk {seed}")
        self._folders: dict[Path, _Folder] = {Path("/"): _Folder()}
        self._places: dict[Path, tuple[_Folder, str]] = {}
        """Path -> (its folder, its name): the same few are asked for again and again."""
        self.left = capacity
        self.failing = False
        self.life = 0

    def crash(self) -> None:
        """Power is lost and comes back. Open files are gone; what was not synced is lost, wholly or in part, as the seed says."""
        self.life += 1
        for path in sorted(self._folders):
            folder = self._folders[path]
            for name in sorted(folder.names.keys() | folder.durable.keys()):
                if folder.names.get(name) is not folder.durable.get(name) and self._rng.random() < 0.5:
                    _put(folder.durable, name, folder.names.get(name))
            folder.names = dict(folder.durable)
        for node in self._nodes():
            unsynced = bytes(node.content[len(node.durable) :]) if node.content.startswith(node.durable) else b""
            node.durable += unsynced[: self._rng.randint(0, len(unsynced))]
            node.content = bytearray(node.durable)

    def die(self) -> None:
        """The process that has files open ends (kill -9): its handles are gone, what it wrote stays."""
        self.life += 1

    # --- the port -------------------------------------------------------------------------------------------------------------

    def create(self, path: Path, *, mode: int = 0o600) -> SimFile:
        self.check()
        folder = self._folder(path.parent)
        if path.name in folder.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        self._made += 1
        folder.names[path.name] = node = _Node(self._made, self.seconds())
        return SimFile(self, node)

    def append(self, path: Path, *, mode: int = 0o600) -> SimFile:
        node = self._folder(path.parent).names.get(path.name)
        return SimFile(self, node) if node is not None else self.create(path, mode=mode)

    def open_regular(self, path: Path) -> BinaryIO:
        if path in self._folders:
            raise OSError(errno.EINVAL, "no regular file", str(path))
        node = self._folder(path.parent).names.get(path.name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "absent", str(path))
        return _Reading(node)

    def allocate(self, path: Path, size: int, *, mode: int = 0o600) -> None:
        self.append(path, mode=mode).close()
        node = self._folder(path.parent).names[path.name]
        self.take(max(size - len(node.content) - node.room, 0))
        node.room = max(size - len(node.content), node.room)

    def write_atomic(self, path: Path, data: bytes, *, mode: int = 0o600) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        self._folder(path.parent).names.pop(temporary.name, None)
        with self.create(temporary, mode=mode) as file:
            file.write(data)
            file.sync()
        self.rename(temporary, path)

    def rename(self, source: Path, target: Path) -> None:
        self.check()
        names = self._folder(source.parent).names
        if source.name not in names:
            raise FileNotFoundError(errno.ENOENT, "absent", str(source))
        self._folder(target.parent).names[target.name] = names.pop(source.name)
        self.sync_folder(target.parent)
        self.sync_folder(source.parent)

    def remove(self, path: Path) -> None:
        self.check()
        if (node := self._folder(path.parent).names.pop(path.name, None)) is not None:
            self.left += len(node.content) + node.room
            self.sync_folder(path.parent)

    def make_folder(self, path: Path, *, mode: int = 0o700) -> None:
        if path in self._folders:
            return
        for folder in reversed((path, *path.parents)):
            if folder not in self._folders:
                self._folders[folder] = _Folder()
                self._folders[folder.parent].inner.add(folder.name)

    def names(self, folder: Path) -> list[str]:
        found = self._folder(folder)
        return sorted(found.names.keys() | found.inner)

    def exists(self, path: Path) -> bool:
        if (place := self._places.get(path)) is None:
            if (folder := self._folders.get(path.parent)) is None:
                return path in self._folders
            place = self._places[path] = folder, path.name
        folder, name = place
        return name in folder.names or name in folder.inner

    def status(self, path: Path) -> os.stat_result:
        if path in self._folders:
            return os.stat_result((stat.S_IFDIR | 0o2770, 0, 0, 2, os.geteuid(), 0, 0, 0, 0, 0))
        node = self._folder(path.parent).names.get(path.name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "absent", str(path))
        return _status(node)

    def status_of(self, file: BinaryIO) -> os.stat_result:
        if not isinstance(file, _Reading):
            raise TypeError("no file of a SimDisk")
        return _status(file.node)

    def set_mode(self, path: Path, mode: int, group: int | None = None) -> None:
        """Modes are not kept."""

    def sync_folder(self, folder: Path) -> None:
        self.check()
        node = self._folder(folder)
        node.durable = dict(node.names)

    def free(self, path: Path) -> int:
        return self.left

    # --- inside ---------------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """OSError while the disk fails."""
        if self.failing:
            raise OSError(errno.EIO, "the disk fails")

    def take(self, count: int) -> None:
        """Use up room, or ENOSPC."""
        self.check()
        if count > self.left:
            raise OSError(errno.ENOSPC, "no space left")
        self.left -= count

    def _folder(self, path: Path) -> _Folder:
        found = self._folders.get(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return found

    def _nodes(self) -> list[_Node]:
        """Each file once, in an order that is the same in every run."""
        found: dict[int, _Node] = {}
        for path in sorted(self._folders):
            for _, node in sorted(self._folders[path].names.items(), key=lambda item: item[0]):
                found.setdefault(id(node), node)
        return list(found.values())


def _status(node: _Node) -> os.stat_result:
    at = node.modified
    return os.stat_result((stat.S_IFREG | 0o600, node.number, 0, 1, os.geteuid(), 0, len(node.content) + node.room, at, at, at))


def _put(names: dict[str, _Node], name: str, node: _Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node
