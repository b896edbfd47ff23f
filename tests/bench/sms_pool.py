"""The reference: a bare loop over the SDK's own asynchronous client: `python -m tests.bench.sms_pool PORT N CONCURRENCY`.

The same fields as the channel's, ready-made. Prints `SECONDS CPU_SECONDS` of the sending alone.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from tests.bench.sms_sink import MESSAGE


async def main() -> None:
    port, count, concurrency = (int(word) for word in sys.argv[1:4])
    http = AsyncTwilioHttpClient()
    client = Client(MESSAGE["account_sid"], "token", http_client=http)
    client.api.base_url = f"http://127.0.0.1:{port}"
    messages = client.api.v2010.account.messages
    left = iter(range(count))

    async def send() -> None:
        for number in left:
            made = await messages.create_async(
                to=f"+62812{number:07d}",
                from_=MESSAGE["from"],
                body=f"Halo {number}, sepatu menunggu. 15% untuk pesanan berikutnya, sampai Jumat. Stop: balas STOP",
                status_callback=f"https://shop.example.com/hooks/sms?t={number:026d}",
                validity_period=36000,
            )
            assert made.sid

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(send() for _ in range(concurrency)))
    spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    await http.close()
    print(f"{spent:.6f} {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.6f}")


if __name__ == "__main__":
    asyncio.run(main())
