"""The kit's HTTP provider: answers on loopback, notes each request that may be acted upon, and can misbehave.

Every http(s) address in the settings of the channel is led here, its path kept. If such an address is of this machine and
something listens there (the author's own fake of the provider), requests are passed on to it and its answers come back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from plugins.testing.peers import Act, Behaviour, ServerPeer
from plugins.testing.world import connect

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
URL_NAMES = ("url", "base_url", "endpoint", "api_url", "base")
TAKEN = b'{"id": "kit-1", "sid": "kit-1", "message_id": "kit-1", "status": "accepted"}'


@dataclass(frozen=True, slots=True)
class Reply:
    """How the provider answers what it takes: give the kit the answer that your channel understands as "accepted"."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes | str = TAKEN

    def as_bytes(self) -> bytes:
        """The whole answer."""
        body = self.body.encode() if isinstance(self.body, str) else self.body
        length = {} if self.status == 204 or self.status < 200 else {"Content-Length": str(len(body))}
        lines = [f"HTTP/1.1 {self.status} Kit", *(f"{name}: {value}" for name, value in (dict(self.headers) | length).items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body if length else b"")


PLAIN = {"Content-Type": "application/json"}
REPLIES: Mapping[Behaviour, Reply] = {
    Behaviour.THROTTLES: Reply(429, {**PLAIN, "Retry-After": "7"}, b'{"error": "too many requests"}'),
    Behaviour.REFUSES: Reply(400, PLAIN, b'{"error": "bad message"}'),
    Behaviour.FAILS: Reply(500, PLAIN, b'{"error": "internal"}'),
}


class HttpPeer(ServerPeer):
    """`reply`: the answer to what it takes · `prepares(method, path)`: True for requests that lead up to an act but are none."""

    def __init__(self, reply: Reply | None = None, prepares: Callable[[str, str], bool] | None = None) -> None:
        super().__init__()
        self.reply = reply or Reply()
        self._prepares = prepares or (lambda _method, _path: False)
        self._upstream: tuple[str, int] | None = None

    def settings(self) -> Mapping[str, Any]:
        return {"url": self.origin}

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    def lead(self, url: str) -> str:
        """The same address with this peer as its host."""
        parts = urlsplit(url)
        return urlunsplit(("http", f"127.0.0.1:{self.port}", parts.path, parts.query, parts.fragment))

    async def pass_on_to(self, url: str) -> bool:
        """Let the author's own server at `url` answer, if one listens there on this machine."""
        try:
            parts = urlsplit(url)
            target = (parts.hostname or "", parts.port or 80)
            _, writer = await connect(*target)
        except (OSError, ValueError):
            return False
        writer.close()
        self._upstream = target if parts.scheme == "http" else None
        return self._upstream is not None

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ", 2)
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
            act = Act(bytearray(head)) if method in SAFE or self._prepares(method, path) else self.new_act(head)
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await _read_body(reader, headers, act)
            act.complete = True
            if self.behaviour is Behaviour.SILENT:
                await reader.read(1)  # until the client leaves
                return
            if not await self._answer(writer, lines, body):
                return

    async def _answer(self, writer: asyncio.StreamWriter, lines: list[str], body: bytes) -> bool:
        """False when the connection is to be closed."""
        if self.behaviour is Behaviour.DROPS:
            return False
        if self.behaviour is Behaviour.TAKES and self._upstream is not None:
            writer.write(await _ask(self._upstream, lines, body))
            await writer.drain()
            return False
        writer.write(REPLIES.get(self.behaviour, self.reply).as_bytes())
        await writer.drain()
        return True


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], act: Act) -> bytes:
    """The body, noted in the act as it comes in; chunks without their frames."""
    began = len(act.data)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int((await reader.readline()).split(b";")[0], 16):
            act.data += (await reader.readexactly(size + 2))[:-2]
        while (await reader.readline()).strip():
            pass
    else:
        left = int(headers.get("content-length", "0"))
        while left and (part := await reader.read(min(left, 65536))):
            act.data += part
            left -= len(part)
        if left:
            raise asyncio.IncompleteReadError(bytes(act.data), left)
    return bytes(act.data[began:])


async def _ask(upstream: tuple[str, int], lines: list[str], body: bytes) -> bytes:
    """The whole answer of the author's own server to one request, on a connection of its own; a 502 if there is none."""
    framing = ("connection", "transfer-encoding", "content-length", "expect")
    kept = [line for line in lines if line and line.partition(":")[0].strip().lower() not in framing]
    request = "\r\n".join([*kept, "Connection: close", f"Content-Length: {len(body)}"]).encode("latin-1") + b"\r\n\r\n" + body
    with contextlib.suppress(OSError):
        reader, writer = await connect(*upstream)
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()
    return Reply(502, PLAIN, b"").as_bytes()
