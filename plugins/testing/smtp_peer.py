"""The kit's SMTP server: takes mail on loopback, notes the content of each transaction, and can misbehave at the final dot.

Its own few verbs rather than a library's: the kit must see the first byte of content, and drop a connection between the dot
and its answer. Offers PIPELINING, 8BITMIME and SMTPUTF8; no TLS and no AUTH.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from plugins.testing.peers import Behaviour, ServerPeer

DOT = b".\r\n"
ANSWERS: Mapping[Behaviour, bytes] = {
    Behaviour.TAKES: b"250 2.0.0 queued as KIT1\r\n",
    Behaviour.THROTTLES: b"451 4.7.1 too many messages, try later\r\n",
    Behaviour.REFUSES: b"550 5.7.1 message refused\r\n",
    Behaviour.FAILS: b"451 4.3.0 local error\r\n",
}
REPLIES: Mapping[bytes, bytes] = {
    b"EHLO": b"250-kit.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
    b"HELO": b"250 kit.example\r\n",
    b"MAIL": b"250 2.1.0 sender ok\r\n",
    b"RCPT": b"250 2.1.5 recipient ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
    b"DATA": b"354 go on\r\n",
}


class SmtpPeer(ServerPeer):
    """An SMTP server of the kit."""

    def settings(self) -> Mapping[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "tls": "none"}

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 kit.example ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            writer.write(REPLIES.get(verb, b"502 5.5.2 not known\r\n"))
            await writer.drain()
            if verb == b"QUIT":
                return
            if verb == b"DATA" and not await self._content(reader, writer):
                return

    async def _content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One transaction's content and its answer; False when the connection is to be closed."""
        act = None
        while line := await reader.readline():
            act = act or self.new_act()
            if line == DOT:
                act.complete = True
                break
            act.data += line
        if act is None or not act.complete or self.behaviour is Behaviour.DROPS:
            return False
        if self.behaviour is Behaviour.SILENT:
            await reader.read(1)  # until the client leaves
            return False
        writer.write(ANSWERS[self.behaviour])
        await writer.drain()
        return True
