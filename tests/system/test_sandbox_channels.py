"""The sandbox beyond mail: what arrived over SMS, push and audiences is shown escaped, and its own config leads the real channels there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from daemon.app.setup import read_setup
from daemon.clock import SystemClock
from daemon.sandbox.ads_set import Row
from daemon.sandbox.house import Ports, Sandbox
from daemon.sandbox.push import Push
from tests.system.test_cli_sandbox import EVIL

HOLDER = '[homing]\nstate_dir = "var"\ndefault_zone = "Asia/Jakarta"\n[shop]\ncurrency = "USD"\n'


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(tmp_path / "sandbox", SystemClock())
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def page(house: Sandbox, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{house.inbox.url}{path}") as reply:
        assert reply.status == 200
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
        return await reply.text()


def pushed(payload: object) -> Push:
    return Push(n=1, browser=1, payload=payload, ttl=60, urgency="normal", topic=None, octets=300, status=201, at="2026-11-24T03:00:00Z")


async def test_each_tab_shows_what_came_and_runs_none_of_it(house: Sandbox) -> None:
    """Words of messages are somebody else's; segments and hashes are shown."""
    form = {"To": "+628111000001", "From": "+15005550006", "Body": f"{EVIL} سلام"}
    house.sms_log.take(form, account="AC1", delivery="01JD", reply=201)
    house.push.pushes += [pushed({"title": EVIL, "body": "b", "url": "/x", "actions": [{"title": EVIL}, "odd"]}), pushed([EVIL])]
    house.push.refused.append((410, EVIL))
    ledger = house.ads.meta.ledger
    made = ledger.make(f"late {EVIL}")
    rows: list[Row] = [("a" * 64, ""), ("b" * 64, "c" * 64)]
    ledger.change(made, rows, add=True)
    ledger.note("add", audience=made.id, rows=2)
    ledger.note("token")
    texts = [await page(house, path) for path in ("", "sms", "sms?q=nothing", "push", "audiences", f"audiences/meta/{made.name.replace('/', '%2F')}")]
    assert not any(EVIL in text for text in texts)
    mail, sms, none, push, audiences, members = texts
    assert "SMS <small>1</small>" in mail
    assert "1 (UCS-2)" in sms and "+628111000001" in sms
    assert "Nothing matches" in none
    assert "410: &lt;script" in push
    assert ">2</td>" in audiences
    assert "a" * 64 in members and "c" * 64 in members


async def test_a_browser_is_made_only_from_the_page_itself(house: Sandbox) -> None:
    """Another site's page gets 403."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{house.inbox.url}push", headers={"Origin": "https://evil.example"}) as reply:
            assert reply.status == 403
        async with session.post(f"{house.inbox.url}push", headers={"Origin": house.inbox.url.rstrip("/")}) as reply:
            assert f"{house.push.origin}/push/b1" in (await reply.text()).replace("&#34;", '"')


async def test_an_unknown_audience_is_not_found(house: Sandbox) -> None:
    """Nor an unknown network."""
    async with aiohttp.ClientSession() as session:
        for path in ("meta/nobody", "myspace/late"):
            async with session.get(f"{house.inbox.url}audiences/{path}") as reply:
                assert reply.status == 404


async def test_the_written_config_leads_every_provider_here(house: Sandbox, tmp_path: Path) -> None:
    """It loads without a problem; its secrets are files for the owner only."""
    tables = house.write_providers(["ID", "MY"])
    (tmp_path / "campaigns").mkdir()
    config = tmp_path / "config.toml"
    config.write_text(HOLDER + tables.read_text(encoding="utf-8"), encoding="utf-8")
    setup = read_setup(config, {})
    assert setup.loading.problems == ()
    assert {loaded.channel for loaded in setup.loading.channels} == {"email", "sms", "push", "audience"}
    secrets = [*(tables.parent / "secrets").iterdir()]
    assert len(secrets) == 5
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


async def test_a_taken_port_leaves_nothing_open(tmp_path: Path) -> None:
    """The one that can be had is given back."""
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    sandbox = Sandbox(tmp_path, SystemClock(), Ports(ads=port))
    with pytest.raises(OSError, match="in use"):
        await sandbox.start()
    again = await asyncio.start_server(lambda *_: None, "127.0.0.1", sandbox.smtp.port)
    for server in (taken, again):
        server.close()
        await server.wait_closed()
