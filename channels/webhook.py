"""Posts each message as signed JSON to an address of yours: a letter shop, a call list, a WhatsApp gateway.

    [providers.letters]
    plugin = "webhook"
    url = "https://letters.example.com/homing"
    secret = { credential = "letters" }
    channel = "letter"     # what it stands in for; default "webhook"
    idempotent = 86400     # seconds for which the other side honours `webhook-id`; default 0: it does not

Signed as Standard Webhooks 1.0 has it: `webhook-id` (the delivery's id, the same at each try: the idempotency key),
`webhook-timestamp`, `webhook-signature: v1,BASE64(HMAC-SHA256(secret, id.timestamp.body))`. What the other side answers:
2xx taken · 410 the address is gone · 429, 503 later · other 4xx refused (401, 403 and 407 stop the provider as well) · 5xx, or
nothing: in doubt. Takes messages from the daemon through the plugin socket, knows nothing else of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from plugins import (
    Accepted,
    Capabilities,
    Context,
    Deferred,
    Message,
    Outcome,
    Rejected,
    Secret,
    SettingError,
    SimpleChannel,
    hookimpl,
    http,
)  # fmt: skip
from plugins.signing import fault_of_secret, keys_of, signed_headers
from plugins.standing import address_of, fault_of_channel

if TYPE_CHECKING:
    from datetime import datetime

    import aiohttp

KIND = "message.send"
MOST_AT_ONCE = 256
LONGEST_KEY = 30 * 86_400.0
STOPS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`url`: where to post · `secret`: 16 characters or more, or `whsec_` with base64 · `old_secret`: signs as well while the other side
    changes over · `insecure`: allow http: to another machine · `idempotent`: seconds for which the other side takes a second
    request under the same `webhook-id` for the first one; then a doubt is asked again instead of left to you."""

    url: str
    secret: Secret
    old_secret: Secret | None = None
    channel: str = "webhook"
    concurrency: int = 8
    idempotent: float = 0.0
    insecure: bool = False

    def __post_init__(self) -> None:
        faults = [fault for fault in (self._fault_of_url(), *self._other_faults()) if fault is not None]
        if faults:
            raise ExceptionGroup("webhook", faults)

    def _fault_of_url(self) -> SettingError | None:
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            return SettingError("url", str(error))
        if parts.scheme not in ("http", "https") or not host or port == 0:
            return SettingError("url", f'must be an address such as "https://letters.example.com/homing" (got "{self.url}")')
        if parts.username is not None or parts.fragment:
            return SettingError("url", "must have neither user nor fragment: the request is signed with `secret`")
        if parts.scheme == "http" and not self.insecure and not http.is_loopback(host):
            return SettingError("url", "must begin with https: the body names people (insecure = true allows http:)")
        return None

    def _other_faults(self) -> list[SettingError | None]:
        life = 0 <= self.idempotent <= LONGEST_KEY
        return [
            _fault_of_secret("secret", self.secret),
            _fault_of_secret("old_secret", self.old_secret),
            fault_of_channel(self.channel, "letter or call"),
            None if 1 <= self.concurrency <= MOST_AT_ONCE else SettingError("concurrency", f"must be 1 to {MOST_AT_ONCE}"),
            None if life else SettingError("idempotent", f"must be 0 to {LONGEST_KEY:.0f} seconds"),
        ]


class Webhook(SimpleChannel[Settings]):
    """One POST a message."""

    name, channel, address, settings_type = "webhook", "webhook", "recipient", Settings

    @classmethod
    def stands_for(cls, settings: Settings) -> tuple[str, str]:
        """The channel and the address that this provider stands in for."""
        return settings.channel, address_of(settings.channel)

    async def start(self, context: Context[Settings]) -> None:
        settings = context.settings
        self.capabilities = Capabilities(concurrency=settings.concurrency, idempotent=settings.idempotent)
        self._keys = keys_of(settings.secret, settings.old_secret)
        await super().start(context)

    async def send_one(self, message: Message) -> Outcome:
        body = body_of(message)
        at = str(int(self.clock.now().timestamp()))
        headers = signed_headers(self._keys, message.id, at, body)
        async with self.http.post(self.settings.url, data=body, headers=headers) as reply:
            return outcome_of(reply)


def outcome_of(reply: aiohttp.ClientResponse) -> Outcome:
    """What a status says; the body is not read: nothing is expected in it."""
    status, code, after = reply.status, str(reply.status), reply.headers.get("Retry-After")
    if 200 <= status < 300:
        return Accepted(provider_id=reply.headers.get("webhook-id"))
    if status == HTTPStatus.GONE:
        return Rejected(scope="address", code=code)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return Deferred(scope="provider", after=after, code=code, throttled=status == HTTPStatus.TOO_MANY_REQUESTS)
    if status in STOPS:
        return Rejected(scope="operator", code=code, detail="the other side refuses our signature: see `secret`")
    if 400 <= status < 500:
        return Rejected(scope="message", code=code)
    return http.outcome_of(reply)


def body_of(message: Message) -> bytes:
    """The request's body: compact JSON, UTF-8. Instants are ISO 8601 in UTC; what is not there is null or empty."""
    data = {
        "delivery": message.id, "recipient": message.recipient, "address": message.address, "channel": message.channel,
        "campaign": message.campaign, "step": message.step, "variant": message.variant, "locale": message.locale,
        "subject": message.subject, "text": message.text, "html": message.html, "head": dict(message.head),
        "unsubscribe_url": message.unsubscribe_url, "expires_at": _iso(message.expires_at), "attempt": message.attempt,
        "copy": message.copy, "test": message.test,
    }  # fmt: skip
    whole = {"type": KIND, "id": message.id, "timestamp": _iso(message.created_at), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fault_of_secret(key: str, secret: Secret | None) -> SettingError | None:
    fault = fault_of_secret(secret) if secret is not None else None
    return SettingError(key, fault) if fault is not None else None


@hookimpl
def register_channels() -> list[type[Webhook]]:
    return [Webhook]
