"""The whole daemon beside three clients that people know, in one interleaved run, each against the same sink; then at 20 ms round trip.

(a) Postfix's `smtp-source`, ten sessions, C, one fixed body; (b) npm `nodemailer`, a pool of ten, which builds MIME from text and
HTML; (c) a bare loop over ten aiosmtplib connections with ready-made bytes. 10 KB a message, ten connections each, the client on one
core and the sink on another. What is not installed is left out and says how to get it: no figure is made up for it.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.end_to_end import Cost, EndToEnd, peak, stat
from tests.bench.home import cpu_seconds
from tests.ports import free_port

SIZE = 10_240
CONNECTIONS = 10
NODEMAILER = "nodemailer@10"
NODE_FOLDER = Path(sys.prefix) / "share" / "homing-bench"
RTT_MS = 20
SECOND = "a, against Postfix's own smtp-sink"
CORES = sorted(os.sched_getaffinity(0))
CLIENT, SINK = str(CORES[0]), str(CORES[-1])

Client = Callable[[int, int], tuple[float, float]]
"""(the sink's port, count) -> (seconds, CPU seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    rate: float
    cpu: float
    """Client, µs a message."""
    sink: float
    """Share of the time that the sink was busy: near 1 it is the ceiling."""


def smtp_source(port: int, count: int) -> tuple[float, float]:
    program = source_program()
    assert program is not None
    command = ["taskset", "-c", CLIENT, program, "-d", "-s", str(CONNECTIONS), "-l", str(SIZE), "-m", str(count)]
    process = subprocess.Popen([*command, "-f", "hello@mail.example.com", "-t", "p@example.com", f"127.0.0.1:{port}"])
    start = time.perf_counter()
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = code
    assert code == 0, "smtp-source failed"
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def nodemailer(port: int, count: int) -> tuple[float, float]:
    script = Path(__file__).with_name("nodemailer_pool.mjs")
    return said(["node", str(script), str(NODE_FOLDER), str(port), str(count), str(SIZE)])


def pool(port: int, count: int) -> tuple[float, float]:
    return said([sys.executable, "-m", "tests.bench.pool", str(port), str(count), str(SIZE)])


def said(command: list[str]) -> tuple[float, float]:
    """(seconds, CPU seconds) that a client printed."""
    done = subprocess.run(["taskset", "-c", CLIENT, *command], check=True, capture_output=True, text=True)
    seconds, cpu = map(float, done.stdout.split())
    return seconds, cpu


def source_program() -> str | None:
    return shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")


@contextmanager
def postfix_sink() -> Iterator[int | None]:
    """Port of Postfix's own `smtp-sink`, a second yardstick: at 55-60 µs a message it, and not the client, sets the rate."""
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(["taskset", "-c", SINK, program, *user, f"127.0.0.1:{port}", "100"])
    try:
        time.sleep(0.5)
        yield port if process.poll() is None else None
    finally:
        process.terminate()
        process.wait()


def node_ready() -> bool:
    """nodemailer is in its folder, installed there by npm if need be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    if not (NODE_FOLDER / "node_modules" / "nodemailer").exists():
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        (NODE_FOLDER / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(NODE_FOLDER), NODEMAILER]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    return True


@contextmanager
def sink(rtt_ms: int) -> Iterator[tuple[int, int]]:
    """(port, pid) of a sink on its own core."""
    port = free_port()
    process = subprocess.Popen(["taskset", "-c", SINK, sys.executable, "-m", "tests.bench.sink", str(port), str(rtt_ms)])
    try:
        for _ in range(100):
            try:
                stat(port)
                break
            except OSError:
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def figure(client: Client, port: int, sink_pid: int, count: int) -> Figure:
    before = cpu_seconds(sink_pid)
    stat(port)
    seconds, cpu = client(port, count)
    taken, _ = stat(port)
    assert taken == count, f"{taken} of {count} messages came"
    return Figure(rate=count / seconds, cpu=cpu / count * 1e6, sink=(cpu_seconds(sink_pid) - before) / seconds)


def ours(bench: EndToEnd, port: int, sink_pid: int) -> tuple[Figure, Cost]:
    bench.prepare()
    peak(port)
    before = cpu_seconds(sink_pid)
    rate, cpu, cost = bench.send_and_cost()
    busy = cpu_seconds(sink_pid) - before
    seconds = bench.count / rate
    return Figure(rate=rate, cpu=cpu, sink=busy / seconds), cost


def available() -> dict[str, Client]:
    """The peers that are here; prints how to get the others."""
    found: dict[str, Client] = {}
    if source_program():
        found["a: smtp-source -d -s 10 (C)"] = smtp_source
    else:
        print("  (a) left out: smtp-source is not here; it is in Debian's package postfix (apt-get install postfix)")
    if node_ready():
        found["b: nodemailer, pool of 10, builds MIME"] = nodemailer
    else:
        print("  (b) left out: nodemailer is not here; install node with npm (apt-get install nodejs npm), the bench fetches the rest")
    found["c: aiosmtplib, pool of 10, ready bytes"] = pool
    return found


def measure(rounds: int, count: int, counts: dict[str, int], rtt_ms: int) -> tuple[dict[str, list[Figure]], list[Cost]]:
    """Interleaved rounds, the first dropped."""
    peers, costs = {name: client for name, client in available().items() if name[0] in counts}, []
    figures: dict[str, list[Figure]] = {"homing, everything on": [], **{name: [] for name in peers}}
    with sink(rtt_ms) as (port, sink_pid), postfix_sink() as other, tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
        bench = EndToEnd(Path(folder), port, count)
        try:
            for round_ in range(rounds + 1):
                found, cost = ours(bench, port, sink_pid)
                row = [found, *(figure(client, port, sink_pid, counts[name[0]]) for name, client in peers.items())]
                if other and not rtt_ms and smtp_source in peers.values():
                    seconds, cpu = smtp_source(other, counts["a"])
                    row.append(Figure(rate=counts["a"] / seconds, cpu=cpu / counts["a"] * 1e6, sink=math.nan))
                    figures.setdefault(SECOND, [])
                if round_:
                    costs.append(cost)
                    for kept, one in zip(figures.values(), row, strict=True):
                        kept.append(one)
            bench.home.stop()
        finally:
            bench.home.end()
    return figures, costs


def middle(values: list[float], form: str) -> str:
    """Median (extremes)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def show(figures: dict[str, list[Figure]], costs: list[Cost], goals: dict[str, float]) -> None:
    mine, *_ = figures.values()
    for name, found in figures.items():
        rate, cpu = middle([one.rate for one in found], ",.0f"), middle([one.cpu for one in found], ",.0f")
        busy = statistics.median(one.sink for one in found)
        told = "" if math.isnan(busy) else f"   sink busy {busy:.0%}"
        print(f"  {name:39} {rate:>24} msg/s   {cpu:>20} CPU µs/message{told}")
    for name, found in figures.items():
        goal = goals.get(name[0])
        if goal is not None:
            rates = [us.rate / them.rate for us, them in zip(mine, found, strict=True)]
            cpus = [them.cpu / us.cpu for us, them in zip(mine, found, strict=True)]
            verdict = "reached" if statistics.median(rates) >= goal else "MISSED"
            print(
                f"  ratio to ({name.partition(':')[0]}): rate {middle(rates, '.2f')}, CPU {middle(cpus, '.2f')}; goal >= {goal}: {verdict}"
            )
    print(Cost.line(costs))


def run(rounds: int = 5, count: int = 5000) -> None:
    """Print rates, CPU, ratios with their goals; without delay, then at 20 ms round trip."""
    figures, costs = measure(rounds, count, {"a": 4 * count, "b": count // 2, "c": count}, 0)
    show(figures, costs, {"a": 0.14, "b": 2.8, "c": 0.7})
    print(f"  at {RTT_MS} ms round trip:")
    figures, costs = measure(rounds, count // 4, {"a": count // 10, "b": count // 10, "c": count // 10}, RTT_MS)
    show(figures, costs, {"c": 2.5})
