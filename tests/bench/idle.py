"""Start and rest: how long a daemon takes from its process to the first claimed batch, and what it costs while there is nothing to do.

The start is measured with a job waiting, five times after one that warms the file cache, each killed at its first claim: wall time, and
the processor time of the process until then, which other people's load moves less. (`ten-million` measures it with ten million rows.)
Then idle: processor time over thirty seconds with an empty queue, a mail server that nobody talks to, and memory. Goals: <= 800 ms, <= 0.5 %, <= 100 MB.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.bench.home import cpu_seconds
from tests.bench.jobs import memory
from tests.crash.world import Installation, job_lines
from tests.ports import free_port

STARTS = 5
REST_SECONDS = 30.0


def first_claim(home: Installation) -> tuple[float, float]:
    """(wall seconds, CPU seconds) until something of this process is claimed. The process is killed then."""
    with closing(sqlite3.connect(f"file:{home.folder}/var/homing.db?mode=ro", uri=True, timeout=10)) as conn:
        (last,) = conn.execute("SELECT coalesce(max(id), 0) FROM incarnation").fetchone()
        start = time.monotonic()
        home.spawn()
        assert home.pid is not None
        while not conn.execute("SELECT 1 FROM flight WHERE owner > ? LIMIT 1", (last,)).fetchone():
            assert time.monotonic() - start < 60, home.tail()
            time.sleep(0.002)
        wall, cpu = time.monotonic() - start, cpu_seconds(home.pid)
    home.kill()
    return wall, cpu


def rest(home: Installation) -> tuple[float, float]:
    """(share of a processor, MB) of a daemon that has nothing to do."""
    home.start()
    assert home.pid is not None
    time.sleep(8.0)  # what comes after the start is over
    before, start = cpu_seconds(home.pid), time.monotonic()
    time.sleep(REST_SECONDS)
    return (cpu_seconds(home.pid) - before) / (time.monotonic() - start), memory(home.pid, "VmRSS")


def run(starts: int = STARTS) -> None:
    """Print both."""
    with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        home = Installation(Path(folder), free_port(), Path(folder) / "unused.log")
        try:
            share, megabytes = rest(home)
            print(f"  idle: {share:.2%} of a processor, {megabytes:.0f} MB; goals <= 0.5 %, <= 100 MB", flush=True)
            home.spool("waits", job_lines("waits", "w", 20_000))
            while not home.released("waits"):
                time.sleep(0.05)
            home.kill()
            found = [first_claim(home) for _ in range(starts + 1)][1:]
        finally:
            home.end()
    wall, cpu = ([round(pair[side] * 1e3) for pair in found] for side in (0, 1))
    print(f"  process start to the first claimed batch: {statistics.median(wall)} ms ({min(wall)}-{max(wall)}), of that"
          f" {statistics.median(cpu)} ms of processor time ({min(cpu)}-{max(cpu)}); goal <= 800 warm")  # fmt: skip
