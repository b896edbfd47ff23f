"""Tracking in Segment's format: the stock library unchanged, who may write, what is kept, and what is said of the rest."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from segment.analytics.client import Client

from daemon.intake.tracker import TOGETHER
from daemon.intake.tracking import MOST_BYTES as MOST_MESSAGE
from daemon.model.delivery import HOUR, SECOND
from daemon.store.recipients import person_id
from daemon.web.api_track import MOST_BYTES
from tests.stages.web_world import WebWorld


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path)
    yield world
    await world.close()


async def post(session: aiohttp.ClientSession, path: str, body: Any, **more: Any) -> tuple[int, dict[str, Any]]:
    async with session.post(path, json=body, **more) as answer:
        return answer.status, await answer.json()


def basic(user: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:'.encode()).decode()}"}


async def events(web: WebWorld) -> list[tuple[Any, ...]]:
    return await web.inner.sql(
        "SELECT r.key, n.name, e.properties FROM event e JOIN event_name n ON n.id = e.name JOIN recipient r ON r.id = e.person ORDER BY e.at, n.name"
    )  # fmt: skip


def track(event: str = "Product Viewed", user: str = "c-1", message: str = "m", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, "messageId": message, **more}


async def test_the_stock_library_of_segment_works_unchanged(web: WebWorld) -> None:
    """Identify, track, page, screen, group and alias by the real client, packed, with the token as its write key."""
    failures: list[Any] = []
    client = Client(await web.token("events:write"), host=f"http://{web.admin}", gzip=True, on_error=lambda error, items: failures.append(error))

    def use() -> None:
        client.identify("c-1", {"email": "Ann@Example.com", "firstName": "Ann", "plan": "gold"}, context={"timezone": "Asia/Jakarta"}, anonymous_id="a-1")
        client.track("c-1", "Order Completed", {"order_id": "o-1", "revenue": 42.5, "products": [{"name": "shoes"}]})
        client.page("c-1", "Docs", "Start", {"url": "https://shop.example.com/"})
        client.screen("c-1", "App", "Home")
        client.group("c-1", "g-7", {})
        client.alias("old-1", "c-1")
        client.track(anonymous_id="a-1", event="Product Viewed")
        client.shutdown()

    await asyncio.to_thread(use)
    assert failures == []
    assert sorted((key, name) for key, name, _ in await events(web)) == [
        ("c-1", "Order Completed"), ("c-1", "Page Viewed"), ("c-1", "Product Viewed"), ("c-1", "Screen Viewed"),
    ]  # fmt: skip
    [(email, zone, traits)] = await web.inner.sql("SELECT email, zone, traits FROM recipient")
    assert (email, zone) == ("Ann@example.com", "Asia/Jakarta")
    assert json.loads(traits) == {"first_name": "Ann", "plan": "gold", "group_id": "g-7"}
    assert await web.inner.sql("SELECT previous, person FROM alias ORDER BY previous") == [("a-1", person_id("c-1")), ("old-1", person_id("c-1"))]
    assert await web.inner.sql("SELECT orders, value FROM profile") == [(1, 42_500_000)]


async def test_who_may_not_write_events_is_refused(web: WebWorld) -> None:
    """No key, a wrong one, one for something else; three places for the right one."""
    key, other = await web.token("events:write"), await web.token("jobs:write")
    session = await web.api()
    assert (await post(session, "/v1/track", track()))[0] == 401
    assert (await post(session, "/v1/track", {**track(), "writeKey": "homing_no"}))[0] == 401
    assert (await post(session, "/v1/track", track(), headers=basic(other)))[0] == 403
    assert (await post(session, "/v1/track", track(), headers={"Authorization": "Basic ???"}))[0] == 401
    assert await events(web) == []
    assert await post(session, "/v1/track", {**track(), "writeKey": key}) == (200, {"success": True})
    assert await post(session, "/v1/track", track(), headers=basic(key)) == (200, {"success": True})
    assert await post(session, "/v1/track", track(), headers={"Authorization": f"Bearer {key}"}) == (200, {"success": True})
    assert len(await events(web)) == 1


async def test_bad_messages_never_stop_good_ones(web: WebWorld) -> None:
    """Each is named by its place; what means nothing here is passed over."""
    session = await web.api("events:write")
    bad: list[Any] = [
        "?", {"type": "track", "event": "x"}, {"type": "track", "userId": "c-1"}, track(timestamp="yesterday"), track(properties=[1]),
        track(message="\u0007"), {"type": "alias", "userId": "c-1"}, {"type": "track", "anonymousId": "nobody", "event": "x"},
        track(properties={"x": "y" * MOST_MESSAGE}), {"type": "identify", "userId": "c-1", "traits": {"email": "no", "phone": "+62811111111", "a\u0007": 1}},
    ]  # fmt: skip
    status, answer = await post(session, "/v1/batch", {"batch": [track(), *bad, {"type": "dance"}, track("Wished", message="n")]})
    assert (status, answer["success"], answer["rows"], answer["kept"], answer["rejected"]) == (200, True, 13, 3, 9)
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [
        (2, "type"), (3, "id"), (4, "missing"), (5, "timestamp"), (6, "type"), (7, "control_char"), (8, "id"), (9, "anonymous"),
        (10, "too_large"), (11, "address_invalid"), (11, "control_char"),
    ]  # fmt: skip
    assert [name for _, name, _ in await events(web)] == ["Product Viewed", "Wished"]
    assert await web.inner.sql("SELECT email, phone, traits FROM recipient") == [(None, "+62811111111", None)]


async def test_a_request_is_json_and_not_too_large(web: WebWorld) -> None:
    """Packed or not: 500 KB unpacked."""
    session = await web.api("events:write")
    for data, status in (
        (b"{", 400), (b"[]", 400), (b'{"batch": 1}', 400), (gzip.compress(b"{}")[:-4], 400), (b"\x1f\x8b?", 400),
        (b" " * (MOST_BYTES + 1), 413), (gzip.compress(b" " * (MOST_BYTES + 1)), 413), (gzip.compress(b'{"batch": []}'), 200),
    ):  # fmt: skip
        async with session.post("/v1/batch", data=data) as answer:
            assert answer.status == status, data[:20]


async def test_the_same_message_again_changes_nothing(web: WebWorld) -> None:
    """In one request, in another, and with a clock that is corrected differently."""
    session = await web.api("events:write")
    order = track("Order Completed", properties={"revenue": 5}, timestamp="2026-01-01T00:00:00Z")
    _, answer = await post(session, "/v1/batch", {"batch": [order, order]})
    assert (answer["kept"], answer["known"]) == (1, 1)
    before = await web.inner.sql("SELECT * FROM profile")
    assert await post(session, "/v1/track", {**order, "sentAt": "2026-01-01T00:00:09Z"}) == (200, {"success": True})
    assert await web.inner.sql("SELECT * FROM profile") == before


async def test_a_wrong_clock_is_set_right_by_when_it_was_sent(web: WebWorld) -> None:
    """But history is taken as it stands."""
    session = await web.api("events:write")
    now = web.inner.clock.wall
    said = {"timestamp": "2020-01-01T00:00:00Z", "sentAt": "2020-01-01T01:00:00.000Z"}
    await post(session, "/v1/track", track("A", message="1", **said))
    await post(session, "/v1/import", {"batch": [track("B", message="2", **said)]})
    found = dict(await web.inner.sql("SELECT n.name, e.at FROM event e JOIN event_name n ON n.id = e.name"))
    assert abs(found["A"] - (now - HOUR)) < 10 * SECOND
    assert found["B"] == 1_577_836_800 * SECOND


async def test_many_at_once_share_transactions_and_each_gets_its_own_answer(web: WebWorld) -> None:
    """More messages than one transaction takes, from many at the same time."""
    session = await web.api("events:write")
    large = {"batch": [track(user=f"c-{n}", message=f"l-{n}") for n in range(2 * TOGETHER + 5)]}
    answers = await asyncio.gather(
        post(session, "/v1/batch", large), *(post(session, "/v1/track", track(message=f"m-{n}")) for n in range(15)),
        post(session, "/v1/track", {"userId": "c-1"}),
    )  # fmt: skip
    assert answers[0][1]["kept"] == 2 * TOGETHER + 5
    assert all(answer == (200, {"success": True}) for answer in answers[1:-1])
    assert answers[-1][1]["errors"][0]["code"] == "missing"
    assert len(await events(web)) == 2 * TOGETHER + 20


async def test_an_anonymous_event_finds_who_is_identified_later_in_its_request(web: WebWorld) -> None:
    """However many messages lie between; and what identify says is applied in its order."""
    session = await web.api("events:write")
    viewed = {"type": "track", "anonymousId": "a-1", "event": "Product Viewed", "messageId": "v"}
    plans = [{"type": "identify", "userId": "c-1", "traits": {"plan": n}} for n in range(2 * TOGETHER)]
    plans[50]["anonymousId"] = "a-1"
    _, answer = await post(session, "/v1/batch", {"batch": [viewed, *plans]})
    assert (answer["kept"], answer["rejected"]) == (2 * TOGETHER + 1, 0)
    assert [(key, name) for key, name, _ in await events(web)] == [("c-1", "Product Viewed")]
    assert await web.inner.sql("SELECT traits FROM recipient") == [(f'{{"plan":{2 * TOGETHER - 1}}}',)]
    assert await post(session, "/v1/track", {**viewed, "messageId": "w"}) == (200, {"success": True})
    assert len(await events(web)) == 2


async def test_a_request_that_is_given_up_keeps_nobody_else_waiting(web: WebWorld) -> None:
    """Whoever writes for all is cancelled in the middle: the others get their answers, and his own events come once."""
    tracker = web.server._doors.tracker
    first = asyncio.ensure_future(tracker.take([track(message="1")]))
    others = [asyncio.ensure_future(tracker.take([track(message=str(n))])) for n in range(2, 9)]
    await asyncio.sleep(0)
    first.cancel()
    done = await asyncio.wait_for(asyncio.gather(*others), 5)
    assert [one.kept for one in done] == [1] * 7
    await tracker.take([track(message="1")])
    assert len(await events(web)) == 8
