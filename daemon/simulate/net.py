"""FLOOR 7, simulate: names, streams and threads of a simulated world.

`SimNet.listen` puts a peer at a (host, port): a coroutine that gets the other end of each stream opened to it. Bytes arrive in
order, after a latency drawn from the seed; a peer may `abort`, which the other end meets as ConnectionResetError. Executors run
inline. They fulfil the ports of `daemon/{dns,net,executor}.py`.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

HIGH_WATER = 64 * 1024


class InlineExecutor:
    """Runs the function at once, between two turns of the loop, so that others may come before and after it."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        await asyncio.sleep(0)
        result = function(*args)
        await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """There is no thread."""


class SimDns:
    """A table of names; `delays` makes one slow. A name that is not in it does not exist."""

    def __init__(self, hosts: dict[str, list[str]] | None = None) -> None:
        self.hosts: dict[str, list[str]] = hosts or {}
        self.delays: dict[str, float] = {}
        self.asked: list[str] = []
        self.mail: dict[str, Sequence[str]] = {}

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        self.asked.append(host)
        await asyncio.sleep(self.delays.get(host, 0))
        if host[:1].isdigit() or ":" in host:
            return [(host, port)]
        if host not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")
        return [(address, port) for address in self.hosts[host]]

    async def mail_hosts(self, domain: str) -> tuple[Sequence[str], int]:
        """Each domain takes its own mail, unless `mail` says otherwise."""
        self.asked.append(domain)
        await asyncio.sleep(self.delays.get(domain, 0))
        return self.mail.get(domain, (domain,)), 3600


class SimStream:
    """One end of a stream."""

    def __init__(self, latency: Callable[[], float]) -> None:
        self._latency = latency
        self._other: SimStream | None = None
        self._received = bytearray()
        self._ended = False
        self._broken = False
        self._closed = False
        self._last_arrival = 0.0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @classmethod
    def pair(cls, latency: Callable[[], float]) -> tuple[SimStream, SimStream]:
        one, two = cls(latency), cls(latency)
        one._other, two._other = two, one
        return one, two

    async def read(self, limit: int) -> bytes:
        """As `Stream.read`; ConnectionResetError after an abort."""
        while not self._received and not self._ended and not self._broken:
            self._news.clear()
            await self._news.wait()
        if self._broken:
            raise ConnectionResetError("the peer aborted")
        taken = bytes(self._received[:limit])
        del self._received[:limit]
        if self._other is not None:
            self._other._room.set()
        return taken

    def write(self, data: bytes) -> None:
        if not self._closed and not self._broken:
            self._send(lambda other: other._received.extend(data))

    async def drain(self) -> None:
        if self._broken:
            raise ConnectionResetError("the peer aborted")
        while self._other is not None and len(self._other._received) > HIGH_WATER and not self._other._closed:
            self._room.clear()
            await self._room.wait()
            if self._broken:
                raise ConnectionResetError("the peer aborted")

    def close(self) -> None:
        """What was written still arrives, then the end."""
        if not self._closed:
            self._closed = True
            self._send(lambda other: setattr(other, "_ended", True))
            if self._other is not None:
                self._other._room.set()

    def abort(self) -> None:
        """As a peer that crashed: what is on the way is lost."""
        self._closed = self._broken = True
        self._news.set()
        if self._other is not None:
            other, self._other = self._other, None
            other._broken = True
            other._news.set()
            other._room.set()

    def _send(self, arrive: Callable[[SimStream], object]) -> None:
        """Later than everything sent before, and only if the connection lives by then."""
        loop = asyncio.get_running_loop()
        self._last_arrival = max(self._last_arrival + 1e-6, loop.time() + self._latency())

        def deliver() -> None:
            if self._other is not None and not self._other._broken:
                arrive(self._other)
                self._other._news.set()

        loop.call_at(self._last_arrival, deliver)


Peer = Callable[[SimStream], Awaitable[None]]


class SimNet:
    """Streams to peers that were put at an address. `tls` is taken as done; certificates are not simulated."""

    def __init__(self, seed: int, dns: SimDns, *, latency: tuple[float, float] = (0.0002, 0.02)) -> None:
        self._rng = random.Random(f"net {seed}")
        self._dns = dns
        self._latency = latency
        self._peers: dict[tuple[str, int], Peer] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.unreachable: set[str] = set()
        """Addresses that answer nothing: connecting runs into its deadline."""

    def listen(self, address: str, port: int, peer: Peer) -> None:
        self._peers[address, port] = peer

    def forget(self, address: str, port: int) -> None:
        """From now on the port refuses."""
        self._peers.pop((address, port), None)

    async def open_stream(self, host: str, port: int, *, tls: bool = False, timeout: float = 30.0) -> SimStream:
        try:
            async with asyncio.timeout(timeout):
                failed: OSError | None = None
                for address, where in await self._dns.resolve(host, port):
                    try:
                        return await self._connect(address, where)
                    except ConnectionRefusedError as error:
                        failed = error
                raise failed or OSError(f"{host} has no address")
        except TimeoutError:
            raise TimeoutError(f"no connection to {host}:{port} in {timeout:g} s") from None

    async def _connect(self, address: str, port: int) -> SimStream:
        await asyncio.sleep(self._draw())
        if address in self.unreachable:
            await asyncio.get_running_loop().create_future()
        peer = self._peers.get((address, port))
        if peer is None:
            raise ConnectionRefusedError(f"{address}:{port} refuses")
        ours, theirs = SimStream.pair(self._draw)
        task = asyncio.ensure_future(peer(theirs))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: theirs.close())
        return ours

    def _draw(self) -> float:
        return self._rng.uniform(*self._latency)
