"""Recipients by themselves: set, shown with what their events add up to, imported, erased."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, text

from daemon.clock import iso
from daemon.model.delivery import DAY
from daemon.store.writer import Lane
from tests.stages.intake_world import job, people
from tests.stages.web_world import WebWorld

FULL = {
    "email": "Ann@Example.com", "phone": "+62811111111", "zone": "Asia/Jakarta", "locale": "id", "country": "ID", "traits": {"plan": "gold", "x": 1},
    "consent": {"sms": {"at": "2026-01-01T00:00:00Z", "source": "checkout", "text": "yes"}},
}  # fmt: skip


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path)
    yield world
    await world.close()


async def call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
    async with session.request(method, path, json=body, **more) as answer:
        return answer.status, await answer.json()


async def test_a_recipient_is_set_and_shown(web: WebWorld) -> None:
    """Only what is named changes; null clears."""
    session = await web.api("recipients:write", "recipients:read")
    status, found = await call(session, "PUT", "/v1/recipients/c-1", FULL)
    assert status == 200
    assert (found["email"], found["phone"], found["traits"], found["erased"], found["profile"]) == (
        "Ann@example.com", "+62811111111", {"plan": "gold", "x": 1}, False, None,
    )  # fmt: skip
    assert [(one["channel"], one["state"], one["source"]) for one in found["consents"]] == [("sms", "granted", "checkout")]
    _, found = await call(session, "PUT", "/v1/recipients/c-1", {"id": "c-1", "email": None, "traits": {"x": None}})
    assert (found["email"], found["phone"], found["traits"]) == (None, "+62811111111", {"plan": "gold"})
    assert await call(session, "GET", "/v1/recipients/c-1") == (200, found)
    assert (await call(session, "GET", "/v1/recipients/nobody"))[0] == 404


async def test_each_wrong_field_is_named(web: WebWorld) -> None:
    """And nothing of the row is kept."""
    session = await web.api("recipients:write", "recipients:read")
    status, found = await call(session, "PUT", "/v1/recipients/c-1", {"email": "no", "zone": "Mars", "nick": 1, "country": "ID"})
    assert (status, [error["pointer"] for error in found["errors"]]) == (422, ["/email", "/zone", "/nick"])
    for body in ([], {"id": "c-2"}, {"vars": {"x": 1}}):
        assert (await call(session, "PUT", "/v1/recipients/c-1", body))[0] == 422
    assert (await call(session, "GET", "/v1/recipients/c-1"))[0] == 404


async def test_many_recipients_come_line_by_line(web: WebWorld) -> None:
    """Bad lines are named by their number; a later line of one recipient is applied after the earlier one."""
    session = await web.api("recipients:write", "recipients:read")
    lines = [
        '{"id": "c-1", "email": "a@example.com"}', "", '{"id": "c-2", "email": "no"}', "{", '{"id": "c-1", "locale": "id"}', '{"id": "c-3", "vars": {"a": 1}}'
    ]  # fmt: skip
    async with session.post("/v1/recipients", data="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}) as answer:
        found = await answer.json()
    assert (answer.status, found["rows"], found["kept"], found["rejected"]) == (200, 5, 2, 3)
    assert [(error["line"], error["field"], error["code"]) for error in found["errors"]] == [
        (3, "email", "address_invalid"), (4, None, "json"), (6, "vars", "unknown_field"),
    ]  # fmt: skip
    shown = (await call(session, "GET", "/v1/recipients/c-1"))[1]
    assert (shown["email"], shown["locale"]) == ("a@example.com", "id")


async def test_what_events_add_up_to_is_shown(web: WebWorld) -> None:
    """In the shop's currency, instants as text, the score of now."""
    session = await web.api("recipients:read", "events:write")
    now = web.inner.clock.wall
    batch = [
        {"type": "track", "userId": "c-1", "event": "Order Completed", "messageId": f"m{ago}", "timestamp": iso(now - ago * DAY),
         "properties": {"revenue": 10.25, "products": [{"name": f"shoe {ago}"}]}}
        for ago in (70, 40, 10)
    ]  # fmt: skip
    await call(session, "POST", "/v1/batch", {"batch": batch})
    profile = (await call(session, "GET", "/v1/recipients/c-1"))[1]["profile"]
    assert (profile["orders"], profile["value"], profile["cycle_days"], profile["score_30d"]) == (3, 30.75, 30.0, 3)
    assert profile["last_order_at"] == iso(now - 10 * DAY)
    assert profile["last_product"] == {"name": "shoe 10"}


@pytest.mark.promise("P6")
async def test_erase_leaves_nothing_but_what_forbids_to_write_again(web: WebWorld) -> None:
    """Addresses stay suppressed by hash, what waits is dropped, and no later row or event brings the person back."""
    await web.inner.drop(job(1, recipients=[{**people(1)[0], "vars": {"secret": "x"}}]))
    await web.inner.settle()
    [(key, before)] = await web.inner.sql("SELECT key, guard FROM recipient")
    session = await web.api("recipients:write", "recipients:read", "events:write")
    event = {"userId": key, "event": "Order Completed", "messageId": "m"}
    await call(session, "POST", "/v1/track", event)
    await call(session, "PUT", f"/v1/recipients/{key}", FULL)
    status, done = await call(session, "DELETE", f"/v1/recipients/{key}")
    assert (status, done["fresh"], done["suppressed"]) == (200, True, 2)
    assert (await call(session, "DELETE", f"/v1/recipients/{key}"))[1]["fresh"] is False
    for table in ("event", "profile", "alias", "push_subscription"):
        assert await web.inner.sql(f"SELECT * FROM {table}") == []
    assert await web.inner.sql("SELECT email, phone, zone, locale, country, traits, email_hash, phone_hash, erased FROM recipient") == [(None,) * 8 + (1,)]
    assert (await web.inner.sql("SELECT guard FROM recipient"))[0][0] > before
    assert await web.inner.sql("SELECT channel, scope, reason FROM suppression") == [("*", "all", "erased")] * 2
    assert await web.inner.sql("SELECT vars FROM delivery") == [(None,)]
    assert len(await web.inner.sql("SELECT * FROM consent")) == 1
    assert (await call(session, "PUT", f"/v1/recipients/{key}", FULL))[0] == 404
    assert (await call(session, "POST", "/v1/track", event))[1]["errors"][0]["code"] == "erased"
    shown = (await call(session, "GET", f"/v1/recipients/{key}"))[1]
    assert (shown["erased"], shown["email"], shown["traits"], shown["profile"]) == (True, None, {}, None)
    assert "secret" not in json.dumps(shown)


def hold_all(conn: Connection) -> None:
    conn.execute(text("UPDATE delivery SET state = 'held', reason = 'render_error'"))
    conn.execute(text("INSERT OR REPLACE INTO tally SELECT id, 'held', 'render_error', 1 FROM job"))


async def test_a_held_delivery_of_who_is_erased_ends(web: WebWorld) -> None:
    """It would wait for an operator; the others are dropped by the next claim."""
    await web.inner.drop(job(1, recipients=people(1)))
    await web.inner.settle()
    [(key,)] = await web.inner.sql("SELECT key FROM recipient")
    await web.inner.store.write(Lane.BULK, hold_all)
    session = await web.api("recipients:write")
    assert (await call(session, "DELETE", f"/v1/recipients/{key}"))[1]["dropped"] == 1
    assert await web.inner.sql("SELECT state, reason FROM delivery") == [("dropped", "erased")]
    assert await web.inner.sql("SELECT n FROM tally WHERE state = 'dropped' AND reason = 'erased'") == [(1,)]


async def test_the_id_of_a_merged_recipient_shows_the_survivor(web: WebWorld) -> None:
    """In its page, in explain, and in what is said of it later; the answer of the alias means that it is in force."""
    session = await web.api("recipients:write", "recipients:read", "events:write")
    assert (await call(session, "PUT", "/v1/recipients/c-1", FULL))[0] == 200
    assert (await call(session, "PUT", "/v1/recipients/c-2", {"traits": {"plan": "silver"}}))[0] == 200
    status, said = await call(session, "POST", "/v1/alias", {"previousId": "c-1", "userId": "c-2"})
    assert (status, said["success"]) == (200, True)
    _, found = await call(session, "GET", "/v1/recipients/c-1")
    assert (found["recipient"], found["email"], found["traits"]) == ("c-2", "Ann@example.com", {"plan": "silver", "x": 1})
    assert [(one["channel"], one["state"]) for one in found["consents"]] == [("sms", "granted")]
    assert (await call(session, "GET", "/v1/recipients/c-1/explain"))[1]["recipient"] == "c-2"
    await call(session, "POST", "/v1/identify", {"userId": "c-1", "traits": {"size": 4}})
    assert (await call(session, "GET", "/v1/recipients/c-2"))[1]["traits"] == {"plan": "silver", "x": 1, "size": 4}
