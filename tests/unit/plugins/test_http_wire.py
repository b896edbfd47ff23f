"""The lean HTTP client: what it reads as an answer, what it calls unsent and what in doubt, whom it dials, which connection it uses again."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import trustme

from plugins.contract import NotSent
from plugins.grant import Grant
from plugins.http import Origin, Target
from plugins.http_session import AddressRefusedError, NotConnectedError
from plugins.http_wire import BadReplyError, Wire
from plugins.testing.listening import Listener

OK = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
WANTED = frozenset({400})


class Clock:
    def __init__(self) -> None:
        self.pushed = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.pushed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Names:
    """Every name is at these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("127.0.0.1",)

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [(address, port) for address in self.addresses]


class Peer:
    """Answers each request with the next script: pieces of bytes; None closes the connection."""

    def __init__(self, *scripts: Sequence[bytes | None]) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            for piece in self.scripts.pop(0) if self.scripts else (OK,):
                if piece is None:
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)


@asynccontextmanager
async def peer(*scripts: Sequence[bytes | None], tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    made = Peer(*scripts)
    listener = Listener(made.serve)
    made.port = await listener.start(ssl=tls)
    try:
        yield made
    finally:
        await listener.stop()


@asynccontextmanager
async def wire(port: int, *, names: Names | None = None, clock: Clock | None = None, seconds: float = 5.0) -> AsyncIterator[Wire]:
    made = Wire(
        dns=names or Names(), clock=clock or Clock(), origins=frozenset({Origin("peer", port)}), total_seconds=seconds, connect_seconds=2.0
    )  # fmt: skip
    try:
        yield made
    finally:
        made.close()
        await asyncio.sleep(0)


def at(port: int, host: str = "peer", *, tls: bool = False) -> Target:
    return Target(host, port, tls, f"{host}:{port}", "/a?b=c")


async def test_a_request_is_what_was_asked_for_and_nothing_more() -> None:
    """Host, length, the caller's lines, the body; no cookie, nothing of the environment."""
    async with peer() as server, wire(server.port) as client:
        reply = await client.post(at(server.port), b"X-Y: z\r\n", b"body")
        assert reply.status == 201
        host = f"Host: peer:{server.port}".encode()
        assert server.requests == [b"POST /a?b=c HTTP/1.1\r\n" + host + b"\r\nUser-Agent: homing\r\nContent-Length: 4\r\nX-Y: z\r\n\r\nbody"]


@pytest.mark.parametrize(
    ("script", "status", "body", "again"),
    [
        ([OK], 201, b"", True),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b"", True),
        ([b"HTTP/1.1 20", b"1 Created\r\nContent-", b"Length: 0\r\n\r\n"], 201, b"", True),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], 201, b"", True),
        ([b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"], 201, b"", True),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000, OK], 201, b"", True),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + b"HTTP/1.1 400 Bad\r\nContent-Length: 6\r\n\r\nab", b"cdef"], 400, b"abcdef", True),
        ([b"HTTP/1.1 400 Bad\r\nContent-Length: 6\r\n\r\nab", b"cdef"], 400, b"abcdef", True),
        ([b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\n\r\n"], 400, b"abcde", True),
        ([b"HTTP/1.1 410 Gone\r\nContent-Length: 1000\r\n\r\nab"], 410, b"ab", False),
        ([b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], 201, b"", False),
        ([b"HTTP/1.1 201 Created\r\n\r\n"], 201, b"", False),
        ([b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\nmore"], 201, b"", False),
        ([b"HTTP/1.1 400 Bad\r\nContent-Length: 99999\r\n\r\n" + b"x" * 20_000], 400, b"x" * 16_384, False),
    ],
)
async def test_answers_in_all_their_forms(script: list[bytes], status: int, body: bytes, again: bool) -> None:
    """Split anywhere, in chunks, after an interim one; a connection whose answer did not end cleanly is not used again."""
    async with peer(script) as server, wire(server.port) as client:
        reply = await client.post(at(server.port), b"", b"x", WANTED)
        assert (reply.status, reply.body) == (status, body)
        await client.post(at(server.port), b"", b"x")
        assert server.connections == (1 if again else 2)


@pytest.mark.parametrize(
    "script",
    [
        [b"SMTP what\r\n\r\n"],
        [b"HTTP/1.0 200 OK\r\n\r\n"],
        [b"HTTP/1.1 abc\r\n\r\n"],
        [b"\x00\x01\x02\x03\x04\x05"],
        [b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n"],
        [b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 10_000],
        [None],
        [b"HTTP/1.1 201 Cre", None],
    ],
)
async def test_what_is_no_answer_leaves_the_request_in_doubt(script: list[bytes | None]) -> None:
    """It has left: never a NotSent."""
    async with peer(script) as server, wire(server.port) as client:
        with pytest.raises((BadReplyError, ConnectionError)) as caught:
            await client.post(at(server.port), b"", b"x")
        assert not isinstance(caught.value, NotSent)


async def test_no_answer_in_time_is_a_timeout() -> None:
    """And the connection is gone."""
    async with peer([], []) as server, wire(server.port, seconds=0.05) as client:
        with pytest.raises(TimeoutError):
            await client.post(at(server.port), b"", b"x")
        assert len(server.requests) == 1


async def test_a_status_whose_words_do_not_come_in_time_is_an_answer() -> None:
    """That it was refused is sure, whatever was to be said of it; the connection is not used again."""
    refused = [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno"]
    async with peer(refused, [OK]) as server, wire(server.port, seconds=0.1) as client:
        reply = await client.post(at(server.port), b"", b"x", WANTED)
        assert (reply.status, reply.body) == (400, b"no")
        await client.post(at(server.port), b"", b"x")
        assert server.connections == 2


async def test_each_request_has_its_own_time_under_one_timer() -> None:
    """One that is answered lets the timer go on to the next; those that are not end in the order in which they left, each after as long."""
    ended: list[tuple[int, float]] = []

    async def ask(client: Wire, port: int, number: int, after: float) -> None:
        await asyncio.sleep(after)
        start = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await client.post(at(port), b"", b"x")
        ended.append((number, asyncio.get_running_loop().time() - start))

    async with peer([OK], [], [], [OK]) as server, wire(server.port, seconds=0.2) as client:
        await client.post(at(server.port), b"", b"x")
        await asyncio.gather(ask(client, server.port, 1, 0.05), ask(client, server.port, 2, 0.12))
        assert [number for number, _ in ended] == [1, 2]
        assert all(0.19 < seconds < 0.4 for _, seconds in ended)
        assert (await client.post(at(server.port), b"", b"x")).status == 201


async def test_nobody_there_is_not_sent() -> None:
    """Refused, or a name without an address."""
    async with peer() as server:
        port = server.port
    async with wire(port) as client:
        with pytest.raises(NotConnectedError):
            await client.post(at(port), b"", b"x")


async def test_a_private_address_is_dialled_only_if_the_settings_name_the_host() -> None:
    """One private address among public ones is enough to refuse; nothing is connected."""
    async with peer() as server:
        for names in (Names("127.0.0.1"), Names("93.184.216.34", "10.0.0.1"), Names("::ffff:127.0.0.1")):
            async with wire(server.port, names=names) as client:
                with pytest.raises(AddressRefusedError):
                    await client.post(at(server.port, "elsewhere"), b"", b"x")
        assert server.connections == 0


async def test_a_grant_that_has_run_out_starts_no_request() -> None:
    """The connection is there, the bytes do not leave."""
    clock = Clock()
    async with peer() as server, wire(server.port, clock=clock) as client:
        grant = Grant(clock)
        clock.pushed = 11.0
        with grant.held(), pytest.raises(NotConnectedError, match="grant"):
            await client.post(at(server.port), b"", b"x")
        assert server.requests == []


async def test_a_connection_that_has_been_idle_is_not_used_again() -> None:
    """Servers close them after five seconds: a request posted into a closing one would be in doubt."""
    clock = Clock()
    async with peer() as server, wire(server.port, clock=clock) as client:
        await client.post(at(server.port), b"", b"x")
        await client.post(at(server.port), b"", b"x")
        assert server.connections == 1
        clock.pushed = 5.0
        await client.post(at(server.port), b"", b"x")
        assert server.connections == 2


async def test_one_that_the_server_has_closed_meanwhile_is_not_used_again() -> None:
    """It is known before the next request."""
    async with peer([OK, None]) as server, wire(server.port) as client:
        await client.post(at(server.port), b"", b"x")
        [[line]] = client._idle.values()
        async with asyncio.timeout(5):  # a loop that was held up runs the server's end and this in one turn: no fixed time will do
            while line.open:
                await asyncio.sleep(0.001)
        await client.post(at(server.port), b"", b"x")
        assert server.connections == 2


async def test_an_answer_that_the_end_of_the_connection_ends_is_an_answer() -> None:
    """Its status was read: the request is in no doubt."""
    for script in ([b"HTTP/1.1 400 Bad\r\n\r\nab", b"cd", None], [b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nab", b"cd", None]):
        async with peer(script) as server, wire(server.port) as client:
            reply = await client.post(at(server.port), b"", b"x", WANTED)
            assert (reply.status, reply.body) == (400, b"abcd")


def _tls(*names: str) -> tuple[ssl.SSLContext, Callable[[Wire], None]]:
    """A server's context, and how to make a client trust its authority."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)

    def trust(client: Wire) -> None:
        authority.configure_trust(client._secured())

    return context, trust


async def test_a_certificate_is_checked_against_the_name() -> None:
    """Not the address that was dialled; a stranger's, or one for another name, means not sent."""
    for names, trusted, sent in ((("peer",), True, True), (("other.example.com",), True, False), (("peer",), False, False)):
        context, trust = _tls(*names)
        async with peer(tls=context) as server, wire(server.port) as client:
            if trusted:
                trust(client)
            if sent:
                assert (await client.post(at(server.port, tls=True), b"", b"x")).status == 201
            else:
                with pytest.raises(NotConnectedError):
                    await client.post(at(server.port, tls=True), b"", b"x")
                assert server.requests == []


async def test_what_a_burst_leaves_behind_is_closed() -> None:
    """Five at once, then one at a time: the other four do not stay open for ever."""
    clock = Clock()
    async with peer() as server, wire(server.port, clock=clock) as client:
        await asyncio.gather(*(client.post(at(server.port), b"", b"x") for _ in range(5)))
        assert server.connections == 5
        clock.pushed = 3.0
        await client.post(at(server.port), b"", b"x")
        clock.pushed = 6.0
        await client.post(at(server.port), b"", b"x")
        assert server.connections == 5
        assert [len(lines) for lines in client._idle.values()] == [1]
