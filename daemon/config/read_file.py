"""GROUND, config: the text of a file that need not be there, beside the config: segments, the roadmap."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from daemon.errors import ConfigError, Problem


def read_file(path: Path, most: int, what: str = "") -> str | None:
    """Its text; None if there is no file. ConfigError for what cannot be read, has more than `most` bytes or is not UTF-8. `what`: how the
    file is called, with a space behind."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _fault(path, f"{what}cannot be read: {os.strerror(error.errno or errno.EIO)}") from None
    if len(content) > most:
        raise _fault(path, f"has {len(content)} bytes; at most {most} are read")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _fault(path, f"is not UTF-8: {error.reason} at byte {error.start}") from None


def _fault(path: Path, what: str) -> ConfigError:
    return ConfigError([Problem(where=f"{path}:1", key="", what=what)])
