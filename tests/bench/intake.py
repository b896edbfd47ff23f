"""From a dropped body to due rows: rows/s, CPU µs a row, peak memory, at two sizes in fresh processes beside each other.

The promise is that memory does not follow the size of a job: the larger one within 10 % of the smaller, and under 128 MB.
`python -m tests.bench.intake [ROWS..]`; formats ndjson, json and csv in turn.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from daemon.app.interpreter import SWITCH_SECONDS
from daemon.intake.accept import Arrival
from daemon.intake.parse import Format
from tests.stages.intake_world import IntakeWorld

SIZES = (20_000, 1_000_000)


def pieces(rows: int, format: Format) -> Iterator[bytes]:
    """A body of that many recipients."""
    head = json.dumps({"id": "big", "queue": "lapsed-45", "expected_count": rows}).encode()
    yield {Format.NDJSON: head + b"\n", Format.JSON: head[:-1] + b', "recipients": [', Format.CSV: b"id,email,phone,zone,locale,vars.last_product\n"}[format]
    for i in range(rows):
        phone = f"+6281234{i % 1_000_000:06d}"
        if format is Format.CSV:
            yield f"c-{i},user{i}@example.com,{phone},Asia/Jakarta,id,shoes\n".encode()
            continue
        row = {"id": f"c-{i}", "email": f"user{i}@example.com", "phone": phone, "zone": "Asia/Jakarta", "locale": "id", "vars": {"p": "shoes"}}
        line = json.dumps(row).encode()
        yield line + b"\n" if format is Format.NDJSON else (b"," if i else b"") + line
    if format is Format.JSON:
        yield b"]}"


async def stream(rows: int, format: Format) -> AsyncIterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces(rows, format):
        waiting.append(piece)
        size += len(piece)
        if size > 65_536:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


async def measure(rows: int, format: Format, folder: Path) -> dict[str, float]:
    world = await IntakeWorld.open(folder)
    await world.drop({"id": "warm", "queue": "other", "campaign": "winback", "recipients": [{"id": "w", "email": "w@example.com"}]})
    await world.settle()
    start, cpu = time.perf_counter(), time.process_time()
    head = {"id": "big", "expected_count": rows} if format is Format.CSV else {}
    await world.intake.accept(stream(rows, format), Arrival(source="http", format=format, queue="lapsed-45", head=head))
    accepted = time.perf_counter()
    before = time.process_time()
    await world.settle()
    ended = time.perf_counter()
    view = await world.job("big")
    assert view.deliveries == {"due": rows}, view
    result = {
        "accept_seconds": accepted - start, "accept_cpu_us": (before - cpu) / rows * 1e6, "rows_per_second": rows / (ended - accepted),
        "cpu_us": (time.process_time() - before) / rows * 1e6, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip
    await world.close()
    return result


def one(rows: int, format: str) -> int:
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(rows, Format(format), Path(folder) / "state"))))
    return 0


def run(sizes: tuple[int, ...] = SIZES) -> None:
    """Print a line a size and format, and the ratio of the peaks."""
    for format in Format:
        peaks = []
        for rows in sizes:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.intake", "--one", str(rows), format.value], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            peaks.append(found["peak_mb"])
            print(
                f"  {format.value:6} {rows:>9,} rows: accepted in {found['accept_seconds']:.1f} s, {found['rows_per_second']:,.0f} rows/s to due, "
                f"{found['cpu_us']:.0f} µs CPU a row, peak {found['peak_mb']:.0f} MB",
                flush=True,
            )
        print(f"  {format.value:6} peak of the largest / of the smallest: {peaks[-1] / peaks[0]:.2f}")


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        return one(int(sys.argv[2]), sys.argv[3])
    run(tuple(map(int, sys.argv[1:])) or SIZES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
