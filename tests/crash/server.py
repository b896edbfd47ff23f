"""An SMTP server with a log of its own, for crash and load tests: `python -m tests.crash.server PORT LOG [--delay] [--drop]`.

Pipelining, one line of JSON in LOG for each message it took (and for each connection it dropped after the dot), flushed
before it answers. The answer to the dot comes after 0 to `--delay` ms; with `--drop` P it breaks that share of connections
there instead, in half of the cases after it took the message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from typing import IO

DELIVERY = re.compile(rb"^X-Homing-Delivery: *(\S+)\r$", re.MULTILINE | re.IGNORECASE)
SUBJECT = re.compile(rb"^Subject: *([^\r]*)\r$", re.MULTILINE | re.IGNORECASE)
UNSUBSCRIBE = re.compile(rb"^List-Unsubscribe:\s*<([^>]+)>\r$", re.MULTILINE | re.IGNORECASE)


class Server:
    def __init__(self, log: IO[str], delay_ms: float, drop: float, seed: int) -> None:
        self.log, self.delay_ms, self.drop = log, delay_ms, drop
        self.random = random.Random(seed)

    def write(self, kind: str, recipient: str, body: bytes) -> None:
        head = body.partition(b"\r\n\r\n")[0] + b"\r\n"
        named = {"delivery": DELIVERY, "subject": SUBJECT, "unsubscribe": UNSUBSCRIBE}
        said = {name: found[1].decode() if (found := pattern.search(head)) else None for name, pattern in named.items()}
        row = {"kind": kind, "at": time.time(), "to": recipient, **said, "bytes": len(body)}
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                writer.write(b"354 go ahead\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                if self.delay_ms:
                    await asyncio.sleep(self.random.random() * self.delay_ms / 1000)
                if self.random.random() < self.drop:
                    self.write("dropped_taken" if self.random.random() < 0.5 else "dropped_lost", recipient, body)
                    writer.transport.abort()
                    return
                self.write("accepted", recipient, body)
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("log")
    parser.add_argument("--delay", type=float, default=50.0)
    parser.add_argument("--drop", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with open(given.log, "a", encoding="ascii") as log:
        server = Server(log, given.delay, given.drop, given.seed)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", given.port, limit=32 * 1024 * 1024)
        async with listener:
            await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
