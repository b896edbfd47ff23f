"""Leave is asked for each message, after its 354 and after the former one's outcome is reported; without it nothing is sent."""

from __future__ import annotations

import asyncio

import pytest

from plugins import GRANT_SECONDS, Accepted, Deferred, Unknown
from tests.channels.smtp.line import Clock, Line, batch, channel, message
from tests.channels.smtp.servers import Peer
from tests.channels.smtp.test_phases import SHORT, brief, judge

both = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step by step"])


@pytest.mark.promise("P2", "P3", "F5")
@both
async def test_outcome_n_is_reported_before_handover_n_plus_1_is_asked(pipelining: bool) -> None:
    """So that both commit in one transaction, and a crash leaves at most one message in doubt per connection."""
    async with Peer(pipelining=pipelining) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(4), line)
    judge(line, peer)
    for number in range(1, 4):
        reported = line.events.index(("report", f"m{number}"))
        assert line.events.index(("dot", f"m{number}@example.com")) < reported < line.events.index(("handover", f"m{number + 1}"))


async def test_the_dot_and_the_next_envelope_go_out_together() -> None:
    """RFC 2920: one round trip per message. The peer has the next DATA before the outcome is reported."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(batch(3), line)
    events = [event[0] for event in line.events if event[0] in ("dot", "mail", "rcpt", "data", "report", "handover", "content")]
    step = ["handover", "content", "dot", "mail", "rcpt", "data", "report"]
    assert events == ["mail", "rcpt", "data", *step, *step, "handover", "content", "dot", "report"]


@pytest.mark.promise("F42", "F44")
@both
async def test_what_is_not_granted_is_not_sent_and_not_reported(pipelining: bool) -> None:
    """After 354 there is no way back: the connection is given up, the others go over a new one."""
    async with Peer(pipelining=pipelining) as peer:
        line = Line(peer.events, refuse=["m2"])
        async with channel(port=peer.port) as sender:
            await sender.send(batch(3), line)
    judge(line, peer)
    assert sorted(line.outcomes) == ["m1", "m3"]
    assert sorted(mail.id for mail in peer.taken) == ["m1", "m3"]
    assert peer.connections == 2
    assert ("content", "m2@example.com") not in peer.events


@pytest.mark.promise("F42")
@both
async def test_a_batch_of_which_nothing_is_granted_sends_nothing(pipelining: bool) -> None:
    """Such as when the kill switch fell."""
    async with Peer(pipelining=pipelining) as peer:
        line = Line(peer.events, refuse=["m1", "m2", "m3"])
        async with channel(port=peer.port) as sender:
            await sender.send(batch(3), line)
    assert not peer.complete
    assert not line.outcomes


async def test_a_grant_past_its_life_is_given_back_unused() -> None:
    """10 s on the monotonic clock from the asking; past it no byte starts."""
    clock = Clock()

    async def slow(id: str) -> None:
        if id == "m2":
            clock.pushed += GRANT_SECONDS

    async with Peer() as peer:
        line = Line(peer.events)
        line.asked = slow
        async with channel(clock, port=peer.port) as sender:
            await sender.send(batch(3), line)
    judge(line, peer)
    outcome = line.outcomes["m2"]
    assert isinstance(outcome, Deferred)
    assert (outcome.nothing_sent, outcome.code) == (True, "not_started")
    assert [mail.id for mail in peer.taken] == ["m1", "m3"]
    assert ("content", "m2@example.com") not in peer.events


async def test_a_connection_lost_while_leave_is_asked_gives_the_grant_back() -> None:
    """The relay grew tired of waiting for the content."""
    async with Peer() as peer:
        line = Line(peer.events)

        async def slow(id: str) -> None:
            if id == "m2":
                await peer.hang_up()
                for _ in range(5):
                    await asyncio.sleep(0.01)

        line.asked = slow
        async with channel(port=peer.port) as sender:
            await sender.send(batch(3), line)
    judge(line, peer)
    assert brief(line.outcomes["m2"]) == "deferred provider nothing_sent"
    assert brief(line.outcomes["m3"]) == "accepted"


@pytest.mark.promise("F28")
async def test_when_the_daemon_drains_nothing_new_starts() -> None:
    """F28: what is handed over is finished, what waits after 354 is hung up on, the rest goes back."""
    async with Peer() as peer:
        line = Line(peer.events)

        async def drain(id: str) -> None:
            line.closing = id == "m2"

        line.asked = drain
        async with channel(port=peer.port) as sender:
            await sender.send(batch(4), line)
    judge(line, peer)
    assert sorted(line.outcomes) == ["m1", "m2"]
    assert [mail.id for mail in peer.taken] == ["m1", "m2"]


@pytest.mark.promise("F28")
async def test_draining_between_354_and_the_asking_hangs_up() -> None:
    """After 354 there is no other way back; nothing was granted, so nothing is reported."""
    async with Peer(by_recipient={"m2": {"data": "late 354 go"}}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            sending = asyncio.ensure_future(sender.send(batch(3), line))
            while "m1" not in line.outcomes:
                await asyncio.sleep(0.005)
            line.closing = True
            await sending
    judge(line, peer)
    assert line.granted == ["m1"]
    assert sorted(line.outcomes) == ["m1"]


async def test_draining_before_the_start_opens_no_connection() -> None:
    """There is nothing to say to the relay."""
    async with Peer() as peer:
        line = Line(peer.events)
        line.closing = True
        async with channel(port=peer.port) as sender:
            await sender.send(batch(2), line)
        assert peer.connections == 0
    assert not line.outcomes


@pytest.mark.promise("F28")
async def test_cancelled_while_leave_is_asked_nothing_was_sent() -> None:
    """The commit may have landed all the same: the grant is given back, the connection closed."""
    async with Peer() as peer:
        line = Line(peer.events)
        asked = asyncio.Event()

        async def never(id: str) -> None:
            if id == "m2":
                asked.set()
                await asyncio.Event().wait()

        line.asked = never
        async with channel(port=peer.port) as sender:
            sending = asyncio.ensure_future(sender.send(batch(3), line))
            await asked.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
    assert brief(line.outcomes["m1"]) == "accepted"
    assert brief(line.outcomes["m2"]) == "deferred message nothing_sent"
    assert "m3" not in line.outcomes
    assert [mail.id for mail in peer.complete] == ["m1"]


@pytest.mark.promise("F28")
async def test_cancelled_after_the_dot_nothing_is_claimed() -> None:
    """Handed over and not reported is `Unknown` by the contract: the channel must not guess."""
    async with Peer(by_recipient={"m1": {"dot": "hang"}}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            sending = asyncio.ensure_future(sender.send(batch(2), line))
            while not peer.complete:
                await asyncio.sleep(0.005)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
    assert line.granted == ["m1"]
    assert not line.outcomes


async def test_a_session_that_raises_ends_the_batch_and_the_connection() -> None:
    """A store that is gone grants nothing: the error is the daemon's, and nothing was sent."""
    async with Peer() as peer:
        line = Line(peer.events)

        async def broken(id: str) -> None:
            raise RuntimeError("the store is gone")

        line.asked = broken
        async with channel(port=peer.port) as sender:
            with pytest.raises(RuntimeError, match="the store is gone"):
                await sender.send(batch(2), line)
            assert sender._pool is not None
            assert not sender._pool._links
    assert not peer.complete


async def test_ten_batches_at_once_send_each_message_once() -> None:
    """Connections are not shared by batches; each message is taken once, under its own grant."""
    async with Peer() as peer:
        lines = [Line() for _ in range(10)]
        async with channel(port=peer.port, pool=10) as sender:
            await asyncio.gather(*(sender.send(batch(20, f"b{n}-"), line) for n, line in enumerate(lines)))
        assert peer.connections <= 10
    ids = [mail.id for mail in peer.taken]
    assert len(ids) == len(set(ids)) == 200
    assert all(isinstance(outcome, Accepted) for line in lines for outcome in line.outcomes.values())


@pytest.mark.promise("F7", "P2")
async def test_a_relay_that_drops_often_never_gets_a_message_twice() -> None:
    """1 message in 7 is dropped at the dot, 1 in 5 before: what was taken is accepted or in doubt, and once."""
    scripts = {f"m{n}": {"dot": ("250 2.0.0 Ok", "rst") if n % 2 else "drop"} for n in range(0, 60, 7)}
    scripts |= {f"m{n}": {"rcpt": "drop"} for n in range(3, 60, 5)}
    async with Peer(by_recipient=scripts) as peer:
        line = Line(peer.events)
        clock = Clock()
        async with channel(clock, port=peer.port, **SHORT) as sender:
            await sender.send(batch(60), line)
    judge(line, peer)
    assert len(line.outcomes) == 60
    assert {mail.id for mail in peer.complete} == {id for id, outcome in line.outcomes.items() if isinstance(outcome, Accepted | Unknown)}


@pytest.mark.promise("B26")
async def test_a_message_that_cannot_become_a_mail_is_rejected_before_the_wire() -> None:
    """B20, B26: nothing of it reaches the relay; its neighbours go."""
    messages = [
        message("m1"),
        message("m2", address="d@e.f\r\nRCPT TO:<x@y.z>"),
        message("m3", subject="Hi\r\nBcc: x@y.z"),
        message("m4", text_pieces=(), html_pieces=()),
        message("m5"),
    ]
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send(messages, line)
    judge(line, peer)
    assert [brief(line.outcomes[it.id]) for it in messages] == [
        "accepted",
        "rejected address",
        "rejected message",
        "rejected message",
        "accepted",
    ]
    assert [command for command in peer.commands if command.startswith("RCPT")] == ["RCPT TO:<m1@example.com>", "RCPT TO:<m5@example.com>"]


async def test_a_batch_without_a_sendable_message_opens_no_connection() -> None:
    """There is nothing to say to the relay."""
    async with Peer() as peer:
        line = Line(peer.events)
        async with channel(port=peer.port) as sender:
            await sender.send([message("m1", address="nobody")], line)
            await sender.send([], line)
        assert peer.connections == 0
    assert brief(line.outcomes["m1"]) == "rejected address"


@both
async def test_a_letter_that_is_kept_waiting_lets_the_others_go(pipelining: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of its batch is given back unsent at no cost while it waits; then it goes as if nothing had been."""
    monkeypatch.setattr("channels.smtp.courier.PATIENCE", 0.05)
    waiting = asyncio.Event()

    async with Peer(pipelining=pipelining) as peer:
        line = Line(peer.events)

        async def wait(id: str) -> None:
            if id == "m2":
                await waiting.wait()

        line.asked = wait
        async with channel(port=peer.port) as sender:
            sending = asyncio.ensure_future(sender.send(batch(30), line))
            async with asyncio.timeout(10):
                while len(line.outcomes) < 28:
                    await asyncio.sleep(0.01)
            assert "m2" not in line.outcomes
            waiting.set()
            await sending
    given_back = {id: outcome for id, outcome in line.outcomes.items() if isinstance(outcome, Deferred)}
    assert all(outcome.nothing_sent and outcome.code == "waiting" for outcome in given_back.values())
    assert {f"m{n}" for n in range(5, 31)} <= given_back.keys()
    assert {"m1", "m2"} <= {mail.id for mail in peer.taken}
    assert {mail.id for mail in peer.taken}.isdisjoint(given_back)
