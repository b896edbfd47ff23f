"""The guarded aiohttp session behind `plugins.http.open_http`; loaded only when a session is opened.

The guard sits where a connection is made: the names are resolved by the given port, every address is judged, and exactly the
judged addresses are dialled, so a name that changes its address between check and dial (rebinding) gains nothing. Everything
that fails there is a `NotSent`. A request that has left is never repeated and never follows a redirect.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from plugins.contract import Dns, NotSent
from plugins.grant import current_grant
from plugins.http import MAX_REPLY_BYTES, Origin

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from multidict import CIMultiDictProxy

KEEPALIVE_SECONDS = 4.0
"""Below the 5 s after which common servers drop an idle connection: a message posted into a closing one is in doubt."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotConnectedError(NotSent, aiohttp.ClientConnectionError):
    """No connection: not a byte of the request left this process."""


class AddressRefusedError(NotConnectedError):
    """The address is private, loopback, link-local or otherwise not public, and the settings do not name this host."""


class ReplyTooLargeError(aiohttp.ClientPayloadError):
    """The reply's body is longer than `MAX_REPLY_BYTES`."""


def is_public(address: str) -> bool:
    """True for an address of the public internet; the IPv4 address inside an IPv6 one is judged as well."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:  # deprecated, and still in use inside; Python does not call it private
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class GuardedResolver(AbstractResolver):
    """Resolves through the daemon's DNS port and lets only allowed addresses through; all of a name's must be allowed."""

    def __init__(self, dns: Dns, origins: frozenset[Origin]) -> None:
        self._dns = dns
        self._origins = origins

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._dns.resolve(host, port)
        for address, _ in found:
            self.judge(host, port, address)
        return [_resolved(host, address, at) for address, at in found]

    def judge(self, host: str, port: int, address: str) -> None:
        """AddressRefusedError unless `address`, reached by the name `host`, may be dialled."""
        if any(origin.covers(host, port) for origin in self._origins) or is_public(address):
            return
        raise AddressRefusedError(f"{host} is {address}: not a public address, and the provider's settings do not name this host and port")

    async def close(self) -> None:
        """Holds nothing."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


class GuardedConnector(aiohttp.TCPConnector):
    """Says of everything that fails before the first byte that nothing was sent, and starts nothing on a grant run out."""

    def __init__(self, resolver: GuardedResolver, *, limit: int) -> None:
        super().__init__(resolver=resolver, use_dns_cache=False, limit=limit, keepalive_timeout=KEEPALIVE_SECONDS)
        self._guard = resolver

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        target = req.proxy or req.url
        host, port = target.host or "", target.port or 0
        try:
            if _is_literal(host):
                self._guard.judge(host, port, host)
            connection = await super().connect(req, traces, timeout)
        except NotSent:
            raise
        except Exception as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            raise NotConnectedError(f"no connection to {host}:{port}: {str(cause) or type(cause).__name__}") from error
        grant = current_grant()
        if grant is not None and grant.expired:
            connection.release()
            raise NotConnectedError(f"the grant ran out before {host}:{port} could be reached")
        return connection


@functools.lru_cache(maxsize=256)
def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class GuardedResponse(aiohttp.ClientResponse):
    """A reply of limited length, whose redirects stay where they are: the caller sees the 3xx status itself."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        if self.status not in REDIRECTS:
            return self._headers
        kept = self._headers.copy()  # aiohttp follows what `Location` or `URI` name; without them it returns the reply
        kept.popall("Location", None)
        kept.popall("URI", None)
        return type(self._headers)(kept)

    async def read(self) -> bytes:
        if self._body is None:
            try:
                self._body = self.content.read_nowait() if self.content.is_eof() else await self._read_on()
                if len(self._body) > MAX_REPLY_BYTES:
                    raise self._too_large()
            except BaseException:
                self.close()
                raise
        return await super().read()

    async def _read_on(self) -> bytes:
        """What did not come with the head, as a small body does."""
        parts, size = [], 0
        async for part in self.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> ReplyTooLargeError:
        return ReplyTooLargeError(f"the reply of {self.url.host} is longer than {MAX_REPLY_BYTES} bytes")


def build_session(
    *, dns: Dns, origins: frozenset[Origin], concurrency: int, total_seconds: float, connect_seconds: float
) -> aiohttp.ClientSession:
    """See `plugins.http.open_http`."""
    options: dict[str, Any] = {
        "connector": GuardedConnector(GuardedResolver(dns, origins), limit=concurrency),
        "cookie_jar": aiohttp.DummyCookieJar(),
        "timeout": aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds, sock_connect=connect_seconds),
        "trust_env": False,
        "response_class": GuardedResponse,
        "headers": {"User-Agent": "homing"},
    }
    return aiohttp.ClientSession(**options)
