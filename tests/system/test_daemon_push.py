"""Web push through the real daemon: a browser registers, gets the push of a job, and is forgotten when its push service says it is gone."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from daemon.sandbox.push import PushService
from plugins.testing.push_peer import VAPID_KEY
from tests.crash.world import Installation
from tests.ports import free_port
from tests.system.daemon_world import wait_for

pytestmark = pytest.mark.slow

PROVIDER = """
[providers.browsers]
plugin = "webpush"
vapid_private_key = {{ file = "vapid.key" }}
subject = "mailto:ops@shop.example.com"
allow_hosts = ["{origin}"]
"""
TEMPLATE = """---
title: {{ recipient.id }}, we miss you
url: https://shop.example.com/cart
---
Your {{ vars.last_product }} is still here.
"""


@pytest.fixture
def push() -> Iterator[PushService]:
    """A push service of the sandbox, in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    service = PushService(SystemClock())
    asyncio.run_coroutine_threadsafe(service.start(), loop).result(10)
    yield service
    asyncio.run_coroutine_threadsafe(service.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def home(tmp_path: Path, push: PushService) -> Iterator[Installation]:
    made = Installation(tmp_path, free_port(), tmp_path / "mail.log")
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config + PROVIDER.format(origin=push.origin))
    (tmp_path / "vapid.key").touch(mode=0o600)
    (tmp_path / "vapid.key").write_text(VAPID_KEY)
    folder = tmp_path / "campaigns" / "winback"
    (folder / "campaign.toml").write_text((folder / "campaign.toml").read_text().replace('"email"', '"push"'))
    (folder / "reminder.email.liquid").unlink()
    (folder / "reminder.push.liquid").write_text(TEMPLATE)
    made.start()
    yield made
    made.end()


def ask(method: str, url: str, body: Any = None, token: str | None = None) -> Any:
    head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=head, method=method), timeout=10) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def drop(home: Installation, job: str, *people: str) -> None:
    rows = [{"id": job, "queue": "lapsed", "expected_count": len(people)}]
    rows += [{"id": each, "zone": "Asia/Jakarta", "vars": {"last_product": "shoe"}} for each in people]
    home.spool(job, "\n".join(map(json.dumps, rows)) + "\n")


def ended(home: Installation, job: str) -> dict[str, tuple[str, str | None]]:
    """Recipient -> state and reason, once the job is over."""
    wait_for(lambda: home.ask(f"SELECT 1 FROM job WHERE key = '{job}' AND state = 'finished'"), "the job is finished")
    query = "SELECT r.key, d.state, d.reason FROM delivery d JOIN recipient r ON r.id = d.person JOIN job j ON j.id = d.job WHERE j.key = "
    return {str(key): (str(state), reason) for key, state, reason in home.ask(f"{query}'{job}'")}


@pytest.mark.promise("F19", "P6")
def test_a_push_through_the_whole_daemon(home: Installation, push: PushService) -> None:
    """Registered by both doors; one delivery for two browsers; who has none is told so; a gone one is removed; a click comes back."""
    token = json.loads(home.output("token", "create", "shop", "recipients:read", "recipients:write", "--json"))["token"]
    admin, public = f"http://127.0.0.1:{home.admin}", f"http://127.0.0.1:{home.public}"
    for browser in (push.new_subscription(), push.new_subscription("410")):
        ask("PUT", f"{admin}/v1/recipients/c-1/push", {"subscription": browser}, token)
    ask("PUT", f"{admin}/v1/recipients/c-2/push", {"subscription": push.new_subscription("410")}, token)
    ask("PUT", f"{admin}/v1/recipients/c-4/push", {"subscription": push.new_subscription("500")}, token)
    ask("PUT", f"{admin}/v1/recipients/c-5/push", {"subscription": push.new_subscription()}, token)
    join = ask("GET", f"{admin}/v1/recipients/c-5/push", token=token)["token"]
    ask("POST", f"{public}/push/subscriptions", {"token": join, "subscription": push.new_subscription()})
    drop(home, "first", "c-1", "c-2", "c-3", "c-4")
    found = ended(home, "first")
    assert found["c-1"][0] == "accepted" and found["c-4"][0] == "in_doubt"
    assert found["c-2"] == ("rejected", "rejected_by_provider") and found["c-3"] == ("dropped", "no_address")
    assert home.ask("SELECT count(*) FROM touch") == [(2,)]
    assert sorted(home.ask("SELECT r.key FROM push_subscription p JOIN recipient r ON r.id = p.person")) == [("c-1",), ("c-4",), ("c-5",), ("c-5",)]
    [got] = [each for each in push.pushes if each.status == 201]
    assert got.payload["title"] == "c-1, we miss you" and got.payload["body"] == "Your shoe is still here."
    ask("POST", f"{public}/push/clicks", {"token": got.payload["token"]})
    drop(home, "second", "c-5")
    assert ended(home, "second") == {"c-5": ("accepted", None)}
    assert len([each for each in push.pushes if each.payload["title"].startswith("c-5")]) == 2
    assert home.ask("SELECT count(*) FROM touch WHERE person IN (SELECT id FROM recipient WHERE key = 'c-5')") == [(1,)]
