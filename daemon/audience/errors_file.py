"""AUDIENCE, the errors file of a job: what was wrong with its rows, each on disk before the batch that it belongs to is committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from daemon.disk import Disk, DiskFile
from daemon.model.job import RowError
from daemon.store.receipts import error_json


class Errors:
    """The errors file of a job: cut back to what was committed, then appended to before each commit."""

    def __init__(self, disk: Disk, path: Path, committed: int) -> None:
        self._disk, self._path = disk, path
        self._file: DiskFile | None = None
        if committed or disk.exists(path):
            self._cut(committed)

    def _cut(self, committed: int) -> None:
        """Keep the first `committed` lines: the others belong to a chunk that was never committed."""
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        self._disk.remove(temporary)
        with self._disk.create(temporary) as copy:
            if self._disk.exists(self._path):
                with self._disk.open_regular(self._path) as file:
                    for line, _ in zip(file, range(committed), strict=False):
                        copy.write(line)
            copy.sync()
        self._disk.rename(temporary, self._path)

    def note(self, errors: Sequence[RowError]) -> None:
        """On disk when it returns. Runs in the writer's thread, inside the transaction."""
        if self._file is None:
            self._file = self._disk.append(self._path)
            self._disk.sync_folder(self._path.parent)  # its name too
        self._file.write("".join(json.dumps(error_json(error), ensure_ascii=False) + "\n" for error in errors).encode("utf-8", "replace"))
        self._file.sync()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
