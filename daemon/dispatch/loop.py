"""The claim loop: asks each provider's line how much it can take, claims that much, hands it over to the lines.

Tokens come before the claim, so nothing is claimed that could not be sent at once. Nothing due: it sleeps until the next
due instant, at most a second, or until someone wakes it (intake released rows, a line has room, an operator acted).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from daemon.clock import Clock
from daemon.dispatch.at_once import AnswersAtOnce, AtOnce
from daemon.dispatch.fair import Fair
from daemon.dispatch.gate import Gate
from daemon.dispatch.judge import Judging
from daemon.dispatch.line import Line
from daemon.dispatch.work import Envelope, PlanBook
from daemon.errors import StoreUnavailableError
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND
from daemon.model.journey import ways_of
from daemon.model.product import Product
from daemon.store.at_once import settle_at_once
from daemon.store.claim import Claimed, ClaimResult, claim_due
from daemon.store.lanes import DueLane
from daemon.store.products import recommended
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

POLL_SECONDS = 1.0
GATHER_SECONDS = 0.05
"""What falls due within so long is claimed together: a claim of one row costs nearly as much as one of twenty."""
ROOM_SECONDS = 0.05
"""How soon to look again when no line had room: a rate's tokens come with time."""
UNSERVED = 200
"""Rows a claim takes of a channel that no provider serves, to hold them with their reason."""


class ClaimLoop:
    """A service's body: `run` until `stop`. `lines`: by provider, in the order of the config (fail-over order)."""

    def __init__(
        self,
        *,
        store: Writes,
        clock: Clock,
        gate: Gate,
        fair: Fair,
        judging: Judging,
        plans: PlanBook,
        lines: Mapping[str, Line],
        owner: int,
        log: Log,
        metrics: Metrics,
        poll_seconds: float = POLL_SECONDS,
        room_seconds: float = ROOM_SECONDS,
        gather_seconds: float = GATHER_SECONDS,
        scarce: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`scarce()`: why nothing new may be claimed now (no room on the disk)."""
        self._poll_seconds, self._room_seconds, self._scarce = poll_seconds, room_seconds, scarce
        self._gather_seconds = gather_seconds
        self._store, self._clock, self._gate, self._fair, self.judging, self._plans = store, clock, gate, fair, judging, plans
        self._lines = dict(lines)
        self._at_once = {name: line.channel for name, line in self._lines.items() if isinstance(line.channel, AnswersAtOnce)}
        self._owner, self._log, self._metrics = owner, log, metrics
        self._woken = asyncio.Event()
        self._epoch = owner << 32
        self.last_claim = clock.monotonic()
        self._left = True
        """There may be more due than was claimed."""
        self._stopped = False

    def wake(self) -> None:
        self._woken.set()

    def freed(self) -> None:
        """A line has room again, and nothing became due by that: worth a claim only where the last one left something."""
        if self._left:
            self._woken.set()

    def stop(self) -> None:
        """Let `run` end after the turn it is in. Cancelled in the middle of a claim it would leave rows that are claimed and in
        nobody's hands."""
        self._stopped = True
        self.wake()

    async def run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            result, put_off = None, False
            try:
                result = await self.turn()
            except StoreUnavailableError as error:
                put_off = True
                self._log.error("claim_put_off", error=str(error))
            self.last_claim = self._clock.monotonic()
            self._left = result is None or not result.drained
            if result is not None and result.taken and not result.drained:
                continue
            idle = result is not None or put_off or self._gate.reasons() or self._scarce()
            wait = self._poll_seconds if idle else self._room_seconds
            if result is not None and result.next_due is not None:
                wait = min(wait, max((result.next_due - self._clock.instant()) / SECOND, self._gather_seconds))
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def turn(self) -> ClaimResult | None:
        """One claim; None when the gate is shut or no line has room."""
        self._gate.watch()  # a clock that has jumped must not judge: it would let things expire, or see slots that are not free
        if self._gate.reasons() or self._scarce():
            return None
        available = [line for line in self._lines.values() if line.available()]
        rooms = {line.provider: room for line in available if (room := line.room())}
        if not rooms and available:
            return None
        self._epoch += 1
        providers = ways_of((line.kind, line.provider) for line in available)
        known = set(ways_of((line.kind, line.provider) for line in self._lines.values()))
        now = self._clock.instant()
        judge = self.judging.bind(self._plans, providers, known, now)

        def share(lanes: Sequence[DueLane]) -> Sequence[tuple[int, int]]:
            return self._fair.share(lanes, _want({lane.channel for lane in lanes}, providers, rooms, known))

        at_once = AtOnce([(line, self._at_once[line.provider]) for line in available if line.provider in self._at_once], self._plans)
        result = await self._store.write(
            Lane.CLAIM, claim_due, now=now, owner=self._owner, epoch=self._epoch, horizon=judge.horizon, share=share, judge=judge,
            contest=judge.contest, prepare=judge.prepare, pushed=judge.pushed, wants_profile=judge.wants_profile,
            mint=self.judging.mint,
            settle=partial(
                settle_at_once, answers=at_once.answers, names_products=self._plans.names_products, now=now, owner=self._owner,
            ) if at_once else None,
        )  # fmt: skip
        at_once.settle(now)
        self._metrics.claimed(result.taken)
        for (verdict, reason), n in result.judged.items():
            self._metrics.decided(verdict.value, reason.value if reason else "", n)
        await self._hand_out(result)
        return result

    async def _hand_out(self, result: ClaimResult) -> None:
        by_provider: dict[str, list[Envelope]] = defaultdict(list)
        products = await self._products(result.claimed)
        for one in result.claimed:
            person = one.row.person
            by_provider[one.provider].append(self._plans.envelope(one, result.profiles.get(person), products.get(person, ())))
        for provider, envelopes in by_provider.items():
            await self._lines[provider].put(envelopes)

    async def _products(self, claimed: Sequence[Claimed]) -> Mapping[int, Sequence[Product]]:
        """What may be recommended to those whose words name that: read beside the writer, since nothing is decided by it."""
        naming = {one.row.person for one in claimed if self._plans.names_products(one.row)}
        try:
            return await self._store.read(recommended, naming, self._clock.instant()) if naming else {}
        except StoreUnavailableError as error:  # what was claimed goes on: a message that cannot do without is held
            self._log.error("recommendations_not_read", error=str(error))
            return {}


def _want(due: AbstractSet[str], providers: Mapping[str, str], rooms: Mapping[str, int], known: AbstractSet[str]) -> dict[str, int]:
    """How many rows of each way that has some due: two ways of one provider share its room; what nobody serves is taken to be held."""
    sharing = Counter(providers[way] for way in due if way in providers)
    want = {way: -(-rooms.get(providers[way], 0) // sharing[providers[way]]) for way in due if way in providers}
    return want | {way: UNSERVED for way in due if way not in known}
