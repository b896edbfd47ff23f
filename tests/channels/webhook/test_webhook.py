"""The webhook channel against a real server that checks signatures by the published rules, not by our code."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from channels.webhook import Settings, Webhook, body_of
from plugins import Accepted, Deferred, Message, Outcome, Rejected, Secret, Unknown
from plugins.http import open_http
from plugins.settings import SettingsRefusedError, read_settings
from plugins.signing import key_of, sign
from plugins.testing.messages import make_message
from plugins.testing.world import START, KitClock, KitLog, LocalDns, make_context

SECRET = "whsec_" + base64.b64encode(b"sixteen bytes or more of key").decode()
MESSAGE = replace(
    make_message(1, channel="letter", address="c-1", now=START), head={"street": "خیابان ولیعصر ۱"}, text_pieces=("سلام ", "Aiko"), copy=True
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Line:
    """A session that grants all."""

    closing: bool = False
    reports: dict[str, Outcome] = field(default_factory=dict)

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids)

    def report(self, id: str, outcome: Outcome) -> None:
        self.reports[id] = outcome


@asynccontextmanager
async def serving(handler: Handler) -> Any:
    app = web.Application()
    app.router.add_post("/homing", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/homing"
    finally:
        await runner.cleanup()


async def post(handler: Handler, *messages: Message, seconds: float = 5.0, **settings: Any) -> Sequence[Outcome]:
    """What became of the messages, in their order."""
    async with serving(handler) as url:
        chosen = Settings(url=url, secret=Secret(SECRET), **settings)
        async with open_http(dns=LocalDns(), settings=chosen, total_seconds=seconds) as http:
            channel, line = Webhook(), Line()
            await channel.start(make_context(chosen, KitClock(), KitLog(), http, provider="letters"))
            await channel.send(messages or (MESSAGE,), line)
            await channel.stop()
    return [line.reports[message.id] for message in messages or (MESSAGE,)]


def answering(status: int, headers: dict[str, str] | None = None, body: str = "") -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=body)

    return handler


async def test_the_request_is_signed_json_under_the_delivery_id() -> None:
    """Checked by hand from the rules of Standard Webhooks; the whole message is in it."""
    seen: list[tuple[Any, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers.copy(), await request.read()))
        return web.Response(status=202, headers={"webhook-id": "theirs-1"})

    assert await post(handler, old_secret=Secret("an older secret of ours")) == [Accepted(provider_id="theirs-1")]
    ((headers, body),) = seen
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (MESSAGE.id, str(int(START.timestamp())))
    signed = b".".join([MESSAGE.id.encode(), headers["webhook-timestamp"].encode(), body])
    expected = [hmac.digest(key, signed, hashlib.sha256) for key in (b"sixteen bytes or more of key", b"an older secret of ours")]
    assert headers["webhook-signature"].split(" ") == [f"v1,{base64.b64encode(each).decode()}" for each in expected]
    content = json.loads(body)
    assert (content["type"], content["id"], content["timestamp"]) == ("message.send", MESSAGE.id, "2027-03-01T03:00:00.000Z")
    data = content["data"]
    assert (data["recipient"], data["text"], data["head"]) == (MESSAGE.recipient, "سلام Aiko", {"street": "خیابان ولیعصر ۱"})
    assert (data["expires_at"], data["attempt"], data["copy"], data["test"]) == ("2027-03-04T03:00:00.000Z", 1, True, False)


def test_the_published_example_of_standard_webhooks() -> None:
    """Key, id, timestamp and body of the documentation give its signature."""
    key = key_of(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Accepted()),
        (204, {}, Accepted()),
        (410, {}, Rejected(scope="address", code="410")),
        (429, {"Retry-After": "7"}, Deferred(scope="provider", after="7", code="429", throttled=True)),
        (503, {"Retry-After": "9"}, Deferred(scope="provider", after="9", code="503")),
        (400, {}, Rejected(scope="message", code="400")),
        (404, {}, Rejected(scope="message", code="404")),
        (422, {}, Rejected(scope="message", code="422")),
    ],
)
async def test_what_each_answer_means(status: int, headers: dict[str, str], expected: Outcome) -> None:
    """The contract's list."""
    assert await post(answering(status, headers)) == [expected]


@pytest.mark.parametrize(
    ("status", "kind", "scope"), [(401, Rejected, "operator"), (403, Rejected, "operator"), (500, Unknown, None), (502, Unknown, None), (301, Deferred, "operator")]
)
async def test_a_wrong_secret_stops_and_a_failing_server_is_a_doubt(status: int, kind: type, scope: str | None) -> None:
    """A redirect is not followed: the body names people."""
    (outcome,) = await post(answering(status, {"Location": "http://127.0.0.1:9/elsewhere"}))
    assert isinstance(outcome, kind)
    assert getattr(outcome, "scope", None) == scope


async def test_silence_is_a_doubt_and_an_endless_answer_harms_nobody() -> None:
    """The head of the answer says it all: a body of any size is never read."""

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)  # until the client leaves
        return web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"\x00" * 65_536)
        except ConnectionError:
            return answer

    (outcome,) = await post(silent, seconds=0.2)
    assert isinstance(outcome, Unknown)
    assert await post(endless, seconds=2.0) == [Accepted()]


async def test_nobody_there_means_not_sent() -> None:
    """Nothing left this process: given back."""
    settings = Settings(url="http://127.0.0.1:9/homing", secret=Secret(SECRET))
    async with open_http(dns=LocalDns(), settings=settings) as http:
        channel, line = Webhook(), Line()
        await channel.start(make_context(settings, KitClock(), KitLog(), http, provider="letters"))
        await channel.send([MESSAGE], line)
        await channel.stop()
    outcome = line.reports[MESSAGE.id]
    assert isinstance(outcome, Deferred)
    assert outcome.nothing_sent


def test_the_body_is_the_same_at_each_try_but_for_the_attempt() -> None:
    """Whoever honours the id may compare."""
    first, second = json.loads(body_of(MESSAGE)), json.loads(body_of(replace(MESSAGE, attempt=2)))
    assert first["data"].pop("attempt") == 1
    assert second["data"].pop("attempt") == 2
    assert first == second


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"url": "ftp://x.example/"}, "must be an address"),
        ({"url": "http://letters.example.com/"}, "must begin with https"),
        ({"url": "https://user:pass@letters.example.com/"}, "neither user nor fragment"),
        ({"url": "https://letters.example.com:0/"}, "must be an address"),
        ({"secret": Secret("short")}, "shorter than 16 bytes"),
        ({"secret": Secret("whsec_no base64!")}, "is no base64"),
        ({"channel": "E-mail"}, "is no channel"),
        ({"concurrency": 0}, "must be 1 to 256"),
        ({"idempotent": -1.0}, "must be 0 to"),
    ],
)
def test_wrong_settings_are_told_with_their_key(table: dict[str, Any], what: str) -> None:
    """Each before anything starts."""
    whole = {"url": "https://letters.example.com/homing", "secret": Secret(SECRET)} | table
    with pytest.raises(SettingsRefusedError, match=what) as refused:
        read_settings(Settings, whole, path=("providers", "letters"))
    assert [problem.key for problem in refused.value.problems] == [f"providers.letters.{next(iter(table))}"]


def test_plain_http_to_another_machine_must_be_asked_for() -> None:
    """A container's neighbour, say."""
    table = {"url": "http://dialler:8080/homing", "secret": Secret(SECRET), "insecure": True}
    assert read_settings(Settings, table, path=("providers", "letters")).insecure


@pytest.mark.parametrize(("channel", "address"), [("webhook", "recipient"), ("call", "phone"), ("letter", "recipient"), ("email", "email")])
def test_it_stands_in_for_a_channel(channel: str, address: str) -> None:
    """Campaigns, caps and consent speak of that channel."""
    assert Webhook.stands_for(Settings(url="https://x.example/", secret=Secret(SECRET), channel=channel)) == (channel, address)
