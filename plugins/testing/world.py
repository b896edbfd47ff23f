"""The world that the kit shows a channel: a clock that can jump, names of this machine only, streams, and a log that is kept.

It is the one room of the kit that reads real time and opens connections, and these end on this machine. What a channel does
with it is recorded by `ledger` and judged by `scenarios`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from plugins.contract import Context, Secret, Stream

START = datetime(2027, 3, 1, 3, 0, tzinfo=UTC)
HOOKS = "https://hooks.example.com/hooks"
"""Where the kit's world is reached by providers: `Context.hook_url` without the provider's name."""
TOKEN = "kit-token-"  # noqa: S105  # no secret: what the kit's `Context.sign` puts before an id
TURNS = 12
SETTLE_SECONDS = 0.004


class KitClock:
    """Starts on a fixed day, runs with the loop and can be put forward."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._ahead = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self._passed())

    def monotonic(self) -> float:
        return 1000.0 + self._passed()

    async def sleep(self, seconds: float) -> None:
        await pause(seconds)

    def jump(self, seconds: float) -> None:
        """Put the clock forward; sleepers are not woken."""
        self._ahead += seconds

    def _passed(self) -> float:
        return asyncio.get_running_loop().time() - self._began + self._ahead


async def pause(seconds: float) -> None:
    """Let real time pass."""
    await asyncio.sleep(max(0.0, seconds))  # noqa: TID251  # the kit's clock port


async def settle() -> None:
    """Let everything that has been written on this machine arrive: some turns of the loop and a moment for other threads."""
    for _ in range(TURNS):
        await pause(0)
    await pause(SETTLE_SECONDS)


class LocalDns:
    """Knows this machine and nothing else: no message of the kit leaves it."""

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        if host.casefold().rstrip(".") == "localhost":
            return [("127.0.0.1", port)]
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise OSError(f"{host}: the conformance kit reaches this machine only")
        return [(host, port)]


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self, limit: int) -> bytes:
        return await self.reader.read(limit)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def drain(self) -> None:
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()


async def connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on this machine; OSError otherwise."""
    address, at = (await LocalDns().resolve(host, port))[0]
    return await asyncio.open_connection(address, at)  # noqa: TID251  # the kit's network port


async def open_stream(host: str, port: int, *, tls: bool = False, timeout: float = 30.0) -> Stream:
    """`Context.open_stream` of the kit."""
    async with asyncio.timeout(timeout):
        reader, writer = await connect(host, port)
        if tls:
            await writer.start_tls(ssl.create_default_context(), server_hostname=host)
    return _Stream(reader, writer)


@dataclass(slots=True)
class KitLog:
    """Keeps every event: (level, event, fields)."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    bound: dict[str, Any] = field(default_factory=dict)

    def bind(self, **fields: Any) -> KitLog:
        return KitLog(self.events, {**self.bound, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        self._keep("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._keep("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._keep("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._keep("error", event, fields)

    def _keep(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.events.append((level, event, {**self.bound, **fields}))


def sign(delivery: str) -> str:
    """`Context.sign` of the kit: the id can be read in the token."""
    return TOKEN + delivery


def make_context(settings: Any, clock: KitClock, log: KitLog, http: Any, *, provider: str) -> Context[Any]:
    """A `Context` of the kit's own things; `http` is the session of `plugins.http.open_http`."""
    return Context(
        provider=provider,
        settings=settings,
        clock=clock,
        rng=random.Random(1),
        dns=LocalDns(),
        open_stream=open_stream,
        http=http,
        log=log.bind(provider=provider),
        hook_url=f"{HOOKS}/{provider}",
        sign=sign,
    )


def secrets_in(settings: Any) -> Iterator[str]:
    """The values of all secrets in the settings, short ones left out: they would be found by chance."""
    if isinstance(settings, Secret):
        if len(settings.reveal()) >= 6:
            yield settings.reveal()
    elif is_dataclass(settings) and not isinstance(settings, type):
        for each in fields(settings):
            yield from secrets_in(getattr(settings, each.name))
    elif isinstance(settings, dict):
        yield from secrets_in(list(settings.values()))
    elif isinstance(settings, list | tuple | set | frozenset):
        for each in settings:
            yield from secrets_in(each)
