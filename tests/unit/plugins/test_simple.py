"""SimpleChannel: leave for each message by itself, at most so many at once, and the right outcome of whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from plugins import Accepted, Capabilities, Context, Deferred, Message, NotSent, Outcome, Rejected, SimpleChannel, Unknown
from plugins.testing.messages import make_message
from plugins.testing.world import START, KitClock, KitLog, LocalDns, open_stream


@dataclass(frozen=True)
class Settings:
    pass


class Scripted(SimpleChannel[Settings]):
    """Does with each message what the test says."""

    name, channel, address, settings_type = "scripted", "call", "phone", Settings
    capabilities = Capabilities(concurrency=2)
    send_seconds = 0.05

    def __init__(self) -> None:
        self.script: dict[str, Any] = {}
        self.running = 0
        self.most = 0
        self.hooks: list[str] = []

    async def open(self) -> None:
        self.hooks.append("open")

    async def close(self) -> None:
        self.hooks.append("close")

    async def send_one(self, message: Message) -> Outcome:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            act = self.script.get(message.id, Accepted())
            if isinstance(act, BaseException):
                raise act
            if act == "hang":
                await asyncio.Event().wait()
            return act  # type: ignore[no-any-return]
        finally:
            self.running -= 1


@dataclass
class Line:
    """A session that grants what is not refused and keeps everything."""

    refused: frozenset[str] = frozenset()
    closing: bool = False
    asked: list[list[str]] = field(default_factory=list)
    reports: dict[str, list[Outcome]] = field(default_factory=dict)
    failure: Exception | None = None
    clock: KitClock | None = None

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        self.asked.append(list(ids))
        if self.failure is not None and len(self.asked) == 2:
            raise self.failure
        if self.clock is not None:
            self.clock.jump(10.0)
        return frozenset(ids) - self.refused

    def report(self, id: str, outcome: Outcome) -> None:
        self.reports.setdefault(id, []).append(outcome)


async def started(clock: KitClock, log: KitLog, kind: type[Scripted] = Scripted) -> Scripted:
    channel = kind()
    http: Any = None
    context = Context(
        provider="p", settings=Settings(), clock=clock, rng=random.Random(1), dns=LocalDns(), open_stream=open_stream, http=http, log=log
    )
    await channel.start(context)
    return channel


def batch(size: int) -> list[Message]:
    return [make_message(n, channel="call", address=f"+1555010{n:04d}", now=START) for n in range(size)]


async def test_each_message_is_asked_for_by_itself_and_reported_once() -> None:
    """Six messages, two at a time, six grants, six outcomes."""
    channel, line, messages = await started(KitClock(), KitLog()), Line(), batch(6)
    await channel.send(messages, line)
    assert sorted(line.asked) == [[message.id] for message in messages]
    assert line.reports == {message.id: [Accepted()] for message in messages}
    assert channel.most == 2


async def test_concurrency_holds_over_several_batches() -> None:
    """The provider sees no more than `concurrency` calls, however many `send` run."""
    channel, line = await started(KitClock(), KitLog()), Line()
    await asyncio.gather(channel.send(batch(4), line), channel.send(batch(4), line))
    assert channel.most == 2


async def test_what_is_not_granted_is_neither_sent_nor_reported() -> None:
    """Its neighbours go out."""
    messages = batch(3)
    channel, line = await started(KitClock(), KitLog()), Line(refused=frozenset({messages[1].id}))
    await channel.send(messages, line)
    assert line.reports.keys() == {messages[0].id, messages[2].id}


async def test_a_grant_that_came_too_late_is_given_back() -> None:
    """Ten seconds between the question and the answer: nothing is sent."""
    clock = KitClock()
    channel, line, messages = await started(clock, KitLog()), Line(clock=clock), batch(1)
    await channel.send(messages, line)
    assert line.reports[messages[0].id] == [Deferred(nothing_sent=True, code="grant_expired")]
    assert channel.most == 0


async def test_nothing_new_is_asked_for_while_the_daemon_drains() -> None:
    """Neither asked nor sent nor reported."""
    channel, line = await started(KitClock(), KitLog()), Line(closing=True)
    await channel.send(batch(3), line)
    assert (line.asked, line.reports, channel.most) == ([], {}, 0)


@pytest.mark.promise("F43")
@pytest.mark.parametrize(
    ("act", "outcome", "event"),
    [
        (NotSent("no credit"), Deferred(nothing_sent=True, scope="provider", code="not_sent", detail="no credit"), None),
        (KeyError("sid"), Unknown(code="KeyError", detail="'sid'"), "send_one_raised"),
        (SystemExit(3), Unknown(code="SystemExit", detail="3"), "send_one_raised"),
        ("hang", Unknown(code="TimeoutError", detail=""), "send_one_raised"),
        ("ok", Unknown(code="wrong_type", detail="send_one returned str, which is no outcome"), "send_one_returned_no_outcome"),
        (None, Unknown(code="wrong_type", detail="send_one returned NoneType, which is no outcome"), "send_one_returned_no_outcome"),
    ],
)
async def test_whatever_send_one_does_has_an_outcome(act: Any, outcome: Outcome, event: str | None) -> None:
    """F43: NotSent gives back, everything else that is no outcome is in doubt, and the next message is not touched by it."""
    log = KitLog()
    channel, line, messages = await started(KitClock(), log), Line(), batch(2)
    channel.script[messages[0].id] = act
    await channel.send(messages, line)
    assert line.reports == {messages[0].id: [outcome], messages[1].id: [Accepted()]}
    assert [each[1] for each in log.events] == ([event] if event else [])


async def test_a_handover_that_fails_leaves_the_others_to_finish() -> None:
    """The store goes away for one message: what is handed over is reported first, then send() says what happened."""
    channel, line, messages = await started(KitClock(), KitLog()), Line(failure=OSError("store")), batch(3)
    with pytest.raises(OSError, match="store"):
        await channel.send(messages, line)
    assert len(line.reports) == 2


async def test_open_and_close_are_called_once_each() -> None:
    """stop() bears being called twice, and without start; send() outside of that is a mistake that is named."""
    unstarted = Scripted()
    await unstarted.stop()
    assert unstarted.hooks == []
    channel = await started(KitClock(), KitLog())
    await channel.stop()
    await channel.stop()
    assert channel.hooks == ["open", "close"]
    with pytest.raises(RuntimeError, match="before start"):
        await channel.send(batch(1), Line())


class Sleepless(KitClock):
    """Sleeping puts it forward."""

    async def sleep(self, seconds: float) -> None:
        self.jump(seconds)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Unknown(code="500"), Accepted(provider_id="1")], Accepted(provider_id="1")),
        ([Unknown(code="500"), Rejected(code="422")], Rejected(code="422")),
        ([Unknown(code="500"), Deferred(scope="provider"), Accepted()], Accepted()),
        ([Unknown(code="first"), NotSent("away"), Deferred(throttled=True)], Unknown(code="first")),
        ([Unknown(code="first"), Unknown(code="second"), Unknown(code="third"), Accepted()], Unknown(code="first")),
    ],
)
async def test_a_doubt_is_asked_again_where_the_id_is_a_key(answers: list[Any], expected: Outcome) -> None:
    """A later refusal to take the second request says nothing of the first: it stays a doubt, with the first one's evidence."""

    class Keyed(Scripted):
        capabilities = Capabilities(idempotent=60.0)

        async def send_one(self, message: Message) -> Outcome:
            act = answers.pop(0)
            if isinstance(act, BaseException):
                raise act
            return act  # type: ignore[no-any-return]

    channel, line, messages = await started(Sleepless(), KitLog(), Keyed), Line(), batch(1)
    await channel.send(messages, line)
    assert line.reports == {messages[0].id: [expected]}
    assert line.asked == [[messages[0].id]]


@pytest.mark.parametrize(("idempotent", "slow"), [(0.0, 0.0), (60.0, 11.0)])
async def test_a_doubt_is_never_asked_again_without_a_key_or_past_the_grant(idempotent: float, slow: float) -> None:
    """The recipient may have unsubscribed since."""

    class Once(Scripted):
        capabilities = Capabilities(idempotent=idempotent)

        async def send_one(self, message: Message) -> Outcome:
            self.running += 1
            clock.jump(slow)
            return Unknown()

    clock = Sleepless()
    channel, line, messages = await started(clock, KitLog(), Once), Line(), batch(1)
    await channel.send(messages, line)
    assert channel.running == 1
    assert line.reports == {messages[0].id: [Unknown()]}


async def test_a_cancellation_that_nobody_asked_for_costs_its_message_only() -> None:
    """Raised by a library inside `send_one`: the neighbours go out, then send() says what happened."""
    channel, line, messages = await started(KitClock(), KitLog()), Line(), batch(3)
    channel.script[messages[0].id] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await channel.send(messages, line)
    assert line.reports.keys() == {messages[1].id, messages[2].id}


async def test_a_send_that_is_cancelled_leaves_nothing_running() -> None:
    """A call that hangs ends with it, and no other begins."""
    channel, line, messages = await started(KitClock(), KitLog()), Line(), batch(5)
    channel.script = dict.fromkeys([message.id for message in messages], "hang")
    sending = asyncio.ensure_future(channel.send(messages, line))
    while channel.running < 2:
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (channel.running, len(line.asked), line.reports) == (0, 2, {})
