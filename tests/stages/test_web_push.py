"""The public door for browsers, and the shop's: who may register whose browser, from which site, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.feedback.push import Taker
from daemon.links import JOIN_PERIOD, PUSH_CLICK
from daemon.store.recipients import person_id
from plugins.testing.push_peer import PushPeer
from tests.channels.webpush.line import channel as started
from tests.stages.intake_world import job, people
from tests.stages.web_world import WebWorld

SHOP = "https://shop.example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    """One recipient, c-0.., a provider of pushes whose origins name the shop."""
    world = await WebWorld.open(tmp_path)
    await world.inner.drop(job(2, recipients=people(2)))
    await world.inner.settle()
    async with started(allow_hosts=("fcm.googleapis.com",), origins=(SHOP,)) as provider:
        world.takers.append(Taker("push", provider))
        yield world
        await world.close()


def subscription(n: int = 1, **changes: Any) -> dict[str, Any]:
    keys = json.loads(PushPeer().address_of(1))["keys"]
    return {"endpoint": f"https://fcm.googleapis.com/fcm/send/{n}", "expirationTime": None, "keys": keys, **changes}


async def recipient(web: WebWorld) -> str:
    return str((await web.inner.sql("SELECT key FROM recipient ORDER BY key"))[0][0])


async def token(web: WebWorld) -> tuple[str, str]:
    """A recipient and its join token, as the shop's backend gets it."""
    key = await recipient(web)
    session = await web.api("recipients:read")
    async with session.get(f"/v1/recipients/{key}/push") as answer:
        assert answer.status == 200
        return key, (await answer.json())["token"]


async def rows(web: WebWorld) -> list[tuple[Any, ...]]:
    return await web.inner.sql("SELECT person, address, family FROM push_subscription ORDER BY last_seen_at, address")


async def consents(web: WebWorld) -> list[tuple[Any, ...]]:
    return await web.inner.sql("SELECT person, state, source, text FROM consent WHERE channel = 'push'")


async def test_a_browser_registers_with_the_token_of_its_visitor(web: WebWorld) -> None:
    """The row is the recipient's, the consent says where and to which words; a second time changes nothing."""
    key, given = await token(web)
    session = await web.outside()
    for _ in range(2):
        body = {"token": given, "subscription": subscription(), "source": f"{SHOP}/cart", "text": "Tell me about offers"}
        async with session.post("/push/subscriptions", json=body, headers={"Origin": SHOP, "User-Agent": FIREFOX}) as answer:
            assert (answer.status, await answer.json()) == (201, {"subscriptions": 1})
            assert answer.headers["Access-Control-Allow-Origin"] == SHOP and "Origin" in answer.headers["Vary"]
    [(person, address, family)] = await rows(web)
    assert (person, family) == (person_id(key), "Firefox") and json.loads(address)["endpoint"].endswith("/1")
    assert await consents(web) == [(person, "granted", f"push:{SHOP}/cart", "Tell me about offers")]


@pytest.mark.promise("P6")
async def test_a_page_that_remembers_undoes_no_unsubscribe(web: WebWorld) -> None:
    """The script tells once a day of a browser that has agreed: no consent comes of it, and after the person's no the browser is told."""
    key, given = await token(web)
    session = await web.outside()
    body = {"token": given, "subscription": subscription(), "source": f"{SHOP}/cart"}
    async with session.post("/push/subscriptions", json=body) as answer:
        assert answer.status == 201
    async with session.post("/push/subscriptions", json={**body, "source": "later", "again": True}) as answer:
        assert (answer.status, await answer.json()) == (201, {"subscriptions": 1})
    assert (await consents(web))[0][2] == f"push:{SHOP}/cart"
    shop = await web.api("recipients:write")
    async with shop.delete(f"/v1/recipients/{key}/push") as answer:
        assert answer.status == 200
    async with session.post("/push/subscriptions", json={**body, "again": True}) as answer:
        assert (answer.status, await answer.json()) == (200, {"subscriptions": 0, "withdrawn": True})
    assert await rows(web) == [] and (await consents(web))[0][1] == "withdrawn"
    async with session.get("/push/subscribe.js") as answer:
        assert "if (again) body.again = true" in await answer.text()


async def test_a_token_that_is_not_ours_registers_nobody(web: WebWorld) -> None:
    """Forged, of another purpose, too old, or none at all; after some the client waits."""
    key = await recipient(web)
    now = web.inner.clock.wall / 1_000_000
    person = person_id(key)
    bad = ["v1.00000000." + "A" * 32, web.links.mint(PUSH_CLICK, person), web.links.join_token(person, now - 2 * JOIN_PERIOD), "x"]
    session = await web.outside()
    for each in bad:
        async with session.post("/push/subscriptions", json={"token": each, "subscription": subscription()}) as answer:
            assert answer.status == 404
    async with session.post("/push/subscriptions", json={"subscription": subscription()}) as answer:
        assert answer.status == 422
    async with session.post("/push/subscriptions", json={"token": web.links.join_token(person, now - JOIN_PERIOD), "subscription": subscription()}) as answer:
        assert answer.status == 201
    statuses = []
    for _ in range(4):
        async with session.post("/push/subscriptions", json={"token": "x", "subscription": subscription()}) as answer:
            statuses.append(answer.status)
    assert statuses[-1] == 429 and "Retry-After" in answer.headers
    assert len(await rows(web)) == 1


@pytest.mark.promise("B24", "B25")
@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "https://fcm.googleapis.com.evil.example/x"},
        {"endpoint": "http://169.254.169.254/latest/meta-data"},
        {"keys": {"p256dh": "AAAA", "auth": "AAAA"}},
        {"keys": {}},
        {"endpoint": 5},
    ],
)
async def test_what_is_no_subscription_is_refused_when_it_comes(web: WebWorld, change: dict[str, Any]) -> None:
    """By the public door and by the shop's, with words; nothing is written."""
    key, given = await token(web)
    outside, shop = await web.outside(), await web.api("recipients:write")
    async with outside.post("/push/subscriptions", json={"token": given, "subscription": subscription(**change)}, headers={"Origin": SHOP}) as answer:
        assert answer.status == 422 and answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "evil" not in await answer.text()
    async with shop.put(f"/v1/recipients/{key}/push", json={"subscription": subscription(**change)}) as answer:
        assert answer.status == 422 and "the subscription" in (await answer.json())["detail"]
    assert await rows(web) == [] and await consents(web) == []


async def test_the_shops_backend_registers_shows_and_removes(web: WebWorld) -> None:
    """A recipient that nobody knew becomes one; the list never shows an endpoint or a key."""
    session = await web.api("recipients:read", "recipients:write")
    async with session.put("/v1/recipients/new-1/push", json={"subscription": subscription(2), "source": "app", "user_agent": FIREFOX}) as answer:
        assert (answer.status, await answer.json()) == (200, {"recipient": "new-1", "fresh": True, "subscriptions": 1, "withdrawn": False})
    async with session.get("/v1/recipients/new-1/push") as answer:
        text = await answer.text()
        [shown] = json.loads(text)["subscriptions"]
        assert shown["host"] == "fcm.googleapis.com" and shown["family"] == "Firefox"
        assert "/send/" not in text and "p256dh" not in text
    assert await consents(web) == [(person_id("new-1"), "granted", "app", None)]
    async with session.delete("/v1/recipients/new-1/push") as answer:
        assert (answer.status, await answer.json()) == (200, {"removed": 1})
    async with session.delete("/v1/recipients/nobody/push") as answer:
        assert answer.status == 404
    assert (await consents(web))[0][1] == "withdrawn"


async def test_a_backend_that_tells_again_undoes_no_unsubscribe(web: WebWorld) -> None:
    """At each page view: fine while the consent stands; after a withdrawal nothing is registered; of who is not known nothing is made."""
    session = await web.api("recipients:read", "recipients:write")
    path, body = "/v1/recipients/new-1/push", {"subscription": subscription(2), "again": True}

    async def tell(**change: Any) -> dict[str, Any]:
        async with session.put(path, json=body | change) as answer:
            assert answer.status == 200
            return dict(await answer.json())

    assert await tell() == {"recipient": "new-1", "fresh": False, "subscriptions": 0, "withdrawn": False}
    async with session.get(path) as answer:
        assert (await answer.json())["subscriptions"] == []
    assert await web.inner.store.read(lambda conn: conn.exec_driver_sql("SELECT key FROM recipient WHERE key = 'new-1'").all()) == []
    await tell(again=False)
    first = await consents(web)
    assert await tell(source="page") == {"recipient": "new-1", "fresh": False, "subscriptions": 1, "withdrawn": False}
    assert await consents(web) == first
    async with session.delete(path) as answer:
        assert answer.status == 200
    assert await tell() == {"recipient": "new-1", "fresh": False, "subscriptions": 0, "withdrawn": True}
    assert await rows(web) == [] and [row[1] for row in await consents(web)] == ["withdrawn"]


async def test_other_sites_may_not_call(web: WebWorld) -> None:
    """Their pages cannot read an answer, and a preflight allows them nothing."""
    session = await web.outside()
    for path in ("/push/key", "/push/subscriptions", "/push/clicks"):
        async with session.options(path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}) as answer:
            assert answer.status == 204 and not any(name.startswith("Access-Control") for name in answer.headers)
        async with session.options(path, headers={"Origin": SHOP, "Access-Control-Request-Method": "POST"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == SHOP and "DELETE" in answer.headers["Access-Control-Allow-Methods"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
    async with session.get("/push/key", headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 200 and "Access-Control-Allow-Origin" not in answer.headers


async def test_a_form_of_another_site_cannot_post(web: WebWorld) -> None:
    """What needs no preflight is not taken: the body must be JSON by its type."""
    session = await web.outside()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        async with session.post("/push/clicks", data=b'{"token": "x"}', headers={"Content-Type": kind}) as answer:
            assert answer.status == 415


async def test_a_new_endpoint_takes_the_old_ones_place(web: WebWorld) -> None:
    """The worker knows no token; the old endpoint is proof enough, once."""
    key, given = await token(web)
    session = await web.outside()
    async with session.post("/push/subscriptions", json={"token": given, "subscription": subscription(1)}) as answer:
        assert answer.status == 201
    for status in (201, 404):
        body = {"old": subscription(1)["endpoint"], "subscription": subscription(2)}
        async with session.post("/push/subscriptions", json=body) as answer:
            assert answer.status == status
    [(person, address, _)] = await rows(web)
    assert person == person_id(key) and json.loads(address)["endpoint"].endswith("/2")


async def test_a_browser_leaves(web: WebWorld) -> None:
    """204 whether it was known or not; the consent goes with the last one."""
    _, given = await token(web)
    session = await web.outside()
    async with session.post("/push/subscriptions", json={"token": given, "subscription": subscription(1)}) as answer:
        assert answer.status == 201
    for _ in range(2):
        async with session.delete("/push/subscriptions", json={"endpoint": subscription(1)["endpoint"]}) as answer:
            assert answer.status == 204
    assert await rows(web) == [] and [row[1:3] for row in await consents(web)] == [("withdrawn", "push:page")]


async def test_a_click_is_believed_by_its_token(web: WebWorld) -> None:
    """Of a push, not of a link. It proves that the browser had the push: a doubt is settled, and an escalation knows of it."""
    session = await web.outside()
    [(delivery, *_), *_] = await web.inner.sql("SELECT id FROM delivery ORDER BY id")
    await web.inner.do("UPDATE delivery SET provider = 'browsers', state = 'in_doubt', handed_over_at = 5, ended_at = NULL")
    await web.inner.do("DELETE FROM due")
    for given, status in ((web.links.mint(PUSH_CLICK, delivery), 204), (web.links.mint("unsubscribe", delivery), 404)):
        async with session.post("/push/clicks", json={"token": given, "action": "0"}) as answer:
            assert answer.status == status
    assert b'homing_push_events_total{what="clicked"} 1.0' in web.metrics.text()
    found = await web.inner.sql(f"SELECT kind, provider FROM feedback WHERE delivery = {delivery} ORDER BY kind")
    assert found == [("clicked", "browsers"), ("delivered", "browsers")]
    assert await web.inner.sql(f"SELECT state FROM delivery WHERE id = {delivery}") == [("accepted",)]


async def test_an_unsubscribe_from_a_push_removes_the_browsers(web: WebWorld) -> None:
    """The link of a push message: no subscription is left to send to."""
    key, given = await token(web)
    session = await web.outside()
    async with session.post("/push/subscriptions", json={"token": given, "subscription": subscription(1)}) as answer:
        assert answer.status == 201
    await web.inner.do("UPDATE wave SET channel = 'push'")
    [(delivery,)] = await web.inner.sql(f"SELECT id FROM delivery WHERE person = {person_id(key)}")
    path = web.links.unsubscribe_url(delivery).removeprefix("https://go.example.com")
    async with session.post(path, data=b"List-Unsubscribe=One-Click", headers={"Content-Type": "application/x-www-form-urlencoded"}) as answer:
        assert answer.status == 200
    assert await rows(web) == [] and [row[1] for row in await consents(web)] == ["withdrawn"]


async def test_the_scripts_come_with_what_browsers_ask_for(web: WebWorld) -> None:
    """A worker may serve the whole site, is looked for anew, and knows our public address; none of it is HTML."""
    session = await web.outside()
    async with session.get("/push/worker.js") as answer:
        text = await answer.text()
        assert answer.headers["Service-Worker-Allowed"] == "/" and answer.headers["Cache-Control"] == "no-cache"
        assert answer.content_type == "text/javascript" and "@HOME@" not in text
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    async with session.get("/push/subscribe.js") as answer:
        assert "max-age" in answer.headers["Cache-Control"] and "homingPush" in await answer.text()
    async with session.get("/push/key") as answer:
        assert (await answer.json())["key"] == web.takers[0].plugin.public_key


async def test_without_a_provider_the_door_says_so(web: WebWorld) -> None:
    """503, to be tried again; leaving still works."""
    _, given = await token(web)
    web.takers.clear()
    session, shop = await web.outside(), await web.api("recipients:read", "recipients:write")
    async with session.get("/push/key") as answer:
        assert answer.status == 503
    async with session.post("/push/subscriptions", json={"token": given, "subscription": subscription()}) as answer:
        assert answer.status == 503
    async with shop.get("/v1/recipients/c-1/push") as answer:
        assert answer.status == 503
    async with session.delete("/push/subscriptions", json={"endpoint": "https://fcm.googleapis.com/x"}) as answer:
        assert answer.status == 204


async def test_a_body_too_large_is_cut_off(web: WebWorld) -> None:
    """As on all of the public listener."""
    session: aiohttp.ClientSession = await web.outside()
    async with session.post("/push/subscriptions", data=b'{"token": "' + b"x" * 100_000, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 413
