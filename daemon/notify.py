"""GROUND: what systemd is told: ready, reloading, stopping, a status line, and that the daemon is alive (sd_notify(3)).

A datagram to the socket that NOTIFY_SOCKET names; without one every call does nothing. The watchdog is pinged by a task on the
loop, and only while `healthy()` says that work moves on: a thread would ping for a dead daemon.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from daemon.clock import Clock

SECOND = 1_000_000


class Notifier:
    """Speaks to the service manager that started this process."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], *, pid: int) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        interval = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog_seconds: float | None = int(interval) / SECOND if interval.isdecimal() and int(interval) and meant else None
        """Silence for so long has the manager restart this process; None: it does not watch."""

    def ready(self, status: str = "") -> bool:
        return self._send("READY=1", f"STATUS={status}" if status else "")

    def reloading(self) -> bool:
        """Must be followed by `ready` when the reload has ended, well or not (Type=notify-reload)."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * SECOND)}")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def status(self, text: str) -> bool:
        return self._send(f"STATUS={text}")

    def alive(self) -> bool:
        return self._send("WATCHDOG=1")

    async def watch(self, healthy: Callable[[], bool]) -> None:
        """Ping at half the interval, as long as `healthy()`; endless. Returns at once when nobody watches."""
        while self.watchdog_seconds is not None:
            if healthy():
                self.alive()
            await self._clock.sleep(self.watchdog_seconds / 2)

    def _send(self, *lines: str) -> bool:
        """True if the manager was told. A manager that does not listen must never hold up or end the daemon."""
        if not self._address.startswith(("/", "@")):
            return False
        message = "\n".join(line.replace("\n", " ") for line in lines if line)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address)
        except OSError:
            return False
        return True
