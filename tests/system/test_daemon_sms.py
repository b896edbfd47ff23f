"""SMS through a running daemon and the local Twilio: sent, called back, refused, in doubt and settled, stopped and started again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.sandbox.twilio import ACCOUNT, TOKEN, TwilioServer
from daemon.sandbox.twilio_log import SmsLog, read_log
from tests.system.conftest import Build
from tests.system.daemon_world import House, wait_for

pytestmark = pytest.mark.slow

FROM = "+628115550000"
PROVIDER = """
[consent]
sms = "implied"
[providers.sms]
plugin = "sms_twilio"
base_url = "{base_url}"
account_sid = "{account}"
auth_token = {{ file = "{token}" }}
from = "{sender}"
[queues.sms]
campaign = "texts"
"""
MESSAGE = {"channel": "sms", "purpose": "marketing", "text": "Halo lagi."}


class Shop:
    """A daemon with one SMS provider, and what stands at its other end."""

    def __init__(self, house: House, twilio: TwilioServer, folder: Path) -> None:
        self.house, self.twilio, self.folder = house, twilio, folder

    async def send(self, job: str, numbers: list[str]) -> dict[str, Any]:
        """A job to these numbers, once nothing of it is on its way; the campaign's, or (but for the first) a message of its own."""
        people = [{"id": f"p{number}", "phone": number, "zone": "Asia/Jakarta", "locale": "id"} for number in numbers]
        what: dict[str, Any] = {"campaign": "texts"} if job == "first" else {"message": MESSAGE}
        text = json.dumps({"id": job, "queue": "sms", "expected_count": len(people), "recipients": people, **what})
        await asyncio.to_thread(self.house.give, text)
        return await asyncio.to_thread(self.house.settled, job)

    async def until(self, query: str, expected: object) -> None:
        """Wait until the store answers so."""
        await asyncio.to_thread(wait_for, lambda: self.house.ask(query) == expected, f"{query} is {expected}")

    def states(self) -> dict[str, tuple[str, str | None]]:
        """The last two digits of a number -> state and reason of its newest delivery."""
        query = "SELECT r.phone, d.state, d.reason FROM delivery d JOIN recipient r ON r.id = d.person ORDER BY d.id"
        return {str(phone)[-5:]: (str(state), None if reason is None else str(reason)) for phone, state, reason in self.house.ask(query)}


@pytest.fixture
async def shop(build: Build, tmp_path: Path) -> AsyncIterator[Shop]:
    house: House = build(relay=False)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    clock = SystemClock()
    log = SmsLog(tmp_path / "sms", clock)
    twilio = TwilioServer(log, clock, step_seconds=0.05)
    await twilio.start()
    like = (house.folder / "campaigns" / "winback" / "campaign.toml").read_text()
    texts = house.folder / "campaigns" / "texts"
    texts.mkdir()
    (texts / "campaign.toml").write_text(like.replace('["email"]', '["sms"]'))
    (texts / "reminder.sms.liquid").write_text("Halo {{ recipient.id }}, 15% untuk Anda.\n")
    config = house.config.read_text().replace("[http]", f'[http]\npublic_url = "http://127.0.0.1:{house.public}"')
    given = {"base_url": twilio.base_url, "account": ACCOUNT, "token": tmp_path / "token", "sender": FROM}
    house.config.write_text(config + PROVIDER.format(**given))
    await asyncio.to_thread(house.start)
    yield Shop(house, twilio, tmp_path / "sms")
    await twilio.settled()
    await twilio.stop()
    log.close()
    assert twilio.problems == []


@pytest.mark.promise("P2", "P3", "F17")
async def test_messages_go_out_once_and_what_twilio_tells_is_believed(shop: Shop) -> None:
    """Delivered, undelivered later, refused, in doubt and settled by its callback: each once in Twilio's log, each as it should be."""
    numbers = [f"+62811{ending:07d}" for ending in (1, 2, 3)] + ["+62811180005", "+62811191610", "+62811170500", "+62811191614"]
    await shop.send("first", numbers)
    await shop.until("SELECT count(*) FROM feedback WHERE kind = 'delivered'", [(4,)])
    await shop.until("SELECT count(*) FROM feedback WHERE kind = 'bounced'", [(1,)])
    states = shop.states()
    assert [states[f"{n:05d}"] for n in (1, 2, 3)] == [("accepted", None)] * 3
    assert states["91610"][0] == states["91614"][0] == "rejected"
    assert states["70500"] == ("accepted", None)
    sent = read_log(shop.folder)
    assert sorted(entry.to for entry in sent) == sorted([*numbers[:3], "+62811180005", "+62811170500"])
    assert sent[0].body.endswith("\nBalas STOP untuk berhenti.")
    assert len({entry.delivery for entry in sent}) == 5
    closed = shop.house.ask("SELECT reason, scope, source FROM suppression ORDER BY reason, source")
    assert closed == [("bounced", "all", "feedback:sms"), ("bounced", "all", "provider:sms"), ("suppressed", "marketing", "stop:sms")]


@pytest.mark.promise("P6", "B51", "B53")
async def test_a_reply_closes_and_opens_the_channel(shop: Shop) -> None:
    """STOP: no later message; a forged START changes nothing; START: the next one goes."""
    number, hook = "+628111234567", f"http://127.0.0.1:{shop.house.public}/hooks/sms"
    await shop.send("one", [number])
    assert await shop.twilio.reply(number, "Stop pls", hook, sender=FROM) == 204
    done = await shop.send("two", [number])
    assert done["deliveries"].get("dropped") == 1
    token, shop.twilio._token = shop.twilio._token, "another"
    assert await shop.twilio.reply(number, "START", hook, sender=FROM) == 403
    shop.twilio._token = token
    assert await shop.twilio.reply(number, "START", hook, sender=FROM) == 204
    done = await shop.send("three", [number])
    assert done["deliveries"].get("accepted") == 1
    assert [entry.to for entry in read_log(shop.folder)] == [number, number]


@pytest.mark.promise("P1", "P2", "P3")
async def test_kill_9_while_sending_loses_and_doubles_nothing(shop: Shop) -> None:
    """Three times in the middle of a job: every message at Twilio once, what is not there is in doubt and not more than were under way."""
    numbers = [f"+62813{ending:07d}" for ending in range(1, 601)]
    people = [{"id": f"p{number}", "phone": number, "zone": "Asia/Jakarta"} for number in numbers]
    job = json.dumps({"id": "killed", "queue": "sms", "expected_count": len(people), "recipients": people, "message": MESSAGE})
    await asyncio.to_thread(shop.house.give, job)
    for taken in (60, 200, 350):
        while len(shop.twilio.messages) < taken:
            await asyncio.sleep(0.002)
        await asyncio.to_thread(shop.house.kill)
        assert len(shop.twilio.messages) < len(numbers)
        await asyncio.to_thread(shop.house.start)
    await asyncio.to_thread(shop.house.settled, "killed")
    await shop.twilio.settled()
    sent = [entry.to for entry in read_log(shop.folder)]
    assert len(sent) == len(set(sent))
    states = dict(shop.house.ask("SELECT r.phone, d.state FROM delivery d JOIN recipient r ON r.id = d.person"))
    assert states.keys() == set(numbers)
    assert {state for number, state in states.items() if number in set(sent)} <= {"accepted", "in_doubt"}
    unsent = [states[number] for number in numbers if number not in set(sent)]
    assert set(unsent) <= {"in_doubt"}
    assert len(unsent) <= 3 * 20
