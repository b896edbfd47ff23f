"""kill -9 in the middle of three jobs, judged by the SMTP server's own log: `python -m tests.crash [--kills N] [--rows N]`.

The jobs come in through spool, HTTP and command line. The daemon is killed at random points and started again, until all is
sent. Then: nothing lost, nothing doubled, and no more in doubt than open connections per kill plus what the server dropped.
Exit 1 if a promise is broken. Everything is on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.world import CONNECTIONS, Installation, free_port, job_lines

DEADLINE_SECONDS = 600.0


def drop_jobs(home: Installation, rows: int) -> int:
    """A third of the rows through each door; returns how many recipients were sent in."""
    share = rows // 3
    home.spool("spooled", job_lines("spooled", "s", share))
    home.enqueue("typed", job_lines("typed", "c", share))
    home.post("posted", job_lines("posted", "h", rows - 2 * share))
    return rows


def play(home: Installation, kills: int, rng: random.Random) -> int:
    """Kill and start again; returns how often it was really killed before all was done."""
    done = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while done < kills and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.3, 1.5))
        if home.accepted() and not home.waiting():
            break
        home.kill()
        done += 1
        home.start()
    while home.waiting() or not home.accepted():
        if time.monotonic() > deadline:
            raise SystemExit("crash: not finished within the time; see the daemon's log")
        time.sleep(0.2)
    return done


def judge(home: Installation, rows: int, kills: int) -> list[str]:
    """What is broken, by the server's log against the store's states."""
    log = [json.loads(line) for line in home.server_log.read_text().splitlines()]
    taken = Counter(row["to"] for row in log if row["kind"] in ("accepted", "dropped_taken"))
    dropped = sum(row["kind"].startswith("dropped") for row in log)
    states = home.states()
    doubled = [address for address, n in taken.items() if n > 1]
    lost = [address for address, state in states.items() if state == "accepted" and address not in taken]
    silent = [address for address in taken if states.get(address) not in ("accepted", "in_doubt")]
    doubts = sum(state == "in_doubt" for state in states.values())
    bound = kills * CONNECTIONS + dropped
    counts = Counter(states.values())
    print(
        f"rows {rows}, kills {kills}, states {dict(counts)}, server took {sum(taken.values())}, dropped {dropped}, in doubt {doubts} <= {bound}"
    )
    problems = []
    if len(states) != rows or set(counts) - {"accepted", "in_doubt"}:
        problems.append(f"not every row ended as sent or in doubt: {dict(counts)} of {rows}")
    if lost:
        problems.append(f"{len(lost)} lost: accepted by the store, never taken by the server: {lost[:5]}")
    if doubled:
        problems.append(f"{len(doubled)} doubled: {doubled[:5]}")
    if silent:
        problems.append(f"{len(silent)} taken by the server, but neither accepted nor in doubt: {silent[:5]}")
    if doubts > bound:
        problems.append(f"{doubts} in doubt, more than {bound}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2), "big"))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="homing-crash-") as folder:
        server_port = free_port()
        log = Path(folder, "server.log")
        server = subprocess.Popen([sys.executable, "-m", "tests.crash.server", str(server_port), str(log), "--seed", str(given.seed)])
        home = Installation(Path(folder), server_port, log)
        try:
            home.start()
            rows = drop_jobs(home, given.rows)
            kills = play(home, given.kills, random.Random(given.seed))
            home.stop()
            problems = judge(home, rows, kills)
        finally:
            home.end()
            server.send_signal(signal.SIGTERM)
            server.wait()
    for problem in problems:
        print(f"BROKEN: {problem}")
    print("all promises kept" if not problems else f"{len(problems)} broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
