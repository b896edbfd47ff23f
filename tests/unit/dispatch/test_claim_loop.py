"""The claim loop: when it asks the store, and when it does not."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from daemon.dispatch.fair import Fair
from daemon.dispatch.gate import Gate
from daemon.dispatch.judge import Judging
from daemon.dispatch.line import Line
from daemon.dispatch.loop import GATHER_SECONDS, UNSERVED, ClaimLoop, _want
from daemon.dispatch.work import PlanBook
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND
from daemon.policy.rules import Rules
from daemon.simulate import QuietLog, World, simulate
from daemon.store.claim import ClaimResult

NOTHING = ClaimResult(claimed=(), judged={}, taken=0, next_due=None)
MORE = ClaimResult(claimed=(), judged={}, taken=7, next_due=None, drained=False)


class Claims:
    """A store that answers claims as it is told to; `asked`: when it was."""

    def __init__(self, world: World, answers: list[ClaimResult]) -> None:
        self.world, self.answers = world, answers
        self.asked: list[float] = []

    async def write(self, *_: Any, **__: Any) -> ClaimResult:
        self.asked.append(self.world.loop.time())
        await asyncio.sleep(0)
        return self.answers.pop(0) if self.answers else NOTHING


def claim(answers: Callable[[World], list[ClaimResult]], deeds: Callable[[ClaimLoop, SimpleNamespace], Coroutine[Any, Any, None]]) -> list[float]:
    """When the loop asked, while the deeds were done to it and its line (which has `free` places)."""

    async def main(world: World) -> list[float]:
        line = SimpleNamespace(kind="email", provider="relay", channel=None, free=10, available=lambda: True)
        line.room = lambda: line.free
        store = Claims(world, answers(world))
        loop = ClaimLoop(
            store=cast("Any", store), clock=world.clock, gate=Gate(Path("/state/stop"), exists=lambda _: False), fair=Fair({}),
            judging=Judging(cast("Rules", SimpleNamespace(caps=(), horizon=0, country_windows={})), {}, {}), plans=PlanBook({}),
            lines={"relay": cast("Line", line)}, owner=1, log=QuietLog(), metrics=Metrics(world.clock), poll_seconds=100.0, room_seconds=50.0,
        )  # fmt: skip
        running = asyncio.ensure_future(loop.run())
        await deeds(loop, line)
        loop.stop()
        await running
        return store.asked

    return simulate(1, main).result


def test_room_alone_is_no_reason_to_claim_when_nothing_is_due() -> None:
    """A line that has sent what it had asks for nothing; something that may be due does."""

    async def deeds(loop: ClaimLoop, _: SimpleNamespace) -> None:
        await asyncio.sleep(1)
        loop.freed()
        await asyncio.sleep(1)
        loop.wake()
        await asyncio.sleep(1)

    assert claim(lambda _: [], deeds) == [0.0, 2.0]


def test_room_is_used_at_once_when_more_was_due() -> None:
    """The line was full before all that is due was claimed; as soon as it has room the rest is."""

    async def deeds(loop: ClaimLoop, line: SimpleNamespace) -> None:
        line.free = 10
        asyncio.get_running_loop().call_soon(lambda: setattr(line, "free", 0))
        await asyncio.sleep(3)
        line.free = 10
        loop.freed()
        await asyncio.sleep(1)

    assert claim(lambda _: [MORE], deeds) == [0.0, 3.0]


def test_what_falls_due_one_after_the_other_is_claimed_together() -> None:
    """Due in a thousandth of a second: the claim waits for those that come right after it."""

    def answers(world: World) -> list[ClaimResult]:
        return [ClaimResult(claimed=(), judged={}, taken=1, next_due=world.clock.instant() + SECOND // 1000)]

    async def deeds(_: ClaimLoop, __: SimpleNamespace) -> None:
        await asyncio.sleep(1)

    assert claim(answers, deeds) == [0.0, GATHER_SECONDS]


def test_two_ways_of_one_provider_share_its_room() -> None:
    """What names the provider and what goes over its channel; whose provider is at rest is left where it is, whom nobody serves is held."""
    providers = {"webhook": "hub", "webhook:hub": "hub", "webhook:crm": "crm", "email": "relay"}
    known = {*providers, "webhook:tired"}
    due = {"webhook", "webhook:hub", "webhook:crm", "webhook:tired", "webhook:gone"}
    want = _want(due, providers, {"hub": 5, "relay": 7}, known)
    assert want == {"webhook": 3, "webhook:hub": 3, "webhook:crm": 0, "webhook:gone": UNSERVED}
