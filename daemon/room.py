"""GROUND: room on the disks that the daemon writes to, and the ballast that lets it end cleanly when there is none (F22).

Below the reserve nothing new is claimed, expanded or taken in; above twice the reserve it goes on by itself. The ballast is a
file beside the store that only takes up room: when the store reports a full disk it is given up, so that what is on its way can
still be recorded. `look` blocks (call it beside the loop), `give_up` and `refused` are called by the store's writer.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Sequence
from pathlib import Path

from daemon.disk import Disk

RESERVE_BYTES = 64 * 1024 * 1024
BALLAST_BYTES = 16 * 1024 * 1024
BALLAST = "ballast"
PROBE = "probe"
PROBE_BYTES = 64 * 1024
MIB = 1024 * 1024


class Room:
    """`folders`: where the store, the state and the journal lie; the ballast is in the first. `scarce`: why nothing new is begun."""

    def __init__(self, disk: Disk, folders: Sequence[Path], *, reserve: int = RESERVE_BYTES, ballast: int = BALLAST_BYTES) -> None:
        self._disk, self._folders, self._reserve, self._size = disk, tuple(dict.fromkeys(folders)), reserve, ballast
        self._path = self._folders[0] / BALLAST
        self._lock = threading.Lock()
        self._loaded = False
        self.scarce: str | None = None
        self.free: int | None = None

    def look(self, *, load: bool = True) -> None:
        """Look at the disks; begin or end `scarce`; make the ballast again when there is room. `load` False: leave that for later."""
        try:
            rooms = {folder: self._disk.free(folder) for folder in self._folders}
        except OSError as error:
            self.free = None
            self.scarce = f"{error.filename} cannot be looked at ({error.strerror}): nothing new is begun until it can"
            return
        folder = min(rooms, key=rooms.__getitem__)
        self.free = rooms[folder]
        if self.free < self._reserve:
            self.scarce = self._words(folder)
        elif self.scarce is not None and self.free >= 2 * self._reserve:
            self.scarce = None
        if load and self.scarce is None and not self._loaded and rooms[self._folders[0]] >= self._reserve + self._size:
            self._load()

    def _words(self, folder: Path) -> str:
        least, again = self._reserve // MIB, 2 * self._reserve // MIB
        return f"the disk of {folder} has less than {least} MiB left: nothing new is begun until {again} MiB are free"

    def _load(self) -> None:
        with self._lock:
            try:
                self._disk.allocate(self._path, self._size)
            except OSError:
                self._disk.remove(self._path)
                return
            self._loaded = True

    def give_up(self) -> bool:
        """The store found its disk full. True: the ballast was there and is gone, so it is worth another try. Raises nothing: the
        store's writer would end of it."""
        with self._lock:
            if self.scarce is None:
                self.scarce = self._words(self._folders[0])
            try:
                was = self._loaded or self._left_behind()
                self._loaded = False
                if was:
                    self._disk.remove(self._path)
            except OSError:
                return False
            return was

    def refused(self) -> bool:
        """The store could not write and does not know why: true when its folder takes no file either, for want of room. A quota shows so:
        the disk has room, but not for us. Raises nothing."""
        path = self._folders[0] / PROBE
        try:
            self._disk.allocate(path, PROBE_BYTES)
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            with contextlib.suppress(OSError):
                self._disk.remove(path)
        return False

    def _left_behind(self) -> bool:
        """A daemon before this one made it: at a start on a full disk it serves this one."""
        return BALLAST in self._disk.names(self._folders[0])
