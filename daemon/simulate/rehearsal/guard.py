"""Nothing of a rehearsal may reach another machine: while one runs, whatever opens a socket fails, in whatever thread or library.

By Python's audit events, which no Python code can pass by: the loop of the simulation forbids sockets already, this holds for everything
beside it too. A hook cannot be taken out again, so there is one a process, and it looks at a switch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from daemon.simulate.loop import Forbidden

FORBIDDEN = frozenset({"socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"})
_switch = {"hooked": False, "on": False}


@contextlib.contextmanager
def no_sockets() -> Iterator[None]:
    """Forbidden, from anything in this process that opens a socket or starts a program meanwhile."""
    if not _switch["hooked"]:
        sys.addaudithook(_look)
        _switch["hooked"] = True
    before, _switch["on"] = _switch["on"], True
    try:
        yield
    finally:
        _switch["on"] = before


def _look(event: str, _args: tuple[Any, ...]) -> None:
    if event in FORBIDDEN and _switch["on"]:
        raise Forbidden(f"{event}: a rehearsal opens no socket and starts no program")
