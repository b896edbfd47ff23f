"""A daemon that is measured: on one core, its queue paused while a job is taken in, then let go while the peer counts what comes."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.crash.world import Installation

Stat = Callable[[], tuple[int, float]]
"""(how many came, seconds from the first to the last) since it was asked last."""


def pin(home: Installation, core: int | str) -> None:
    """All its threads on this core."""
    assert home.pid is not None
    for thread in Path(f"/proc/{home.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {int(core)})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def give(home: Installation, queue: str, name: str, text: str) -> None:
    """A job into the spool of any queue, until all of it is due."""
    folder = home.folder / "var" / "spool" / queue
    (folder / "tmp" / f"{name}.ndjson").write_text(text)
    os.rename(folder / "tmp" / f"{name}.ndjson", folder / "new" / f"{name}.ndjson")
    while not home.released(name):
        time.sleep(0.05)


def take_in(home: Installation, name: str, text: str) -> None:
    """A job is in the due queue, which is paused."""
    home.run("queue", "pause", "lapsed")
    give(home, "lapsed", name, text)


def let_go(home: Installation, stat: Stat, count: int) -> tuple[float, float]:
    """What was taken in goes out; (messages a second, CPU µs a message). All `count` must come."""
    assert home.pid is not None
    stat()
    before = cpu_seconds(home.pid)
    home.run("queue", "resume", "lapsed")
    while home.waiting():
        time.sleep(0.05)
    came, seconds = stat()
    assert came == count, f"{came} of {count} messages came"
    return count / seconds, (cpu_seconds(home.pid) - before) / count * 1e6


def web_stat(port: int) -> tuple[int, float]:
    """Of a peer that tells it at `/stat`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stat", timeout=10) as answer:
        count, first, last = answer.read().split()
    return int(count), float(last) - float(first)
