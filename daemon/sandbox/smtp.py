"""A local SMTP server that takes everything, and misbehaves for the recipients whose address says so.

It announces PIPELINING, SIZE, 8BITMIME and SMTPUTF8. The local part up to its first `.` or `+` names the fault:
`550-rcpt`, `451-rcpt`, `550-dot`, `451-dot` (any code of three digits), `drop-rcpt`, `drop-dot` (takes the message, then
drops the connection without an answer), `hang-dot` (takes it and never answers), `slow-dot`. Never use it as a mail relay:
it delivers nothing. What it took goes to the `Mailbox`.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from daemon.clock import Clock
from daemon.sandbox.mailbox import Mailbox
from plugins.testing.listening import settle, stop_accepting

MAX_BYTES = 32 * 1024 * 1024
SLOW_SECONDS = 2.0
_FAULT = re.compile(r"(?P<what>[245]\d\d|drop|hang|slow)-(?P<where>rcpt|dot)(?=[.+]|$)")


def fault_of(address: str) -> tuple[str, str] | None:
    """(`550` | `drop` | .., `rcpt` | `dot`) that the address asks for, or None."""
    found = _FAULT.match(address.rpartition("@")[0])
    return (found["what"], found["where"]) if found else None


class _Handler:
    """aiosmtpd's hooks. The five-argument EHLO hook is what may add a line to the answer."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._mailbox, self._clock = mailbox, clock

    async def handle_EHLO(self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]) -> list[str]:  # noqa: N802
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        fault = fault_of(address)
        if fault is not None and fault[1] == "rcpt":
            if fault[0].isdigit():
                return f"{fault[0]} {fault[0][0]}.1.1 <{address}>: the sandbox refuses this recipient"
            await self._misbehave(server, fault[0])
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        sender, recipients = envelope.mail_from or "", [str(address) for address in envelope.rcpt_tos]
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        what = next((fault[0] for fault in map(fault_of, recipients) if fault is not None and fault[1] == "dot"), "")
        if what.isdigit():
            return f"{what} {what[0]}.3.0 the sandbox refuses this message"
        reply = "" if what in ("drop", "hang") else "250"
        entry = self._mailbox.take(sender, recipients, content, reply)
        if what:
            await self._misbehave(server, what)
        return f"250 2.0.0 OK {entry.n}"

    async def _misbehave(self, server: SMTP, what: str) -> None:
        if what == "slow":
            await self._clock.sleep(SLOW_SECONDS)
        elif what == "drop":
            if isinstance(server.transport, asyncio.WriteTransport):
                server.transport.abort()
            await asyncio.Event().wait()  # aiosmtpd cancels its handler when the connection is lost
        else:
            await asyncio.Event().wait()

    async def handle_exception(self, error: Exception) -> str:
        return f"451 4.3.0 sandbox error: {type(error).__name__}"


class SmtpServer:
    """The server as a service: `start` binds, `stop` closes; both may be called twice."""

    def __init__(self, mailbox: Mailbox, clock: Clock, *, host: str = "127.0.0.1", port: int = 1025) -> None:
        self._handler = _Handler(mailbox, clock)
        self._host, self.port = host, port
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.BaseTransport | None] = set()

    async def start(self) -> None:
        """Bind; port 0 takes a free one, which `port` then tells. OSError if it is taken."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        sessions = self._sessions

        class Protocol(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sessions.add(transport)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                sessions.discard(self.transport)
                super().connection_lost(error)

        def protocol() -> Any:
            return Protocol(
                self._handler, hostname="sandbox.localhost", ident="Homing sandbox", data_size_limit=MAX_BYTES, enable_SMTPUTF8=True,
                loop=loop,
            )  # fmt: skip

        self._server = await loop.create_server(protocol, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        await stop_accepting(self._server)
        for transport in list(self._sessions):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await settle()
        await self._server.wait_closed()
        self._server = None
