"""A provider that tells, through a whole running daemon: by its hook, before and after a kill; and what its messages cost."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest

from tests.system.conftest import Build
from tests.system.daemon_world import House, fetch, wait_for

pytestmark = pytest.mark.slow

TELLER = '''
"""Carries messages, at ten cents each; says what became of them by its hook."""
import asyncio
import hmac
import json
from dataclasses import dataclass

from plugins import Accepted, BadSignature, Capabilities, Feedback, Price, SimpleChannel, Unknown, hookimpl


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    file: str
    daily_spend: float | None = None


class Teller(SimpleChannel):
    name, channel, address, settings_type = "teller", "carrier", "email", Settings

    async def open(self):
        self.capabilities = Capabilities(concurrency=2, batch=1, daily_spend=self.settings.daily_spend)

    async def send_one(self, message):
        with open(self.settings.file, "a") as log:
            print(message.recipient, f"{self.context.hook_url}?t={self.context.sign(message.id)}", file=log)
        if message.recipient.startswith("lost"):
            return Unknown(code="timeout")
        if message.recipient.startswith("hangs"):
            await asyncio.get_running_loop().create_future()
        return Accepted(provider_id=f"T-{message.recipient}")

    def parse_feedback(self, request):
        wanted = hmac.digest(b"secret", request.url.encode() + request.body, "sha256").hex()
        if not hmac.compare_digest(request.headers.get("x-signature", ""), wanted):
            raise BadSignature
        return [Feedback(**{"delivery": request.delivery, **each}) for each in json.loads(request.body)]

    def price(self, message):
        return Price(amount=0.1, currency="EUR")


@hookimpl
def register_channels():
    return [Teller]
'''


@pytest.fixture
def house(build: Build) -> House:
    house = build()
    (house.folder / "plugins.d").mkdir()
    (house.folder / "plugins.d" / "teller.py").write_text(TELLER)
    text = house.config.read_text().replace("[homing]\n", '[homing]\nplugin_dirs = ["plugins.d"]\n')
    text = text.replace("[http]\n", f'[http]\npublic_url = "http://127.0.0.1:{house.public}"\n')
    house.config.write_text(f'{text}[providers.teller]\nplugin = "teller"\nfile = "{house.folder}/teller.log"\ndaily_spend = 0.45\n')
    return house


def carry(house: House, job: str, *names: str) -> None:
    message = {"channel": "carrier", "purpose": "transactional", "text": "Hello"}
    rows = [{"id": name, "email": f"{name}@{name}.example.com", "zone": "Asia/Jakarta"} for name in names]
    house.give(json.dumps({"id": job, "queue": "lapsed", "message": message, "expected_count": len(rows), "recipients": rows}))


def hooks(house: House) -> dict[str, str]:
    """Recipient -> the address that the plugin gave its provider."""
    log: Path = house.folder / "teller.log"
    return dict(line.split() for line in log.read_text().splitlines()) if log.exists() else {}


def post(url: str, *events: dict[str, object], secret: bytes = b"secret") -> int:
    body = json.dumps(events).encode()
    return fetch(url, data=body, X_Signature=hmac.digest(secret, url.encode() + body, "sha256").hex())[0]


def state(house: House, name: str) -> str:
    return house.state_of(f"{name}@{name}.example.com")[-1][0]


def kinds(house: House) -> list[str]:
    return sorted(str(kind) for (kind,) in house.ask("SELECT kind FROM feedback"))


@pytest.mark.promise("P2", "P3", "F20", "F21")
def test_what_the_provider_tells_settles_a_doubt_and_is_kept_over_a_kill(house: House) -> None:
    """Signed and answered with 204: it is there after a kill -9 too. Forged: nothing. By the provider's own id: found."""
    house.start()
    carry(house, "one", "lost-1", "good-1")
    house.settled("one")
    assert (state(house, "lost-1"), state(house, "good-1")) == ("in_doubt", "accepted")
    told = hooks(house)
    assert post(told["lost-1"], {"kind": "delivered"}, secret=b"guess") == 403
    assert state(house, "lost-1") == "in_doubt"
    assert post(told["lost-1"], {"kind": "delivered", "id": "e1"}) == 204
    assert post(told["lost-1"].partition("?")[0], {"kind": "delivered", "provider_id": "T-good-1", "id": "e2"}) == 204
    house.kill()
    house.start()
    assert (state(house, "lost-1"), state(house, "good-1")) == ("accepted", "accepted")
    assert post(told["lost-1"], {"kind": "delivered", "id": "e1"}) == 204
    assert kinds(house) == ["delivered", "delivered"]
    answer = house("explain", "lost-1", "--json").json
    [delivery] = answer["enrolments"][0]["deliveries"]
    assert delivery["facts"]["outcome"] == "feedback_accepted"
    assert [item["reason"] for item in delivery["history"]] == ["delivered"]


def test_what_comes_before_the_outcome_is_joined_after_the_crash(house: House) -> None:
    """The provider tells while its channel still hangs; the daemon is killed; the doubt of the next start is settled by itself."""
    house.start()
    carry(house, "one", "hangs-1")
    wait_for(lambda: "hangs-1" in hooks(house), "it is handed over")
    assert post(hooks(house)["hangs-1"], {"kind": "delivered"}) == 204
    house.kill()
    house.start()
    wait_for(lambda: state(house, "hangs-1") == "accepted", "the doubt is settled")


def test_a_days_spend_outlives_a_kill(house: House) -> None:
    """Four of ten cents fit into 45: those of before the kill count, also the one in mid-send."""
    house.start()
    carry(house, "one", "good-1", "hangs-1")
    wait_for(lambda: {"good-1", "hangs-1"} <= hooks(house).keys(), "both are handed over")
    house.kill()
    house.start()
    carry(house, "two", *(f"good-{n}" for n in range(2, 6)))
    wait_for(lambda: house.ask("SELECT count(*) FROM delivery WHERE reason = 'spend_limit'") == [(2,)], "two wait for tomorrow")
    [spend] = [line["spend"] for line in house.status()["providers"] if line["provider"] == "teller"]
    assert (spend["amount"], spend["limit"], spend["currency"]) == (0.4, 0.45, "EUR")
    assert len(hooks(house)) == 4
    assert "0.4 EUR spent on" in house("status").out
    assert house.ask("SELECT DISTINCT attempts FROM delivery WHERE reason = 'spend_limit'") == [(0,)]
