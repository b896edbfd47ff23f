"""Ports for servers that are started by their number, in another process or a moment later."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

FIRST, COUNT = 10_000, 20_000
_NUMBERS = (FIRST + (os.getpid() * 211 + number) % COUNT for number in itertools.count())
"""From a place of its own in each process."""


def free_port() -> int:
    """A port that nobody has and nobody is given: below those from which the system takes for servers and connections that name none,
    as tests in another process make them by the thousand. Each call gives another one."""
    for port in itertools.islice(_NUMBERS, COUNT):
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no port from {FIRST} to {FIRST + COUNT} is free")
