"""FLOOR 7, simulate: one simulated world, with all its ports from one seed, and the function that runs something in it.

`simulate(seed, main)` runs `main(world)` to its end on a loop of its own and tells its result and the digest of its history.
Whatever was raised where nobody awaited it fails the run.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from daemon.simulate.clock import SECOND, START, VirtualClock
from daemon.simulate.disk import SimDisk
from daemon.simulate.ids import SeededIds
from daemon.simulate.loop import STEP_LIMIT, SimLoop
from daemon.simulate.net import InlineExecutor, SimDns, SimNet

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The ports of a simulated daemon."""

    seed: int
    loop: SimLoop
    clock: VirtualClock
    ids: SeededIds
    disk: SimDisk
    dns: SimDns
    net: SimNet
    executor: InlineExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Generic[T]):
    """What a run came to: its result, the digest of every step, how many there were and how long it seemed (seconds)."""

    result: T
    digest: str
    steps: int
    seconds: float


def simulate(
    seed: int,
    main: Callable[[World], Coroutine[Any, Any, T]],
    *,
    start: datetime = START,
    shuffle: bool = True,
    step_limit: int = STEP_LIMIT,
) -> History[T]:
    """Run `main` in a new world. The same seed gives an equal `History`. ExceptionGroup of what nobody awaited."""
    loop = SimLoop(seed=seed, shuffle=shuffle, step_limit=step_limit)
    dns = SimDns()
    clock = VirtualClock(loop, start=start)
    world = World(
        seed=seed,
        loop=loop,
        clock=clock,
        ids=SeededIds(seed),
        disk=SimDisk(seed, seconds=lambda: clock.instant() / SECOND),
        dns=dns,
        net=SimNet(seed, dns),
        executor=InlineExecutor(),
    )
    collecting = gc.isenabled()
    gc.disable()  # finalizers would run at moments that no seed decides
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            result = runner.run(main(world))
            history = History(result=result, digest=loop.digest(), steps=loop.steps, seconds=loop.time())
    finally:
        if collecting:
            gc.enable()
    if loop.errors:
        raise BaseExceptionGroup("raised where nobody awaited it", loop.errors)
    return history
