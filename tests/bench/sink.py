"""A pipelining SMTP sink as a process of its own: `python -m tests.bench.sink PORT [RTT_MS]`. Counts; keeps nothing.

`XSTAT` answers `250 COUNT FIRST LAST` (wall seconds of the first and last message taken since the last XSTAT) and resets.
"""

from __future__ import annotations

import asyncio
import sys
import time


class Stats:
    count = 0
    first = 0.0
    last = 0.0


class Sink(asyncio.Protocol):
    def __init__(self, delay: float) -> None:
        self.delay, self.buffer, self.in_data = delay, b"", False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._say(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        rest, out = self.buffer + data, []
        while True:
            end = rest.find(b"\r\n.\r\n" if self.in_data else b"\r\n")
            if end < 0:
                break
            if self.in_data:
                rest, self.in_data = rest[end + 5 :], False
                Stats.last = time.time()
                Stats.first = Stats.first or Stats.last
                Stats.count += 1
                out.append(b"250 2.0.0 ok\r\n")
                continue
            line, rest = rest[:end].upper(), rest[end + 2 :]
            out.append(self._answer(line))
        self.buffer = rest
        if out:
            self._say(b"".join(out))

    def _answer(self, line: bytes) -> bytes:
        if line.startswith(b"EHLO"):
            return b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n"
        if line == b"DATA":
            self.in_data = True
            return b"354 go\r\n"
        if line == b"XSTAT":
            answer = f"250 {Stats.count} {Stats.first:.6f} {Stats.last:.6f}\r\n".encode()
            Stats.count, Stats.first, Stats.last = 0, 0.0, 0.0
            return answer
        return b"221 bye\r\n" if line == b"QUIT" else b"250 2.1.0 ok\r\n"

    def _say(self, data: bytes) -> None:
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, data)
        else:
            self.transport.write(data)


async def main() -> None:
    port, delay = int(sys.argv[1]), float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
    server = await asyncio.get_running_loop().create_server(lambda: Sink(delay), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
