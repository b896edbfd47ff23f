"""INTAKE, the spool's folders and names: what is made at the start, whom and what the daemon trusts, what a name says."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from daemon.config.load import Config
from daemon.disk import Disk
from daemon.errors import ConfigError, Problem
from daemon.intake.incoming import MAX_BODY_BYTES
from daemon.intake.parse import Format

PARTS = ("tmp", "new", "done", "failed")
FOLDER_MODE = 0o2770
FILE_MODE = 0o660

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@+=-]{0,179}")
_COUNTED = re.compile(r"(?P<id>.+)\.(?P<count>\d{1,12})")
_SUFFIXES = {".json": Format.JSON, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}


class Refused(Exception):
    """A file that is not read; it ends in `failed`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a file's name says. `id`: of the job, if the body has none; `head`: further fields (of CSV files)."""

    id: str
    format: Format | None
    packed: bool
    head: Mapping[str, Any]

    @property
    def csv(self) -> bool:
        return self.format is Format.CSV


def read_name(name: str) -> Name:
    """`ID.json`, `ID.ndjson`, `ID.csv`, `ID.EXPECTED.csv`, each also `.gz`; another name: the format is looked for inside."""
    if not _NAME.fullmatch(name):
        raise Refused("name", "a file's name has letters, digits and . _ ~ : @ + = -, the first a letter or digit, and at most 180 of them")
    packed = name.endswith(".gz")
    stem = name.removesuffix(".gz")
    suffix = next((suffix for suffix in _SUFFIXES if stem.endswith(suffix) and len(stem) > len(suffix)), "")
    stem = stem.removesuffix(suffix)
    written = _SUFFIXES.get(suffix)
    head: dict[str, Any] = {}
    if written is Format.CSV and (counted := _COUNTED.fullmatch(stem)):
        stem = counted["id"]
        head["expected_count"] = int(counted["count"])
    return Name(id=stem, format=written, packed=packed, head=head)


def check_file(status: os.stat_result, config: Config) -> None:
    """Raises Refused for a file that is not plainly its owner's."""
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_regular", "no regular file")
    if status.st_nlink != 1:
        raise Refused("not_regular", f"it has {status.st_nlink} names (hard links): its content could change under other names")
    if status.st_uid not in (os.geteuid(), 0) and status.st_uid not in config.spool.owner_ids:
        raise Refused("untrusted_owner", f"its owner (uid {status.st_uid}) is not among [spool] owners")
    if status.st_size > MAX_BODY_BYTES:
        raise Refused("too_large", f"it has {status.st_size} bytes; at most {MAX_BODY_BYTES}")


def make_folders(config: Config, disk: Disk) -> None:
    """Make and check the folders of all queues. ConfigError when one could be tampered with."""
    problems: list[Problem] = []
    disk.make_folder(config.spool.path.parent)
    for path in _paths(config.spool.path, tuple(sorted(config.queues))):
        _make(path, config, disk, problems)
    if problems:
        raise ConfigError(problems)


@lru_cache(maxsize=4)
def _paths(root: Path, queues: tuple[str, ...]) -> tuple[Path, ...]:
    """The outer ones first."""
    return root, *(path for queue in queues for path in (root / queue, *(root / queue / part for part in PARTS)))


def _make(path: Path, config: Config, disk: Disk, problems: list[Problem]) -> None:
    group = config.spool.group_id
    if disk.exists(path):
        status = disk.status(path)
        if what := _distrust(status):
            problems.append(Problem(where=str(path), key="spool", what=what))
            return
        if status.st_uid != os.geteuid():
            return  # made by the administrator: left as it is
    else:
        disk.make_folder(path)
        status = disk.status(path)
    if (group is not None and status.st_gid != group) or stat.S_IMODE(status.st_mode) != FOLDER_MODE:
        disk.set_mode(path, FOLDER_MODE, group)


def _distrust(status: os.stat_result) -> str | None:
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder; move it away"
    if status.st_mode & stat.S_IWOTH:
        return f"everyone may write there (mode {stat.S_IMODE(status.st_mode):04o}), so anyone could drop jobs; run: chmod o-w PATH"
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (uid {status.st_uid}); the daemon's user must own it"
    return None
