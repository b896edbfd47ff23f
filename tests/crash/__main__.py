"""The real thing: `python -m tests.crash [--kills N] [--rows N] [--seed S]` kills, `python -m tests.crash faults` breaks what is around.

Kills: `homing run` is killed with SIGKILL at random points (while it starts, too) and started again while it sends about `--rows`
messages to a server that misbehaves, under contested caps and narrow windows; then `tests.crash.judge` judges. Faults: the tests of
tests/faults with real processes, disks that fill up or fail, paused processes and jumping clocks. Without a word, both.
Exit 1 if a promise is broken. Everything is on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.crash import killing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["all", "kills", "faults"], default="all")
    parser.add_argument("--kills", type=int, default=45)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2), "big"))
    given = parser.parse_args()
    problems: list[str] = []
    if given.part != "faults":
        plan = killing.Plan(kills=given.kills, rows=given.rows, seed=given.seed)
        problems += killing.run(plan)
    if given.part != "kills":
        print("faults: tests/faults", flush=True)
        ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "tests/faults"], check=False)
        problems += ["tests/faults: see above"] if ran.returncode else []
    for problem in problems:
        print(f"BROKEN: {problem}")
    print("all promises kept" if not problems else f"{len(problems)} broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
