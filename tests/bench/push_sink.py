"""A push service for benches: takes every POST with 201 at once, decrypts nothing: `python -m tests.bench.push_sink PORT`.

`GET /stat` answers `COUNT FIRST LAST` (pushes and monotonic seconds of the first and last) and begins anew.
"""

from __future__ import annotations

import asyncio
import sys
import time

TAKEN = b"HTTP/1.1 201 Created\r\nLocation: https://push.example.com/m/1\r\nContent-Length: 0\r\n\r\n"


class Count:
    """What came since the last look."""

    def __init__(self) -> None:
        self.n, self.first, self.last = 0, 0.0, 0.0

    def one(self) -> None:
        self.last = time.monotonic()
        if not self.n:
            self.first = self.last
        self.n += 1

    def tell(self) -> bytes:
        said = f"{self.n} {self.first:.6f} {self.last:.6f}".encode()
        self.n = 0
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)


class Service(asyncio.Protocol):
    def __init__(self, count: Count) -> None:
        self._count, self._data = count, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + length:
                return
            del self._data[: end + 4 + length]
            if head.startswith(b"get "):
                self._transport.write(self._count.tell())
            else:
                self._count.one()
                self._transport.write(TAKEN)


async def main() -> None:
    count = Count()
    server = await asyncio.get_running_loop().create_server(lambda: Service(count), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
