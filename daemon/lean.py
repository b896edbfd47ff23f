"""GROUND: an import without what it would bring along: some libraries load at once what they need for one of their many uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(module: str) -> Iterator[None]:
    """Inside, importing `module` fails as if it were not installed; a module that is loaded already stays as it is."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system documents for "not to be found"
    try:
        yield
    finally:
        del sys.modules[module]
