"""A relay behind which one destination answers too late, in a simulated world: what that costs the others in places, the processor aside.

    python -m tests.simulation.tarpit           # all shapes, some seeds each, with the times at which the slow destination was tried

A run is the daemon as in any other simulated world, without faults: a job of a few thousand, ten connections, a round trip of 20 ms. The
same seed is lived with and without the slow destination; time is virtual, so the load of the machine is not in it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from channels.smtp.exchange import Exchange
from channels.smtp.pool import Opener
from channels.smtp.session import Offer
from channels.smtp.settings import Endpoint
from daemon.model.delivery import SECOND
from daemon.simulate import MemoryFile, Process, World, simulate
from tests.simulation import look
from tests.simulation.events import Asked, Received, Row
from tests.simulation.relay import SECONDS, Link, Sea
from tests.simulation.shop import setup_of
from tests.simulation.sim import Sim
from tests.simulation.workload import JobPlan, Plan

START = datetime(2026, 6, 2, 3, 0, tzinfo=UTC)
"""In the middle of a weekday's morning in Jakarta."""
SLOW = "slow.example"
SHARE = 20
"""Every so many-th recipient is there."""
ROUND_TRIP = 0.02
POOL = 10
STEPS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The slow destination answers `rcpt` or `dot` after so many seconds."""

    title: str
    rcpt: float = 0.0
    dot: float = 0.0


SHAPES = (
    Shape(title="one destination in twenty waits 60 s for RCPT", rcpt=60),
    Shape(title="one destination in twenty waits 60 s for the final dot", dot=60),
    Shape(title="one destination in twenty waits 10 s for RCPT", rcpt=10),
    Shape(title="one destination in twenty waits 10 s for the final dot", dot=10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`rate`: messages a second to all but the slow destination; `tried`: when one to there began, in seconds after the first of all;
    `seconds`: from the first to the last of the others."""

    rate: float
    tried: tuple[float, ...]
    seconds: float


class SlowLink(Link):
    """Answers in order, half a round trip away; what it says to the slow destination comes after `shape` says."""

    shape: Shape | None = None

    def _fly(self, then: Callable[[bytes], None], data: bytes) -> None:
        self._last = max(self._last + 1e-6, self.sea.world.loop.time() + ROUND_TRIP / 2)
        self.sea.world.loop.call_at(self._last, then, data)

    def _on_rcpt(self, email: str, said: list[bytes]) -> None:
        super()._on_rcpt(email, said)
        if self.shape is not None and self.shape.rcpt and email.endswith(SLOW):
            self._keep_waiting(self.shape.rcpt, said)

    def _on_dot(self, began: int, content: bytes, said: list[bytes]) -> None:
        super()._on_dot(began, content, said)
        if self.shape is not None and self.shape.dot and self._rcpt.endswith(SLOW):
            self._keep_waiting(self.shape.dot, said)

    def _keep_waiting(self, seconds: float, said: list[bytes]) -> None:
        """The last answer is said later; what comes after it in the buffer is not read before."""
        late = said.pop()
        self._mute = True
        self.sea.world.loop.call_later(seconds, self._go_on, late)

    def _go_on(self, late: bytes) -> None:
        self._mute = False
        self._answer(late)
        self._arrive(b"")


class SlowSea(Sea):
    """Relays without faults. `shape` None: nobody is slow."""

    shape: Shape | None = None

    def opener(self, process: Callable[[], Process]) -> Opener:
        async def open(endpoint: Endpoint, name: str) -> tuple[Exchange, Offer]:
            exchange = Exchange(loop=self.world.loop, seconds=SECONDS | {"rcpt": 300.0, "dot": 600.0}, name=name)
            link = SlowLink(self, endpoint.host, exchange, process())
            link.shape = self.shape
            self.links.append(link)
            exchange.connection_made(link)
            return exchange, Offer(pipelining=True, size=0, smtputf8=True, eightbit=True)

        return open


def plan_of(seed: int, others: int) -> Plan:
    """One job for so many, and for a twentieth as many at the slow destination, evenly between them."""
    rows = [
        Row(recipient=f"r{n}", email=f"r{n}@{SLOW if n % (SHARE + 1) == SHARE else 'example.com'}", zone="Asia/Jakarta")
        for n in range(others + others // SHARE)
    ]  # fmt: skip
    job = JobPlan(at=0, key="j0", queue="lapsed", door="spool", rows=tuple(rows), expected=len(rows), blank=frozenset())
    return Plan(seed=seed, start=START, variant=0, pipelining=True, jobs=(job,), spare={}, faults=(), ways={}, unsubscribe=0.0)


async def _live(world: World, plan: Plan, file: MemoryFile, shape: Shape | None) -> Found:
    sim, [job] = Sim(world, plan, file, None), plan.jobs
    sim.sea = sea = SlowSea(
        world=world, ways={}, note=sim.note, struck=sim.strikes, mailed=sim.mailed, true=sim.true, rng=sim.rng
    )  # fmt: skip
    sea.shape = shape
    sim.setups = (setup_of(plan.variant, sea.opener(lambda: sim.process), pool=POOL),) * 2
    life = sim.spawn(sim.live(), "life")
    await sim.deed(lambda daemon: daemon.desk.pause_queue(job.queue))
    await sim.drop(job)
    while look.states(file.conn).get("due", 0) < len(job.rows):
        await asyncio.sleep(1)
    before = len(sim.events)
    await sim.deed(lambda daemon: daemon.desk.resume_queue(job.queue))
    slow = {row.recipient for row in job.rows if shape is not None and row.email.endswith(SLOW)}
    took: list[float] = []
    tried: list[float] = []
    while len(took) < len(job.rows) - len(slow):
        await asyncio.sleep(0.5)
        for event in sim.events[before:]:
            if isinstance(event, Received) and event.recipient not in slow:
                took.append(event.at / SECOND)
            elif isinstance(event, Asked) and event.email.endswith(SLOW):
                tried.append(event.at / SECOND)
        before = len(sim.events)
    sim.over = True
    sim.process.strike()
    sim.down.set()
    await asyncio.wait({life})
    life.result()
    seconds = max(took) - min(took)
    return Found(rate=len(took) / seconds, tried=tuple(round(at - min(took), 2) for at in tried), seconds=seconds)


def measure(shape: Shape | None, seed: int, others: int) -> Found:
    """Live it once."""
    file = MemoryFile()
    return simulate(seed, lambda world: _live(world, plan_of(seed, others), file, shape), start=START, step_limit=STEPS).result


def cost(shape: Shape, seed: int, others: int) -> tuple[float, Found, Found]:
    """The part of the others' rate that the slow destination takes, and both runs: without it, with it."""
    good, bad = measure(None, seed, others), measure(shape, seed, others)
    return 1 - bad.rate / good.rate, good, bad


def main(seeds: int = 3, others: int = 6000) -> None:
    for shape in SHAPES:
        found = [cost(shape, seed, others) for seed in range(1, seeds + 1)]
        costs = [each for each, _, _ in found]
        print(f"{shape.title}: costs {statistics.median(costs):.1%} ({min(costs):.1%} to {max(costs):.1%})", flush=True)
        for each, good, bad in found:
            print(f"  {good.rate:.0f}/s without, {bad.rate:.0f}/s with: {each:.1%}; tried at {', '.join(map(str, bad.tried))} of {bad.seconds:.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
