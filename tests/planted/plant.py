"""Plants a bug: replaces a piece of a module's source as it is imported. A piece that is not there exactly once is an error, so that
a bug never silently stops being planted when the code moves on.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


class Uprooted(Exception):
    """The code that a bug replaces is no longer there: mend tests/planted/bugs.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """`old` stands exactly once in the module's source and becomes `new`."""

    module: str
    old: str
    new: str

    def source(self) -> Path:
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            raise Uprooted(f"{self.module}: there is no such module")
        return Path(spec.origin)

    def apply(self, text: str) -> str:
        if (times := text.count(self.old)) != 1:
            raise Uprooted(f"{self.module}: the code to be replaced stands there {times} times: {self.old.strip()[:80]!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """`name` as in the table; `what` goes wrong, in one sentence; `layers`: those that can see it, the cheapest first."""

    name: str
    what: str
    swaps: tuple[Swap, ...]
    layers: tuple[str, ...]

    @property
    def modules(self) -> frozenset[str]:
        return frozenset(swap.module for swap in self.swaps)


def replaced(swaps: Sequence[Swap], module: str, text: str) -> str:
    for swap in swaps:
        if swap.module == module:
            text = swap.apply(text)
    return text


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, swaps: Sequence[Swap]) -> None:
        super().__init__(fullname, path)
        self._swaps = swaps

    def get_code(self, fullname: str) -> CodeType:
        """Never from the cache of compiled files, nor into it."""
        text = Path(self.path).read_text(encoding="utf-8")
        code: CodeType = compile(replaced(self._swaps, fullname, text), self.path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self._bug.modules:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            raise Uprooted(f"{fullname}: there is no such module")
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, spec.origin, self._bug.swaps))


def plant(bug: Bug) -> None:
    """From now on this process imports the bug. Before its modules are imported."""
    if loaded := sorted(bug.modules & sys.modules.keys()):
        raise Uprooted(f"{', '.join(loaded)}: imported already, too late for {bug.name}")
    sys.meta_path.insert(0, _Finder(bug))
