"""The protocol by itself, on a fake transport: pairing, deadlines, flow control, and what counts as written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels.smtp.exchange import Exchange, Stage

SECONDS: dict[Stage, float] = {"reset": 5.0, "mail": 5.0, "rcpt": 5.0, "data": 2.0, "dot": 10.0}


class Wire(asyncio.Transport):
    """A transport in memory; `stuck` = the kernel takes nothing; `broken` = the next write fails."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange
        self.sent = b""
        self.closing = False
        self.stuck = False
        self.broken = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (1, 0)

    def write(self, data: Any) -> None:
        if self.broken:
            self.abort()
            return
        self.sent += bytes(data)
        if self.stuck:
            self.exchange.pause_writing()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.exchange.connection_lost, None)


class Hand:
    """A loop whose clock is moved by hand; everything else is the running loop's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Any] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def call_at(self, when: float, callback: Any) -> Any:
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer.due <= self.now]:
            for timer in due:
                self.timers.remove(timer)
                if not timer.cancelled:
                    timer.callback()


class Timer:
    def __init__(self, due: float, callback: Any) -> None:
        self.due, self.callback, self.cancelled = due, callback, False

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.cancelled = True


def opened() -> tuple[Exchange, Wire, Hand]:
    hand = Hand()
    exchange = Exchange(loop=hand, seconds=SECONDS, name="peer connection 1")  # type: ignore[arg-type]
    wire = Wire(exchange)
    exchange.connection_made(wire)
    return exchange, wire, hand


async def test_replies_are_paired_in_order() -> None:
    """One per stage, however many came at once."""
    exchange, wire, _ = opened()
    assert exchange.write(b"x", "dot", "mail", "rcpt", "data")
    exchange.data_received(b"250 a\r\n250 b\r\n550 c\r\n354 d\r\n")
    assert [reply.code for reply in await exchange.take(1)] == [250]
    assert [reply.code for reply in await exchange.take(3)] == [250, 550, 354]
    assert exchange.quiet
    assert wire.sent == b"x"


async def test_a_reply_that_nobody_waits_for_ends_the_connection() -> None:
    """It would be taken for the answer to the next command."""
    exchange, wire, _ = opened()
    exchange.data_received(b"250 hm\r\n")
    assert exchange.failure is not None
    assert exchange.failure.kind == "unexpected"
    assert "peer connection 1" in exchange.failure.detail
    assert wire.closing


async def test_what_was_owed_is_kept_when_a_reply_too_many_comes() -> None:
    """F9 and the double 250: the first one answers the dot."""
    exchange, _, _ = opened()
    exchange.write(b"x", "dot")
    exchange.data_received(b"250 ok\r\n250 ok\r\n")
    assert [reply.code for reply in await exchange.take(1)] == [250]
    assert exchange.failure is not None
    assert not exchange.write(b"y", "mail")


async def test_half_a_reply_that_nobody_waits_for_ends_the_connection() -> None:
    """Its other half would come when the next command is out."""
    exchange, _, _ = opened()
    exchange.write(b"x", "dot")
    exchange.data_received(b"250 ok\r\n25")
    assert not exchange.quiet
    assert exchange.failure is not None


@pytest.mark.promise("F11")
async def test_421_ends_the_connection_at_once() -> None:
    """What else was owed will not come; waiting for it would hold a slot."""
    exchange, _, _ = opened()
    exchange.write(b"x", "dot", "mail", "rcpt", "data")
    exchange.data_received(b"250 ok\r\n421 4.3.2 closing\r\n")
    assert [reply.code for reply in await exchange.take(1)] == [250]
    assert [reply.code for reply in await exchange.take(3)] == [421]
    assert exchange.failure is not None
    assert exchange.failure.kind == "lost"


@pytest.mark.promise("F12")
async def test_a_deadline_does_not_move_when_bytes_drip_in() -> None:
    """F12: the stage as a whole has to end."""
    exchange, _, hand = opened()
    exchange.write(b"x", "mail")
    for byte in b"250 drip":
        exchange.data_received(bytes([byte]))
        hand.advance(0.6)
    assert exchange.failure is None
    hand.advance(0.3)
    assert exchange.failure is not None
    assert exchange.failure.kind == "timeout"
    assert "no answer to MAIL in 5 s" in exchange.failure.detail


@pytest.mark.promise("F12", "F13")
async def test_each_stage_has_its_own_deadline() -> None:
    """The timer is moved when it fires, and brought forward when a shorter stage follows a longer one."""
    exchange, _, hand = opened()
    exchange.write(b"x", "dot", "mail", "rcpt", "data")
    hand.advance(9.9)
    exchange.data_received(b"250 a\r\n")
    hand.advance(4.9)
    exchange.data_received(b"250 b\r\n")
    hand.advance(4.9)
    exchange.data_received(b"250 c\r\n")
    hand.advance(1.9)
    assert exchange.failure is None
    hand.advance(0.2)
    assert exchange.failure is not None
    assert "DATA" in exchange.failure.detail
    assert len(await exchange.take(4)) == 3


async def test_no_deadline_runs_while_nothing_is_owed() -> None:
    """An idle connection may be idle."""
    exchange, _, hand = opened()
    exchange.write(b"x", "mail")
    exchange.data_received(b"250 a\r\n")
    await exchange.take(1)
    hand.advance(1000.0)
    assert exchange.quiet
    assert not hand.timers


async def test_a_write_that_fails_at_once_did_not_leave() -> None:
    """The kernel refused it: that is sure, and so no doubt."""
    exchange, wire, _ = opened()
    wire.broken = True
    assert not exchange.write(b"content and dot", "dot")
    assert not wire.sent


async def test_a_write_on_a_closing_transport_did_not_leave() -> None:
    """asyncio drops it in silence."""
    exchange, wire, _ = opened()
    wire.closing = True
    assert not exchange.quiet
    assert not exchange.write(b"content and dot", "dot")
    assert not wire.sent


async def test_drained_waits_for_the_kernel() -> None:
    """pause_writing and resume_writing are honoured."""
    exchange, wire, _ = opened()
    assert await exchange.drained(1.0)
    wire.stuck = True
    exchange.write(b"long")
    waiting = asyncio.ensure_future(exchange.drained(1.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    exchange.resume_writing()
    assert await waiting


@pytest.mark.promise("F12")
async def test_a_relay_that_takes_no_bytes_stalls() -> None:
    """The slot is freed, and the dot was not written."""
    exchange, wire, _ = opened()
    wire.stuck = True
    exchange.write(b"long")
    assert not await exchange.drained(0.01)
    assert exchange.failure is not None
    assert exchange.failure.kind == "stalled"
    assert wire.closing


@pytest.mark.parametrize("how", ["eof", "lost", "garbled", "drop"])
async def test_whoever_waits_is_woken_when_the_connection_fails(how: str) -> None:
    """And gets what had come."""
    exchange, _, _ = opened()
    exchange.write(b"x", "mail", "rcpt")
    waiting = asyncio.ensure_future(exchange.take(2))
    await asyncio.sleep(0)
    exchange.data_received(b"250 ok\r\n")
    if how == "eof":
        exchange.eof_received()
    elif how == "lost":
        exchange.connection_lost(ConnectionResetError("reset by peer"))
    elif how == "garbled":
        exchange.data_received(b"what?\r\n")
    else:
        exchange.fail("dropped", "given up")
    assert [reply.code for reply in await waiting] == [250]
    assert exchange.failure is not None
    assert not exchange.quiet


async def test_the_first_reason_stays() -> None:
    """It is the evidence; what follows is only its consequence."""
    exchange, _, _ = opened()
    exchange.data_received(b"what?\r\n")
    exchange.fail("dropped", "given up")
    await asyncio.sleep(0)
    assert exchange.failure is not None
    assert exchange.failure.kind == "garbled"
    assert exchange.closed.done()


async def test_quit_is_said_only_to_a_quiet_session() -> None:
    """In the middle of a conversation QUIT would be content."""
    exchange, wire, _ = opened()
    exchange.quit()
    assert wire.sent == b"QUIT\r\n"
    busy, other, _ = opened()
    busy.write(b"x", "mail")
    busy.quit()
    assert other.sent == b"x"
    assert other.closing
