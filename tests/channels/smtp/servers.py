"""Relays on loopback: a scripted one that misbehaves on demand at each phase, and aiosmtpd as the well-behaved one.

`Peer` keeps its own log, which is what the tests judge by: `complete` (a final dot came), `taken` (and it was answered with 2xx).
It also writes into a list of events shared with the fake session, so that the order of handover, content and report can be read off.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP as Aiosmtpd
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from plugins.testing.listening import Listener, stop_accepting

Answer = str | tuple[str, ...]
"""What to do at a phase. `"250 ok"`: say it. `"drop"`: close. `"rst"`: reset. `"hang"`: say nothing, stay. `"drip 250 ok"`: byte by
byte, 20 ms apart, without an end. `"late 250 ok"`: after 40 ms. `"raw ..."`: these characters as they are. A tuple: one after
another. `"\\r\\n"` inside an answer makes lines."""

Script = Mapping[str, Answer | Sequence[Answer]]
"""Phase -> what to do, or a list: one for each time, then the default again.
Phases: connect ehlo starttls auth mail rcpt data content dot rset quit."""

DEFAULTS: Mapping[str, str] = {
    "connect": "220 peer.example ESMTP",
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 End data with <CR><LF>.<CR><LF>",
    "dot": "250 2.0.0 Ok: queued as Q{n}",
    "rset": "250 2.0.0 Ok",
    "quit": "221 2.0.0 Bye",
    "auth": "235 2.7.0 Authentication successful",
}


@dataclass
class Mail:
    """One message that came in whole."""

    sender: str
    recipient: str
    data: bytes
    connection: int
    answer: str | None = None

    @property
    def id(self) -> str:
        return str(self.parsed["X-Homing-Delivery"])

    @property
    def parsed(self) -> EmailMessage:
        parsed = message_from_bytes(self.data, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class Peer:
    """A small SMTP server that does at each phase what its script says. `async with Peer(..) as peer`."""

    script: Script = field(default_factory=dict)
    by_recipient: Mapping[str, Script] = field(default_factory=dict)
    """Local part -> script, looked at first, from RCPT to the dot of that recipient."""
    pipelining: bool = True
    extensions: Sequence[str] = ("SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES")
    context: ssl.SSLContext | None = None
    implicit: bool = False
    lax: bool = False
    """Takes commands in any order."""
    narrow: bool = False
    """Small buffers, so that a mail of a megabyte does not fit into the kernel."""
    mechanisms: str = "PLAIN LOGIN"
    """What it offers if the script has an `auth`."""
    port: int = 0
    events: list[tuple[Any, ...]] = field(default_factory=list)
    complete: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._used: dict[str, int] = {}
        self._listener = Listener(self._converse)

    @property
    def keeps_waiting(self) -> bool:
        """There is an answer in its script that never ends."""
        return any(word in repr((self.script, self.by_recipient)) for word in ("'hang'", "'drip "))

    @property
    def taken(self) -> list[Mail]:
        return [mail for mail in self.complete if mail.answer is not None and mail.answer.startswith("2")]

    async def __aenter__(self) -> Peer:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.narrow:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listening.bind(("127.0.0.1", self.port))
        context = self.context if self.implicit else None
        self.port = await self._listener.start(sock=listening, limit=2**14, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._listener.stop()

    async def hang_up(self) -> None:
        """Close every open connection and wait until that is done; go on listening."""
        await self._listener.hang_up()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await _Conversation(self, reader, writer, self.connections).run()

    def answer(self, phase: str, recipient: str) -> Answer:
        for key, script in ((f"{recipient}/{phase}", self.by_recipient.get(recipient, {})), (phase, self.script)):
            if phase not in script:
                continue
            found = script[phase]
            if isinstance(found, str | tuple):
                return found
            index = self._used.get(key, 0)
            self._used[key] = index + 1
            if index < len(found):
                return found[index]
        return DEFAULTS.get(phase, "")


class _Over(Exception):
    """This connection has ended."""


class _Conversation:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.number = number
        self.sender = ""
        self.recipient = ""
        self.secure = peer.implicit

    async def run(self) -> None:
        try:
            await self.do("connect")
            while line := await self.reader.readline():
                await self.command(line.decode("utf-8", "replace").rstrip("\r\n"))
        except (_Over, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.writer.close()
            with contextlib.suppress(Exception):  # after a failed start_tls it would wait for ever
                await asyncio.wait_for(self.writer.wait_closed(), 0.1)

    async def command(self, line: str) -> None:
        self.peer.commands.append(line)
        verb = line.split(" ", 1)[0].upper()
        self.peer.events.append((verb.lower(), line))
        if verb == "EHLO":
            await self.ehlo()
        elif verb == "STARTTLS":
            await self.starttls()
        elif verb == "AUTH":
            if line == "AUTH CRAM-MD5":
                await self.say("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
                self.peer.commands.append((await self.reader.readline()).decode().rstrip())
            await self.do("auth")
        elif verb == "MAIL":
            if self.sender and not self.peer.lax:
                await self.say("503 5.5.1 nested MAIL command")
            elif await self.do("mail"):
                self.sender = _path(line)
        elif verb == "RCPT":
            recipient = _path(line)
            if not self.sender and not self.peer.lax:
                await self.say("503 5.5.1 need MAIL command")
            elif await self.do("rcpt", recipient.rpartition("@")[0]):
                self.recipient = recipient
        elif verb == "DATA":
            await self.data()
        elif verb == "RSET":
            self.sender = self.recipient = ""
            await self.do("rset")
        elif verb == "QUIT":
            await self.do("quit")
            raise _Over
        else:
            await self.say("500 5.5.2 unknown command")

    async def ehlo(self) -> None:
        if "ehlo" in self.peer.script:
            await self.do("ehlo")
            return
        offers = list(self.peer.extensions)
        if self.peer.pipelining:
            offers.append("PIPELINING")
        if self.peer.context is not None and not self.secure:
            offers.append("STARTTLS")
        if "auth" in self.peer.script:
            offers.append(f"AUTH {self.peer.mechanisms}")
        names = ["peer.example", *offers]
        await self.say("\r\n".join(f"250{'-' if name is not names[-1] else ' '}{name}" for name in names))

    async def starttls(self) -> None:
        if "starttls" in self.peer.script and not await self.do("starttls"):
            return
        if "starttls" not in self.peer.script:
            await self.say("220 2.0.0 Ready to start TLS")
        assert self.peer.context is not None
        await self.writer.start_tls(self.peer.context)
        self.secure = True

    async def data(self) -> None:
        local = self.recipient.rpartition("@")[0]
        scripted = "data" in self.peer.script or "data" in self.peer.by_recipient.get(local, {})
        if not self.recipient and not (scripted or self.peer.lax):
            await self.say("503 5.5.1 need RCPT command" if not self.sender else "554 5.5.1 no valid recipients")
            return
        if not await self.do("data", local):
            return
        lines: list[bytes] = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line.endswith(b"\r\n"):
                raise _Over
            if not lines:
                self.peer.events.append(("content", self.recipient))
                await self.do("content", local)
            assert len(line) <= 1000
            assert line.count(b"\r") == 1
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = Mail(self.sender, self.recipient, b"".join(lines), self.number)
        self.sender = self.recipient = ""
        if not lines:  # a lone dot: nothing to keep
            await self.say("554 5.5.1 no valid recipients")
            return
        self.peer.complete.append(mail)
        self.peer.events.append(("dot", mail.recipient))
        await self.do("dot", local, mail)

    async def do(self, phase: str, recipient: str = "", mail: Mail | None = None) -> bool:
        """Act as the script says; True when the answer was positive."""
        answer = self.peer.answer(phase, recipient)
        said = False
        for act in (answer,) if isinstance(answer, str) else answer:
            said = await self.act(act, mail) or said
        return said

    async def act(self, act: str, mail: Mail | None) -> bool:
        if act == "":
            return True
        if act == "drop":
            raise _Over
        if act == "rst":
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise _Over
        if act == "hang":
            await asyncio.get_running_loop().create_future()
        if act.startswith("drip "):
            for byte in act[5:].encode() + b" and so on" * 100:
                self.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
        if act.startswith("late "):
            await asyncio.sleep(0.04)
            act = act[5:]
        if act.startswith("raw "):
            self.writer.write(act[4:].encode())
            return False
        text = act.format(n=len(self.peer.complete))
        if mail is not None and mail.answer is None:
            mail.answer = text
        await self.say(text)
        return text[0] in "23"

    async def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()


def _path(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]


class Sink:
    """aiosmtpd's handler: keeps what came, announces PIPELINING (aiosmtpd itself can do it but does not say so)."""

    def __init__(self, *, pipelining: bool = True, smtputf8: bool = False) -> None:
        self.mails: list[Mail] = []
        self.pipelining = pipelining
        self.smtputf8 = smtputf8
        self.senders: list[str] = []

    async def handle_EHLO(self, server: Aiosmtpd, session: Any, envelope: Envelope, hostname: str, responses: list[str]) -> list[str]:  # noqa: N802
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self.pipelining else responses

    async def handle_DATA(self, server: Aiosmtpd, session: Any, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(Mail(str(envelope.mail_from), envelope.rcpt_tos[0], content, id(session), "250"))
        return f"250 2.0.0 OK queued as {len(self.mails):08d}"


def _check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    if isinstance(data, LoginPassword) and data.login == b"homing" and data.password == b"right":
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False)


@asynccontextmanager
async def aiosmtpd_server(
    sink: Sink,
    *,
    starttls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
    auth: bool = False,
    without: str | None = None,
) -> AsyncIterator[int]:
    """aiosmtpd in this loop; the port it listens on."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"enable_SMTPUTF8": sink.smtputf8, "hostname": "sink.example"}
    if starttls is not None:
        options |= {"tls_context": starttls, "require_starttls": True}
    if auth:
        options |= {"authenticator": _check, "auth_required": True, "auth_require_tls": starttls is not None}
        options["auth_exclude_mechanism"] = [without] if without else None
    sessions: list[Aiosmtpd] = []

    def factory() -> Aiosmtpd:
        sessions.append(Aiosmtpd(sink, loop=loop, **options))
        return sessions[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=implicit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
        for session in sessions:
            if session.transport is not None:
                session.transport.abort()
        await asyncio.sleep(0.01)
