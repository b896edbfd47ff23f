"""The edge of the listeners: slow, broken, oversized and smuggled requests (B35-B38), and who may hold connections."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from daemon.web.connection import MAX_HEADERS
from tests.stages.web_world import QUICK, WebWorld


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path, limits=QUICK)
    yield world
    await world.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebWorld]:
    """One world for the tests that leave nothing behind: opening one takes longer than they do."""
    world = await WebWorld.open(tmp_path_factory.mktemp("web"), limits=replace(QUICK, per_peer=200))
    yield world
    await world.close()


together = pytest.mark.asyncio(loop_scope="module")


def parts(answer: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, head and problem of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), fields, json.loads(body) if body else {}


@pytest.mark.promise("B37")
@together
async def test_a_connection_that_says_nothing_is_closed(shared: WebWorld) -> None:
    """B37: 0 bytes; closed without a word at the head's deadline."""
    began = time.monotonic()
    assert await shared.raw(b"") == b""
    assert 0.2 < time.monotonic() - began < 2


@pytest.mark.promise("B37")
@together
@pytest.mark.parametrize("head", [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_half_a_head_is_answered_408(shared: WebWorld, head: bytes) -> None:
    """B37: half a head, then silence; the deadline runs from the connection's start, drops of bytes do not move it."""
    status, fields, problem = parts(await shared.raw(head, more=[b"a"] * 3, pause=0.05))
    assert (status, fields["Connection"]) == (408, "close")
    assert (problem["type"], problem["title"]) == ("about:blank", "Request Timeout")


@pytest.mark.promise("B37")
@together
async def test_the_second_head_of_a_connection_has_a_deadline_too(shared: WebWorld) -> None:
    """A keep-alive connection that begins another request and stops is closed like a fresh one."""
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await shared.raw(request, more=[b"GET /he"], pause=0.1)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 408") == 1


@together
async def test_an_idle_connection_is_kept_for_a_while_and_then_closed(shared: WebWorld) -> None:
    """Keep-alive works within `idle_seconds`, after it the connection ends silently."""
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await shared.raw(request, more=[request], pause=0.4)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"HTTP/1.1 408" not in answer  # the digits alone may stand in a request id


@pytest.mark.promise("B37")
async def test_a_peer_that_does_not_read_its_answers_is_closed(web: WebWorld) -> None:
    """It would hold its place for ever: nothing else has a deadline while an answer goes out."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, (web.admin.host, web.admin.port))
        sent = asyncio.ensure_future(loop.sock_sendall(peer, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 500_000))
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await sent
    assert b'homing_http_connections_cut_total{listener="admin",why="read_seconds"} 1.0' in web.metrics.text()


@pytest.mark.promise("B37")
async def test_a_body_that_stops_is_answered_408(web: WebWorld) -> None:
    """B37: half a body, then silence."""
    token = await web.token("jobs:write")
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    status, _, problem = parts(await web.raw(head.encode() + b'{"id":'))
    assert (status, problem["detail"]) == (408, "the body came too slowly")
    assert await web.inner.sql("SELECT count(*) FROM job") == [(0,)]


@pytest.mark.promise("B37")
async def test_a_body_that_drips_is_answered_408(web: WebWorld) -> None:
    """A byte now and then does not keep up the least rate."""
    token = await web.token("jobs:write")
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    began = time.monotonic()
    answer = await web.raw(head.encode(), more=[b" "] * 9, pause=0.1)
    assert parts(answer)[0] == 408
    assert time.monotonic() - began < 3


@pytest.mark.promise("B35")
@together
async def test_a_body_over_the_limit_is_answered_413_while_it_is_read(shared: WebWorld) -> None:
    """B35: by its declared length at once; chunked, when the limit is passed. The connection ends."""
    token = await shared.token("operate:write")
    base = f"POST /v1/held/release HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    status, fields, problem = parts(await shared.raw(f"{base}Content-Length: 5000\r\n\r\n".encode()))
    assert (status, fields["Connection"], problem["type"]) == (413, "close", "/problems/too-large")
    chunked = f"{base}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1000\r\n" + b" " * 4096 + b"\r\n" + b"10\r\n" + b" " * 16 + b"\r\n"
    assert parts(await shared.raw(chunked))[0] == 413


@pytest.mark.promise("B36")
@together
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nxGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: a\n\n",
        b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELP\r\n\r\n",
    ],
    ids=["two-hosts", "no-host", "two-lengths", "length-and-chunked", "odd-encoding", "gzip-chunked", "hex-chunk", "signed-length", "folded", "bare-lf", "space-before-colon", "bare-cr", "tls", "no-http"],
)  # fmt: skip
async def test_what_is_no_clear_request_is_refused_and_the_line_ends(shared: WebWorld, request_bytes: bytes) -> None:
    """B36: whatever two parsers could read differently is a 400 problem, without an echo or a traceback."""
    answer = await shared.raw(request_bytes)
    status, fields, problem = parts(answer)
    assert status == 400
    assert fields["Content-Type"].startswith("application/problem+json")
    assert problem["request_id"]
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Traceback" not in answer


@pytest.mark.promise("B36")
@together
@pytest.mark.parametrize(
    "fields",
    [b"X-Long: " + b"a" * 9000, b"".join(b"X-%d: a\r\n" % n for n in range(MAX_HEADERS + 50))[:-2], b"\r\n".join(b"X-%d: %s" % (n, b"a" * 2000) for n in range(12))],
    ids=["one-long", "too-many", "too-long-together"],
)  # fmt: skip
async def test_a_head_that_is_too_large_is_answered_431(shared: WebWorld, fields: bytes) -> None:
    """B36: one long field, 150 fields, or more than 16 KB together."""
    status, _, problem = parts(await shared.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n"))
    assert (status, problem["status"]) == (431, 431)


@pytest.mark.promise("B37")
async def test_one_peer_may_hold_only_so_many_connections(web: WebWorld) -> None:
    """The next one gets 503 and is closed; when one ends there is room again."""
    async with asyncio.timeout(20):
        while True:  # on a slow machine the first are cut for their silence before the last is there
            held = await asyncio.gather(*(asyncio.open_connection(web.admin.host, web.admin.port) for _ in range(20)))
            answer = await web.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            if b"200 OK" not in answer:
                break
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
    status, fields, problem = parts(answer)
    assert (status, problem["type"]) == (503, "/problems/not-ready")
    assert int(fields["Retry-After"]) > 0
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(5):
        while b"200 OK" not in await web.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
            await asyncio.sleep(0.02)


@pytest.mark.promise("B37")
async def test_slow_connections_do_not_keep_others_waiting(web: WebWorld) -> None:
    """While one peer drips, another is answered at once; every dripping connection is cut and counted."""
    slow = [asyncio.create_task(web.raw(b"GET / HTTP/1.1\r\nX: ", more=[b"y"] * 10, pause=0.1)) for _ in range(10)]
    began = time.monotonic()
    assert b"200 OK" in await web.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert time.monotonic() - began < 0.5
    assert all(b" 408 " in answer for answer in await asyncio.gather(*slow))
    assert b'homing_http_connections_cut_total{listener="admin",why="head_seconds"} 10.0' in web.metrics.text()


async def test_the_control_socket_is_for_this_user_and_needs_no_token(web: WebWorld) -> None:
    """Mode 0600; the same API; who connects is checked by the kernel's word."""
    path = web.inner.folder / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    session = await web.control()
    async with session.get("/v1/status") as answer:
        assert answer.status == 200
    async with session.get("/v1/jobs") as answer:
        assert (await answer.json()) == {"items": [], "next": None}


@together
async def test_another_user_is_cut_off_at_the_control_socket(shared: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer of another uid gets not one byte."""
    monkeypatch.setattr("daemon.web.connection.peer_uid", lambda _: 65534)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, str(shared.inner.folder / "control.sock"))
        assert await loop.sock_recv(peer, 100) == b""


async def test_a_stale_control_socket_is_replaced_and_the_own_one_removed(tmp_path: Path) -> None:
    """What a killed daemon left does not stop the next start; a clean stop leaves nothing."""
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "control.sock"))
    stale.close()
    world = await WebWorld.open(tmp_path, limits=QUICK)
    session = await world.control()
    async with session.get("/healthz") as answer:
        assert answer.status == 200
    await world.close()
    assert not (tmp_path / "control.sock").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".control")]


async def test_a_deep_state_folder_has_a_control_socket_too(tmp_path: Path) -> None:
    """A path longer than a socket's address (107 bytes) is reached through its folder."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    world = await WebWorld.open(deep, limits=QUICK)
    session = await world.control()
    async with session.get("/healthz") as answer:
        assert answer.status == 200
    await world.close()


async def test_expect_continue_is_answered_and_nothing_else_is_expected(web: WebWorld) -> None:
    """`curl` waits for 100 before it sends a large body; any other expectation is 417."""
    token = await web.token("operate:write")
    head = f"POST /v1/gate/stop HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    answer = await web.raw(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode(), more=[b"{}"], pause=0.05)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert parts(await web.raw(f"{head}Expect: tea\r\nConnection: close\r\n\r\n".encode()))[0] == 417


async def test_stopping_ends_what_is_under_way_and_closes_the_rest(tmp_path: Path) -> None:
    """A stop does not wait for idle connections, and stopping twice is no error."""
    world = await WebWorld.open(tmp_path, limits=QUICK)
    _, writer = await asyncio.open_connection(world.admin.host, world.admin.port)
    began = time.monotonic()
    await world.server.stop()
    await world.server.stop()
    assert time.monotonic() - began < 1.5
    writer.close()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(world.admin.host, world.admin.port)
    await world.close()
