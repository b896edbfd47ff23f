"""A lean HTTP/1.1 client for channels that post very many small requests: what `http_session` guarantees, at a fraction of its CPU time.

Names are resolved by the given port, every address is judged, exactly the judged ones are dialled; no redirect is followed, no request
repeated, nothing remembered. Everything that fails before the first byte is a `NotSent`, also a grant that has run out. The caller bounds
how many requests run at once. Replies: the head whole, of the body the first `MOST_BODY` octets where the caller wants it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from plugins.contract import Clock, Dns
from plugins.grant import Grant, current_grant
from plugins.http import CONNECT_SECONDS, TOTAL_SECONDS, Origin, Target
from plugins.http_session import KEEPALIVE_SECONDS, AddressRefusedError, NotConnectedError, is_public

READ_BYTES = 16 * 1024
MOST_HEAD = 32 * 1024
MOST_BODY = 16 * 1024


class BadReplyError(ConnectionError):
    """What came back is no HTTP/1.1, or too long to be an answer: the request may have been acted upon."""


class WireReply(NamedTuple):
    """`headers`: names in lower case, the last of a name; `body`: what had come of it, at most `MOST_BODY`."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Line(asyncio.BufferedProtocol):
    """One connection: one request at a time. `room`: what is read comes in there, and is taken out at once, so all lines share it: by
    itself asyncio takes a quarter of a megabyte for each read."""

    __slots__ = ("_buffer", "_reply", "_room", "_wanted", "idle_since", "reusable", "transport")

    def __init__(self, room: memoryview) -> None:
        self._room = room
        self.transport: asyncio.Transport | None = None
        self.reusable = True
        self.idle_since = 0.0
        self._buffer = bytearray()
        self._reply: asyncio.Future[WireReply] | None = None
        self._wanted: frozenset[int] = frozenset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def ask(self, request: bytes, wanted: frozenset[int]) -> asyncio.Future[WireReply]:
        """Send it. `wanted`: statuses whose body is waited for."""
        self._reply, self._wanted = asyncio.get_running_loop().create_future(), wanted
        if self.transport is not None:
            self.transport.write(request)
        return self._reply

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, count: int) -> None:
        if self._reply is None or self._reply.done():  # nobody asked: such a line is not used again
            self.close()
            return
        self._buffer += self._room[:count]
        try:
            reply = self._read()
        except ValueError:
            self._fail(BadReplyError("the answer is no HTTP/1.1"))
            return
        if reply is not None:
            self._buffer.clear()
            self._reply.set_result(reply)

    def _read(self, *, ended: bool = False) -> WireReply | None:
        """The reply as soon as enough of it is there, or nothing more will come; ValueError if it is none."""
        start = 0
        while True:
            end = self._buffer.find(b"\r\n\r\n", start)
            if end < 0:
                del self._buffer[:start]
                if len(self._buffer) > MOST_HEAD or (len(self._buffer) > 4 and not self._buffer.startswith(b"HTTP/")):
                    raise ValueError
                return None
            status, headers = _head(bytes(self._buffer[start:end]))
            if not 100 <= status < 200:
                break
            start = end + 4  # an interim answer, as many of them as a server likes
        del self._buffer[:start]
        body, whole = _body(bytes(self._buffer[end + 4 - start :]), status, headers)
        if not (whole or ended) and status in self._wanted and len(body) < MOST_BODY:
            return None
        self.reusable = whole and headers.get("connection", "").lower() != "close"
        return WireReply(status, headers, body[:MOST_BODY])

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError("the connection was closed before an answer came"))

    def overdue(self) -> None:
        """No whole answer in time."""
        self._end(TimeoutError("no answer in time"))

    def _end(self, error: Exception) -> None:
        """Nothing more comes."""
        if self._buffer and self._reply is not None and not self._reply.done():  # its status may have come, and be worth an answer
            with suppress(ValueError):
                if (reply := self._read(ended=True)) is not None:
                    self._reply.set_result(reply)
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        reply, self._reply = self._reply, None
        self.close()
        if reply is not None and not reply.done():
            reply.set_exception(error)

    @property
    def open(self) -> bool:
        return self.reusable and self.transport is not None and not self.transport.is_closing()

    def close(self) -> None:
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.1 ") or len(first) < 12 or not (first[9:12].isascii() and first[9:12].isdigit()):
        raise ValueError(first[:20])
    pairs = (line.partition(":") for line in lines)
    return int(first[9:12]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(data: bytes, status: int, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """(what has come of the body, whether that is all and nothing follows)."""
    if status in (204, 304):
        return b"", not data
    if "transfer-encoding" in headers:
        return _chunks(data)
    length = headers.get("content-length")
    if length is None:
        return data, False  # until the connection ends
    if not (length.isascii() and length.isdigit()):
        raise ValueError(length)
    return data[: int(length)], len(data) == int(length)


def _chunks(data: bytes) -> tuple[bytes, bool]:
    body = bytearray()
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].partition(b";")[0], 16)
        if size < 0:
            raise ValueError(size)
        if not size:
            return bytes(body), data[end:] == b"\r\n\r\n"
        body += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return bytes(body), False


class Wire:
    """The connections of one provider. `origins`: hosts that its settings name, which may be private. Seconds are those of `http`."""

    def __init__(
        self, *, dns: Dns, clock: Clock, origins: frozenset[Origin], total_seconds: float = TOTAL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS, agent: str | None = "homing",
    ) -> None:  # fmt: skip
        """`agent`: the User-Agent; None: each request brings its own."""
        self._agent = "" if agent is None else f"User-Agent: {agent}\r\n"
        self._dns, self._clock, self._origins = dns, clock, origins
        self._total, self._connect = total_seconds, connect_seconds
        self._room = memoryview(bytearray(READ_BYTES))
        self._idle: dict[tuple[str, int], list[_Line]] = {}
        self._busy: dict[_Line, float] = {}
        """Lines that wait for an answer, and until when by the loop's time: the oldest first, since all wait equally long."""
        self._watch: asyncio.TimerHandle | None = None
        self._context: ssl.SSLContext | None = None

    async def post(
        self, target: Target, head: bytes, body: bytes, wanted: frozenset[int] = frozenset(), grant: Grant | None = None
    ) -> WireReply:  # fmt: skip
        """`head`: field lines beyond Host and Content-Length, each with its line end; `grant`: under which it goes, by default the one
        that is held here. NotConnectedError before the first byte, after it TimeoutError or ConnectionError."""
        line = self._spare(target) or await self._dial(target)
        grant = grant or current_grant()
        if grant is not None and grant.expired:
            self._keep(target, line)
            raise NotConnectedError(f"the grant ran out before {target.authority} could be reached")
        start = f"POST {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n{self._agent}Content-Length: {len(body)}\r\n"
        answer = line.ask(b"".join((start.encode("ascii"), head, b"\r\n", body)), wanted)
        self._await(line)
        try:
            reply = await answer
        except BaseException:
            line.close()
            raise
        finally:
            del self._busy[line]
        self._keep(target, line)
        return reply

    def _await(self, line: _Line) -> None:
        """One timer for all: one for each request would cost as much as writing it."""
        loop = asyncio.get_running_loop()
        until = self._busy[line] = loop.time() + self._total
        if self._watch is None:
            self._watch = loop.call_at(until, self._end_overdue)

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        self._watch, now = None, loop.time()
        for line, until in self._busy.items():
            if until > now:
                self._watch = loop.call_at(until, self._end_overdue)
                break
            line.overdue()

    def close(self) -> None:
        """End the connections that wait."""
        if self._watch is not None and not self._busy:
            self._watch.cancel()
            self._watch = None
        for lines in self._idle.values():
            for line in lines:
                line.close()
        self._idle = {}

    def _spare(self, target: Target) -> _Line | None:
        lines = self._idle.get((target.authority, target.port))
        while lines:
            line = lines.pop()
            if line.open and self._clock.monotonic() - line.idle_since < KEEPALIVE_SECONDS:
                return line
            line.close()
        return None

    def _keep(self, target: Target, line: _Line) -> None:
        if line.open:
            line.idle_since = now = self._clock.monotonic()
            lines = self._idle.setdefault((target.authority, target.port), [])
            lines.append(line)
            while now - lines[0].idle_since >= KEEPALIVE_SECONDS:  # after a burst: those that are needed least lie first
                lines.pop(0).close()
        else:
            line.close()

    async def _dial(self, target: Target) -> _Line:
        """NotConnectedError, whatever it was."""
        try:
            async with asyncio.timeout(self._connect):
                return await self._first_that_answers(target)
        except AddressRefusedError:
            raise
        except (OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise NotConnectedError(f"no connection to {target.authority}: {why}") from error

    async def _first_that_answers(self, target: Target) -> _Line:
        found = await self._dns.resolve(target.host, target.port)
        known = any(origin.covers(target.host, target.port) for origin in self._origins)
        for address, _ in found:
            if not known and not is_public(address):
                why = "not a public address, and the provider's settings do not name this host"
                raise AddressRefusedError(f"{target.host} is {address}: {why}")
        failed: OSError = OSError("the name has no address")
        loop = asyncio.get_running_loop()
        for address, port in found:
            try:
                _, line = await loop.create_connection(
                    lambda: _Line(self._room), address, port, ssl=self._secured() if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )  # fmt: skip
            except OSError as error:
                failed = error
            else:
                return line
        raise failed

    def _secured(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context
