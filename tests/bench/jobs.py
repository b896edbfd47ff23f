"""Intake of small and huge jobs by the real daemon: rows a second, and what the daemon's memory peaks at.

One `homing run` process for each size, its queue paused so that nothing is sent. A file is renamed into the spool; measured is until
it is on disk with its receipt (accept), until all rows are checked and planned (expand), and until all are due (release). The peak
is the kernel's own (VmHWM). Goals: under 128 MB, and a million rows within 10 % of twenty thousand.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.bench.home import cpu_seconds
from tests.crash.world import Installation
from tests.ports import free_port

SIZES = (20_000, 1_000_000)
DEADLINE_SECONDS = 900.0
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    """Seconds of each phase; megabytes (2^20) of the whole process before the job and at its peak."""

    rows: int
    accept: float
    expand: float
    release: float
    idle: float
    peak: float
    cpu: float
    """Of the daemon, seconds."""

    def line(self) -> str:
        return (
            f"  {self.rows:9,} rows   accept {self.accept:6.1f} s   expand {self.rows / self.expand:7,.0f}/s   release {self.rows / self.release:7,.0f}/s"
            f"   in all {self.rows / (self.accept + self.expand + self.release):7,.0f}/s   {self.cpu / self.rows * 1e6:5.1f} CPU µs a row"
            f"   peak {self.peak:5.1f} MB (idle {self.idle:.1f})"
        )


def memory(pid: int, key: str) -> float:
    """A size from /proc/PID/status in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


def write_job(path: Path, rows: int, first: int = 0) -> None:
    """An NDJSON job such as a marketing tool drops: an address, a zone, a locale, two traits and a variable each."""
    with path.open("w") as file:
        file.write(json.dumps({"id": path.stem, "expected_count": rows}) + "\n")
        for number in range(first, first + rows):
            row = {
                "id": f"customer-{number}", "email": f"customer-{number}@example-{number % 500}.com", "zone": "Asia/Jakarta", "locale": "id",
                "traits": {"first_name": f"Name{number % 1000}", "tier": "high"}, "vars": {"last_product": "shoes"},
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")


def measure(rows: int) -> Measured:
    """One job of this size, in a daemon and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="homing-intake-") as folder:
        home = Installation(Path(folder), free_port(), Path(folder, "unused.log"))
        try:
            home.start()
            home.run("queue", "pause", "lapsed")
            assert home.pid is not None
            idle = memory(home.pid, "VmRSS")
            spool = Path(folder, "var", "spool", "lapsed")
            write_job(spool / "tmp" / "bench.ndjson", rows)
            os.rename(spool / "tmp" / "bench.ndjson", spool / "new" / "bench.ndjson")
            before = cpu_seconds(home.pid)
            times = [time.monotonic(), *(_passes(home, where) for where in ("1", "expanded = 1", "release_cursor = last_id"))]
            peak, cpu = memory(home.pid, "VmHWM"), cpu_seconds(home.pid) - before
            _check(home, rows)
            home.stop()
        finally:
            home.end()
    accept, expand, release = (later - earlier for earlier, later in pairwise(times))
    return Measured(rows=rows, accept=accept, expand=expand, release=release, idle=idle, peak=peak, cpu=cpu)


def _passes(home: Installation, condition: str) -> float:
    """When this became true of the job."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not home.ask(f"SELECT 1 FROM job WHERE {condition}"):
        assert time.monotonic() < deadline, f"{condition}: not within {DEADLINE_SECONDS:.0f} s\n{home.tail()}"
        time.sleep(LOOK_SECONDS)
    return time.monotonic()


def _check(home: Installation, rows: int) -> None:
    """Everybody is planned, and waits in the due queue."""
    assert home.ask("SELECT rows, accepted, duplicate, rejected FROM job") == [(rows, rows, 0, 0)]
    assert home.ask("SELECT count(*) FROM due") == [(rows,)]


def run(*sizes: int) -> None:
    """Print a line for each size, and the ratio of the last peak to the first."""
    found = []
    for rows in sizes or SIZES:
        found.append(measure(rows))
        print(found[-1].line(), flush=True)
    ratio = found[-1].peak / found[0].peak
    print(f"  peak {ratio:.2f} of that of {found[0].rows:,} rows; goals: <= 1.10 and < 128 MB")
