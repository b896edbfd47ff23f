"""Web: what the loop says when no connection can be accepted because descriptors or memory are short (F26).

asyncio then leaves the door alone for a second, but before Python 3.14 it tries as often as the backlog is long and reports each
try, with a traceback: half a core went into saying so. Here it is one line in ten seconds; all else goes the usual way.
"""

from __future__ import annotations

import asyncio
from typing import Any

from daemon.clock import Clock
from plugins.contract import Log

EVERY_SECONDS = 10.0
SAID = "socket.accept() out of system resource"


class Accepting:
    """`handle` is the loop's exception handler while the doors are open."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock, self._log = clock, log
        self._said: float | None = None

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") != SAID:
            loop.default_exception_handler(context)
            return
        now = self._clock.monotonic()
        if self._said is None or now - self._said >= EVERY_SECONDS:
            self._said = now
            self._log.error("connections_wait", why=str(context.get("exception")), hint="raise LimitNOFILE, or see who opens so many")
