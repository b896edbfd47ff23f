"""An SMTP server with a log of its own, for crash and load tests: `python -m tests.crash.server PORT LOG [--delay] [--drop]`.

Pipelining, one line of JSON in LOG for each message it took (and for each connection it dropped after the dot), written (one `write` to
an append-only file) before it answers. The answer to the dot comes after 0 to `--delay` ms; with `--drop` P it breaks that share of
connections there instead, in half of the cases after it took the message. `Conversation` is what `tests.crash.zoo` shares with it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plugins.testing.listening import Listener

DELIVERY = re.compile(rb"^X-Homing-Delivery: *(\S+)\r$", re.MULTILINE | re.IGNORECASE)
SUBJECT = re.compile(rb"^Subject: *([^\r]*)\r$", re.MULTILINE | re.IGNORECASE)
UNSUBSCRIBE = re.compile(rb"^List-Unsubscribe:\s*<([^>]+)>\r$", re.MULTILINE | re.IGNORECASE)


class Conversation:
    """An SMTP server but for what it does with DATA: override `data`."""

    def __init__(self, log: Path, delay_ms: float, seed: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._delay, self.random = delay_ms / 1000, random.Random(seed)

    def write(self, row: dict[str, Any]) -> None:
        os.write(self._log, json.dumps(row).encode() + b"\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 crash.test ESMTP\r\n")
        recipient = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-crash.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n")
            elif verb == b"RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                if not await self.data(reader, writer, recipient):
                    return
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async def content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Ask for it and read it, dot and all; the delay before the answer is over then."""
        writer.write(b"354 go ahead\r\n")
        body = await reader.readuntil(b"\r\n.\r\n")
        if self._delay:
            await asyncio.sleep(self.random.random() * self._delay)
        return body

    async def data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recipient: str) -> bool:
        """What is done when DATA comes. False when the connection is over."""
        raise NotImplementedError

    async def listen(self, ports: Iterable[int]) -> None:
        """Serve on loopback until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            for port in ports:
                listener = Listener(self.serve)
                stack.push_async_callback(listener.stop)
                await listener.start(port=port, limit=32 * 1024 * 1024)
            await asyncio.Event().wait()


class Server(Conversation):
    def __init__(self, log: Path, delay_ms: float, drop: float, seed: int) -> None:
        super().__init__(log, delay_ms, seed)
        self._drop = drop

    def note(self, kind: str, recipient: str, body: bytes) -> None:
        head = body.partition(b"\r\n\r\n")[0] + b"\r\n"
        named = {"delivery": DELIVERY, "subject": SUBJECT, "unsubscribe": UNSUBSCRIBE}
        said = {name: found[1].decode() if (found := pattern.search(head)) else None for name, pattern in named.items()}
        self.write({"kind": kind, "at": time.time(), "to": recipient, **said, "bytes": len(body)})

    async def data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recipient: str) -> bool:
        body = await self.content(reader, writer)
        if self.random.random() < self._drop:
            self.note("dropped_taken" if self.random.random() < 0.5 else "dropped_lost", recipient, body)
            writer.transport.abort()
            return False
        self.note("accepted", recipient, body)
        writer.write(b"250 2.0.0 taken\r\n")
        return True


def arguments(ports: str, **more: float) -> argparse.Namespace:
    """`ports`: how the first one is called; `more`: options beyond `--delay` and `--seed`, with their defaults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", metavar=ports, type=lambda text: [int(port) for port in text.split(",")])
    parser.add_argument("log", type=Path)
    parser.add_argument("--delay", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=float, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments("PORT", drop=0.01)
    asyncio.run(Server(given.log, given.delay, given.drop, given.seed).listen(given.ports))
