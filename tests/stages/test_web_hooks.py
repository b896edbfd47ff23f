"""`/hooks/{provider}`: what a provider posts is committed before it is answered, and nothing that it did not sign is believed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from daemon.errors import StoreUnavailableError
from daemon.feedback.ingest import Receiver
from daemon.ids import encode_id
from daemon.store import schema as s
from daemon.store.writer import Lane
from plugins.feedback import BadSignature, Feedback, WebhookRequest
from tests.stages.intake_world import job, people
from tests.stages.web_world import WebWorld


@dataclass
class Provider:
    """A plugin whose parsing is the test's; it wants a header of everyone."""

    seen: list[WebhookRequest] = field(default_factory=list)
    parse: Callable[[WebhookRequest], Any] = lambda request: [Feedback(**each) for each in json.loads(request.body)]

    def parse_feedback(self, request: WebhookRequest) -> Sequence[Feedback]:
        self.seen.append(request)
        if request.headers.get("x-signature") != "ours":
            raise BadSignature
        found: Sequence[Feedback] = self.parse(request)
        return found


SIGNED = {"X-Signature": "ours"}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path)
    await world.inner.drop(job(3, recipients=people(3, locale="id-ID")))
    await world.inner.settle()
    world.receivers.running["relay"] = Receiver("email", "email", Provider())
    await world.inner.store.write(Lane.BULK, lambda conn: conn.execute(update(s.delivery).values(state="accepted", provider="relay", handed_over_at=1)))
    yield world
    await world.close()


def plugin(web: WebWorld) -> Provider:
    provider = web.receivers.running["relay"].plugin
    assert isinstance(provider, Provider)
    return provider


async def delivery(web: WebWorld) -> str:
    [(number, *_), *_] = await web.inner.sql("SELECT id FROM delivery ORDER BY id")
    return encode_id(number)


async def test_what_is_answered_with_204_is_committed(web: WebWorld) -> None:
    """The row is there when the answer is; the metric counts it by provider and kind."""
    session = await web.outside()
    body = json.dumps([{"kind": "delivered", "delivery": await delivery(web), "id": "e1"}])
    async with session.post("/hooks/relay", data=body, headers=SIGNED) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert await web.inner.sql("SELECT kind, event FROM feedback") == [("delivered", "e1")]
    assert b'homing_feedback_total{how="recorded",kind="delivered",provider="relay"} 1.0' in web.metrics.text()


async def test_the_plugin_sees_the_public_address_and_the_whole_request(web: WebWorld) -> None:
    """The config's address with the query as it came, the verified delivery of the token, headers in lower case, GET too."""
    session, id = await web.outside(), await delivery(web)
    token = web.links.sign_hook(id)
    plugin(web).parse = lambda request: []
    async with session.get(f"/hooks/relay?t={token}&a=b%20c&a=", headers={**SIGNED, "Host": "proxy.internal", "X-Forwarded-Proto": "http"}) as answer:
        assert answer.status == 204
    async with session.post("/hooks/relay?t=v1.forged", data=b"x=1", headers=SIGNED) as answer:
        assert answer.status == 204
    first, second = plugin(web).seen
    assert first.url == f"https://go.example.com/hooks/relay?t={token}&a=b%20c&a="
    assert (first.method, first.delivery, first.body) == ("GET", id, b"")
    assert first.query == (("t", token), ("a", "b c"), ("a", ""))
    assert first.headers["x-signature"] == "ours"
    assert first.received_at.tzinfo is not None
    assert (second.method, second.delivery, second.body) == ("POST", None, b"x=1")


@pytest.mark.promise("B51", "B52")
async def test_a_forged_request_is_refused_and_its_sender_counted(web: WebWorld) -> None:
    """403, nothing written; after many of them 429 with a time to wait."""
    session = await web.outside()
    body = json.dumps([{"kind": "complained", "delivery": await delivery(web)}])
    for _ in range(5):
        async with session.post("/hooks/relay", data=body) as answer:
            assert answer.status == 403
            assert answer.content_type == "application/problem+json"
    async with session.post("/hooks/relay", data=body) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
    assert await web.inner.sql("SELECT count(*) FROM feedback") == [(0,)]
    async with session.post("/hooks/relay", data=body, headers=SIGNED) as answer:
        assert answer.status == 204  # who signs is not kept out


async def test_what_cannot_be_read_is_400_and_names_nothing_of_it(web: WebWorld) -> None:
    """Garbage under a good signature, and a query without end."""
    session = await web.outside()
    async with session.post("/hooks/relay", data=b"\xff\xfe<script>", headers=SIGNED) as answer:
        assert answer.status == 400
        assert "script" not in await answer.text()
    async with session.get("/hooks/relay?" + "&".join(f"a{n}=1" for n in range(200)), headers=SIGNED) as answer:
        assert answer.status == 400


@pytest.mark.promise("B51")
async def test_a_body_has_a_bound(web: WebWorld) -> None:
    """64 KiB, more than a link's form may have; past it 413."""
    session = await web.outside()
    plugin(web).parse = lambda request: []
    async with session.post("/hooks/relay", data=b"x" * 65536, headers=SIGNED) as answer:
        assert answer.status == 204
    async with session.post("/hooks/relay", data=b"x" * 65537, headers=SIGNED) as answer:
        assert answer.status == 413


async def test_nobody_listens_where_no_provider_takes_feedback(web: WebWorld) -> None:
    """Unknown, or without `parse_feedback`: 404. Configured and not running: 503, the provider comes again."""
    session = await web.outside()
    web.receivers.running["mute"] = Receiver("email", "email", object())
    web.receivers.names |= {"starting"}
    for name, status in (("nobody", 404), ("mute", 404), ("starting", 503)):
        async with session.post(f"/hooks/{name}", data=b"[]", headers=SIGNED) as answer:
            assert answer.status == status, name
            assert ("Retry-After" in answer.headers) is (status == 503)


async def test_only_get_and_post(web: WebWorld) -> None:
    """HEAD and the others: 405, and which there are."""
    session = await web.outside()
    for method in ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        async with session.request(method, "/hooks/relay", headers=SIGNED) as answer:
            assert answer.status == 405, method
            assert answer.headers["Allow"] == "GET, POST"
    assert plugin(web).seen == []


async def test_a_store_out_of_reach_is_503_and_the_provider_comes_again(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never 2xx for what is not kept."""
    session = await web.outside()

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(web.inner.store, "write", away)
    body = json.dumps([{"kind": "delivered", "delivery": await delivery(web)}])
    async with session.post("/hooks/relay", data=body, headers=SIGNED) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]


async def test_a_mistake_of_ours_is_not_blamed_on_the_request(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError that is not the plugin's: 500, so that the provider comes again and the log says why, and no quiet 400."""
    session = await web.outside()

    async def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("of the store")

    monkeypatch.setattr(web.inner.store, "write", fail)
    body = json.dumps([{"kind": "delivered", "delivery": await delivery(web)}])
    async with session.post("/hooks/relay", data=body, headers=SIGNED) as answer:
        assert answer.status == 500


@pytest.mark.parametrize("failure", [RuntimeError("boom"), KeyError("MessageSid"), SystemExit(3), RecursionError()])
async def test_a_plugin_that_fails_is_500_and_nobody_elses_trouble(web: WebWorld, failure: BaseException) -> None:
    """Logged and counted as a fault; the listener goes on."""
    session = await web.outside()

    def fail(request: WebhookRequest) -> Any:
        raise failure

    plugin(web).parse = fail
    async with session.post("/hooks/relay", data=b"[]", headers=SIGNED) as answer:
        assert answer.status == 500
        assert "boom" not in await answer.text()
    plugin(web).parse = lambda request: "delivered"
    async with session.post("/hooks/relay", data=b"[]", headers=SIGNED) as answer:
        assert answer.status == 500
    plugin(web).parse = lambda request: []
    async with session.post("/hooks/relay", data=b"[]", headers=SIGNED) as answer:
        assert answer.status == 204
    assert b'homing_plugin_faults_total{provider="relay"} 2.0' in web.metrics.text()


async def test_a_report_that_is_none_costs_the_others_nothing(web: WebWorld) -> None:
    """Of an unknown kind, about nobody, at no instant: a fault of the plugin each; the good one is kept, cut to what a row holds."""
    session, id = await web.outside(), await delivery(web)
    plugin(web).parse = lambda request: [
        Feedback(kind="dilivered", delivery=id),  # type: ignore[arg-type]
        Feedback(kind="delivered"),
        Feedback(kind="delivered", delivery="no id"),
        Feedback(kind="delivered", delivery=id, at=datetime(2026, 1, 1)),
        Feedback(kind="unsubscribed", address="no address"),
        "delivered",
        Feedback(kind="clicked", delivery=id, at=datetime(2026, 1, 1, tzinfo=UTC), detail="\ud800\0" + "x" * 999, human=False),
    ]
    async with session.post("/hooks/relay", data=b"[]", headers=SIGNED) as answer:
        assert answer.status == 204
    [(kind, detail, human)] = await web.inner.sql("SELECT kind, detail, human FROM feedback")
    assert (kind, human, detail[:4], len(detail)) == ("clicked", 0, "  xx", 500)
    assert b'homing_plugin_faults_total{provider="relay"} 6.0' in web.metrics.text()


@pytest.mark.promise("P6")
async def test_a_stop_by_address_is_in_force_when_it_is_answered(web: WebWorld) -> None:
    """The address as a provider writes it, hashed as intake hashes it: the recipient who has it is suppressed."""
    session = await web.outside()
    [(address, hashed)] = await web.inner.sql("SELECT email, email_hash FROM recipient LIMIT 1")
    body = json.dumps([{"kind": "unsubscribed", "address": address.upper()}])
    async with session.post("/hooks/relay", data=body, headers=SIGNED) as answer:
        assert answer.status == 204
    assert await web.inner.sql("SELECT hash, channel, source FROM suppression") == [(hashed, "email", "stop:relay")]
