"""Runs seeds. `run_seed(seed)` lives one world and judges it:

    verdict = run_seed(7)
    verdict.problems   tuple of texts, one a broken invariant ("I2 ..."), empty = all held; also what was raised where nobody awaited
    verdict.digest     of the history: each loop step, each commit, each event; equal for equal code and seed
    verdict.counts     Counter: deliveries, crashes, lives, steps, and one entry a fault that struck ("fault:kill")
    verdict.table      Counter: (fault, state) -> deliveries that were in this state when the fault struck

It never raises for what the daemon does wrong: a crash of the simulation itself (a deadlock, too many steps, an unexpected error)
is a problem like any other. Code of the daemon may be patched between two calls; nothing is cached but parsed configs
and the memory of the store, which is emptied.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.simulate import MemoryFile, World, simulate
from tests.simulation.checker import check
from tests.simulation.events import End, Event, Fault
from tests.simulation.shop import Book
from tests.simulation.sim import Sim
from tests.simulation.workload import draw_plan

STEPS = 400_000

_file: MemoryFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """See the module."""

    seed: int
    problems: tuple[str, ...]
    digest: str
    counts: Mapping[str, int]
    table: Mapping[tuple[str, str], int]


def run_seed(seed: int, *, say: Callable[[str, str, dict[str, Any]], object] | None = None) -> Verdict:
    """Live the world of a seed and judge it. `say(level, event, fields)`: gets the daemon's log."""
    sim, digest, steps, broken = live(seed, say)
    if sim is None:
        return Verdict(seed=seed, problems=(broken or "?",), digest="", counts={}, table={})
    problems = list(check(sim.events, Book.of(sim.plan.variant))) + ([broken] if broken else [])
    end = sim.events[-1]
    counts = Counter({f"fault:{kind}": n for kind, n in sim.struck.items()})
    counts["deliveries"] = len(end.states) if isinstance(end, End) else 0
    counts["crashes"] = sum(isinstance(event, Fault) and event.ended for event in sim.events)
    counts["lives"], counts["steps"] = sim.lives, steps
    return Verdict(seed=seed, problems=tuple(problems), digest=digest, counts=counts, table=sim.table)


def live(seed: int, say: Callable[[str, str, dict[str, Any]], object] | None = None) -> tuple[Sim | None, str, int, str | None]:
    """(the world after its end, digest, steps, what broke the simulation itself)."""
    global _file
    if _file is None:
        _file = MemoryFile()
    _file.reset()
    file, plan = _file, draw_plan(seed)
    kept: list[Sim] = []

    async def main(world: World) -> None:
        kept.append(Sim(world, plan, file, say))
        await kept[0].run()

    try:
        history = simulate(seed, main, start=plan.start, step_limit=STEPS)
    except Exception as error:  # whatever it is, it is this verdict
        return (kept[0] if kept else None), "", 0, f"simulation: {type(error).__name__}: {str(error)[:600]}"
    return kept[0], digest_of(history.digest, kept[0].events), history.steps, None


def digest_of(steps: str, events: list[Event]) -> str:
    """Of the loop's steps and of everything that was seen."""
    return hashlib.sha256(f"{steps} {events!r}".encode()).hexdigest()[:16]
