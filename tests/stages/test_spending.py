"""A day's ceiling over what a provider costs: never exceeded by what is handed over, kept over a kill, free again at midnight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.dispatch.line import Line
from daemon.dispatch.spending import Purse
from daemon.errors import StoreUnavailableError
from daemon.ids import SystemIds
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.model.delivery import DAY, HOUR
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket
from daemon.store.recover import begin
from daemon.store.spend import load_spend
from daemon.store.writer import Lane, Store
from plugins.contract import Accepted, Capabilities, Message, Rejected, Session
from plugins.feedback import Price
from tests.stages.intake_world import SetClock
from tests.stages.test_sending import Behaviour, Plain, Scripted, envelopes, obey
from tests.store.conftest import World, add_job

ZONE = "Asia/Jakarta"
NOON = 1_779_944_400_000_000
"""2026-05-28 12:00 in Jakarta."""
TODAY = (NOON + 7 * HOUR) // DAY
MIDNIGHT = NOON + 12 * HOUR


class Billed(Scripted):
    """Each message costs what the test says; `limit` a day."""

    capabilities: Capabilities

    def __init__(self, behaviour: Behaviour, limit: float | None, price: Callable[[Message], Any]) -> None:
        super().__init__(behaviour)
        self.capabilities = Capabilities(concurrency=1, batch=10, daily_spend=limit)  # type: ignore[misc]
        self._price = price

    def price(self, message: Message) -> Any:
        return self._price(message)


def dime(_: Message) -> Price:
    return Price(parts=2, amount=0.1, currency="EUR")


class SpendWorld(World):
    """Lines over one store, one after the other, as restarts make them."""

    line: Line

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.now = NOON
        self.clock = SetClock(NOON)
        self.jobs = 0

    async def open(self, behaviour: Behaviour = obey, *, limit: float | None = 0.35, price: Callable[[Message], Any] = dime, store: Any = None) -> Line:
        channel = Billed(behaviour, limit, price)
        self.line = line = Line(
            provider="relay", kind="email", channel=channel, store=store or self.store, flights=self.flights, clock=self.clock, ids=SystemIds(),
            log=get_log(), metrics=Metrics(self.clock), writer=Plain(), bucket=Bucket(rate=None), breaker=Breaker(), wake=lambda: None,
            freed=lambda: None,
        )  # fmt: skip
        spent = await self.store.read(load_spend, "relay", TODAY - 1)
        line.purse = Purse(provider="relay", channel=channel, zone=ZONE, clock=self.clock, spent=spent, fault=line.fault)
        line.start()
        return line

    async def send(self, people: Sequence[int] = (), *, wait: bool = True) -> None:
        """What is due now, and a job for these people, through the line, until nothing is in flight."""
        if people:
            self.jobs += 1
            await self.store.write(Lane.BULK, add_job, self.jobs, people=people, first_id=1000 * self.jobs)
            await self.sql("UPDATE due SET not_before = :n WHERE lane = :l", n=self.now, l=self.jobs)
            await self.sql("UPDATE lane SET head = :n WHERE id = :l", n=self.now, l=self.jobs)
            await self.sql("UPDATE delivery SET not_before = :n, expires_at = :e WHERE job = :l", n=self.now, e=self.now + 3 * DAY, l=self.jobs)
        await self.line.put(envelopes((await self.claim()).claimed))
        async with asyncio.timeout(20):
            while wait and await self.sql("SELECT 1 FROM flight"):
                await asyncio.sleep(0)

    async def close(self) -> None:
        await self.line.drain(5)

    def move(self, by: int) -> None:
        self.now += by
        self.clock.wall += by

    async def rows(self) -> list[Any]:
        return await self.sql("SELECT day, currency, micros, parts FROM spend ORDER BY day")


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.BULK, begin, NOON, "node", "nonce")
    yield SpendWorld(store)
    await store.close()


async def test_what_would_exceed_the_ceiling_waits_for_midnight(world: SpendWorld) -> None:
    """Three of five fit: the others are due at the next local midnight, with the reason and the numbers, and no attempt is burnt."""
    await world.open()
    await world.send(range(1, 6))
    assert await world.tally() == {("accepted", ""): 3, ("due", ""): 2}
    assert await world.rows() == [(TODAY, "EUR", 300_000, 6)]
    rows = await world.sql("SELECT reason, not_before, attempts, decision FROM delivery WHERE state = 'due'")
    assert {row[:3] for row in rows} == {("spend_limit", MIDNIGHT, 0)}
    assert all('"limit":0.35,"spent":0.3,"price":0.1,"currency":"EUR"' in row[3] for row in rows)
    assert await world.sql("SELECT count(*) FROM attempt") == [(0,)]
    assert await world.sql("SELECT count(*) FROM touch") == [(3,)]
    assert world.line.status()["spend"] == {"day": "2026-05-28", "currency": "EUR", "amount": 0.3, "parts": 6, "limit": 0.35}
    await world.close()


async def test_the_ceiling_is_free_again_at_midnight(world: SpendWorld) -> None:
    """Not before it; each day has a sum of its own."""
    await world.open()
    await world.send(range(1, 6))
    world.move(12 * HOUR - 2)
    await world.send()
    assert await world.tally() == {("accepted", ""): 3, ("due", ""): 2}
    world.move(3)
    await world.send()
    assert await world.tally() == {("accepted", ""): 5}
    assert await world.rows() == [(TODAY, "EUR", 300_000, 6), (TODAY + 1, "EUR", 200_000, 4)]
    assert world.line.status()["spend"]["amount"] == 0.2
    await world.close()


async def test_the_sum_outlives_a_kill(world: SpendWorld) -> None:
    """It was written with the handover: a new process, or one whose channel died in mid-send, counts what was handed over."""
    begun = asyncio.Event()

    async def hang(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])
        begun.set()
        await asyncio.Event().wait()

    first = await world.open(hang, limit=0.25)
    await world.send([1, 2], wait=False)
    await begun.wait()
    assert await world.rows() == [(TODAY, "EUR", 100_000, 2)]
    await world.store.write(Lane.EXIT, begin, NOON + 1, "node", "nonce")  # as the next start does
    world.move(2)
    await world.open(obey, limit=0.25)
    await world.send([3, 4])
    assert await world.rows() == [(TODAY, "EUR", 200_000, 4)]
    assert (await world.tally())["in_doubt", ""] == 1
    await world.close()
    await first.drain(0)


async def test_what_was_not_handed_over_is_not_spent(world: SpendWorld) -> None:
    """Refused by the store, or given back by the plugin before it asked: both leave room for others."""

    async def first_only(batch: Sequence[Message], session: Session) -> None:
        world.shut = True  # the gate closes: no grant
        assert not await session.handover([batch[0].id])
        world.shut = False

    await world.open(first_only, limit=0.35)
    await world.send([1, 2, 3], wait=False)
    async with asyncio.timeout(5):
        while await world.sql("SELECT 1 FROM flight"):
            await asyncio.sleep(0)
    await world.close()
    assert await world.rows() == []
    assert world.line.status()["spend"]["amount"] == 0.0


async def test_what_the_plugin_refuses_without_asking_leave_is_not_spent(world: SpendWorld) -> None:
    """A number of a country that is not allowed, a text too long: nobody bills them, so they keep nobody else from going."""

    async def refuse_most(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if message.recipient in ("p-3", "p-6"):
                if await session.handover([message.id]):
                    session.report(message.id, Accepted())
            else:
                session.report(message.id, Rejected(code="country_blocked"))

    await world.open(refuse_most, limit=0.45)
    await world.send([1, 2, 3])
    assert world.line.status()["spend"]["amount"] == 0.1
    await world.send([4, 5, 6])
    assert await world.sql("SELECT state, count(*) FROM delivery GROUP BY state") == [("accepted", 2), ("rejected", 4)]
    assert await world.rows() == [(TODAY, "EUR", 200_000, 4)]
    await world.close()


async def test_a_refused_message_stays_counted(world: SpendWorld) -> None:
    """Some providers bill what they refuse: too little is sent rather than too much."""

    async def refuse(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if await session.handover([message.id]):
                session.report(message.id, Rejected(code="30006"))

    await world.open(refuse)
    await world.send([1])
    assert await world.rows() == [(TODAY, "EUR", 100_000, 2)]
    await world.close()


async def test_an_answer_that_never_came_counts_as_spent(world: SpendWorld) -> None:
    """The store may have committed the handover: until the next start, this process takes it for spent."""

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        async def join(self, lane: Lane, act: Any, item: Any) -> Any:
            if item.grants:
                raise StoreUnavailableError("away")
            return await world.store.join(lane, act, item)

    await world.open(limit=0.35, store=Away())
    await world.send([1])
    await world.close()
    assert await world.rows() == []
    assert world.line.status()["spend"]["amount"] == 0.1


async def test_without_a_ceiling_the_sum_is_kept_all_the_same(world: SpendWorld) -> None:
    """For the status and the metric."""
    await world.open(limit=None)
    await world.send(range(1, 6))
    assert await world.rows() == [(TODAY, "EUR", 500_000, 10)]
    assert world.line.status()["spend"]["limit"] is None
    await world.close()


@pytest.mark.parametrize("wrong", [None, 0.1, Price(amount=float("nan")), Price(amount=-1.0), Price(amount=float("inf")), Price(amount=1.0, parts=-1)])
async def test_a_message_without_a_price_is_held_where_there_is_a_ceiling(world: SpendWorld, wrong: Any) -> None:
    """A fault of the plugin; without a ceiling it goes."""
    await world.open(price=lambda _: wrong)
    await world.send([1])
    assert await world.tally() == {("held", "render_error"): 1}
    await world.close()
    await world.open(limit=None, price=lambda _: wrong)
    await world.send([2])
    assert await world.tally() == {("held", "render_error"): 1, ("accepted", ""): 1}
    await world.close()


async def test_a_price_that_raises_is_its_messages_trouble_alone(world: SpendWorld) -> None:
    """The rest of the batch goes."""

    def price(message: Message) -> Price:
        if message.address == "p2@example.com":
            raise KeyError("country")
        return dime(message)

    await world.open(price=price)
    await world.send([1, 2, 3])
    assert await world.tally() == {("held", "render_error"): 1, ("accepted", ""): 2}
    await world.close()


async def test_two_currencies_do_not_get_the_ceiling_twice(world: SpendWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sum, whatever the currency, also after a restart; the plugin's fault is told once."""
    said: list[str] = []
    monkeypatch.setattr(Line, "fault", lambda _, what, envelope=None: said.append(what))
    at = iter(range(99))

    def mixed(_: Message) -> Price:
        return Price(parts=1, amount=0.1, currency=("EUR", "USD")[next(at) % 2])

    await world.open(price=mixed)
    await world.send(range(1, 7))
    assert await world.tally() == {("accepted", ""): 3, ("due", ""): 3}
    assert sum(micros for _, _, micros, _ in await world.rows()) == 300_000
    assert len(said) == 2 and all("another currency" in what for what in said)
    assert world.line.status()["spend"]["amount"] == 0.3
    await world.close()
    await world.open(price=lambda _: Price(parts=1, amount=0.1, currency="IDR"))
    await world.send([8])
    assert sum(micros for _, _, micros, _ in await world.rows()) == 300_000
    await world.close()
