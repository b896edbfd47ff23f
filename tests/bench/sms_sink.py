"""A bare Twilio as a process of its own: `python -m tests.bench.sms_sink PORT`. Takes every message, counts, keeps nothing.

A POST is answered with a message of Twilio's usual size, under a sid of its own; `GET /stat` with `COUNT FIRST LAST` (wall seconds of the
first and last message since the last one) and resets; so the client is what is measured (the sandbox's server would cost as much as it).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

MESSAGE = {
    "account_sid": "AC" + "5a" * 16, "api_version": "2010-04-01", "body": "Halo, kami rindu kamu. 15% untuk pesanan berikutnya, sampai Jumat.",
    "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": None, "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
    "direction": "outbound-api", "error_code": None, "error_message": None, "from": "+628115550000", "messaging_service_sid": None,
    "num_media": "0", "num_segments": "1", "price": None, "price_unit": "USD", "sid": "%SID%", "status": "queued",
    "subresource_uris": {"media": "/2010-04-01/Accounts/AC/Messages/SM/Media.json"}, "to": "+628111111111",
    "uri": "/2010-04-01/Accounts/AC/Messages/SM.json",
}  # fmt: skip


class Sink(asyncio.Protocol):
    count, first, last = 0, 0.0, 0.0
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.rest = transport, b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.rest) < end + 4 + length:
                return
            self.rest = self.rest[end + 4 + length :]
            self.transport.write(stat() if head.startswith(b"get") else taken())


def taken() -> bytes:
    Sink.last = time.time()
    Sink.first = Sink.first or Sink.last
    Sink.count += 1
    return BEFORE + b"SM%032x" % Sink.count + AFTER


def stat() -> bytes:
    body = f"{Sink.count} {Sink.first} {Sink.last}".encode()
    Sink.count, Sink.first, Sink.last = 0, 0.0, 0.0
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


BODY = json.dumps(MESSAGE).replace("%SID%", "S" * 34).encode()
HEAD = b"HTTP/1.1 201 CREATED\r\nContent-Type: application/json\r\nTwilio-Request-Id: RQ5a5a\r\nX-API-Domain: api.twilio.com\r\nContent-Length: %d\r\n\r\n"
BEFORE, AFTER = (HEAD % len(BODY) + BODY).split(b"S" * 34)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
