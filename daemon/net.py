"""GROUND, a port: byte streams to other hosts. Names are looked up by the DNS port, addresses tried in turn, all under one deadline.

TLS always checks the certificate against the name asked for. Knows no protocol. Raises OSError (TimeoutError and ssl.SSLError
are OSErrors too). Fulfils `plugins.contract.OpenStream`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

from daemon.dns import Dns


class Stream(Protocol):
    """One open connection."""

    async def read(self, limit: int) -> bytes:
        """At least one byte, at most `limit`; empty at the end."""
        ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Wait until what was written may be followed by more."""
        ...

    def close(self) -> None: ...


class Net(Protocol):
    """Opens streams."""

    async def open_stream(self, host: str, port: int, *, tls: bool = False, timeout: float = 30.0) -> Stream:
        """Connected (and, with `tls`, verified) within `timeout` seconds, or OSError."""
        ...


class SystemStream:
    """A TCP connection."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, limit: int) -> bytes:
        return await self._reader.read(limit)

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class SystemNet:
    """The machine's own network."""

    def __init__(self, dns: Dns, *, tls_context: ssl.SSLContext | None = None) -> None:
        self._dns = dns
        self._tls = tls_context

    async def open_stream(self, host: str, port: int, *, tls: bool = False, timeout: float = 30.0) -> Stream:
        try:
            async with asyncio.timeout(timeout):
                return await self._first_that_answers(host, port, self._context() if tls else None)
        except TimeoutError:
            raise TimeoutError(f"no connection to {host}:{port} in {timeout:g} s") from None

    async def _first_that_answers(self, host: str, port: int, context: ssl.SSLContext | None) -> Stream:
        failed: OSError | None = None
        for address, where in await self._dns.resolve(host, port):
            try:
                name = host if context else None
                return SystemStream(*await asyncio.open_connection(address, where, ssl=context, server_hostname=name))
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                failed = error
        raise failed or OSError(f"{host} has no address")

    def _context(self) -> ssl.SSLContext:
        """Made once: reading the certificates takes milliseconds."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
