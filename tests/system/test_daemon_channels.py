"""A daemon with two channels: the message goes over the first that reaches its recipient, and a warm-up's ceiling is kept."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.system.conftest import Build
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow

STEP = 'channels = ["sms", "email"]\n'
DEAD = "+628110000009"


class Phones(ThreadingHTTPServer):
    """What a gateway would be given: one POST a message; a dead number is gone."""

    taken: Counter[str]


@contextmanager
def phones() -> Iterator[Phones]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            to = body["data"]["address"]
            assert isinstance(self.server, Phones)
            self.server.taken[to] += 1
            self.send_response(410 if to == DEAD else 202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = Phones(("127.0.0.1", 0), Handler)
    server.taken = Counter()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.promise("P2")
def test_each_recipient_gets_the_message_once_over_the_first_channel_that_reaches(build: Build) -> None:
    """A telephone that works; one that is gone, whose owner gets the mail; nobody's telephone, and mail. A kill changes nothing."""
    house = build()
    with phones() as gateway:
        campaign = house.folder / "campaigns" / "winback"
        text = (campaign / "campaign.toml").read_text().replace('channels = ["email"]\n', STEP)
        (campaign / "campaign.toml").write_text(text)
        (campaign / "reminder.sms.liquid").write_text("Hello {{ recipient.id }}")
        url = f"http://127.0.0.1:{gateway.server_port}/"
        (house.folder / "secret").write_text("0123456789abcdef")
        (house.folder / "secret").chmod(0o600)
        with house.config.open("a") as config:
            config.write(f'[providers.phones]\nplugin = "webhook"\nchannel = "sms"\nurl = "{url}"\nsecret = {{ file = "secret" }}\n')
            config.write('[consent]\nsms = "implied"\n')
        house.start()
        rows = [person("a", phone="+628110000001"), person("b", phone=DEAD), person("c")]
        house.give(document("mixed", rows))
        job = house.settled("mixed")
        assert gateway.taken == {"+628110000001": 1, DEAD: 1}
        assert house.relay.counts() == {"b@example.com": 1, "c@example.com": 1}
        assert (job["accepted"], job["deliveries"]) == (3, {"accepted": 3, "rejected": 1})
        shown = house.api("GET", "/v1/recipients/b/explain")[1]["enrolments"][0]["deliveries"]
        assert [(each["channel"], each["state"]) for each in shown] == [("email", "accepted"), ("sms", "rejected")]
        assert "email takes its place" in shown[1]["text"]
        found = house("campaigns", "show", "winback", "--json").json
        assert found["steps"][0] == {"step": "reminder", "channels": ["sms", "email"], "valid_seconds": 259200, "mode": "first"}
        house.kill()
        house.start()
        house.give(document("again", rows))
        assert house.settled("again")["duplicate"] == 3
        assert sum(gateway.taken.values()) == 2
        assert sum(house.relay.counts().values()) == 2
        assert house.stop() == 0


def test_a_warm_up_keeps_its_ceiling_over_a_restart(build: Build) -> None:
    """Two messages on this day, however many are due; the others wait for tomorrow, and explain says for what."""
    house = build()
    today = datetime.now(UTC) + timedelta(hours=7)
    warm_up = f'warm_up = {{ start = "{today:%Y-%m-%d}", first_day = 2, growth = 2, until = 1000 }}\n'
    house.config.write_text(house.config.read_text().replace("pool = 10\n", "pool = 10\n" + warm_up))
    house.start()
    house.give(document("first", [person(f"w-{i}") for i in range(5)]))
    wait_for(lambda: house.job("first")["deliveries"].get("accepted") == 2, "two are sent")
    wait_for(lambda: house.job("first")["deliveries"] == {"accepted": 2, "due": 3}, "the others wait")
    assert house.stop() == 0
    house.start()
    house.give(document("second", [person(f"x-{i}") for i in range(3)]))
    wait_for(lambda: house.job("second").get("reasons") is not None and house.job("second")["deliveries"] == {"due": 3}, "all wait")
    waiting = wait_for(
        lambda: next((d for w in house.api("GET", "/v1/recipients/x-0/explain")[1]["enrolments"] for d in w["deliveries"] if d["reason"]), None),
        "it was claimed once",
    )
    assert (waiting["decision"], waiting["reason"], waiting["rule"]["name"]) == ("defer", "rate_limited", "warm_up.relay")
    assert (waiting["facts"]["ceiling"], waiting["facts"]["sent"], waiting["facts"]["day"]) == (2, 2, 1)
    assert waiting["text"].startswith("Waits: the 2 messages of day 1 of the warm-up are used; it can go on ")
    assert sum(house.relay.counts().values()) == 2
    assert house.stop() == 0
