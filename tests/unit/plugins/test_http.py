"""The shared HTTP session against real servers on loopback, and the readings of a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from plugins import Accepted, Deferred, Grant, NotSent, Outcome, Rejected, Secret, Unknown
from plugins.http import MAX_REPLY_BYTES, Origin, configured_origins, open_http, outcome_of, retry_after
from plugins.http_session import AddressRefusedError, NotConnectedError, ReplyTooLargeError, is_public

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


@dataclass
class Names:
    """A DNS port that knows just these names."""

    table: dict[str, str]

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        if host not in self.table:
            raise OSError(f"{host} does not exist")
        return [(self.table[host], port)]


@dataclass(frozen=True)
class Settings:
    url: str


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(handler: Handler, **options: float) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A server, and a session whose settings name it."""
    async with server(handler) as port:
        url = f"http://sink.test:{port}"
        async with open_http(dns=Names({"sink.test": "127.0.0.1"}), settings=Settings(url=url), **options) as http:  # type: ignore[arg-type]
            yield http, url


@pytest.mark.promise("B56")
@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("2002:7f00:0001::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool) -> None:
    """Private, loopback, link-local, multicast and reserved ones are not, in whatever dress."""
    assert is_public(address) is public


@pytest.mark.promise("B56")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/x",
        "http://[::ffff:127.0.0.1]:{port}/x",
        "http://[::1]:{port}/x",
        "http://127.1:{port}/x",
        "http://2130706433:{port}/x",
        "http://0x7f.1:{port}/x",
        "http://169.254.169.254/latest/meta-data",
        "http://rebound.example:{port}/x",
    ],
)
async def test_an_address_that_the_settings_do_not_name_is_not_dialled_when_private(url: str) -> None:
    """B56: every spelling of this machine and of the metadata service is refused, and nothing was sent."""
    hits = []

    async def handler(request: web.Request) -> web.Response:
        hits.append(request.path)
        return web.Response()

    dns = Names(dict.fromkeys(("rebound.example", "127.1", "2130706433", "0x7f.1"), "127.0.0.1"))
    async with server(handler) as port, open_http(dns=dns, settings=Settings(url="https://api.example/v1")) as http:
        with pytest.raises((AddressRefusedError, aiohttp.InvalidURL, NotConnectedError)):
            await http.post(url.format(port=port))
    assert hits == []


async def test_the_host_and_port_that_the_settings_name_are_dialled_and_no_other_port() -> None:
    """A test may point a provider at loopback; a neighbour on the same host stays out of reach."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Host"])

    async with server(handler) as other, connected(handler) as (http, url):
        async with http.post(url.upper().replace("HTTP", "http")) as reply:
            assert await reply.text() == url.removeprefix("http://")
        with pytest.raises(AddressRefusedError, match=r"sink\.test is 127\.0\.0\.1"):
            await http.post(f"http://sink.test:{other}/v1")


def test_hosts_are_found_in_urls_wherever_they_stand_and_in_host_with_port() -> None:
    """Nested tables and lists count; a Secret is not read."""

    @dataclass
    class Relay:
        host: str
        port: int

    @dataclass
    class Many:
        base_url: str
        relays: list[Relay]
        token: Secret

    many = Many(base_url="https://API.example./v1", relays=[Relay("10.0.0.7", 25)], token=Secret("http://10.0.0.1/"))
    assert set(configured_origins(many)) == {Origin("api.example", 443), Origin("10.0.0.7", 25)}
    assert set(configured_origins("http://[::1")) == set()


@pytest.mark.promise("B56")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed_and_is_seen_as_it_is(status: int) -> None:
    """A 302 into the LAN ends as a 302."""
    paths = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/inside", "URI": "/inside", "X-Kept": "1"})

    async with connected(handler) as (http, url), http.post(f"{url}/outside") as reply:
        assert (reply.status, reply.headers["X-Kept"]) == (status, "1")
    assert paths == ["/outside"]


async def test_no_cookie_is_kept() -> None:
    """One customer's answer must not colour the next one's request."""

    async def handler(request: web.Request) -> web.Response:
        reply = web.Response(text=str(len(request.cookies)))
        reply.set_cookie("session", "1")
        return reply

    async with connected(handler) as (http, url):
        for _ in range(2):
            async with http.get(url) as reply:
                assert await reply.text() == "0"


async def test_a_reply_is_read_up_to_the_limit_only() -> None:
    """A provider gone mad does not fill the memory; a reply of just the limit is read, twice the same."""

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"x" * int(request.query["n"]))
        return reply

    async with connected(handler) as (http, url):
        async with http.get(url, params={"n": str(MAX_REPLY_BYTES)}) as reply:
            assert len(await reply.read()) == MAX_REPLY_BYTES
            assert len(await reply.text()) == MAX_REPLY_BYTES
        with pytest.raises(ReplyTooLargeError):
            async with http.get(url, params={"n": str(MAX_REPLY_BYTES + 1)}) as reply:
                await reply.read()


async def test_a_provider_that_does_not_listen_is_surely_not_sent() -> None:
    """Refused, unknown name: a `NotSent`, which `SimpleChannel` gives back."""
    async with server(_silent) as port:
        pass
    async with open_http(dns=Names({}), settings=Settings(url=f"http://127.0.0.1:{port}/")) as http:
        with pytest.raises(NotSent, match=f"no connection to 127.0.0.1:{port}"):
            await http.post(f"http://127.0.0.1:{port}/")
        with pytest.raises(NotSent, match="does not exist"):
            await http.post("http://nowhere.example/")


async def test_a_provider_that_does_not_answer_ends_at_the_deadline_and_is_not_called_unsent() -> None:
    """The request may have been acted upon: TimeoutError, not `NotSent`."""
    async with connected(_silent, total_seconds=0.05) as (http, url):
        with pytest.raises(TimeoutError):
            await http.post(url)


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


class Hands:
    """A clock whose monotonic hand is set by the test."""

    at = 100.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


async def test_no_request_starts_once_the_grant_has_run_out() -> None:
    """Ten seconds lost on the way to the connection: nothing goes out."""
    hits, clock = [], Hands()

    async def handler(request: web.Request) -> web.Response:
        hits.append(request.path)
        return web.Response()

    async with connected(handler) as (http, url):
        with Grant(clock).held():
            clock.at += 9.9
            await http.post(f"{url}/in-time")
            clock.at += 0.1
            with pytest.raises(NotSent, match="grant ran out"):
                await http.post(f"{url}/late")
        await http.post(f"{url}/without-grant")
    assert hits == ["/in-time", "/without-grant"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Accepted(provider_id="p1")),
        (202, Accepted(provider_id="p1")),
        (302, Unknown(code="302", detail="the provider may have acted before it answered so")),
        (400, Rejected(code="400")),
        (401, Deferred(scope="operator", code="401", detail="the provider refuses our credentials")),
        (404, Deferred(scope="operator", code="404", detail="the url in the provider's settings is wrong or has moved")),
        (408, Deferred(scope="provider", after="7", code="408")),
        (410, Rejected(scope="address", code="410")),
        (413, Rejected(scope="message", code="413")),
        (429, Deferred(scope="provider", after="7", code="429", throttled=True)),
        (500, Unknown(code="500", detail="the provider may have acted before it answered so")),
        (503, Deferred(scope="provider", after="7", code="503")),
    ],
)
async def test_a_status_says_no_more_than_is_sure(status: int, outcome: Outcome) -> None:
    """Whatever a server may have acted upon stays in doubt, unless its documentation says otherwise."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "7"})

    async with connected(handler) as (http, url), http.post(url) as reply:
        assert outcome_of(reply, provider_id="p1", gone={410}, refused={413}, untouched={503}) == outcome


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (2.5, 2.5),
        ("-3", 0.0),
        ("Mon, 01 Mar 2027 09:02:00 GMT", 120.0),
        ("Monday, 01-Mar-27 09:02:00 GMT", 120.0),
        ("Mon, 01 Mar 2027 08:00:00 GMT", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Foo 2027 09:02:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | float | None, seconds: float | None) -> None:
    """RFC 9110 §10.2.3; what cannot be read counts as absent, the past as now."""
    assert retry_after(value, NOW) == seconds
