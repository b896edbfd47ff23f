"""Events over HTTP: batches of a hundred in Segment's format into a real `homing run`, from four connections; the daemon on one core.

A shop's mix: every twentieth event an order, each of 20,000 people some. Goal: 3,000 events/s. First into an empty store, then again on top.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.home import cpu_seconds
from tests.bench.jobs import memory
from tests.crash.world import Installation, free_port

BATCH = 100
CONNECTIONS = 4
PEOPLE = 20_000
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Email Opened")


def run(events: int = 60_000) -> None:
    with tempfile.TemporaryDirectory(prefix="homing-events-") as folder:
        home = Installation(Path(folder), free_port(), Path(folder, "unused.log"))
        try:
            home.start()
            assert home.pid is not None
            os.sched_setaffinity(home.pid, {min(os.sched_getaffinity(0))})
            token = json.loads(home.output("--json", "token", "create", "bench", "events:write"))["token"]
            for part, what in enumerate(("empty store", "on top of them")):
                _measure(home, token, events, part, what)
            home.stop()
        finally:
            home.end()


def _measure(home: Installation, token: str, events: int, part: int, what: str) -> None:
    bodies = _bodies(events, part)
    assert home.pid is not None
    cpu, began = cpu_seconds(home.pid), time.monotonic()
    senders = [threading.Thread(target=_send, args=(home.admin, token, bodies[n::CONNECTIONS])) for n in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    seconds, used = time.monotonic() - began, cpu_seconds(home.pid) - cpu
    print(
        f"  {events:,} events, {what}: {events / seconds:,.0f} events/s, {used / events * 1e6:.0f} µs CPU an event ({events / used:,.0f}/s on one core);"
        f" peak {memory(home.pid, 'VmHWM'):.0f} MB", flush=True,
    )  # fmt: skip


def _bodies(events: int, part: int) -> list[bytes]:
    rng = random.Random(part)
    made: list[dict[str, Any]] = []
    for n in range(events):
        order = n % 20 == 0
        said = {"order_id": f"o-{part}-{n}", "revenue": 40, "currency": "USD"} if order else {"product_id": f"p-{n % 500}", "category": "shoes", "price": 49.5}
        made.append({
            "type": "track", "userId": f"c-{rng.randrange(PEOPLE)}", "event": "Order Completed" if order else NAMES[n % len(NAMES)],
            "messageId": f"m-{part}-{n}", "properties": said, "timestamp": f"2026-0{1 + n % 9}-10T10:00:00Z",
        })  # fmt: skip
    return [json.dumps({"batch": made[start : start + BATCH]}).encode() for start in range(0, events, BATCH)]


def _send(port: int, token: str, bodies: list[bytes]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    head = {"Content-Type": "application/json", "Authorization": "Basic " + base64.b64encode(f"{token}:".encode()).decode()}
    for body in bodies:
        client.request("POST", "/v1/batch", body, head)
        answer = client.getresponse()
        found = json.loads(answer.read())
        assert (answer.status, found["kept"]) == (200, BATCH), (answer.status, found)
    client.close()
