"""INTAKE, receiving: a body on its way to a file, hashed and, if it is packed, unpacked within limits.

The digest is over the body as it is read later (after unpacking). Nothing counts before `finish` returned: then all bytes are
on disk. Blocks; runs in an executor.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from daemon.disk import Disk
from daemon.errors import IntakeError

MAX_BODY_BYTES = 8 * 1024**3
MAX_RATIO = 200
"""Unpacked to packed, beyond the first FREE_RATIO_BYTES: text packs 1:20, a bomb 1:1000."""
FREE_RATIO_BYTES = 16 * 1024 * 1024
_STEP = 1024 * 1024


class Incoming:
    """One body that is being received. Call from one thread at a time."""

    def __init__(self, disk: Disk, path: Path, *, packed: bool, limit: int = MAX_BODY_BYTES) -> None:
        self.path = path
        self.size = 0
        self._disk = disk
        self._file = disk.create(path)
        self._hash = hashlib.sha256()
        self._limit = limit
        self._unpacker = zlib.decompressobj(wbits=31) if packed else None
        self._packed = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        """IntakeError `too-large`, or `invalid-json` for a packed body that is none."""
        if self._unpacker is None:
            self._take(data)
            return
        self._packed += len(data)
        while data:
            if self._unpacker.eof:
                raise IntakeError("invalid-json", "gzip: more bytes after the end of the packed body")
            try:
                piece = self._unpacker.decompress(data, _STEP)
            except zlib.error as error:
                raise IntakeError("invalid-json", f"gzip: the packed body is broken ({error})") from None
            self._take(piece)
            if self.size > FREE_RATIO_BYTES and self.size > self._packed * MAX_RATIO:
                raise IntakeError("too-large", f"gzip: unpacks to more than {MAX_RATIO} times its size; send it as it is")
            data = self._unpacker.unconsumed_tail or self._unpacker.unused_data

    def _take(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise IntakeError("too-large", f"a body may have {self._limit} bytes; split the job")
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> None:
        """Everything is on disk when this returns."""
        if self._unpacker is not None and not self._unpacker.eof and self._packed:
            raise IntakeError("invalid-json", "gzip: the packed body breaks off")
        self._file.sync()
        self._file.close()

    def discard(self) -> None:
        """The body is not wanted. Harmless after `finish`, and when it has moved on."""
        self._file.close()
        self._disk.remove(self.path)
