"""One relay, one misbehaviour, one phase: the right outcome for that message and none for its neighbours.

The peer's own log is the judge: nothing taken twice, nothing without a grant, nothing accepted that the peer did not answer with 2xx.
"""

from __future__ import annotations

from typing import Any

import pytest

from plugins import Accepted, Deferred, Message, Outcome, Rejected, Unknown
from tests.channels.smtp.line import Line, batch, channel, message
from tests.channels.smtp.servers import Answer, Peer

SHORT = {"envelope_seconds": 0.15, "data_seconds": 0.15, "block_seconds": 0.2, "dot_seconds": 0.15}
"""For relays that keep somebody waiting: what a test waits for."""
LONG = dict.fromkeys(SHORT, 5.0)
"""For all others: a machine that stands still for a moment is no relay that hangs."""


def judge(line: Line, *peers: Peer) -> None:
    """What holds in every case, by the peers' logs."""
    complete = [mail for peer in peers for mail in peer.complete]
    ids = [mail.id for mail in complete]
    taken = {mail.id for peer in peers for mail in peer.taken}
    assert len(ids) == len(set(ids)), "a mail came whole twice"
    assert set(ids) <= set(line.granted), "a mail came whole without a grant"
    accepted = {id for id, outcome in line.outcomes.items() if isinstance(outcome, Accepted)}
    doubtful = {id for id, outcome in line.outcomes.items() if isinstance(outcome, Unknown)}
    assert accepted <= taken <= accepted | doubtful, "an acceptance that is not one, or one that was forgotten"
    for mail in complete:
        order = line.events
        asked = order.index(("handover", mail.id))
        assert asked < order.index(("content", mail.recipient)) < order.index(("dot", mail.recipient))


def brief(outcome: Outcome | None) -> str:
    """`accepted`, `rejected address`, `deferred provider`, `.. nothing_sent`, `unknown lost`, or `-` if not reported."""
    match outcome:
        case None:
            return "-"
        case Accepted():
            return "accepted"
        case Rejected():
            return f"rejected {outcome.scope}"
        case Unknown():
            return f"unknown {outcome.code}"
        case Deferred():
            flags = [name for name in ("throttled", "nothing_sent") if getattr(outcome, name)]
            return " ".join(["deferred", outcome.scope, *flags])


async def carried(peer: Peer, count: int = 3, **settings: Any) -> tuple[Line, list[str]]:
    """Send m1..mN and return their outcomes in brief."""
    line = Line(peer.events)
    messages = batch(count)
    async with channel(port=peer.port, **((SHORT if peer.keeps_waiting else LONG) | settings)) as sender:
        await sender.send(messages, line)
    judge(line, peer)
    return line, [brief(line.outcomes.get(message.id)) for message in messages]


both = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step by step"])


@pytest.mark.promise("F11", "F12")
@both
@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("451 4.3.0 local error", "deferred provider"),
        ("450 4.7.1 slow down", "deferred provider throttled"),
        ("552 5.3.4 too big", "rejected message"),
        ("550 5.7.1 sender refused", "deferred operator"),
        ("503 5.5.1 out of step", "deferred provider"),
        ("354 what", "deferred provider"),
        ("421 4.3.2 closing", "deferred provider throttled"),
        ("hang", "deferred provider"),
        ("drip 250 slow", "deferred provider"),
        ("garbage", "deferred provider"),
        ("late 250 2.1.0 Ok", "accepted"),
    ],
)
async def test_a_refusal_at_mail_defers_or_rejects_that_message_only(pipelining: bool, answer: str, wanted: str) -> None:
    """Nothing was written that could be acted upon, so nothing is in doubt."""
    async with Peer(pipelining=pipelining, script={"mail": ["250 2.1.0 Ok", answer]}) as peer:
        _, outcomes = await carried(peer)
    assert outcomes == ["accepted", wanted, "accepted"]


@pytest.mark.promise("F6", "F11", "F12")
@both
@pytest.mark.parametrize("phase", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("answer", "at_rcpt", "at_data"),
    [
        ("451 4.3.0 local error", "deferred provider", "deferred provider"),
        ("450 4.7.1 greylisted", "deferred domain throttled", "deferred provider throttled"),
        ("550 5.1.1 no such user", "rejected address", "rejected address"),
        ("554 5.7.1 policy", "rejected message", "rejected message"),
        ("552 5.3.4 too big", "rejected message", "rejected message"),
        ("421 4.3.2 closing", "deferred provider throttled", "deferred provider throttled"),
        ("drop", "deferred provider", "deferred provider"),
        ("rst", "deferred provider", "deferred provider"),
        ("hang", "deferred provider", "deferred provider"),
        ("drip 250 slow", "deferred provider", "deferred provider"),
        ("garbage", "deferred provider", "deferred provider"),
    ],
)
async def test_a_refusal_before_the_content_is_never_in_doubt(
    pipelining: bool, phase: str, answer: str, at_rcpt: str, at_data: str
) -> None:
    """F6, F11, F12: 4xx, 5xx, 421, drop, reset, hang, drip and garbage at RCPT and DATA."""
    async with Peer(pipelining=pipelining, by_recipient={"m2": {phase: answer}}) as peer:
        line, outcomes = await carried(peer)
    assert outcomes == ["accepted", at_rcpt if phase == "rcpt" else at_data, "accepted"]
    assert "m2" not in line.granted


@pytest.mark.promise("F7", "F8", "F9", "F13")
@both
@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("451 4.3.0 local error", "deferred provider"),
        ("451 later", "deferred message"),
        ("450 4.7.1 greylisted", "deferred domain throttled"),
        ("550 5.1.1 no such user", "rejected address"),
        ("554 5.7.1 spam", "rejected message"),
        ("552 5.3.4 too big", "rejected message"),
        ("421 4.3.2 closing", "deferred provider throttled"),
        ("drop", "unknown lost"),
        ("rst", "unknown lost"),
        ("hang", "unknown timeout"),
        ("drip 250 slow", "unknown timeout"),
        ("drip 2", "unknown timeout"),
        ("late 250 2.0.0 Ok", "accepted"),
        ("250-first\r\n250-second\r\n250 2.0.0 Ok", "accepted"),
        (("250 2.0.0 Ok", "rst"), "accepted"),
        (("250 2.0.0 Ok", "drop"), "accepted"),
    ],
    ids=str,
)
async def test_after_the_final_dot_only_a_whole_reply_decides(pipelining: bool, answer: Answer, wanted: str) -> None:
    """F7, F8, F9, F13: the doubtful message is named, the connection is not used again, the neighbours go on."""
    async with Peer(pipelining=pipelining, by_recipient={"m2": {"dot": answer}}) as peer:
        line, outcomes = await carried(peer)
    assert outcomes == ["accepted", wanted, "accepted"]
    if isinstance(outcome := line.outcomes["m2"], Unknown):
        assert outcome.detail is not None
        assert f"127.0.0.1:{peer.port} connection 1" in outcome.detail
        assert peer.connections == 2


@pytest.mark.promise("F10")
@both
@pytest.mark.parametrize("answer", ["garbage", "raw 250", "354 more", "999 what", "250_ok", "\r\n"], ids=repr)
async def test_an_unreadable_answer_to_the_dot_is_a_doubt_and_quarantines_the_relay(pipelining: bool, answer: str) -> None:
    """F10: each further message over such a relay could be one more doubt."""
    hung = answer == "raw 250"
    async with Peer(pipelining=pipelining, by_recipient={"m2": {"dot": (answer, "hang")}}) as peer:
        line, outcomes = await carried(peer)
    if hung:  # half a reply: a timeout as any other
        assert outcomes == ["accepted", "unknown timeout", "accepted"]
        return
    assert outcomes[0] == "accepted"
    assert outcomes[1].startswith("unknown")
    assert outcomes[2] == "deferred provider"
    refused = line.outcomes["m3"]
    assert isinstance(refused, Deferred)
    assert refused.code == "quarantined"
    assert isinstance(refused.after, float)
    assert 890 < refused.after <= 900


async def test_a_reply_too_many_ends_the_connection_and_no_message() -> None:
    """A double 250 to the dot would be taken for the next MAIL's, and so on down the line."""
    async with Peer(by_recipient={"m2": {"dot": ("250 2.0.0 Ok", "250 2.0.0 Ok")}}) as peer:
        _, outcomes = await carried(peer, 4)
    assert outcomes[0] == outcomes[1] == outcomes[3] == "accepted"
    assert outcomes[2] in ("accepted", "deferred provider")
    assert peer.connections == 2


@both
@pytest.mark.parametrize("phase", ["rcpt", "data"])
async def test_a_reply_too_many_before_the_content_stops_it(pipelining: bool, phase: str) -> None:
    """The stray reply is seen before the content is written: no content, no doubt."""
    positive = "354 go" if phase == "data" else "250 2.1.5 Ok"
    async with Peer(pipelining=pipelining, by_recipient={"m2": {phase: f"{positive}\r\n{positive}"}}) as peer:
        _, outcomes = await carried(peer)
    assert outcomes[0] == outcomes[2] == "accepted"
    assert outcomes[1].startswith("deferred")
    assert [mail.id for mail in peer.complete] == ["m1", "m3"]


def big(count: int = 1, megabytes: int = 9) -> list[Message]:
    """Mails of 9 MB: more than the kernel holds for a narrow peer."""
    return [message(f"m{number}", text_pieces=(("x" * 74 + "\n") * (13_000 * megabytes),)) for number in range(1, count + 1)]


@pytest.mark.promise("F11")
async def test_a_relay_that_answers_in_the_middle_of_the_content_gets_no_dot() -> None:
    """An early 552, seen while a large mail is on its way: it is given back, not in doubt."""
    async with Peer(narrow=True, by_recipient={"m1": {"content": ("552 5.3.4 too big", "hang")}}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, **SHORT) as sender:
            await sender.send(big(), line)
    judge(line, peer)
    assert not peer.complete
    assert brief(line.outcomes["m1"]) == "deferred provider nothing_sent"
    assert "552 5.3.4 too big" in str(line.outcomes["m1"])


@pytest.mark.promise("F6")
async def test_a_connection_lost_before_the_dot_is_no_doubt() -> None:
    """F6: a large mail's dot is written only when the kernel has the rest."""
    async with Peer(narrow=True, by_recipient={"m1": {"content": "rst"}}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, **SHORT) as sender:
            await sender.send([*big(), *batch(2)[1:]], line)
    judge(line, peer)
    assert brief(line.outcomes["m1"]) == "deferred provider nothing_sent"
    assert brief(line.outcomes["m2"]) == "accepted"


async def test_a_relay_that_reads_nothing_stalls_and_gets_no_dot() -> None:
    """Zero window: after block_seconds the connection is closed and the grant given back."""
    async with Peer(narrow=True, by_recipient={"m1": {"content": "hang"}}) as peer:
        line = Line(peer.events)
        async with channel(port=peer.port, **SHORT) as sender:
            await sender.send(big(), line)
    judge(line, peer)
    outcome = line.outcomes["m1"]
    assert isinstance(outcome, Deferred)
    assert (outcome.nothing_sent, outcome.code) == (True, "stalled")


@both
async def test_354_after_a_refused_recipient_is_closed_with_a_lone_dot(pipelining: bool) -> None:
    """RFC 2920 §3.1; the outcome stays that of RCPT, the connection stays in use."""
    script = {"m2": {"rcpt": "550 5.1.1 no such user", "data": "354 go ahead"}}
    async with Peer(pipelining=pipelining, script={"data": "354 go ahead"}, by_recipient=script) as peer:
        _, outcomes = await carried(peer)
    assert outcomes == ["accepted", "rejected address", "accepted"]
    assert peer.connections == 1


async def test_354_after_a_refused_sender_is_never_answered_with_a_dot() -> None:
    """With a recipient taken, a lone dot would send an empty mail."""
    script = {"mail": ["250 2.1.0 Ok", "550 5.7.1 sender refused"]}
    async with Peer(script=script, lax=True) as peer:
        _, outcomes = await carried(peer)
    assert outcomes == ["accepted", "deferred operator", "accepted"]
    assert len(peer.complete) == 2
    assert peer.connections == 2


@both
async def test_a_refused_envelope_is_reset_before_the_next(pipelining: bool) -> None:
    """Else the next MAIL is `503 nested MAIL`."""
    async with Peer(pipelining=pipelining, by_recipient={"m1": {"rcpt": "550 5.1.1 no"}, "m3": {"rcpt": "451 4.2.0 later"}}) as peer:
        _, outcomes = await carried(peer, 4)
    assert outcomes == ["rejected address", "accepted", "deferred message", "accepted"]
    assert peer.connections == 1
    assert peer.commands.count("RSET") == 2


@both
@pytest.mark.parametrize("answer", ["drop", "hang", "451 4.3.0 no", "garbage"])
async def test_a_failed_reset_costs_the_connection_only(pipelining: bool, answer: str) -> None:
    """The next message has not been spoken of yet: it goes over a new connection."""
    async with Peer(pipelining=pipelining, script={"rset": [answer]}, by_recipient={"m1": {"rcpt": "550 5.1.1 no"}}) as peer:
        _, outcomes = await carried(peer)
    assert outcomes[0] == "rejected address"
    assert outcomes[1] in ("accepted", "deferred provider")
    assert outcomes[2] == "accepted"


@pytest.mark.promise("F7")
async def test_a_connection_lost_after_the_dot_leaves_the_next_envelope_out_of_doubt() -> None:
    """Pipelined behind the dot, never answered: it is tried once more over a new connection."""
    async with Peer(by_recipient={"m2": {"dot": "drop"}}) as peer:
        line, outcomes = await carried(peer, 4)
    assert outcomes == ["accepted", "unknown lost", "accepted", "accepted"]
    assert sorted(line.granted) == ["m1", "m2", "m3", "m4"]


async def test_an_envelope_that_vanishes_twice_is_deferred() -> None:
    """Once more at once, and then it is the daemon's turn to wait."""
    async with Peer(script={"mail": ["250 2.1.0 Ok", "drop", "drop"]}) as peer:
        _, outcomes = await carried(peer)
    assert outcomes == ["accepted", "deferred provider", "accepted"]
    assert peer.connections == 3
