"""Where plugins are: entry points of the group `homing.plugins` and `NAME.py` files in the drop-in folders.

Finding imports nothing; `Found.load` imports one. A drop-in file is read once, through a descriptor whose owner and mode were
checked, and runs under a private module name: it shadows no library, and no `__pycache__` that others might write is trusted.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

GROUP = "homing.plugins"
PRIVATE = "homing_dropin_"
"""Module names of drop-in files begin so."""
WRITABLE_BY_OTHERS = stat.S_IWOTH


class PluginRefusedError(Exception):
    """The plugin is not loaded; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A place where a plugin of this name is: exactly one of `entry_point` and `path`."""

    name: str
    origin: str
    entry_point: importlib.metadata.EntryPoint | None = None
    path: Path | None = None

    def load(self) -> Any:
        """Import it and return the module (or what the entry point names). PluginRefusedError if that fails."""
        try:
            if self.entry_point is not None:
                return self.entry_point.load()
            assert self.path is not None  # noqa: S101  # the other of the two
            return _import_file(self.name, self.path)
        except PluginRefusedError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginRefusedError(f"{self.origin} cannot be imported: {_told(error)}") from error


def find_plugins(plugin_dirs: Sequence[Path] = ()) -> Mapping[str, Sequence[Found]]:
    """All plugins that could be loaded, by name. A name found in more than one place has more than one entry."""
    found: dict[str, list[Found]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
        known = found.setdefault(point.name, [])
        if all(each.entry_point is None or each.entry_point.value != point.value for each in known):
            known.append(Found(name=point.name, origin=f"{point.value} of {package}", entry_point=point))
    for path in _files(plugin_dirs):
        found.setdefault(path.stem, []).append(Found(name=path.stem, origin=str(path), path=path))
    return found


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None


def _files(plugin_dirs: Sequence[Path]) -> list[Path]:
    """The `.py` files of the folders, each folder once; a folder that is not there has none."""
    folders = dict.fromkeys(folder.resolve() for folder in plugin_dirs if folder.is_dir())
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if not path.name.startswith(("_", "."))]


def _import_file(name: str, path: Path) -> ModuleType:
    path = path.resolve()
    _refuse_foreign(path.parent.stat(), path.parent)
    with path.open("rb") as file:
        _refuse_foreign(os.fstat(file.fileno()), path)
        source = file.read()
    module = ModuleType(PRIVATE + name.replace("-", "_"))
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and annotations look their module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  # that is what a drop-in file is
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise
    return module


def _refuse_foreign(status: os.stat_result, path: Path) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise PluginRefusedError(f"{path} belongs to user {status.st_uid}: it must belong to root or to the user that runs Homing")
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise PluginRefusedError(f"{path} may be written by everyone: chmod o-w {path}")


def _told(error: BaseException) -> str:
    """The error with the line of the plugin where it happened, if it has one."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(PRIVATE):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {error}"
