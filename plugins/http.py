"""HTTP for channel plugins: the shared session's factory, a reply's status as an outcome, `Retry-After` as seconds.

Light: aiohttp is loaded when a session is opened (`http_session` has the guarded connector). The composition root opens one
session a provider and hands it out as `Context.http`; nothing here knows a provider or keeps state. What the status of a
reply says *surely* is all that `outcome_of` claims; where a server may have acted, the outcome is `Unknown`.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from plugins.contract import Accepted, Deferred, Dns, Outcome, Rejected, Unknown

if TYPE_CHECKING:
    import aiohttp

TOTAL_SECONDS = 30.0
"""A request with its whole reply ends within this, or raises TimeoutError (after handover: in doubt)."""
CONNECT_SECONDS = 8.0
"""Waiting for a pooled connection, resolving and connecting; shorter than a grant."""
MAX_REPLY_BYTES = 1024 * 1024
"""`read()`, `text()` and `json()` of a longer reply raise `ReplyTooLargeError`."""
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A host that the operator wrote into the provider's settings: may be dialled even if its address is private."""

    host: str
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        return self.host == host.casefold().rstrip(".") and self.port in (None, port)


class Target(NamedTuple):
    """Where a request goes (`http_wire`). `authority`: as in the Host field; `path` with the query."""

    host: str
    port: int
    tls: bool
    authority: str
    path: str


def open_http(
    *,
    dns: Dns,
    settings: object = None,
    concurrency: int = 100,
    total_seconds: float = TOTAL_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
) -> aiohttp.ClientSession:
    """A session for one provider; close it after the channel's `stop`. Needs a running loop.

    It resolves through `dns`, dials only public addresses (and those hosts that `settings` names literally), follows no
    redirect, keeps no cookie, reads no environment (proxy, netrc), limits replies and has deadlines. What fails before the
    request's first byte raises `NotConnectedError`, which is a `NotSent`; so does a request whose grant has run out.
    """
    from plugins.http_session import build_session

    return build_session(
        dns=dns,
        origins=frozenset(configured_origins(settings)),
        concurrency=concurrency,
        total_seconds=total_seconds,
        connect_seconds=connect_seconds,
    )


def configured_origins(settings: object) -> Iterator[Origin]:
    """The hosts that settings name literally: in URLs wherever they stand, and in `host` (with `port` beside it)."""
    if isinstance(settings, str):
        if "://" in settings and (origin := _origin(settings)) is not None:
            yield origin
    elif isinstance(settings, Mapping):
        if isinstance(host := settings.get("host"), str):
            port = settings.get("port")
            yield Origin(host.casefold().rstrip("."), port if isinstance(port, int) else None)
        for value in settings.values():
            yield from configured_origins(value)
    elif is_dataclass(settings) and not isinstance(settings, type):
        yield from configured_origins({field.name: getattr(settings, field.name) for field in fields(settings)})
    elif isinstance(settings, Collection) and not isinstance(settings, bytes):
        for value in settings:
            yield from configured_origins(value)


def is_loopback(host: str) -> bool:
    """True when the name or address cannot leave this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(url: str) -> Origin | None:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return Origin(parts.hostname.rstrip("."), port) if parts.hostname else None


def outcome_of(
    reply: aiohttp.ClientResponse,
    *,
    provider_id: str | None = None,
    gone: Collection[int] = (),
    refused: Collection[int] = (),
    untouched: Collection[int] = (),
) -> Outcome:
    """What the status of a reply says about the message that was posted.

    `gone`: statuses by which this provider says that the address is dead (push: 404, 410) · `refused`: that it never takes
    this message · `untouched`: 5xx statuses which its documentation promises to mean "not processed, send again".
    2xx accepted · 429 provider slow · 401, 403, 407 operator · 404, 405, 301, 307, 308 operator (wrong url) · 408, 425 not
    taken · other 4xx rejected · 302, 303, 5xx and 1xx may have been acted upon: unknown.
    """
    status, code, after = reply.status, str(reply.status), reply.headers.get("Retry-After")
    if status in gone:
        return Rejected(scope="address", code=code)
    if status in refused:
        return Rejected(scope="message", code=code)
    if status in untouched:
        return Deferred(scope="provider", after=after, code=code)
    return _PLAIN.get(status, _other)(code, after, provider_id)


def _other(code: str, _after: str | None, provider_id: str | None) -> Outcome:
    if code.startswith("2"):
        return Accepted(provider_id=provider_id)
    if code.startswith("4"):
        return Rejected(scope="message", code=code)
    return Unknown(code=code, detail="the provider may have acted before it answered so")


def _throttled(code: str, after: str | None, _id: str | None) -> Outcome:
    return Deferred(scope="provider", after=after, code=code, throttled=True)


def _not_taken(code: str, after: str | None, _id: str | None) -> Outcome:
    return Deferred(scope="provider", after=after, code=code)


def _credentials(code: str, _after: str | None, _id: str | None) -> Outcome:
    return Deferred(scope="operator", code=code, detail="the provider refuses our credentials")


def _wrong_url(code: str, _after: str | None, _id: str | None) -> Outcome:
    return Deferred(scope="operator", code=code, detail="the url in the provider's settings is wrong or has moved")


_PLAIN: dict[int, Callable[[str, str | None, str | None], Outcome]] = {
    **dict.fromkeys((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED), _credentials),
    **dict.fromkeys((HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED), _wrong_url),
    **dict.fromkeys((HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT), _wrong_url),
    **dict.fromkeys((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY), _not_taken),
    HTTPStatus.TOO_MANY_REQUESTS: _throttled,
}


def retry_after(value: str | float | None, now: datetime) -> float | None:
    """Seconds to wait, at least 0, of a `Retry-After` value: seconds or an HTTP date (RFC 9110 §10.2.3). None if it says nothing.

    `now` is an aware UTC datetime. A value that cannot be read counts as absent: a provider's typo must not stop a queue.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(str(value), now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, IndexError, TypeError, OverflowError):
        return math.nan
    aware: Any = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return float((aware - now).total_seconds())
