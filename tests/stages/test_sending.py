"""A provider's line against channels that behave and that do not: what the store says afterwards.

Real store, real session; the channel is a few lines of a plugin, since its misbehaviour is the subject.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daemon.clock import SystemClock
from daemon.dispatch.line import Line
from daemon.dispatch.turns import waits_for_turn
from daemon.dispatch.work import Envelope, Plan
from daemon.errors import StoreUnavailableError
from daemon.ids import SystemIds, encode_id
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.model.campaign import Campaign
from daemon.model.delivery import SECOND, Reason
from daemon.pacing.breaker import Breaker, BreakerState
from daemon.pacing.bucket import Bucket
from daemon.store.claim import Claimed
from daemon.store.flight import Kind, Result
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store
from plugins.contract import Accepted, Capabilities, Context, Deferred, Message, Rejected, Session, Unknown
from tests.store.conftest import NOW, World, add_job

Behaviour = Callable[[Sequence[Message], Session], Awaitable[None]]


class Scripted:
    """A channel whose `send` is the test's."""

    name: ClassVar[str] = "scripted"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    settings_type: ClassVar[type] = object
    capabilities = Capabilities(concurrency=2, batch=10)

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def start(self, context: Context[Any]) -> None: ...
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        await self._behaviour(batch, session)

    async def stop(self) -> None: ...


class Plain:
    """A writer without templates: the rendering has its own tests."""

    def __init__(self, held: frozenset[int] = frozenset()) -> None:
        self.held = held

    def render(self, envelope: Envelope) -> Message | Result:
        row = envelope.claimed.row
        if row.delivery in self.held:
            return Result(delivery=row.delivery, epoch=envelope.claimed.epoch, kind=Kind.HELD, reason=Reason.RENDER_ERROR, burnt=False)
        when = datetime(2026, 5, 28, tzinfo=UTC)
        return Message(
            id=envelope.public_id, address=row.email or "", channel="email", recipient=row.recipient, campaign="c", step="s",
            text_pieces=("hello",), created_at=when, expires_at=when, ttl=60,
        )  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.BULK, begin, NOW, "node", "nonce")
    yield World(store)
    await store.close()


async def make_line(
    world: World, behaviour: Behaviour, *, held: frozenset[int] = frozenset(), store: Any = None, freed: Callable[[], None] = lambda: None
) -> Line:
    clock = SystemClock()
    return Line(
        provider="relay", kind="email", channel=Scripted(behaviour), store=store or world.store, flights=world.flights, clock=clock, ids=SystemIds(),
        log=get_log(), metrics=Metrics(clock), writer=Plain(held), bucket=Bucket(rate=None), breaker=Breaker(), wake=lambda: None,
        freed=freed,
    )  # fmt: skip


def envelopes(claimed: Sequence[Claimed]) -> list[Envelope]:
    plan = Plan(campaign=Campaign(name="c"), window=None, renderer=None)  # type: ignore[arg-type]
    return [Envelope(claimed=one, public_id=encode_id(one.row.delivery), plan=plan) for one in claimed]


async def send(
    world: World,
    behaviour: Behaviour,
    *,
    people: Sequence[int] = (7,),
    held: frozenset[int] = frozenset(),
    cut: asyncio.Event | None = None,
    store: Any = None,
) -> Line:
    """Claim all of a job, send it by this behaviour, drain. `cut`: drain without patience once this is set. Each person's address has a
    domain of its own: what a domain may have at once is another test's subject."""
    await world.store.write(Lane.BULK, add_job, 1, people=people)
    await world.sql("UPDATE recipient SET email = 'p' || id || '@d' || id || '.example.com'")
    line = await make_line(world, behaviour, held=held, store=store)
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    if cut:
        await cut.wait()
    async with asyncio.timeout(20):
        while not cut and line.room() < line.capacity and await world.sql("SELECT 1 FROM flight"):
            await asyncio.sleep(0)
    await line.drain(0.05 if cut else 5)
    return line


async def obey(batch: Sequence[Message], session: Session) -> None:
    for message in batch:
        if await session.handover([message.id]):
            session.report(message.id, Accepted(provider_id="ok"))


async def test_a_channel_that_obeys_sends_each_message_once(world: World) -> None:
    """Handover, report, next: all accepted, one touch each, nothing in flight."""
    await send(world, obey, people=range(1, 26))
    assert await world.tally() == {("accepted", ""): 25}
    assert await world.sql("SELECT count(*) FROM touch") == [(25,)]


@pytest.mark.promise("P10")
async def test_what_was_sent_is_let_go_at_once(world: World) -> None:
    """Nothing of a send call waits for the collector: it comes by too seldom for a daemon that makes thousands of messages a second."""
    gc.collect()
    gc.disable()
    try:
        await send(world, obey, people=range(1, 26))
        assert [each for each in gc.get_objects() if type(each) is Envelope] == []
    finally:
        gc.enable()


async def test_senders_get_messages_evenly_spaced(world: World) -> None:
    """What two connections have in hand at one time lies together in the store; nothing is left out or given twice."""
    batches: list[list[str]] = []

    async def note(batch: Sequence[Message], session: Session) -> None:
        batches.append([message.address.partition("@")[0] for message in batch])
        await obey(batch, session)

    await send(world, note, people=range(1, 21))
    assert batches[0] == [f"p{number}" for number in range(1, 21, 2)]
    assert sorted(batches[0] + batches[1]) == sorted(f"p{number}" for number in range(1, 21))


@pytest.mark.promise("P3", "F5")
async def test_a_connection_never_has_two_messages_handed_over(world: World) -> None:
    """Outcome N and handover N+1 are one commit: a crash leaves at most one doubt for each connection."""
    handed_over: list[int] = []

    async def count(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if await session.handover([message.id]):
                [(n,)] = await world.sql("SELECT count(*) FROM flight WHERE handed_over = 1")
                handed_over.append(n)
                session.report(message.id, Accepted(provider_id="ok"))

    line = await send(world, count, people=range(1, 9))
    assert line.channel.capabilities.batch > 1
    assert max(handed_over) <= line.channel.capabilities.concurrency


@pytest.mark.promise("P2", "P3", "F43")
async def test_what_is_handed_over_and_not_reported_is_in_doubt(world: World) -> None:
    """A plugin that returns without a word may have sent."""

    async def forget(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])

    await send(world, forget, people=[7, 8])
    states = sorted(state for (state,) in await world.sql("SELECT state FROM delivery"))
    assert states == ["due", "in_doubt"] or states == ["in_doubt", "in_doubt"]  # one batch of two, or two of one


@pytest.mark.promise("F43")
@pytest.mark.parametrize("after", [False, True])
async def test_a_raising_plugin_loses_nothing_and_doubles_nothing(world: World, after: bool) -> None:
    """Before the handover: back to due. After it: in doubt, with the error as evidence."""

    async def explode(batch: Sequence[Message], session: Session) -> None:
        if after:
            await session.handover([batch[0].id])
        raise RuntimeError("boom")

    await send(world, explode)
    assert (await world.state(1))[0] == ("in_doubt" if after else "due")
    if after:
        assert "boom" in (await world.sql("SELECT detail FROM attempt"))[0][0]


@pytest.mark.promise("F43", "P2")
async def test_an_outcome_reported_twice_counts_once(world: World) -> None:
    """The first word stands; the second is a fault of the plugin."""

    async def twice(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])
        session.report(batch[0].id, Accepted())
        session.report(batch[0].id, Rejected())

    await send(world, twice)
    assert await world.state(1) == ("accepted", None)


@pytest.mark.promise("F43", "P2")
async def test_a_message_sent_without_a_grant_is_not_called_accepted_twice(world: World) -> None:
    """A report about a message that was never handed over is recorded as it is: the plugin says that it went."""

    async def hasty(batch: Sequence[Message], session: Session) -> None:
        session.report(batch[0].id, Accepted())

    await send(world, hasty)
    assert await world.state(1) == ("accepted", None)


@pytest.mark.promise("F43")
async def test_asking_again_or_for_a_strangers_message_gives_nothing(world: World) -> None:
    """One handover a message, and only for the messages of this call."""
    seen: list[frozenset[str]] = []

    async def greedy(batch: Sequence[Message], session: Session) -> None:
        seen.append(await session.handover([batch[0].id, batch[0].id, "0000000000ZZZ"]))
        seen.append(await session.handover([batch[0].id]))
        session.report(batch[0].id, Accepted())

    await send(world, greedy)
    assert [len(granted) for granted in seen] == [1, 0]


async def test_an_unused_grant_is_given_back(world: World) -> None:
    """`Deferred(nothing_sent=True)`: due again at once, no touch, no attempt."""

    async def shy(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])
        session.report(batch[0].id, Deferred(nothing_sent=True))

    await send(world, shy)
    assert await world.sql("SELECT state, attempts FROM delivery") == [("due", 0)]
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]


@pytest.mark.promise("F43", "F28")
async def test_what_hangs_at_the_drain_is_settled(world: World) -> None:
    """The drain cuts a hanging send off: its handed-over message is in doubt, the rest is due again."""
    hanging, handed_over = asyncio.Event(), asyncio.Event()

    async def hang(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])
        handed_over.set()
        await hanging.wait()

    await send(world, hang, people=[7, 8, 9], cut=handed_over)
    states = sorted(state for (state,) in await world.sql("SELECT state FROM delivery"))
    assert set(states) <= {"due", "in_doubt"} and "in_doubt" in states
    assert await world.sql("SELECT * FROM flight") == []


@pytest.mark.promise("B29")
async def test_a_message_that_cannot_be_made_is_held_and_the_others_go(world: World) -> None:
    """One bad row never stops its batch."""
    await send(world, obey, people=[7, 8, 9], held=frozenset({2}))
    assert await world.state(2) == ("held", "render_error")
    assert await world.tally() == {("accepted", ""): 2, ("held", "render_error"): 1}


async def test_a_text_longer_than_the_channel_takes_is_held_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`capabilities.max_text`: nothing is cut off silently, nothing is sent."""
    monkeypatch.setattr(Scripted, "capabilities", Capabilities(concurrency=2, batch=10, max_text=4))
    await send(world, obey)
    assert await world.state(1) == ("held", "too_large")
    [(decision,)] = await world.sql("SELECT decision FROM delivery")
    assert "the text has 5 characters, relay takes 4" in decision


async def test_a_provider_that_refuses_us_stops_and_burns_no_attempt(world: World) -> None:
    """Scope `operator`: nothing more is claimed for it until a reload; the messages wait."""

    async def refused(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            session.report(message.id, Deferred(scope="operator", code="535", detail="authentication failed"))

    line = await send(world, refused, people=[7, 8])
    assert line.stopped == "authentication failed"
    assert line.room() == 0
    assert await world.sql("SELECT DISTINCT state, attempts FROM delivery") == [("due", 0)]


async def test_a_provider_that_refuses_the_message_and_us_stops_too(world: World) -> None:
    """A webhook that answers 401: those on their way are refused, the next ones are spared."""

    async def refused(batch: Sequence[Message], session: Session) -> None:
        for message in batch[:1]:
            await session.handover([message.id])
            session.report(message.id, Rejected(scope="operator", code="401", detail="wrong secret"))

    line = await send(world, refused, people=range(1, 7))
    assert line.stopped == "wrong secret"
    assert line.room() == 0
    assert await world.sql("SELECT state, count(*) FROM delivery GROUP BY 1") == [("due", 4), ("rejected", 2)]


@pytest.mark.promise("F6")
async def test_a_failing_connection_is_one_error_however_many_messages_it_had(world: World) -> None:
    """The breaker counts calls, not messages; a doubt counts too."""

    async def unreachable(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            session.report(message.id, Deferred(scope="provider", detail="connection refused"))

    line = await send(world, unreachable, people=range(1, 8))
    assert 1 <= line.breaker.errors <= 2
    assert line.stopped is None


@pytest.mark.promise("F43", "P2")
async def test_an_unknown_outcome_of_any_shape_is_never_sent_again(world: World) -> None:
    """Reported nonsense after a handover is doubt."""

    async def nonsense(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            await session.handover([message.id])
            session.report(message.id, random.choice([Unknown(), "sent!", None]))  # type: ignore[arg-type]

    await send(world, nonsense, people=[7, 8, 9])
    assert await world.tally() == {("in_doubt", ""): 3}


class Full:
    """A store whose disk is full for the next `times` recordings."""

    def __init__(self, store: Store, times: int) -> None:
        self.store, self.times = store, times

    async def join(self, lane: Lane, act: Any, step: Any) -> Any:
        if step.outcomes and self.times:
            self.times -= 1
            raise StoreUnavailableError("the disk is full")
        return await self.store.join(lane, act, step)


@pytest.mark.promise("F22")
@pytest.mark.parametrize("behave", ["obeys", "fails before leave"])
async def test_outcomes_that_the_store_cannot_take_now_are_recorded_when_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch, behave: str
) -> None:
    """A full disk that passes: what was accepted is accepted, no doubt; what was not sent is due again; nothing stays in flight."""

    async def fail(batch: Sequence[Message], session: Session) -> None:
        return

    monkeypatch.setattr("daemon.dispatch.records.RECORD_SECONDS", 0.0)
    full = Full(world.store, 3)
    await send(world, obey if behave == "obeys" else fail, people=[7, 8], held=frozenset({2}), store=full)
    assert full.times == 0
    assert await world.tally() == {("accepted" if behave == "obeys" else "due", ""): 1, ("held", "render_error"): 1}
    assert await world.sql("SELECT * FROM flight") == []


@pytest.mark.promise("F43")
async def test_a_provider_that_cannot_take_what_was_granted_weighs_on_the_breaker(world: World) -> None:
    """`NotSent` of a SimpleChannel, a relay that hangs up in every body: the grant is given back, and the line comes to rest."""

    async def not_sent(batch: Sequence[Message], session: Session) -> None:
        await session.handover([batch[0].id])
        session.report(batch[0].id, Deferred(nothing_sent=True, scope="provider", code="not_sent"))

    line = await send(world, not_sent)
    assert line.breaker.errors == 1
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]


@pytest.mark.promise("F11")
async def test_a_relay_that_says_slow_down_is_asked_more_slowly(world: World) -> None:
    """421 before the content: nothing sent, no attempt used up, the provider's rate is cut and rests; the breaker stays closed."""

    async def slow_down(batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            session.report(message.id, Deferred(scope="provider", code="421 4.3.2", detail="closing", throttled=True))

    line = await send(world, slow_down, people=[7, 8, 9])
    now = SystemClock().instant()
    assert await world.tally() == {("due", ""): 3}
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]
    assert await world.sql("SELECT max(attempts) FROM delivery") == [(0,)]
    assert line.bucket.cut_rate is not None
    assert line.bucket.paused_until > now - 5 * 10**6
    assert line.breaker.state(now) is BreakerState.CLOSED


BACK_AT_ONCE = """UPDATE due SET not_before = :n
    WHERE delivery IN (SELECT d.id FROM delivery d JOIN recipient r ON r.id = d.person WHERE r.email NOT LIKE '%slow%')"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a test: late after a tenth of a second, looked at fifty times a second."""
    monkeypatch.setattr("daemon.pacing.destinations.SLOW_SECONDS", 0.1)
    monkeypatch.setattr("daemon.pacing.destinations.USUAL", 0.01)
    monkeypatch.setattr("daemon.dispatch.patience.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("daemon.dispatch.patience.HICCUP_SECONDS", 0.0)


async def test_a_destination_that_hangs_holds_one_place_and_the_rest_goes_on(world: World, quick: None) -> None:
    """Half of the messages go where nobody answers: one waits for its answer, the others go back to the queue, all else is sent."""
    for_ever = asyncio.Event()
    begun: list[str] = []

    async def hang(batch: Sequence[Message], session: Session) -> None:
        for number, message in enumerate(batch):
            if await session.handover([message.id]):
                if message.address.endswith("@slow.example"):
                    begun.append(message.address)
                    for other in batch[number + 1 :]:
                        session.report(other.id, Deferred(nothing_sent=True, code="waiting"))
                    await for_ever.wait()
                session.report(message.id, Accepted())
                if message.address.endswith("@slow.example"):
                    return

    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 61))
    await world.sql("UPDATE recipient SET email = CASE WHEN id % 2 THEN 'p' || id || '@slow.example' ELSE 'p' || id || '@d' || id || '.example' END")
    line = await make_line(world, hang)
    line.start()
    try:
        async with asyncio.timeout(20):
            while (await world.tally()).get(("accepted", ""), 0) < 30:
                await line.put(envelopes((await world.claim(line.room())).claimed if line.room() else ()))
                await asyncio.sleep(0.01)
                await world.sql(BACK_AT_ONCE, n=NOW)  # what was given back, not what was put off; the world's clock stands still
                await world.sql("UPDATE lane SET head = (SELECT min(not_before) FROM due)")
        assert len(begun) == 1
        assert line.destinations.slow().keys() == {"slow.example"}
        rules = await world.sql("SELECT DISTINCT reason, json_extract(decision, '$.rule[0]') FROM delivery WHERE decision IS NOT NULL")
        assert rules == [("rate_limited", "slow.relay.slow.example")]  # by which a next daemon finds them
    finally:
        for_ever.set()
        await line.drain(5)
    assert (await world.tally())["accepted", ""] == 31


async def test_a_rate_is_not_claimed_message_by_message(world: World) -> None:
    """Few tokens are left until there are enough for a claim that is worth its price; what is there then is taken."""

    async def nothing(batch: Sequence[Message], session: Session) -> None: ...

    line = await make_line(world, nothing)
    line.bucket = Bucket(rate=0.1, burst_seconds=100.0)
    now = SystemClock().instant()
    for _ in range(6):
        line.bucket.reserve(now)
    assert (line.bucket.available(now), line.room()) == (4, 0)
    line.bucket.give_back(now)
    assert line.room() == 5


@pytest.mark.promise("P10")
@pytest.mark.parametrize("hanging", ["one", "all"])
async def test_a_call_that_hangs_gives_its_place_to_a_spare_one(
    world: World, quick: None, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """So many as ever go on beside it; when nobody is answered it is the relay, and more calls would not help."""
    monkeypatch.setattr("daemon.pacing.destinations.HANG_SECONDS", 0.05)
    monkeypatch.setattr(Scripted, "capabilities", Capabilities(concurrency=2, batch=1, spare=2))
    for_ever = asyncio.Event()
    on_the_way: list[str] = []
    most = 0

    async def hang(batch: Sequence[Message], session: Session) -> None:
        nonlocal most
        [message] = batch
        assert await session.handover([message.id])
        on_the_way.append(message.address)
        most = max(most, len(on_the_way))
        if hanging == "all" or message.address.endswith("@slow.example"):
            await for_ever.wait()
        else:
            await asyncio.sleep(0.02)
        on_the_way.remove(message.address)
        session.report(message.id, Accepted())

    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 31))
    await world.sql("UPDATE recipient SET email = CASE id WHEN 1 THEN 'p@slow.example' ELSE 'p' || id || '@d' || id || '.example' END")
    line = await make_line(world, hang)
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    try:
        if hanging == "one":
            async with asyncio.timeout(20):
                while (await world.tally()).get(("accepted", ""), 0) < 29:
                    await asyncio.sleep(0.01)
            assert most == 3
        else:
            await asyncio.sleep(0.3)
            assert most <= 3  # one that began a little before the others may have been taken for the only one
    finally:
        for_ever.set()
        await line.drain(5)


async def test_a_line_that_is_still_full_does_not_ask_for_a_claim(world: World) -> None:
    """Each batch that ends would else be a claim in vain: for other lines, which have room and nothing to send."""
    rooms: list[int] = []
    line = await make_line(world, obey, freed=lambda: rooms.append(line.room()))
    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 3 * line.capacity + 1))
    await world.sql("UPDATE recipient SET email = 'p' || id || '@d' || id || '.example.com'")
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    async with asyncio.timeout(20):
        while line.room() < line.capacity:
            await asyncio.sleep(0)
    told = list(rooms)
    await line.drain(5)
    assert told
    assert min(told) >= line.capacity // 4


@pytest.mark.promise("P10")
async def test_a_call_that_hangs_counts_only_what_it_has_not_given_back(world: World) -> None:
    """Else the spare connection would find nothing to send: the line would be full of messages that lie in the queue again."""
    for_ever = asyncio.Event()
    rooms: list[int] = []

    async def hang(batch: Sequence[Message], session: Session) -> None:
        assert await session.handover([batch[0].id])
        for other in batch[1:]:
            session.report(other.id, Deferred(nothing_sent=True, code="waiting"))
        await for_ever.wait()
        session.report(batch[0].id, Accepted())

    line = await make_line(world, hang, freed=lambda: rooms.append(line.room()))
    await world.store.write(Lane.BULK, add_job, 1, people=range(1, line.capacity + 1))
    await world.sql("UPDATE recipient SET email = 'p' || id || '@d' || id || '.example.com'")
    line.start()
    try:
        await line.put(envelopes((await world.claim()).claimed))
        assert line.room() == 0
        async with asyncio.timeout(20):
            while line.room() < line.capacity - 2:
                await asyncio.sleep(0)
        assert rooms == [line.capacity // 4]  # told once, as soon as a claim is worth its while
    finally:
        for_ever.set()
        await line.drain(5)
    assert line.room() == 0 and line.status()["in_hand"] == 0


async def test_a_provider_that_crawls_is_left_for_another_one(world: World, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes back while another provider stands by: it is not available, and what it has not begun is due again."""
    monkeypatch.setattr("daemon.dispatch.line.CRAWL_SECONDS", 0.2)
    for_ever = asyncio.Event()

    async def hang(batch: Sequence[Message], session: Session) -> None:
        await for_ever.wait()

    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 31))
    line = await make_line(world, hang)
    line.spare = True
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    try:
        async with asyncio.timeout(20):
            while line.available() or (await world.tally()).get(("due", ""), 0) < 10:
                await asyncio.sleep(0.01)
        assert line.breaker.state(line._clock.instant()).value == "open"
    finally:
        for_ever.set()
        await line.drain(5)
    assert await world.tally() == {("due", ""): 30}
    assert not line.available()


async def test_what_is_given_back_on_a_full_disk_is_given_back_when_there_is_room(world: World) -> None:
    """Else it would stay claimed, in nobody's hands, until the next start."""

    class Full:
        """A store whose disk is full for two commits."""

        left = 2

        async def join(self, lane: Lane, act: Any, item: Any) -> Any:
            if self.left:
                self.left -= 1
                raise StoreUnavailableError("no room")
            return await world.store.join(lane, act, item)

    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0)

    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    line = await make_line(world, obey, store=Full())
    line._records._clock = Quick()
    claimed = envelopes((await world.claim()).claimed)
    await line._records.give_back(claimed)
    assert await world.tally() == {("due", ""): 2}
    assert await world.sql("SELECT count(*) FROM flight") == [(0,)]


class Blocked:
    """A store whose disk is full until somebody makes room."""

    def __init__(self, store: Store) -> None:
        self.store, self.full, self.refused = store, False, 0

    async def join(self, lane: Lane, act: Any, item: Any) -> Any:
        if self.full:
            self.refused += 1
            raise StoreUnavailableError("no room")
        return await self.store.join(lane, act, item)


@pytest.mark.promise("F22")
async def test_a_provider_that_leaves_while_the_disk_is_full_is_settled_when_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reload that drops or changes it nobody else knows what it had in hand: accepted is accepted, unsent is due again."""
    monkeypatch.setattr("daemon.dispatch.records.RECORD_SECONDS", 0.0)
    blocked = Blocked(world.store)
    sent = asyncio.Event()

    async def one(batch: Sequence[Message], session: Session) -> None:
        assert await session.handover([batch[0].id])
        session.report(batch[0].id, Accepted())
        blocked.full = True
        sent.set()

    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9])
    line = await make_line(world, one, store=blocked)
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    await sent.wait()
    leaving = asyncio.create_task(line.drain(0.05, ending=False))
    async with asyncio.timeout(20):
        while blocked.refused < 20:
            await asyncio.sleep(0.01)
        assert not leaving.done()
        blocked.full = False
        await leaving
    assert await world.tally() == {("accepted", ""): 1, ("due", ""): 2}
    assert await world.sql("SELECT count(*) FROM flight") == [(0,)]


@pytest.mark.promise("F22")
async def test_a_provider_that_leaves_while_the_disk_is_full_does_not_keep_the_daemon_from_ending(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that the daemon ends: what is not recorded then is left to the next start."""
    monkeypatch.setattr("daemon.dispatch.records.RECORD_SECONDS", 0.0)
    blocked = Blocked(world.store)
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9])
    line = await make_line(world, obey, store=blocked)
    await line.put(envelopes((await world.claim()).claimed))
    blocked.full = True
    leaving = asyncio.create_task(line.drain(0.05, ending=False))
    async with asyncio.timeout(20):
        while blocked.refused < 20:
            await asyncio.sleep(0.01)
        line.end()
        await leaving
    assert await world.tally() == {("claimed", ""): 3}
    assert await world.sql("SELECT count(*) FROM flight") == [(3,)]


@pytest.mark.promise("F22")
async def test_what_the_last_messages_came_to_is_recorded_though_the_disk_was_full_when_the_daemon_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk that passes within its last tries: what was accepted is no doubt at the next start."""
    monkeypatch.setattr("daemon.dispatch.records.RECORD_SECONDS", 0.0)
    full = Full(world.store, 0)
    sent = asyncio.Event()

    async def one(batch: Sequence[Message], session: Session) -> None:
        assert await session.handover([batch[0].id])
        session.report(batch[0].id, Accepted())
        full.times = 2
        sent.set()

    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    line = await make_line(world, one, store=full)
    line.start()
    await line.put(envelopes((await world.claim()).claimed))
    line.end()
    await sent.wait()
    await line.drain(5)
    assert full.times == 0
    assert await world.tally() == {("accepted", ""): 1}


@pytest.mark.promise("F22")
async def test_a_handover_that_the_store_cannot_take_is_no_fault_of_the_channel(world: World) -> None:
    """Nothing was sent: due again, and neither the plugin's faults nor the breaker count it."""

    class NoRoom(Blocked):
        async def join(self, lane: Lane, act: Any, item: Any) -> Any:
            if item.grants:
                raise StoreUnavailableError("no room")
            return await self.store.join(lane, act, item)

    line = await send(world, obey, people=[7, 8], store=NoRoom(world.store))
    assert await world.tally() == {("due", ""): 2}
    assert line.breaker.errors == 0
    assert line.detail is None


async def test_what_waits_for_a_slow_destination_is_due_again_when_it_is_well(world: World, quick: None) -> None:
    """Not at the turns that were given while it was slow; and what still waits when the line ends is due at once."""
    await world.store.write(Lane.BULK, add_job, 1, people=range(1, 31))
    await world.sql("UPDATE recipient SET email = 'p' || id || '@slow.example'")
    line = await make_line(world, obey)
    line.destinations.waits("slow.example", 60.0, line._clock.monotonic() - 1000)
    now = line._clock.instant()
    claimed = (await world.claim()).claimed
    untils = [line.destinations.put_off("slow.example", 1, one.row.delivery, now, now + 86_400 * SECOND) for one in claimed[4:]]
    await line._records.give_back(envelopes(claimed[4:]), [waits_for_turn("relay", "slow.example", 60.0, until, "v1") for until in untils])
    assert await world.sql("SELECT count(*) FROM due WHERE not_before > :n", n=now) == [(26,)]
    line.start()
    await line.put(envelopes(claimed[:4]))
    async with asyncio.timeout(20):
        while (await world.sql("SELECT count(*) FROM due WHERE not_before > :n", n=line._clock.instant())) != [(26 - 10,)]:
            await asyncio.sleep(0.01)
    await line.drain(5)
    assert await world.sql("SELECT count(*) FROM due WHERE not_before > :n", n=line._clock.instant()) == [(0,)]
    assert await world.tally() == {("accepted", ""): 4, ("due", ""): 26}
