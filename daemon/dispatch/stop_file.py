"""The kill switch as a file: made and removed here, looked at by `gate`. Works while the store and the daemon are down."""

from __future__ import annotations

from pathlib import Path

from daemon.disk import Disk

NAME = "stop"


def make_stop_file(state_dir: Path, detail: str, disk: Disk) -> Path:
    """Stop all sending of this state folder, now and after any restart. A second call keeps the first file."""
    disk.make_folder(state_dir)
    path = state_dir / NAME
    if not disk.exists(path):
        disk.write_atomic(path, f"{detail}\n".encode())
    return path


def remove_stop_file(state_dir: Path, disk: Disk) -> None:
    """It is gone for good when this returns; not being there is no error."""
    disk.remove(state_dir / NAME)
