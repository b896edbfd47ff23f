"""Random misbehaviour at random messages: whatever the relay does, nothing is sent twice, unasked or forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plugins import Unknown
from tests.channels.smtp.line import Clock, Line, batch, channel
from tests.channels.smtp.servers import Answer, Peer
from tests.channels.smtp.test_phases import SHORT, judge

REFUSALS = [
    "451 4.3.0 no",
    "450 4.7.1 slow",
    "550 5.1.1 no such user",
    "554 5.7.1 no",
    "421 4.3.2 bye",
    "503 5.5.1 what",
    "drop",
    "rst",
    "what?",
]
ODD = ["250 2.0.0 Ok\r\n250 2.0.0 Ok", "354 go\r\n354 go", "250-more\r\n250 2.0.0 Ok", "354 go", "250 2.0.0 Ok", "raw 2"]

answers: st.SearchStrategy[Answer] = st.sampled_from(
    [*REFUSALS, *ODD, ("250 2.0.0 Ok", "rst"), ("250 2.0.0 Ok", "drop"), ("raw 25", "drop")]
)
scripts = st.dictionaries(st.sampled_from(["rcpt", "data", "dot"]), answers, min_size=1, max_size=2)


async def play(
    misbehaviour: dict[str, dict[str, Answer]], refuse: list[str], pipelining: bool, lax: bool, limit: int, sizes: list[int], drain: str
) -> None:
    async with Peer(by_recipient=misbehaviour, pipelining=pipelining, lax=lax) as peer:
        line = Line(peer.events, refuse=refuse)

        async def asked(id: str) -> None:
            await asyncio.sleep(0)
            line.closing = line.closing or id == drain

        line.asked = asked
        clock = Clock()
        async with channel(clock, port=peer.port, messages_per_connection=limit, **SHORT) as sender:
            messages = batch(sum(sizes))
            for size in sizes:
                await sender.send(messages[:size], line)
                del messages[:size]
                clock.pushed += 1000.0  # whatever rested, or was quarantined, is well again
    judge(line, peer)
    assert all(id in line.outcomes for id in line.granted), "granted and without an outcome"
    if not drain:
        everybody = {message.id for message in batch(sum(sizes))}
        assert set(line.outcomes) == everybody - (set(refuse) - set(line.outcomes)), "neither reported nor refused"
    broken = [id for id, outcome in line.outcomes.items() if isinstance(outcome, Unknown)]
    assert all("dot" in misbehaviour.get(id, {}) or "data" in misbehaviour.get(id, {}) for id in broken), "a doubt that nobody made"


@pytest.mark.promise("P2", "P3")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    misbehaviour=st.dictionaries(st.sampled_from([f"m{n}" for n in range(1, 11)]), scripts, max_size=5),
    refuse=st.lists(st.sampled_from([f"m{n}" for n in range(1, 11)]), max_size=2, unique=True),
    pipelining=st.booleans(),
    lax=st.booleans(),
    limit=st.sampled_from([0, 1, 3]),
    sizes=st.lists(st.integers(min_value=0, max_value=5), min_size=1, max_size=4),
    drain=st.sampled_from(["", "", "", "m2", "m5"]),
)
@example(misbehaviour={"m2": {"dot": "raw 2"}}, refuse=[], pipelining=True, lax=False, limit=0, sizes=[4], drain="")
def test_whatever_the_relay_does_nothing_is_sent_twice_unasked_or_forgotten(**case: Any) -> None:
    """P2 and P3 at the channel: the peer's log is the judge."""
    asyncio.run(play(**case))
