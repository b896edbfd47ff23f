"""An SMTP server that misbehaves as the local part of the recipient says: `python -m tests.crash.zoo PORT[,PORT..] LOG [--delay MS]`.

Each event is a line of JSON, written (one `write` to an append-only file) before the answer that it is about. `begun`: when 354 went
out, `at`: when the content was whole. Who is addressed as `WORD.anything@..` gets this; everyone else is served well:

| word | what happens |
|---|---|
| lost | after the dot the connection is cut, and the message thrown away |
| taken | after the dot the message is kept, and the connection cut without an answer |
| hang | the message is kept, and no answer ever comes |
| drip | the message is kept, and the answer comes with one byte a second |
| garbage | the message is kept, and the answer is none |
| later | 451 after the dot, each time |
| never | 554 after the dot |
| bye | 421 instead of 354, the first time |
| nodata | the connection is cut instead of 354, the first time |
| reset | 250, then a TCP reset |

Every seventh connection waits half a second for its banner.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from pathlib import Path

from tests.crash.server import DELIVERY, Conversation, arguments

TAKEN = frozenset({"accepted", "taken", "hang", "drip", "garbage"})
"""Kinds of log lines that say: this message is in the server's hands."""
UNSURE = frozenset({"lost", "taken", "hang", "drip", "garbage"})
"""Kinds after which the client cannot know it."""
WORDS = ("lost", "taken", "hang", "drip", "garbage", "later", "never", "bye", "nodata", "reset")


class Zoo(Conversation):
    def __init__(self, log: Path, delay_ms: float, seed: int) -> None:
        super().__init__(log, delay_ms, seed)
        self._connections = itertools.count(1)
        self._met: set[str] = set()

    def note(self, kind: str, recipient: str, begun: float = 0.0, body: bytes = b"") -> None:
        found = DELIVERY.search(body)
        self.write({"kind": kind, "at": time.time(), "begun": begun, "to": recipient, "delivery": found[1].decode() if found else None})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(self._connections) % 7 == 0:
            await asyncio.sleep(0.5)
        await super().serve(reader, writer)

    async def data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recipient: str) -> bool:
        word = recipient.partition(".")[0]
        if word in ("bye", "nodata") and recipient not in self._met:
            self._met.add(recipient)
            self.note(word, recipient)
            if word == "bye":
                writer.write(b"421 4.3.2 not now\r\n")
            else:
                writer.transport.abort()
            return False
        begun = time.time()
        body = await self.content(reader, writer)
        kind = word if word in UNSURE or word in ("later", "never") else "accepted"
        self.note(kind, recipient, begun, body)
        return await self._answer(word, reader, writer)

    async def _answer(self, word: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match word:
            case "lost" | "taken":
                writer.transport.abort()
                return False
            case "hang":
                await reader.read()
                return False
            case "drip":
                for byte in b"250 2.0.0 taken at last\r\n":
                    if writer.is_closing():
                        return False
                    writer.write(bytes([byte]))
                    await asyncio.sleep(1.0)
            case "garbage":
                writer.write(b"\x00\xff\xfe no reply at all\r\n")
                return False
            case "later":
                writer.write(b"451 4.2.0 greylisted\r\n")
            case "never":
                writer.write(b"554 5.7.1 not wanted\r\n")
            case "reset":
                writer.write(b"250 2.0.0 taken\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
                if not writer.transport.is_closing():  # else the daemon was killed in between
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case _:
                writer.write(b"250 2.0.0 taken\r\n")
        return True


if __name__ == "__main__":
    given = arguments("PORT[,PORT..]")
    asyncio.run(Zoo(given.log, given.delay, given.seed).listen(given.ports))
