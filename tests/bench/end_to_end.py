"""The whole daemon, everything on, against the reference loop: e-mails a second and CPU µs a message.

One real `homing run` process on CPU 0 and a sink on CPU 1; the queue is paused while a job is taken in, then resumed: what is
measured is claim, policy, render, MIME, SMTP, handover, record. The reference (`pool`) runs on CPU 0 in between. 10 KB multipart.
"""

from __future__ import annotations

import json
import os
import smtplib
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.home import let_go, pin, take_in
from tests.crash.world import Installation
from tests.ports import free_port

TEMPLATE = (
    """---
subject: {{ recipient.id }}, your {{ vars.last_product | capitalize }} is waiting
preheader: We kept it warm for you
---
<p>Hello {{ recipient.first_name | default: "friend" }},</p>
"""
    + "<p>A line of an ordinary newsletter, seventy-odd characters long, no more.</p>\n" * 50
    + """<p>Your {{ vars.last_product }} is here.</p><p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
--- text
Hello {{ recipient.first_name | default: "friend" }},
"""
    + "A line of an ordinary newsletter, seventy-odd characters long, no more.\n" * 50
    + "Your {{ vars.last_product }} is here. Stop: {{ unsubscribe_url }}\n"
)


def rows(round_: int, count: int) -> str:
    head = {"id": f"bench-{round_}", "queue": "lapsed", "expected_count": count}
    people = (
        {
            "id": f"r{round_}-{i}",
            "email": f"r{round_}-{i}@example.com",
            "zone": "Asia/Jakarta",
            "locale": "en",
            "vars": {"last_product": "shoes"},
        }
        for i in range(count)
    )
    return "\n".join(json.dumps(row) for row in (head, *people)) + "\n"


def stat(port: int) -> tuple[int, float]:
    """(messages, seconds from the first to the last) since the last call."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        _, answer = client.docmd("XSTAT")
    count, first, last = answer.split()
    return int(count), float(last) - float(first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    connections: int
    commits_per_second: float
    kib: float
    """Written to disk, a delivery."""
    memory: float
    """Megabytes (2^20) of the daemon after it."""

    @staticmethod
    def line(costs: Sequence[Cost]) -> str:
        """Medians (and extremes) in words."""
        commits, kib, memory = ([getattr(cost, name) for cost in costs] for name in ("commits_per_second", "kib", "memory"))
        return (
            f"  homing: {max(cost.connections for cost in costs)} connections, {statistics.median(commits):.0f} ({min(commits):.0f}-{max(commits):.0f})"
            f" commits/s, {statistics.median(kib):.1f} ({min(kib):.1f}-{max(kib):.1f}) KiB written a delivery, {max(memory):.0f} MB in memory"
        )


def committed(folder: Path) -> int:
    """Transactions that SQLite counted in the shared header of its write-ahead log (field iChange)."""
    with (folder / "var" / "homing.db-shm").open("rb") as file:
        return int(struct.unpack_from("=I", file.read(48), 8)[0])


def written_bytes(pid: int) -> int:
    """Bytes a process had sent to the storage layer."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"])


def peak(port: int) -> int:
    """The most connections that took messages at once since the last call."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        return int(client.docmd("XPEAK")[1].split()[0])


class EndToEnd:
    def __init__(self, folder: Path, sink_port: int, count: int) -> None:
        self.port, self.count, self.round = sink_port, count, 0
        self.home = Installation(folder, sink_port, folder / "unused.log", template=TEMPLATE)
        self.home.start()
        pin(self.home, 0)

    def prepare(self) -> None:
        """A job is in the due queue, which is paused."""
        self.round += 1
        take_in(self.home, f"bench-{self.round}", rows(self.round, self.count))

    def send(self) -> tuple[float, float]:
        """Let it go; (e-mails a second, CPU µs a message)."""
        return let_go(self.home, lambda: stat(self.port), self.count)


    def send_and_cost(self) -> tuple[float, float, Cost]:
        """`send`, and what the store and the connections had to do for it."""
        pid, folder = self.home.pid, self.home.folder
        assert pid is not None
        peak(self.port)
        commits, written = committed(folder), written_bytes(pid)
        rate, cpu = self.send()
        commits, written = committed(folder) - commits, written_bytes(pid) - written
        memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        seconds = self.count / rate
        return rate, cpu, Cost(connections=peak(self.port), commits_per_second=commits / seconds, kib=written / 1024 / self.count, memory=memory)


def reference(port: int, count: int) -> tuple[float, float]:
    """The same of the bare aiosmtplib loop."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.pool", str(port), str(count), "10000"]
    seconds, cpu = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    stat(port)
    return count / seconds, cpu / count * 1e6


def run(rounds: int = 5, count: int = 5000) -> None:
    """Print medians (and extremes) of interleaved rounds, after one that is dropped."""
    port = free_port()
    sink = subprocess.Popen(["taskset", "-c", "1", sys.executable, "-m", "tests.bench.sink", str(port)])
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        time.sleep(0.5)
        bench = EndToEnd(Path(folder), port, count)
        try:
            found, costs = [], []
            for _ in range(rounds + 1):
                bench.prepare()
                *ours, cost = bench.send_and_cost()
                costs.append(cost)
                found.append((ours, reference(port, count)))
            del found[0], costs[0]
            bench.home.stop()
        finally:
            bench.home.end()
            sink.terminate()
            sink.wait()
    for name, index in (("homing, everything on", 0), ("aiosmtplib pool of 10, ready bytes", 1)):
        rates, cpus = [row[index][0] for row in found], [row[index][1] for row in found]
        print(
            f"  {name:36} {statistics.median(rates):8,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})   {statistics.median(cpus):6.0f} CPU µs/message"
        )
    print(Cost.line(costs))
    ratios = [ours[0] / theirs[0] for ours, theirs in found]
    print(f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}); goal >= 0.7")
