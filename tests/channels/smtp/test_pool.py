"""Connections are reused, aged and replaced without anybody noticing; a relay that fails is left alone and another one serves."""

from __future__ import annotations

import asyncio

import pytest

from channels.smtp import pool as pool_module
from plugins import Deferred
from tests.channels.smtp.line import Clock, Line, Silence, batch, channel, message
from tests.channels.smtp.servers import Peer
from tests.channels.smtp.test_phases import SHORT, brief, judge
from tests.ports import free_port


async def test_a_connection_is_used_again_by_the_next_batch() -> None:
    """Greeting, TLS and AUTH are paid once."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            for prefix in ("a", "b", "c"):
                await sender.send(batch(3, prefix), line)
        assert peer.connections == 1
    judge(line, peer)
    assert peer.commands[-1] == "QUIT"
    assert len(peer.taken) == 9


async def test_capabilities_follow_the_pool() -> None:
    """The daemon plans by it: one batch per connection."""
    async with channel(port=1, pool=3, spare=4) as sender:
        assert (sender.capabilities.concurrency, sender.capabilities.spare, sender.capabilities.unit) == (3, 4, 1)


async def test_more_batches_than_connections_wait_for_their_turn() -> None:
    """The relay never sees more than `pool` connections and the spare ones."""
    async with Peer() as peer:
        async with channel(port=peer.port, pool=2, spare=1) as sender:
            await asyncio.gather(*(sender.send(batch(2, f"b{n}-"), Line()) for n in range(8)))
        assert peer.connections == 3
    assert len(peer.taken) == 16


@pytest.mark.promise("P10")
async def test_a_spare_connection_that_is_refused_is_nobodys_failure() -> None:
    """A relay that allows no more than `pool`: what was to go over it is tried again at once, the relay goes on, its rate is not cut, and
    for an hour it is not asked again."""
    clock, log = Clock(), Silence()
    answered = asyncio.Event()

    async def wait(id: str) -> None:
        await answered.wait()

    async with (
        Peer(script={"connect": ["220 peer.example ESMTP", "421 4.7.0 too many connections"]}) as peer,
        channel(clock, log, port=peer.port, pool=1, spare=1) as sender,
    ):
        first, second, third = Line(), Line(), Line()
        first.asked = wait
        sending = asyncio.create_task(sender.send(batch(1, "a"), first))
        while not first.events:
            await asyncio.sleep(0.01)
        assert sender.capabilities.spare == 1
        await sender.send(batch(2, "b"), second)
        assert {brief(outcome) for outcome in second.outcomes.values()} == {"deferred message nothing_sent"}
        assert sender.capabilities.spare == 0
        answered.set()
        await sending
        await sender.send(batch(1, "c"), third)
        assert sender.capabilities.spare == 0
        clock.pushed += 3600.0
        await sender.send(batch(1, "d"), Line())
        assert sender.capabilities.spare == 1
    assert [mail.id for mail in peer.taken] == ["a1", "c1", "d1"]
    assert [event for event, _ in log.events] == ["smtp.spare_refused"]


async def test_an_idle_connection_that_the_relay_closed_is_replaced() -> None:
    """Seen before it is used: nothing is deferred, nothing in doubt."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(1, "a"), line)
            await peer.hang_up()
            await asyncio.sleep(0.02)
            await sender.send(batch(2, "b"), line)
        assert peer.connections == 2
    judge(line, peer)
    assert {brief(outcome) for outcome in line.outcomes.values()} == {"accepted"}


@pytest.mark.parametrize("farewell", ["drop", "rst", "421 4.4.2 idle for too long"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_an_idle_connection_that_ends_under_the_first_envelope_is_replaced(farewell: str, pipelining: bool) -> None:
    """The race that no check can win: the message is tried over a new connection, unseen by the daemon."""
    async with Peer(pipelining=pipelining, script={"mail": ["250 2.1.0 Ok", farewell]}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(1, "a"), line)
            await sender.send(batch(2, "b"), line)
        assert peer.connections == 2
    judge(line, peer)
    assert {brief(outcome) for outcome in line.outcomes.values()} == {"accepted"}


async def test_an_idle_notice_ends_the_connection() -> None:
    """421 without a question: it is not used again."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(1, "a"), line)
            (link,) = sender._pool._links  # type: ignore[union-attr]
            link.exchange.data_received(b"421 4.4.2 idle for too long\r\n")
            await sender.send(batch(1, "b"), line)
        assert peer.connections == 2
    judge(line, peer)


async def test_an_old_idle_connection_is_not_used_again() -> None:
    """Past idle_seconds the relay, or a firewall on the way, may have forgotten it."""
    clock = Clock()
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(clock, port=peer.port, idle_seconds=60.0) as sender:
            await sender.send(batch(1, "a"), line)
            clock.pushed += 61.0
            await sender.send(batch(1, "b"), line)
        assert peer.connections == 2
    assert peer.commands.count("QUIT") == 2


async def test_idle_connections_are_closed_by_themselves() -> None:
    """A quiet night holds no connection open."""
    async with Peer() as peer, channel(port=peer.port, idle_seconds=0.05) as sender:
        await asyncio.gather(*(sender.send(batch(1, f"b{n}-"), Line()) for n in range(3)))
        assert sender._pool is not None
        async with asyncio.timeout(2):
            while sender._pool._links:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            while peer.commands.count("QUIT") < 3:
                await asyncio.sleep(0.01)


async def test_a_connection_carries_no_more_than_its_limit() -> None:
    """Some relays count; the next envelope is not pipelined behind the last message, the session ends with QUIT."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, messages_per_connection=2) as sender:
            await sender.send(batch(5), line)
        assert peer.connections == 3
    judge(line, peer)
    assert len(peer.taken) == 5
    assert peer.commands.count("QUIT") == 3
    assert peer.commands.count("DATA") == 5


async def test_an_unreachable_relay_defers_the_whole_batch() -> None:
    """Nothing was sent; the scope tells the daemon that it is the provider, and when to ask again."""
    line = Line()
    async with channel(port=free_port()) as sender:
        await sender.send(batch(3), line)
    assert [brief(outcome) for outcome in line.outcomes.values()] == ["deferred provider"] * 3
    outcome = line.outcomes["m1"]
    assert isinstance(outcome, Deferred)
    assert outcome.code == "unreachable"
    assert isinstance(outcome.after, float)
    assert 0.4 < outcome.after <= 1.0
    assert not line.granted


@pytest.mark.promise("F11")
async def test_a_relay_that_refuses_is_left_alone_for_a_growing_time() -> None:
    """1 s, 2 s, 4 s .. 5 minutes, with jitter; meanwhile nobody connects."""
    clock, log = Clock(), Silence()
    async with Peer(script={"connect": "421 4.3.2 too busy"}) as peer, channel(clock, log, port=peer.port) as sender:
        for round_ in range(12):
            line = Line()
            await sender.send(batch(2), line)
            await sender.send(batch(2, "again"), line)
            assert peer.connections == round_ + 1
            assert {brief(outcome) for outcome in line.outcomes.values()} == {"deferred provider throttled"}
            clock.pushed += pool_module.LONGEST_PAUSE
    pauses = [fields["seconds"] for event, fields in log.events if event == "smtp.relay_rests"]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


@pytest.mark.promise("F11")
async def test_the_next_relay_serves_while_the_first_refuses() -> None:
    """Fail-over, and back once the first has rested and answers."""
    clock = Clock()
    async with Peer(script={"connect": ["554 5.3.2 go away"]}) as first, Peer() as second:
        line = Line()
        async with channel(clock, port=first.port, relays=(f"127.0.0.1:{second.port}",)) as sender:
            await sender.send(batch(3, "a"), line)
            assert (len(first.taken), len(second.taken)) == (0, 3)
            await sender.send(batch(3, "b"), line)
            assert (len(first.taken), len(second.taken)) == (0, 6)
            assert first.connections == 1
            clock.pushed += 10.0
            await sender.send(batch(3, "c"), line)
            assert (len(first.taken), len(second.taken)) == (3, 6)
    assert {brief(outcome) for outcome in line.outcomes.values()} == {"accepted"}


async def test_a_relay_that_breaks_off_in_the_middle_is_left_for_the_next() -> None:
    """Three connections in a row broken: the fourth message goes to the other relay, nothing is sent twice."""
    async with Peer(script={"dot": "drop"}) as first, Peer() as second:
        line = Line()
        second.events = first.events = line.events
        async with channel(port=first.port, relays=(f"127.0.0.1:{second.port}",)) as sender:
            await sender.send(batch(6), line)
    judge(line, first, second)
    assert [brief(outcome) for outcome in line.outcomes.values()] == ["unknown lost"] * 3 + ["accepted"] * 3
    assert [mail.id for mail in second.taken] == ["m4", "m5", "m6"]


@pytest.mark.promise("P3")
async def test_what_a_lost_connection_has_told_is_recorded_before_another_is_waited_for() -> None:
    """A relay that takes its time to greet: a crash meanwhile must not put in doubt what was known before."""
    async with Peer(script={"dot": "drop"}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(2), line)
    acts = [event[0] for event in line.events if event[0] in ("report", "commit")]
    assert acts[: acts.index("report") + 2] == ["commit", "report", "commit"]


@pytest.mark.promise("F7")
async def test_a_single_relay_that_loses_each_dot_costs_three_doubts_and_no_more() -> None:
    """Then the rest of the batch waits: a broken relay must not turn a whole job into doubts."""
    async with Peer(script={"dot": "hang"}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, **SHORT) as sender:
            await sender.send(batch(10), line)
    judge(line, peer)
    assert [brief(outcome) for outcome in line.outcomes.values()] == ["unknown timeout"] * 3 + ["deferred provider"] * 7


@pytest.mark.promise("F13", "P10")
async def test_one_hanging_destination_does_not_hold_up_the_others() -> None:
    """F13: it occupies one connection; the others go on."""
    async with Peer(by_recipient={"slow1": {"dot": "hang"}}) as peer:
        slow, quick = Line(), Line()
        async with channel(port=peer.port, pool=2) as sender:
            hanging = asyncio.ensure_future(sender.send([message("slow1")], slow))
            await sender.send(batch(30), quick)
            assert len(quick.outcomes) == 30
            assert not slow.outcomes
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging


async def test_stop_before_start_and_send_after_stop() -> None:
    """A service that was never started can be stopped; one that was stopped sends nothing."""
    async with channel(port=1) as sender:
        await sender.stop()
        with pytest.raises(RuntimeError, match="before start"):
            await sender.send(batch(1), Line())
