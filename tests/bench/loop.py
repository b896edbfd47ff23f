"""The whole loop with a channel that does nothing: claim, policy, handover and durable outcome, on a real file, one core.

The daemon's own ClaimLoop, Line, session, send journal and store (WAL, synchronous FULL) send from a backlog of 10 thousand and of
10 million due deliveries (`backlog` says how those are made); a handover asks for 200 at once, as a bulk provider would. Windows, a
weekly cap with a touch to count, consent and suppression are in force. Nothing is rendered: the message is made without a template.
`python -m tests.bench loop`; each round is a process of its own on one core, the sizes in turn, the medians count.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from daemon.app.interpreter import settle_interpreter
from daemon.clock import SystemClock, to_datetime
from daemon.disk import SystemDisk
from daemon.dispatch.fair import Fair
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal
from daemon.dispatch.judge import Judging
from daemon.dispatch.line import Line
from daemon.dispatch.loop import ClaimLoop
from daemon.dispatch.work import Envelope, PlanBook
from daemon.ids import SystemIds
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.model.delivery import DAY
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket
from daemon.policy.caps import Cap
from daemon.policy.hours import parse_window
from daemon.policy.rules import Rules
from daemon.store.flight import Flights
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store
from plugins.contract import Accepted, Capabilities, Context, Message, Session
from tests.bench.backlog import make_backlog

BATCH = 200
SIZES = (10_000, 10_000_000)
WARM = 800
COUNT = 8_000
"""Deliveries measured in a round, after `WARM` ones."""
RULES = Rules(window=parse_window({"start": "00:00", "end": "24:00"}), caps=(Cap(name="weekly", limit=3, rolling=7 * DAY),))


class Nothing:
    """Accepts what it is given: `session.handover` for the whole batch, then the outcomes."""

    name: ClassVar[str] = "nothing"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    settings_type: ClassVar[type] = object
    capabilities = Capabilities(concurrency=4, batch=BATCH, unit=BATCH)

    def __init__(self, target: int) -> None:
        self.sent, self.target, self.handovers = 0, target, 0
        self.warm, self.done = asyncio.Event(), asyncio.Event()

    async def start(self, context: Context[Any]) -> None: ...
    async def stop(self) -> None: ...

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        granted = await session.handover([message.id for message in batch])
        for id in granted:
            session.report(id, Accepted(provider_id="ok"))
        self.sent += len(granted)
        self.handovers += 1
        if self.sent >= WARM:
            self.warm.set()
        if self.sent >= self.target:
            self.done.set()


class Plain:
    """The message without a template."""

    def render(self, envelope: Envelope) -> Message:
        row = envelope.claimed.row
        when = to_datetime(envelope.claimed.closes)
        return Message(
            id=envelope.public_id, address=row.email or "", channel="email", recipient=row.recipient, campaign=row.campaign_name,
            step=row.step, text_pieces=("hello",), created_at=when, expires_at=when, ttl=60,
        )  # fmt: skip


def written() -> int:
    """Bytes that this process has had written to disks."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


def resident() -> float:
    """Megabytes (2^20) in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak() -> float:
    """Megabytes at the most. Not `ru_maxrss`: that is the parent's where it was larger."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def measure(path: Path, count: int) -> dict[str, float]:
    clock, ids, disk = SystemClock(), SystemIds(), SystemDisk()
    journal = Journal(path.with_suffix(".journal"), disk)
    store = Store.open(path, after_join=journal.append)
    began = await store.write(Lane.BULK, begin, clock.instant(), "bench", "nonce")
    journal.open("nonce", began.commit)
    gate = Gate(path.with_name("stop"), clock=clock, exists=disk.exists)
    flights = Flights(clock.instant, gate.shut)
    channel = Nothing(WARM + count)
    metrics, plans = Metrics(clock), PlanBook({})
    line = Line(
        provider="nothing", kind="email", channel=channel, store=store, flights=flights, clock=clock, ids=ids, log=get_log(), metrics=metrics,
        writer=Plain(), bucket=Bucket(rate=None), breaker=Breaker(), wake=lambda: loop.wake(),
        freed=lambda: loop.freed(),
    )  # fmt: skip
    loop = ClaimLoop(
        store=store, clock=clock, gate=gate, fair=Fair({}), judging=Judging(RULES, {"email": "email"}, {}), plans=plans,
        lines={"nothing": line}, owner=began.id, log=get_log(), metrics=metrics,
    )  # fmt: skip
    line.start()
    running = asyncio.create_task(loop.run())
    await channel.warm.wait()
    sent, commits, bytes_before = channel.sent, store.commits, written()
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await channel.done.wait()
    seconds, spent = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    sent = channel.sent - sent
    found = {
        "rate": sent / seconds,
        "cpu": (spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime) / sent * 1e6,
        "commits": (store.commits - commits) / seconds,
        "kib": (written() - bytes_before) / sent / 1024,
        "rss": resident(),
        "peak": peak(),
        "connections": channel.capabilities.concurrency,
    }
    loop.stop()
    await running
    await line.drain(10)
    await store.close()
    journal.close()
    return found


def one(path: Path, count: int) -> None:
    settle_interpreter()
    print(json.dumps(asyncio.run(measure(path, count))))


def run(sizes: Sequence[int] = SIZES, rounds: int = 5, count: int = COUNT) -> None:
    """Print a line a size, and the ratio of the last rate to the first."""
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="homing-loop-") as folder:
        paths = {size: Path(folder, str(size), "homing.db") for size in sizes}
        for size, path in paths.items():
            if size >= (rounds + 2) * (count + WARM + 4 * BATCH):
                _fill(path, size)
        for round_ in range(rounds + 1):
            for size, path in paths.items():
                if size < (rounds + 2) * (count + WARM + 4 * BATCH):
                    _fill(path, size)
                command = [sys.executable, "-m", "tests.bench.loop", str(path), str(count)]
                core = min(os.sched_getaffinity(0))
                said = subprocess.run(["taskset", "-c", str(core), *command], check=True, capture_output=True, text=True).stdout
                if round_:
                    found[size].append(json.loads(said.splitlines()[-1]))
    for size, results in found.items():
        print(_line(size, results), flush=True)
    ratios = [last["rate"] / first["rate"] for first, last in zip(found[sizes[0]], found[sizes[-1]], strict=True)]
    cpu = [first["cpu"] / last["cpu"] for first, last in zip(found[sizes[0]], found[sizes[-1]], strict=True)]
    print(
        f"  rate at {sizes[-1]:,} / at {sizes[0]:,}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), by CPU "
        f"{statistics.median(cpu):.2f}; goals: >= 7,000/s, >= 0.75, memory <= that of the first + 24 MB and <= 128 MB"
    )


def _fill(path: Path, size: int) -> None:
    """A fresh backlog; nothing is left of an older one."""
    shutil.rmtree(path.parent, ignore_errors=True)
    start = time.perf_counter()
    make_backlog(path, size, SystemClock().instant())
    if size > 1_000_000:
        print(f"  (filled with {size:,} due deliveries in {time.perf_counter() - start:.0f} s)", flush=True)


def _line(size: int, results: Sequence[dict[str, float]]) -> str:
    middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
    rates = [result["rate"] for result in results]
    return (
        f"  {size:>10,} due: {middle['rate']:7,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})   {middle['cpu']:5.0f} CPU µs   "
        f"{middle['commits']:5.0f} commits/s   {middle['kib']:5.1f} KiB written a delivery   {middle['connections']:.0f} senders   "
        f"RSS {middle['rss']:.0f} MB, peak {middle['peak']:.0f}"
    )


if __name__ == "__main__":
    one(Path(sys.argv[1]), int(sys.argv[2]))
