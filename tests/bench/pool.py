"""The reference: a bare loop over a pool of 10 aiosmtplib connections with ready-made bytes: `python -m tests.bench.pool PORT N SIZE`.

Prints `SECONDS CPU_SECONDS` of the sending alone.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

import aiosmtplib

CONNECTIONS = 10


def message(size: int) -> bytes:
    """A finished multipart mail of about `size` bytes."""
    line = b"A line of an ordinary newsletter, seventy-odd characters long, no more.\r\n"
    part = line * (size // 2 // len(line))
    head = (
        b"From: Kedai <hello@mail.example.com>\r\nTo: someone@example.com\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
    )
    return head + b"--b\r\nContent-Type: text/plain\r\n\r\n" + part + b"--b\r\nContent-Type: text/html\r\n\r\n" + part + b"--b--\r\n"


async def main() -> None:
    port, count, size = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    body = message(size)
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench") for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    left = iter(range(count))

    async def send(client: aiosmtplib.SMTP) -> None:
        for number in left:
            await client.sendmail("hello@mail.example.com", [f"p{number}@example.com"], body)

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(send(client) for client in clients))
    spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    for client in clients:
        await client.quit()
    print(f"{spent:.6f} {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.6f}")


if __name__ == "__main__":
    asyncio.run(main())
