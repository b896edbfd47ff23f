"""INTAKE, the tracker: what people are and do comes in, message by message, and is committed before it is answered.

Requests that wait share a transaction, a bounded number of messages each, so that many small ones cost one sync and a large one never
keeps a handover waiting. Comes from `daemon/web`, ends in the store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.clock import Clock
from daemon.config import Config
from daemon.intake.tracking import MOST_BYTES, Parsed, Reading
from daemon.journey.events import ORDER
from daemon.journey.profile import Shop, Tier, currency_of
from daemon.metrics import Metrics
from daemon.model.job import RowError
from daemon.store.tracking import Message, take_messages
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

STRIDE = 50
"""Messages that are read in one turn of the loop."""
TOGETHER = 100
"""Messages of one transaction: some 5 ms of the writer."""
REFUSED = {
    "erased": "the recipient was erased",
    "collision": "another recipient has its number; give it another id",
    "names": "there are too many different names of events; put what differs into properties",
    "anonymous": "nobody is known by this anonymousId: identify first",
}


@dataclass(slots=True, kw_only=True)
class Tracked:
    """What became of a request's messages. `kept` and `known` (came before) count them; `rejected` those of which nothing was kept."""

    rows: int = 0
    kept: int = 0
    known: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)


@dataclass(slots=True)
class _Waiting:
    messages: Sequence[Message]
    done: asyncio.Future[Sequence[str]]


class Tracker:
    """The door. `shop()`: what money is counted in now; `woken`: waiting deliveries became due; `walks`: some ended, or may begin."""

    def __init__(
        self, *, store: Writes, pepper: bytes, clock: Clock, log: Log, metrics: Metrics, shop: Callable[[], Shop],
        woken: Callable[[], None] = lambda: None, walks: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._store, self._pepper, self._clock, self._log, self._shop, self._woken = store, pepper, clock, log, shop, woken
        self._walks = walks
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._turn = asyncio.Lock()
        self._unrated: set[str] = set()

    async def take(self, items: Sequence[Any], *, kind: str | None = None, sent: Any = None, historical: bool = False) -> Tracked:
        """Messages as they were sent; all that can be kept is committed when it returns. StoreUnavailableError."""
        reading = Reading(now=self._clock.instant(), pepper=self._pepper, sent=sent, historical=historical)
        tracked = Tracked(rows=len(items))
        messages: list[tuple[int, Message]] = []
        for number, item in enumerate(items, start=1):
            parsed = _too_large(number, item) or reading.read(number, item, kind)
            tracked.errors += parsed.errors
            tracked.rejected += bool(parsed.errors) and not parsed.messages
            messages += [(number, message) for message in parsed.messages]
            if not number % STRIDE:
                await self._clock.sleep(0)
        messages.sort(key=lambda found: found[1].link is None)  # an anonymous event before its identify finds its person too
        self._report_currencies([message for _, message in messages])
        outcomes: dict[int, tuple[str, Message]] = {}
        for (number, message), how in zip(messages, await self.commit([message for _, message in messages]), strict=True):
            outcomes[number] = how, message
        self._count(tracked, outcomes)
        return tracked

    def _count(self, tracked: Tracked, outcomes: Mapping[int, tuple[str, Message]]) -> None:
        for number, (how, message) in sorted(outcomes.items()):
            tracked.kept += how in ("kept", "linked")
            tracked.known += how == "known"
            if how in REFUSED:
                tracked.rejected += 1
                row = message.event or message.trait
                tracked.errors.append(RowError(line=number, recipient=row.key or None if row else None, code=how, detail=REFUSED[how]))
        tracked.errors.sort(key=lambda error: error.line or 0)
        for how, count in (("kept", tracked.kept), ("known", tracked.known), ("rejected", tracked.rejected)):
            if count:
                self._metrics.tracked(how, count)

    async def commit(self, messages: Sequence[Message]) -> Sequence[str]:
        """Write them, a bounded number at a time, together with what others have waiting. One word on each."""
        loop = asyncio.get_running_loop()
        mine = [
            _Waiting(messages[start : start + TOGETHER], loop.create_future()) for start in range(0, len(messages), TOGETHER)
        ]  # fmt: skip
        self._waiting += mine
        for waiting in mine:
            while not waiting.done.done():
                async with self._turn:
                    if not waiting.done.done():
                        await self._write_some()
        return [how for waiting in mine for how in waiting.done.result()]

    async def _write_some(self) -> None:
        """The first that wait, at least one; each gets its answer, or the error."""
        group = [self._waiting.popleft()]
        count = len(group[0].messages)
        while self._waiting and count + len(self._waiting[0].messages) <= TOGETHER:
            group.append(self._waiting.popleft())
            count += len(group[-1].messages)
        together = [message for waiting in group for message in waiting.messages]
        try:
            found = await self._store.write(Lane.EVENTS, take_messages, together, self._shop(), self._clock.instant())
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(group))  # whoever waits still takes it from here: the same message twice is one
            raise
        except Exception as error:  # noqa: BLE001 - each of those who wait is told
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        if found.woken:
            self._woken()
        if found.walks:
            self._walks()
        start = 0
        for waiting in group:
            end = start + len(waiting.messages)
            waiting.done.set_result(found.how[start:end])
            start = end

    def _report_currencies(self, messages: Sequence[Message]) -> None:
        """An order without a rate is no value; said once a currency, counted in each profile."""
        shop = self._shop()
        found: Counter[str] = Counter()
        for message in messages:
            if message.event is not None and message.event.name == ORDER and message.event.properties:
                currency = currency_of(json.loads(message.event.properties))
                if currency is not None and currency != shop.currency and currency not in shop.rates:
                    found[currency] += 1
        for currency in sorted(found.keys() - self._unrated)[:20]:
            self._log.warning("currency_without_rate", currency=currency, orders=found[currency], hint="add it to [shop] rates")
        if len(self._unrated) < 1000:
            self._unrated |= found.keys()


def shop_of(config: Config) -> Shop:
    """What money and time of the shop are counted in."""
    table = config.shop
    tiers = {name: Tier(tier.orders, tier.value) for name, tier in table.tiers.items()}
    return Shop(table.currency, table.rates, tiers, table.bands, config.homing.default_zone)


def _too_large(number: int, item: Any) -> Parsed | None:
    if len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")) <= MOST_BYTES:
        return None
    return Parsed((), [RowError(line=number, code="too_large", detail=f"a message has at most {MOST_BYTES} bytes")])
