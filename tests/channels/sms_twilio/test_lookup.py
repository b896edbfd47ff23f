"""Doubts before Twilio's list: one match settles, everything else leaves them as they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plugins import Accepted, Doubt, Message, Rejected, Unknown
from tests.channels.sms_twilio.stage import Stage, staged

NUMBER = "+62811170500"
"""Takes the message and answers 500."""


async def doubt(stage: Stage, number: int = 1, **changes: object) -> Doubt:
    """A message that Twilio took and did not confirm."""
    message = stage.message(number, to=NUMBER)
    handed_over_at = stage.clock.now()
    assert isinstance((await stage.send(message))[message.id], Unknown)
    return replace(Doubt(id=message.id, address=NUMBER, handed_over_at=handed_over_at, message=message), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.promise("F17")
async def test_a_message_that_twilio_has_is_accepted(tmp_path: Path, sent: bool) -> None:
    """By number, words and time; also one that still waits in Twilio's queue and has no date of sending."""
    async with staged(tmp_path) as stage:
        open = await doubt(stage)
        (sms,) = stage.peer.messages
        if sent:
            sms.move("delivered", stage.clock.now())
        found = await stage.channel.reconcile([open])
        asked = [dict(fields) for method, fields in stage.peer.requests if method == "GET"]
    status = "delivered" if sent else "queued"
    assert found == {open.id: Accepted(provider_id=sms.entry.sid, detail=f"found in Twilio's list: {status}")}
    assert asked[0]["To"] == NUMBER
    assert "DateSent>" in asked[0]
    assert len(asked) == (1 if sent else 2)


@pytest.mark.parametrize(("error", "scope"), [(30005, "address"), (30003, "message"), (None, "message")])
async def test_one_that_failed_is_rejected(tmp_path: Path, error: int | None, scope: str) -> None:
    """With the scope of its error code."""
    async with staged(tmp_path) as stage:
        open = await doubt(stage)
        (sms,) = stage.peer.messages
        sms.move("undelivered", stage.clock.now(), error)
        found = await stage.channel.reconcile([open])
    assert found == {open.id: Rejected(scope=scope, code=str(error) if error else None, detail=sms.entry.sid)}  # type: ignore[arg-type]


async def test_a_round_that_takes_too_long_settles_what_it_has_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio answers once and then hangs: the daemon would give up on the whole round, so it ends by itself before."""
    monkeypatch.setattr("channels.sms_twilio.lookup.ROUND_SECONDS", 0.3)
    async with staged(tmp_path) as stage:
        first = await doubt(stage)
        second = replace(first, id="another", address="+62811170501")
        asking, hang = stage.channel._messages, asyncio.Event()
        assert asking is not None
        answer = asking.sent_to

        async def sent_to(number: str, since: datetime | None, limit: int) -> list[Any]:
            if number != NUMBER:
                await hang.wait()
            return await answer(number, since, limit)

        monkeypatch.setattr(asking, "sent_to", sent_to)
        async with asyncio.timeout(5):
            assert (await stage.channel.reconcile([first, second])).keys() == {first.id}
            twin = replace(first, id="twin")
            assert await stage.channel.reconcile([first, second, twin]) == {}  # it was not looked at, and may be the same message


async def test_two_that_look_alike_settle_nothing(tmp_path: Path) -> None:
    """The same words twice to one number within minutes: which is which?"""
    async with staged(tmp_path) as stage:
        first, second = await doubt(stage), await doubt(stage, 2)
        assert await stage.channel.reconcile([first]) == {}
        assert await stage.channel.reconcile([first, second]) == {}


async def test_one_message_settles_no_two_doubts(tmp_path: Path) -> None:
    """Of two doubts with the same words Twilio has one: nobody can say whose it is."""
    async with staged(tmp_path) as stage:
        first = await doubt(stage)
        twin = replace(first, id="another")
        assert await stage.channel.reconcile([first, twin]) == {}


@pytest.mark.parametrize("minutes", [-16, 1])
async def test_a_message_of_another_time_is_not_it(tmp_path: Path, minutes: int) -> None:
    """5 seconds before to 15 minutes after the handover."""
    async with staged(tmp_path) as stage:
        open = await doubt(stage)
        late = replace(open, handed_over_at=open.handed_over_at + timedelta(minutes=minutes))
        assert await stage.channel.reconcile([late]) == {}
        assert (await stage.channel.reconcile([open])).keys() == {open.id}


async def test_other_words_and_no_words_are_not_it(tmp_path: Path) -> None:
    """A doubt whose message cannot be made any more is not looked up at all."""
    async with staged(tmp_path) as stage:
        open = await doubt(stage)
        assert isinstance(open.message, Message)
        other = replace(open, message=replace(open.message, text_pieces=("Something else.",)))
        assert await stage.channel.reconcile([other]) == {}
        before = len(stage.peer.requests)
        assert await stage.channel.reconcile([replace(open, message=None)]) == {}
        assert len(stage.peer.requests) == before


async def test_what_was_never_taken_stays_in_doubt(tmp_path: Path) -> None:
    """The lack of a message is no proof: it may be listed late."""
    async with staged(tmp_path) as stage:
        message = stage.message(to="+628111111111")
        open = Doubt(id=message.id, address=message.address, handed_over_at=stage.clock.now(), message=message)
        assert await stage.channel.reconcile([open]) == {}


async def test_a_round_that_twilio_refuses_keeps_what_it_has(tmp_path: Path) -> None:
    """Logged without number or words; asked again later."""
    async with staged(tmp_path) as stage:
        open = await doubt(stage)
        stage.peer._token = "changed"
        assert await stage.channel.reconcile([open]) == {}
        assert [event for _, event, _ in stage.log.events] == ["twilio_lookup_failed"]
    assert await stage.channel.reconcile([open]) == {}, "after stop"
