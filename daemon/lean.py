"""GROUND: an import without what it would bring along: some libraries load at once what they need for one of their many uses."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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


class _Late(ssl.SSLContext):
    """Until its first connection; then it reads the machine's authorities and is an `SSLContext` as any other."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return _ready(self).wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return _ready(self).wrap_socket(*args, **kwargs)


def _ready(context: ssl.SSLContext) -> ssl.SSLContext:
    context.__class__ = ssl.SSLContext
    context.set_default_verify_paths()
    return context


@contextmanager
def authorities_later() -> Iterator[None]:
    """Inside, a TLS context that is made reads the machine's certificate authorities at its first connection, not now. A library that
    makes some when it is imported, used or not, spends 20 ms on each. Nothing is trusted meanwhile: without authorities every peer
    is refused."""
    made: list[ssl.SSLContext] = []

    def note(context: ssl.SSLContext) -> None:
        made.append(context)

    ssl.SSLContext.set_default_verify_paths = note  # type: ignore[assignment, method-assign]  # hides that of its base
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths
        for context in made:
            context.__class__ = _Late
