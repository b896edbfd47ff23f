"""Twilio SMS: the official SDK's asynchronous client over the daemon's guarded HTTP. Imported when a channel starts.

The SDK's own HTTP client makes a session without a deadline (it ignores `timeout`), and has no way to see the headers of an error
or to tell what was surely not sent; the subclass here keeps its interface and brings all three. No request is ever repeated. What is
asked goes by the shared session, messages by the lean client (`plugins.http_wire`): 60 µs of CPU time less for each.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from channels.sms_twilio.settings import Settings
from channels.sms_twilio.verdicts import Answer
from plugins import Context
from plugins.http import DEFAULT_PORTS, Target, configured_origins
from plugins.http_wire import Wire

ANY_STATUS = frozenset(range(200, 600))
CONNECT_SECONDS = 8.0
"""Shorter than a grant, and than a request: what ends by it was surely not sent."""
NO_ENVIRONMENT = {"TWILIO_EDGE": ""}
"""Given to the SDK in place of the process's environment, where TWILIO_REGION and the like would change the address."""


class RefusedError(Exception):
    """Twilio answered with something else than a result."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


class GuardedClient(AsyncTwilioHttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's HTTP client on a session that is not its own: never closed here. Logs nothing: addresses would be in it."""

    def __init__(self, context: Context[Settings]) -> None:
        seconds, session = context.settings.request_seconds, context.http
        super().__init__(pool_connections=False, timeout=seconds)
        self._shared = session
        seconds = min(seconds, session.timeout.total or seconds)
        connect = min(CONNECT_SECONDS, seconds / 2)
        self._limits = aiohttp.ClientTimeout(total=seconds, connect=connect, sock_connect=connect)
        self.wire = Wire(
            dns=context.dns, clock=context.clock, origins=frozenset(configured_origins(context.settings)), total_seconds=seconds,
            connect_seconds=connect, agent=None,
        )  # fmt: skip

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """The reply, if it is a result (2xx); RefusedError otherwise, and what the session raises. `data`: a form, or its bytes."""
        sent = {**(headers or {}), **({"Authorization": _authorization(auth)} if auth else {})}
        if isinstance(data, bytes):
            return await self._post(url, sent, data)
        body = None if data is None else urlencode(data, doseq=True).encode()
        async with self._shared.request(
            method, url, params=params, data=body, headers=sent, timeout=self._limits, allow_redirects=False
        ) as reply:
            text = await _read(reply)
            if not 200 <= reply.status < 300:
                raise RefusedError(Answer(status=reply.status, message=_object(text), after=reply.headers.get("Retry-After")))
            return Response(reply.status, text, reply.headers)

    async def _post(self, url: str, headers: Mapping[str, str], form: bytes) -> Response:
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "Accept-Encoding: identity\r\n"
        reply = await self.wire.post(_target(url), head.encode("latin-1"), form, ANY_STATUS)
        text = reply.body.decode("utf-8", "replace")
        if not 200 <= reply.status < 300:
            raise RefusedError(Answer(status=reply.status, message=_object(text), after=reply.headers.get("retry-after")))
        return Response(reply.status, text, reply.headers)


class Quoted(dict[int, str]):
    """Characters as a form has them, each worked out once: `str.translate` with it is `quote_plus` at half its price."""

    def __missing__(self, point: int) -> str:
        self[point] = found = quote_plus(chr(point))
        return found


QUOTED = Quoted()


@functools.lru_cache(maxsize=8)
def _authorization(auth: tuple[str, str]) -> str:
    return aiohttp.encode_basic_auth(*auth)


@functools.lru_cache(maxsize=8)
def _target(url: str) -> Target:
    parts = urlsplit(url)
    return Target(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme], parts.scheme == "https", parts.netloc, parts.path)


async def _read(reply: aiohttp.ClientResponse) -> str:
    """The body; of a refusal none if it cannot be read: its status says enough."""
    try:
        return (await reply.read()).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError):
        if 400 <= reply.status < 500:
            return ""
        raise


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Messages:
    """The Message resource of the account: what the channel needs of the SDK."""

    def __init__(self, context: Context[Settings]) -> None:
        settings = context.settings
        key = settings.api_key_secret
        self._http = GuardedClient(context)
        self._client = Client(
            username=settings.api_key_sid or settings.account_sid,
            password=(key or settings.auth_token).reveal(),
            account_sid=settings.account_sid,
            http_client=self._http,
            environment=NO_ENVIRONMENT,
        )
        self._client.api.base_url = settings.base_url.rstrip("/")
        self._messages = self._client.api.v2010.account.messages  # loads the SDK's many modules here, not at the first message
        self._uri = self._client.api.v2010.absolute_url(f"/Accounts/{settings.account_sid}/Messages.json")
        sender = {"From": settings.from_} if settings.from_ else {"MessagingServiceSid": settings.messaging_service_sid}
        self._sender = urlencode(sender)

    def close(self) -> None:
        """End the connections that wait."""
        self._http.wire.close()

    async def create(self, *, to: str, body: str, validity: int, callback: str | None) -> Answer:
        """Send one message; `validity` in seconds. Raises what `Wire.post` raises, ValueError for what is no JSON.

        By the SDK's client, below its resource: that would parse the dates of each answer, a quarter of the whole request's CPU time.
        """
        form = f"To={to.translate(QUOTED)}&{self._sender}&ValidityPeriod={validity}&Body={body.translate(QUOTED)}"
        if callback is not None:
            form += f"&StatusCallback={callback.translate(QUOTED)}"
        try:
            reply = await self._client.request_async("POST", self._uri, data=form.encode("ascii"))
        except RefusedError as refused:
            return refused.answer
        made = json.loads(reply.text)
        return Answer(status=reply.status_code, message=made if isinstance(made, dict) else None)

    async def look(self) -> None:
        """Ask for the account's newest message: a key that may send may do that. RefusedError, and what the session raises."""
        await self._messages.list_async(limit=1, page_size=1)

    async def sent_to(self, number: str, since: datetime | None, limit: int) -> list[Any]:
        """The messages to a number, newest first: those sent since an instant, or (None) all. RefusedError, and what the session raises."""
        filters = {} if since is None else {"date_sent_after": since}
        found: list[Any] = await self._messages.list_async(to=number, limit=limit, page_size=limit, **filters)
        return found
