"""The disk of a rehearsal: what the state folder has of keys and of jobs under way can be read, and whatever is written stays in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from daemon.simulate.disk import SimDisk, SimFile


class OverlayDisk(SimDisk):
    """`shown`: real files, and folders with the files in them, that are there to be read. Everything else of the machine is not there."""

    def __init__(self, seed: int, *, shown: tuple[Path, ...]) -> None:
        super().__init__(seed)
        self._shown = shown
        self._gone: set[Path] = set()

    def _real(self, path: Path) -> bool:
        """The path is a file of the machine that nobody has changed here."""
        named = path in self._shown or path.parent in self._shown
        return named and path not in self._gone and not super().exists(path) and path.is_file()

    def open_regular(self, path: Path) -> BinaryIO:
        return path.open("rb") if self._real(path) else super().open_regular(path)

    def append(self, path: Path, *, mode: int = 0o600) -> SimFile:
        self._take_in(path)
        return super().append(path, mode=mode)

    def rename(self, source: Path, target: Path) -> None:
        self._take_in(source)
        self._gone.add(target)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._gone.add(path)
        super().remove(path)

    def names(self, folder: Path) -> list[str]:
        real = [name for name in os.listdir(folder) if self._real(folder / name)] if folder in self._shown and folder.is_dir() else []  # noqa: PTH208
        return sorted({*super().names(folder), *real})

    def exists(self, path: Path) -> bool:
        return super().exists(path) or self._real(path)

    def status(self, path: Path) -> os.stat_result:
        return path.stat() if self._real(path) else super().status(path)

    def status_of(self, file: BinaryIO) -> os.stat_result:
        try:
            return super().status_of(file)
        except TypeError:
            return os.fstat(file.fileno())

    def _take_in(self, path: Path) -> None:
        """A real file that is about to be changed: from here on it is one in memory."""
        if self._real(path):
            content = path.read_bytes()
            with self.create(path) as copy:
                copy.write(content)
