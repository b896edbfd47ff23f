"""The SMTP channel by itself: CPU µs a message and messages/s, beside a pool of aiosmtplib connections with ready-made bytes.

`python -m tests.bench.smtp_channel` runs both, interleaved, client on one core and sink on another where there are two; the median
of the rounds counts, and CPU is the trustworthy column. "composed": each mail is built from its message (10 KB text and HTML, nine
personal pieces); "ready-made": the bytes are there, as the reference has them. Leave is granted at once: no store is measured here.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from channels.smtp import Settings, SmtpChannel
from channels.smtp.mime import Composer, Letter
from plugins import Accepted, Context, Message, Outcome
from tests.bench.pool import CONNECTIONS, message

SIZE = 10_240
COUNT = 6_000
ROUNDS = 5
BATCH = 50
AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
LINE = "A line of an ordinary newsletter, seventy-odd characters long, no more.\n"


class Granted:
    """A session that grants all."""

    closing = False

    def __init__(self) -> None:
        self.accepted = 0

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids)

    def report(self, id: str, outcome: Outcome) -> None:
        assert isinstance(outcome, Accepted), outcome
        self.accepted += 1


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Dns:
    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [(host, port)]


class Log:
    def bind(self, **fields: Any) -> Log:
        return self

    def _nothing(self, event: str, **fields: Any) -> None:
        return

    debug = info = warning = error = _nothing


class ReadyMade(Composer):
    """Gives each message the same finished bytes."""

    def __init__(self) -> None:
        super().__init__(sender="hello@mail.example.com", provider="bench")
        self._content = message(SIZE)

    def compose(self, message: Message) -> Letter:
        return Letter(id=message.id, sender="hello@mail.example.com", recipient=message.address, content=self._content)


def templated(count: int) -> list[Message]:
    """Mails of one template: the static pieces are the same objects in each, as the renderer gives them."""
    block = LINE * (SIZE // 2 // 4 // len(LINE))
    html = tuple(f"<p>{number}</p>\n{block}" for number in range(4))
    text = tuple(f"{number}\n{block}" for number in range(4))
    messages = []
    for number in range(count):
        name, url = f"Rani{number}", f"https://example.com/u/v1.k1.{number:040d}"
        messages.append(
            Message(
                id=f"M{number:012d}",
                address=f"p{number}@example.com",
                channel="email",
                recipient=f"c-{number}",
                campaign="winback",
                step="offer",
                subject=f"{name}, we miss you",
                text_pieces=(text[0], name, text[1], "WB-12345678", text[2], url, text[3]),
                html_pieces=(html[0], name, html[1], "WB-12345678", html[2], url, html[3], url, "</html>\n"),
                unsubscribe_url=url,
                created_at=AT,
                expires_at=AT + timedelta(days=3),
                ttl=3600.0,
            )
        )
    return messages


async def client(port: int, count: int, ready_made: bool) -> None:
    """The measured process: prints `SECONDS CPU_SECONDS` of the sending alone."""
    settings = Settings(host="127.0.0.1", port=port, tls="none", from_="Kedai <hello@mail.example.com>", pool=CONNECTIONS)
    channel = SmtpChannel()
    nothing = cast("Any", None)
    await channel.start(
        Context(
            provider="bench",
            settings=settings,
            clock=Clock(),
            rng=random.Random(1),
            dns=Dns(),
            open_stream=nothing,
            http=nothing,
            log=Log(),
        )
    )
    if ready_made:
        channel._composer = ReadyMade()
    messages = templated(count)
    batches = iter([messages[start : start + BATCH] for start in range(0, count, BATCH)])
    session = Granted()

    async def work() -> None:
        for batch in batches:
            await channel.send(batch, session)

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    await channel.stop()
    assert session.accepted == count
    print(f"{spent:.6f} {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.6f}")


def run(rounds: int = ROUNDS, count: int = COUNT) -> None:
    """All cases, interleaved; the first round warms up and is dropped."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    sink = subprocess.Popen([sys.executable, "-m", "tests.bench.sink", str(port)], preexec_fn=lambda: os.sched_setaffinity(0, cores[-1:]))
    cases = {
        "aiosmtplib pool of 10, ready-made": ["-m", "tests.bench.pool", str(port), str(count // 3), str(SIZE)],
        "channel, ready-made": ["-m", "tests.bench.smtp_channel", str(port), str(count), "ready-made"],
        "channel, composed": ["-m", "tests.bench.smtp_channel", str(port), str(count), "composed"],
    }
    cpu: dict[str, list[float]] = {case: [] for case in cases}
    rate: dict[str, list[float]] = {case: [] for case in cases}
    try:
        _wait_for(port)
        for round_ in range(rounds + 1):
            for case, command in cases.items():
                out = subprocess.run(
                    [sys.executable, *command],
                    check=True,
                    capture_output=True,
                    text=True,
                    preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]),
                ).stdout.split()
                sent = count // 3 if "aiosmtplib" in case else count
                if round_:
                    cpu[case].append(float(out[1]) / sent * 1e6)
                    rate[case].append(sent / float(out[0]))
    finally:
        sink.terminate()
        sink.wait()
    reference = statistics.median(cpu["aiosmtplib pool of 10, ready-made"])
    print(f"{'10 KB, 10 connections':36} {'msg/s':>8} {'CPU µs (min-max)':>22} {'less CPU':>9}")
    for case in cases:
        middle = statistics.median(cpu[case])
        spread = f"{middle:.1f} ({min(cpu[case]):.1f}-{max(cpu[case]):.1f})"
        print(f"{case:36} {statistics.median(rate[case]):8,.0f} {spread:>22} {reference / middle:8.1f}x")


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the sink does not listen")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        asyncio.run(client(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "ready-made"))
    else:
        run(*(int(argument) for argument in sys.argv[1:]))
