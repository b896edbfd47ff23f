"""Web: aiohttp's server with the limits that it lacks: deadlines and sizes of heads, connections per peer and overall.

Measured (facts/reliability.md §6): aiohttp leaves a connection open that never ends its head or its body. Here a head must be
whole within `head_seconds` and `head_bytes`, an idle connection ends after `idle_seconds`; bodies are read with deadlines by
`body`. Whatever cannot be read as HTTP is answered as a problem, never with a traceback. Peers on a Unix socket must be this
user or root.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from daemon.clock import Clock
from daemon.metrics import Metrics
from daemon.web.addresses import household, in_networks
from plugins.contract import Log

MAX_HEADERS = 100
TOO_MANY = "Too many headers"
"""How aiohttp's parser words it; there is no class of its own (guarded by a test)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a listener allows. Seconds are of the monotonic clock, sizes in bytes."""

    head_seconds: float = 10.0
    head_bytes: int = 16 * 1024
    idle_seconds: float = 75.0
    read_seconds: float = 30.0
    """A peer that takes nothing of its answer for so long is gone."""
    connections: int = 1000
    per_peer: int = 100
    body_bytes: int = 1024 * 1024
    job_bytes: int = 4 * 1024**3
    body_start_seconds: float = 10.0
    """A body's first bytes, and after that `body_rate` on average."""
    body_rate: int = 1024
    """Bytes a second that a body must keep up."""
    sweep_seconds: float = 1.0
    bad_tokens: int = 20
    """Wrong tokens of one peer in a minute, before it is told to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What the connections of one listener share."""

    name: str
    limits: Limits
    clock: Clock
    log: Log
    metrics: Metrics
    trusted: tuple[IPv4Network | IPv6Network, ...]
    """Proxies: many people come from one address, so `per_peer` is not for them."""
    problem: Callable[[int, str], web.Response]
    """(status, detail) -> the answer to what is no request."""
    peers: Counter[str]


class Connection(web.RequestHandler):
    """One connection. `uid` is set on the control socket: who is there was checked."""

    __slots__ = ("_answered", "_head", "_listening", "_peer", "_since", "_tail", "_unread", "_unread_since", "_whole", "_wire", "uid")

    def __init__(self, server: web.Server, listening: Listening, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._listening = listening
        self._since: float | None = None
        """Since when a head is awaited; None while a request is being answered."""
        self._head = 0
        """Bytes of the head that is coming, so far."""
        self._whole = False
        """Nothing is counted: the head has come, or none will."""
        self._tail = b""
        self._answered = False
        self._wire: asyncio.WriteTransport | None = None
        """The transport, also when aiohttp has let go of it: closing waits until the peer has read all, and it may never do."""
        self._unread, self._unread_since = 0, 0.0
        """Bytes of answers that the kernel would not take yet, and since when the peer took none of them."""
        self._peer: str | None = None
        self.uid: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = transport if isinstance(transport, asyncio.WriteTransport) else None
        self._since = self._listening.clock.monotonic()
        connected: socket.socket = transport.get_extra_info("socket")
        if connected.family == socket.AF_UNIX:
            self.uid = peer_uid(connected)
            if self.uid not in (0, os.geteuid()):
                self._refuse("uid", None)
            return
        name = transport.get_extra_info("peername")
        address = str(name[0]) if name else "?"
        self._peer = household(address)
        peers, limits = self._listening.peers, self._listening.limits
        peers[self._peer] += 1
        if peers.total() > limits.connections:
            self._refuse("connections", 503)
        elif peers[self._peer] > limits.per_peer and not in_networks(address, self._listening.trusted):
            self._refuse("per_peer", 503)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._wire = None
        if self._peer is not None:
            peers = self._listening.peers
            peers[self._peer] -= 1
            if peers[self._peer] <= 0:
                del peers[self._peer]
            self._peer = None

    def data_received(self, data: bytes) -> None:
        if self._since is not None and not self._whole:
            self._watch_head(data)
            if self.transport is None:
                return
        super().data_received(data)

    def _watch_head(self, data: bytes) -> None:
        """Count a head's bytes until its empty line. Its deadline goes on until the request has begun, whatever was counted."""
        if not self._head and self._answered:
            self._since = self._listening.clock.monotonic()
        window = self._tail + data
        end = window.find(b"\r\n\r\n")
        self._whole = end >= 0
        self._head += end + 4 - len(self._tail) if self._whole else len(data)
        self._tail = window[-3:]
        if self._head > self._listening.limits.head_bytes:
            self._refuse("head_bytes", 431)

    def begun(self) -> None:
        """A request of this connection is being answered: no deadline of a head runs."""
        self._since = None

    def done(self, *, last: bool) -> None:
        """It was answered: the next head may come, or (`last`) the line ends as soon as aiohttp has read away what is left."""
        self._since = self._listening.clock.monotonic()
        self._head, self._tail, self._whole, self._answered = 0, b"", last, True

    def overdue(self, now: float) -> None:
        """Close if an answer is not read, if a head is late (408 if some of it came) or nothing comes at all."""
        limits = self._listening.limits
        if self._wire is not None and self._unmoved(self._wire, now) >= limits.read_seconds:
            self._listening.metrics.cut(self._listening.name, "read_seconds")
            self._wire.abort()
            return
        if self._since is None or self.transport is None:
            return
        waited = now - self._since
        if self._head and waited >= limits.head_seconds:
            self._refuse("head_seconds", 408)
        elif not self._head and waited >= (limits.idle_seconds if self._answered else limits.head_seconds):
            self._refuse("idle", None)

    def _unmoved(self, wire: asyncio.WriteTransport, now: float) -> float:
        """Seconds since the peer last took some of what waits for it."""
        waiting = wire.get_write_buffer_size()
        if not self._unread or waiting < self._unread:
            self._unread_since = now
        self._unread = waiting
        return now - self._unread_since if waiting else 0.0

    def _refuse(self, why: str, status: int | None) -> None:
        """Answer with a problem (if anything) and close, without waiting for whatever is under way."""
        self._listening.metrics.cut(self._listening.name, why)
        if self.transport is not None and status is not None:
            answer = self._listening.problem(status, WORDS[why])
            body = answer.body if isinstance(answer.body, bytes) else b""
            head = f"HTTP/1.1 {status} {answer.reason}\r\nContent-Type: {answer.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n"
            extra = "Retry-After: 5\r\n" if status == 503 else ""
            self.transport.write(f"{head}{extra}Connection: close\r\n\r\n".encode() + body)
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What aiohttp answers to a request it cannot read (400), and to an error of ours (500): a problem, and the line ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way already")
        if status == 400:
            if isinstance(exc, LineTooLong) or TOO_MANY in str(exc):
                status, detail = 431, WORDS["head_bytes"]
            else:
                detail = "this is not a request of HTTP/1.1 as RFC 9112 asks for"
        else:
            detail = "an error inside Homing; its log has the request_id"
            self._listening.log.error("request_failed", listener=self._listening.name, exc_info=exc)
        response = self._listening.problem(status, detail)
        response.force_close()
        return response


WORDS = {
    "connections": "too many connections are open; try again later",
    "per_peer": "too many connections are open from your address",
    "head_bytes": "the request's head is too long or has too many fields",
    "head_seconds": "the request's head did not come in time",
}


def peer_uid(connected: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel saw it connect (SO_PEERCRED; Linux)."""
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


class Server(web.Server):
    """Makes `Connection`s."""

    def __init__(self, plain: web.Server, listening: Listening, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plain.request_handler, request_factory=plain.request_factory, loop=loop)
        self._listening = listening
        self._of_connection: dict[str, Any] = {
            "loop": loop, "access_log": None, "auto_decompress": False, "max_headers": MAX_HEADERS, "max_line_size": 8190,
            "max_field_size": 8190, "keepalive_timeout": listening.limits.idle_seconds, "lingering_time": 2.0, "read_bufsize": 64 * 1024,
        }  # fmt: skip

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._listening, **self._of_connection)


class Runner(web.AppRunner):
    """aiohttp's runner of an application, over our connections."""

    __slots__ = ("_listening",)

    def __init__(self, app: web.Application, listening: Listening, *, drain_seconds: float) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=drain_seconds)
        self._listening = listening

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self._listening, asyncio.get_running_loop())

    def sweep(self) -> None:
        """Close what is overdue; called each `sweep_seconds`."""
        if self.server is not None:
            now = self._listening.clock.monotonic()
            for connection in self.server.connections:
                if isinstance(connection, Connection):
                    connection.overdue(now)
