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

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import socket
import struct
import time
from pathlib import Path

DELIVERY = re.compile(rb"^X-Homing-Delivery: *(\S+)\r$", re.MULTILINE | re.IGNORECASE)
TAKEN = frozenset({"accepted", "taken", "hang", "drip", "garbage"})
"""Kinds of log lines that say: this message is in the server's hands."""
UNSURE = frozenset({"lost", "taken", "hang", "drip", "garbage"})
"""Kinds after which the client cannot know it."""
WORDS = ("lost", "taken", "hang", "drip", "garbage", "later", "never", "bye", "nodata", "reset")


class Zoo:
    def __init__(self, log: Path, delay_ms: float, seed: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._delay, self._random = delay_ms / 1000, random.Random(seed)
        self._connections = itertools.count(1)
        self._met: set[str] = set()

    def note(self, kind: str, recipient: str, begun: float = 0.0, body: bytes = b"") -> None:
        found = DELIVERY.search(body)
        row = {"kind": kind, "at": time.time(), "begun": begun, "to": recipient, "delivery": found[1].decode() if found else None}
        os.write(self._log, json.dumps(row).encode() + b"\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(self._connections) % 7 == 0:
            await asyncio.sleep(0.5)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 zoo.test ESMTP\r\n")
        recipient = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-zoo.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n")
            elif verb == b"RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                if not await self._data(reader, writer, recipient):
                    return
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recipient: str) -> bool:
        """False when the connection is over."""
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
        writer.write(b"354 go ahead\r\n")
        body = await reader.readuntil(b"\r\n.\r\n")
        await asyncio.sleep(self._random.random() * self._delay)
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


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("ports")
    parser.add_argument("log", type=Path)
    parser.add_argument("--delay", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    zoo = Zoo(given.log, given.delay, given.seed)
    async with contextlib.AsyncExitStack() as stack:
        for port in given.ports.split(","):
            listener = await asyncio.start_server(zoo.serve, "127.0.0.1", int(port), limit=32 * 1024 * 1024)
            await stack.enter_async_context(listener)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
