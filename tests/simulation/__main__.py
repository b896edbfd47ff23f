"""`make simulate`: many seeds, each lived twice, on all cores; prints what was met, or each seed that failed and how to live it again.

    python -m tests.simulation --seeds 5000 --from 1      python -m tests.simulation --seed 123 --trace
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.simulation.run import Verdict, live, run_seed
from tests.simulation.table import empty_cells, show_table

CHUNK = 5


def live_twice(seed: int) -> tuple[Verdict, float]:
    """The verdict of a seed, and the CPU seconds of a run. Two runs that differ are a problem; two that do not differ in any event are
    judged once."""
    began = time.process_time()
    first = run_seed(seed)
    _, second, _, _ = live(seed)
    gc.collect()
    spent = (time.process_time() - began) / 2
    if first.digest != second:
        problem = f"the second run had another history: {first.digest} and {second}"
        return Verdict(seed=seed, problems=(*first.problems, problem), digest="", counts=first.counts, table=first.table), spent
    return first, spent


def prepare() -> None:
    """A worker reads the shop once and lets the collector pass over all that it holds by then; it comes by once a seed."""
    run_seed(0)
    gc.collect()
    gc.freeze()
    gc.disable()


def run_many(seeds: Sequence[int], workers: int) -> tuple[list[Verdict], float]:
    """All verdicts in the order of the seeds, and CPU seconds spent on runs."""
    with multiprocessing.get_context("fork").Pool(workers, prepare) as pool:
        found = list(pool.imap(live_twice, seeds, CHUNK))
    return [verdict for verdict, _ in found], 2 * sum(spent for _, spent in found)


def report(verdicts: Sequence[Verdict], wall: float, cpu: float) -> int:
    """Print it all; the exit code."""
    counts: Counter[str] = Counter()
    table: Counter[tuple[str, str]] = Counter()
    for verdict in verdicts:
        counts.update(verdict.counts)
        table.update(verdict.table)
    faults = {name.removeprefix("fault:"): n for name, n in sorted(counts.items()) if name.startswith("fault:")}
    print(show_table(table))
    print(f"{len(verdicts)} seeds, each twice, in {wall:.1f} s ({len(verdicts) / wall:.1f} seeds/s, {1000 * cpu / (2 * len(verdicts)):.0f} ms CPU a run)")
    print(f"{counts['deliveries']} deliveries, {counts['crashes']} crashes, {counts['lives']} lives of the daemon, {counts['steps']} loop steps")
    print("faults: " + ", ".join(f"{name} {n}" for name, n in faults.items()))
    failed = [verdict for verdict in verdicts if verdict.problems]
    for verdict in failed[:20]:
        print(f'\nseed {verdict.seed} failed; again with: make simulate ARGS="--seed {verdict.seed} --trace"')
        for problem in verdict.problems[:8]:
            print(f"  {problem}")
    thin = [verdict.seed for verdict in verdicts if verdict.counts and (verdict.counts["deliveries"] < 200 or not verdict.counts["crashes"] or len([name for name in verdict.counts if name.startswith("fault:")]) < 2)]  # fmt: skip
    if thin:
        print(f"\nseeds with fewer than 200 deliveries, 2 classes of faults or 1 crash: {thin[:20]}")
    empty = empty_cells(table) if len(verdicts) >= 500 else []
    if empty:
        print(f"\nempty cells: {', '.join(f'{fault} x {state}' for fault, state in empty)}")
    if failed or thin or empty:
        print(f"\n{len(failed)} of {len(verdicts)} seeds failed")
        return 1
    print("all invariants held, all digests equal")
    return 0


def trace(seed: int) -> int:
    """One seed with the daemon's log."""

    def say(level: str, event: str, fields: dict[str, Any]) -> None:
        print(f"{level:8}{event:24}{' '.join(f'{key}={value}' for key, value in fields.items())}")

    verdict = run_seed(seed, say=say)
    print("\n".join(verdict.problems) or f"all invariants held; digest {verdict.digest}")
    return 1 if verdict.problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=(__doc__ or "").partition(";")[0])
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first one")
    parser.add_argument("--seed", type=int, help="this one alone, twice")
    parser.add_argument("--trace", action="store_true", help="with the daemon's log")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all cores)")
    args = parser.parse_args()
    if args.seed is not None and args.trace:
        return trace(args.seed)
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    began = time.monotonic()
    verdicts, cpu = run_many(seeds, min(args.workers, len(seeds)))
    return report(verdicts, time.monotonic() - began, cpu)


if __name__ == "__main__":
    sys.exit(main())
