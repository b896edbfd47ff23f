"""An import beside sending: how long handovers and unsubscribes wait while a job of a million rows is taken in, planned and released.

One real `homing run` sends a job to a sink as fast as it can; unsubscribes come in at a steady pace, each over a connection of its own.
First without, then during the import. Handover: from a channel's request to the committed answer, by the daemon's own histogram
`homing_handover_seconds`. Unsubscribe: from connecting to the whole answer, as its sender sees it. Goals: p99 < 50 ms and < 100 ms.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from daemon.disk import SystemDisk
from daemon.ids import SystemIds
from daemon.links import UNSUBSCRIBE, Links, open_ring
from tests.bench.home import cpu_seconds
from tests.bench.jobs import memory, write_job
from tests.crash.world import Installation, job_lines
from tests.ports import free_port

SENT_ROWS = 400_000
QUIET_SECONDS = 10.0
PACE_SECONDS = 0.05
DEADLINE_SECONDS = 900.0


class Unsubscribers(threading.Thread):
    """One POST each PACE_SECONDS, whatever the last one took."""

    def __init__(self, port: int, paths: list[str]) -> None:
        super().__init__(daemon=True)
        self.port, self.paths, self.took, self.over = port, paths, list[float](), threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self.over.wait(max(due - time.monotonic(), 0.0)) and self.paths:
            due += PACE_SECONDS
            self._post(self.paths.pop())

    def _post(self, path: str) -> None:
        start = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        client.request("POST", path, b"List-Unsubscribe=One-Click", {"Content-Type": "application/x-www-form-urlencoded"})
        answer = client.getresponse()
        answer.read()
        client.close()
        assert answer.status == 200, answer.status
        self.took.append(time.monotonic() - start)


@dataclass
class Histogram:
    """Counts by upper bound, as `/metrics` tells them."""

    counts: dict[float, int] = field(default_factory=dict)

    def since(self, before: Histogram) -> Histogram:
        return Histogram({bound: n - before.counts.get(bound, 0) for bound, n in self.counts.items()})

    def quantile(self, share: float) -> float:
        """By a straight line within the bucket, as Prometheus does."""
        bounds = sorted(self.counts)
        wanted = self.counts[bounds[-1]] * share
        low, seen = 0.0, 0
        for bound in bounds:
            if self.counts[bound] >= wanted:
                return low + (bound - low) * (wanted - seen) / max(self.counts[bound] - seen, 1) if bound != float("inf") else low
            low, seen = bound, self.counts[bound]
        return low

    def most(self) -> float:
        """The bound below which all of them are."""
        return min(bound for bound, n in self.counts.items() if n == max(self.counts.values()))


def handovers(home: Installation) -> Histogram:
    with urllib.request.urlopen(f"http://127.0.0.1:{home.admin}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    lines = (line for line in text.splitlines() if line.startswith("homing_handover_seconds_bucket"))
    return Histogram({float(line.split('le="')[1].split('"')[0]): int(float(line.rsplit(" ", 1)[1])) for line in lines})


def accepted(home: Installation) -> int:
    return int(str(home.ask("SELECT coalesce(sum(n), 0) FROM tally WHERE state = 'accepted'")[0][0]))


class Phase:
    """One stretch of the run, measured from `__init__` to `line`."""

    def __init__(self, home: Installation, paths: list[str]) -> None:
        self.home, self.before, self.sent = home, handovers(home), accepted(home)
        assert home.pid is not None
        self.pid, self.cpu, self.began = home.pid, cpu_seconds(home.pid), time.monotonic()
        self.unsubscribers = Unsubscribers(home.public, paths)
        self.unsubscribers.start()

    def line(self, name: str) -> str:
        self.unsubscribers.over.set()
        self.unsubscribers.join()
        seconds, waits, took = time.monotonic() - self.began, handovers(self.home).since(self.before), sorted(self.unsubscribers.took)
        cpu = cpu_seconds(self.pid) - self.cpu
        p99 = statistics.quantiles(took, n=100)[98]
        return (
            f"  {name:22} {seconds:5.1f} s, {cpu / seconds:.2f} cores, {(accepted(self.home) - self.sent) / seconds:6,.0f} e-mails/s   handover p50"
            f" {waits.quantile(0.5) * 1e3:5.1f} p99 {waits.quantile(0.99) * 1e3:5.1f} max < {waits.most() * 1e3:.0f} ms   unsubscribe p50"
            f" {statistics.median(took) * 1e3:5.1f} p99 {p99 * 1e3:5.1f} max {took[-1] * 1e3:.0f} ms (n = {len(took)})"
            f"   memory {memory(self.pid, 'VmRSS'):.0f} MB, peak {memory(self.pid, 'VmHWM'):.0f} MB"
        )


def run(rows: int = 1_000_000, sent: int = SENT_ROWS) -> None:
    """Print a line without the import and one with it."""
    port = free_port()
    sink = subprocess.Popen([sys.executable, "-m", "tests.bench.sink", str(port)])
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        time.sleep(0.5)
        home = Installation(Path(folder), port, Path(folder, "unused.log"))
        try:
            home.start()
            _measure(home, rows, sent)
            home.stop()
        finally:
            home.end()
            sink.terminate()
            sink.wait()


def _measure(home: Installation, rows: int, sent: int) -> None:
    home.run("queue", "pause", "lapsed")
    home.spool("sent", job_lines("sent", "s", sent))
    _wait(home, "sent", "release_cursor = last_id")
    spool = home.folder / "var" / "spool" / "lapsed"
    write_job(spool / "tmp" / "import.ndjson", rows)
    links = Links(open_ring(home.folder / "var" / "links.key", SystemDisk(), SystemIds()), "http://127.0.0.1")
    ids = [int(str(row[0])) for row in home.ask("SELECT id FROM delivery ORDER BY id DESC LIMIT 50000")]
    paths = [f"/u/{links.mint(UNSUBSCRIBE, number)}" for number in ids]
    home.run("queue", "resume", "lapsed")
    while accepted(home) < 1000:
        time.sleep(0.1)
    quiet = Phase(home, paths)
    time.sleep(QUIET_SECONDS)
    print(quiet.line("sending alone"), flush=True)
    during = Phase(home, paths)
    os.rename(spool / "tmp" / "import.ndjson", spool / "new" / "import.ndjson")
    _wait(home, "import", "release_cursor = last_id")
    took = time.monotonic() - during.began
    print(during.line(f"import of {rows:,}"), flush=True)
    print(f"  import: {rows / took:,.0f} rows/s beside the sending; goals: handover p99 < 50 ms, unsubscribe p99 < 100 ms")


def _wait(home: Installation, job: str, condition: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not home.ask(f"SELECT 1 FROM job WHERE key = '{job}' AND expanded = 1 AND ({condition})"):
        assert time.monotonic() < deadline, f"{job}: {condition}: not within {DEADLINE_SECONDS:.0f} s\n{home.tail()}"
        time.sleep(0.05)
