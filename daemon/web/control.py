"""Web: the control socket STATE/control.sock: the API for the command line, without a token (contract: command line).

Mode 0600 from its first moment: it is bound under another name, shut, and then renamed into place, which also replaces what a
dead daemon left. Who connects is checked again by the kernel's word (`connection.peer_uid`).
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from daemon.errors import StateHeldError

NAME = "control.sock"
MODE = 0o600
_LONGEST = 100
"""Bytes of a Unix socket's path; Linux has room for 107."""


def socket_path(state_dir: Path) -> Path:
    return state_dir / NAME


def reachable_path(path: Path) -> tuple[str, int | None]:
    """A name of the socket that fits into an address, and the folder's descriptor that must stay open while it is used."""
    if len(os.fsencode(path)) <= _LONGEST:
        return str(path), None
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{path.name}", folder


_mine: dict[Path, tuple[int, int]] = {}
"""The sockets that this process made: device and inode."""


def open_socket(state_dir: Path) -> socket.socket:
    """Bound, listening, 0600. Raises StateHeldError if something that is no socket lies in its place."""
    path = socket_path(state_dir)
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise StateHeldError(f"{path} is no socket; move it away")
    fresh = path.with_name(f".{NAME}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    name, folder = reachable_path(fresh)
    try:
        bound.bind(name)
        fresh.chmod(MODE)
        bound.listen(64)
        bound.setblocking(False)
        fresh.rename(path)
        status = path.lstat()
        _mine[path] = status.st_dev, status.st_ino
    except OSError:
        bound.close()
        fresh.unlink(missing_ok=True)
        raise
    finally:
        if folder is not None:
            os.close(folder)
    return bound


def remove_socket(state_dir: Path) -> None:
    """After the last connection. One that another daemon put there meanwhile is left to it."""
    path = socket_path(state_dir)
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if _mine.pop(path, None) == (status.st_dev, status.st_ino):
        path.unlink(missing_ok=True)
