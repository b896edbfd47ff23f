"""Ten million recipients into one store, by the real daemon: as ten jobs, or as one; after the ten, a start with all waiting, and sending.

Not part of the default run: about ten minutes and 6 GB of disk. The queue is paused while jobs come in through the spool, one after the
other: each is measured from the rename to the last due row. Flat means: the tenth million costs what the first did; CPU time is what to
look at on a machine that others use too. One job of ten million is planned in order of person into an empty store, and costs the same to
its end; each of the ten lays its new recipients' ids between those of the others, in two narrow indexes (ADR 0002).
Goals: >= 25,000 rows/s and the tenth >= 0.9 of the first; peak < 128 MB; from the start of the
process to the first claimed batch <= 800 ms (the second start: the first one warms the file cache).
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.bench.home import cpu_seconds
from tests.bench.jobs import memory, write_job
from tests.crash.world import Installation
from tests.ports import free_port

JOBS, ROWS = 10, 1_000_000
SENDING_SECONDS = 20.0
STARTS = 5
DEADLINE_SECONDS = 600.0


def run(jobs: int = JOBS, rows: int = ROWS) -> None:
    """Print a line a job, then the starts and the sending."""
    port = free_port()
    sink = subprocess.Popen([sys.executable, "-m", "tests.bench.sink", str(port)])
    with tempfile.TemporaryDirectory(prefix="homing-ten-million-") as folder:
        time.sleep(0.5)
        home = Installation(Path(folder), port, Path(folder, "unused.log"))
        try:
            home.start()
            home.run("queue", "pause", "lapsed")
            found = [_enqueue(home, number, rows) for number in range(jobs)]
            print(f"  the last of the first: {found[0][0] / found[-1][0]:.2f} by time, {found[0][1] / found[-1][1]:.2f} by CPU time; goal >= 0.9")
            home.run("queue", "resume", "lapsed")
            home.kill()
            _start_and_send(home, jobs * rows)
            home.stop()
        finally:
            home.end()
            sink.terminate()
            sink.wait()


def run_one(rows: int = JOBS * ROWS, parts: int = JOBS) -> None:
    """One job: print the reading, then each tenth of the planning and of the release."""
    with tempfile.TemporaryDirectory(prefix="homing-ten-million-") as folder:
        home = Installation(Path(folder), free_port(), Path(folder, "unused.log"))
        try:
            home.start()
            home.run("queue", "pause", "lapsed")
            _one(home, rows, parts)
            home.stop()
        finally:
            home.end()


def _one(home: Installation, rows: int, parts: int) -> None:
    spool = home.folder / "var" / "spool" / "lapsed"
    write_job(spool / "tmp" / "all.ndjson", rows)
    assert home.pid is not None
    start, cpu = time.monotonic(), cpu_seconds(home.pid)
    os.rename(spool / "tmp" / "all.ndjson", spool / "new" / "all.ndjson")
    stages = [("read", f"rows = {rows}")]
    stages += [(f"planned, {part + 1} of {parts}", f"accepted >= {rows // parts * (part + 1)}") for part in range(parts)]
    stages += [("released", "release_cursor = last_id")]
    spent: list[float] = []
    before, used = start, cpu
    for name, condition in stages:
        now, total = _passes(home, condition), cpu_seconds(home.pid)
        count = rows // parts if name.startswith("planned") else rows
        spent.append(total - used)
        print(
            f"  {name:16} {count / (now - before):8,.0f} rows/s, {(total - used) / count * 1e6:5.1f} CPU µs a row; peak {memory(home.pid, 'VmHWM'):.0f} MB",
            flush=True,
        )
        before, used = now, total
    print(
        f"  in all {rows / (before - start):,.0f} rows/s, {(used - cpu) / rows * 1e6:.1f} CPU µs a row; planning of the last tenth of the first:"
        f" {spent[1] / spent[-2]:.2f} by CPU time; goal >= 0.9"
    )


def _enqueue(home: Installation, number: int, rows: int) -> tuple[float, float]:
    """(seconds, CPU seconds) of one job."""
    spool = home.folder / "var" / "spool" / "lapsed"
    name = f"million-{number + 1}"
    write_job(spool / "tmp" / f"{name}.ndjson", rows, number * rows)
    assert home.pid is not None
    start, cpu = time.monotonic(), cpu_seconds(home.pid)
    os.rename(spool / "tmp" / f"{name}.ndjson", spool / "new" / f"{name}.ndjson")
    expanded = _passes(home, f"key = '{name}' AND expanded = 1") - start
    seconds = _passes(home, f"key = '{name}' AND release_cursor = last_id") - start
    cpu = cpu_seconds(home.pid) - cpu
    assert home.ask(f"SELECT accepted, rows FROM job WHERE key = '{name}'") == [(rows, rows)]
    (spool / "done" / f"{name}.ndjson").unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in (home.folder / "var").glob("homing.db*")) / 2**30
    print(
        f"  job {number + 1:2} of {rows:,}: to planned {rows / expanded:7,.0f}/s, released {rows / (seconds - expanded):7,.0f}/s, in all {rows / seconds:7,.0f}/s,"
        f" {cpu / rows * 1e6:5.1f} CPU µs a row; peak {memory(home.pid, 'VmHWM'):.0f} MB, store {size:.2f} GiB",
        flush=True,
    )
    return seconds, cpu


def _passes(home: Installation, condition: str) -> float:
    """When this became true of a job."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not home.ask(f"SELECT 1 FROM job WHERE {condition}"):
        assert time.monotonic() < deadline, f"{condition}: not within {DEADLINE_SECONDS:.0f} s\n{home.tail()}"
        time.sleep(0.02)
    return time.monotonic()


def _start_and_send(home: Installation, waiting: int) -> None:
    """Start it STARTS times, killed each time at its first claim; then let it send for a while."""
    took = [_first_claim(home, kill=number < STARTS - 1) for number in range(STARTS)]
    shown = ", ".join(f"{seconds * 1e3:.0f}" for seconds in took)
    print(f"  process start to the first claimed batch with {waiting:,} queued: {shown} ms; goal <= 800 warm", flush=True)
    assert home.pid is not None
    before, cpu, start = _accepted(home), cpu_seconds(home.pid), time.monotonic()
    time.sleep(SENDING_SECONDS)
    sent, seconds = _accepted(home) - before, time.monotonic() - start
    print(
        f"  sending: {sent / seconds:,.0f} e-mails/s, {(cpu_seconds(home.pid) - cpu) / max(sent, 1) * 1e6:.0f} CPU µs each; memory"
        f" {memory(home.pid, 'VmRSS'):.0f} MB, peak {memory(home.pid, 'VmHWM'):.0f} MB; goal <= 128"
    )


def _first_claim(home: Installation, *, kill: bool) -> float:
    """Seconds until something of this process is claimed; what the last one had is in doubt, or due again."""
    path = home.folder / "var" / "homing.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as conn:
        (last,) = conn.execute("SELECT coalesce(max(id), 0) FROM incarnation").fetchone()
        start = time.monotonic()
        home.spawn()
        while not conn.execute("SELECT 1 FROM flight WHERE owner > ? LIMIT 1", (last,)).fetchone():
            assert time.monotonic() - start < 60, home.tail()
            time.sleep(0.001)
        took = time.monotonic() - start
    if kill:
        home.kill()
    return took


def _accepted(home: Installation) -> int:
    return int(str(home.ask("SELECT coalesce(sum(n), 0) FROM tally WHERE state = 'accepted'")[0][0]))
