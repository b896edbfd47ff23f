"""Web: `/hooks/{provider}`, where providers post what became of messages. Nothing is believed that the provider's plugin does not.

What is answered with 204 is on the disk. 403 for a forged request (counted against its sender), 400 for what cannot be read, 404
where nobody listens, 503 while the store or the provider's plugin is away: providers come again. The plugin is shown the
address as the config has it, since that is what providers sign, and not what a proxy made of it (B51).
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from daemon.clock import Clock
from daemon.feedback.ingest import Ingesting, NotRunningError, UnreadableError
from daemon.links import Links
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.body import read_body
from daemon.web.connection import Limits
from daemon.web.problems import ProblemError
from plugins.feedback import BadSignature, WebhookRequest

BODY_BYTES = 64 * 1024
MOST_PARAMETERS = 100
TOKEN = "t"  # noqa: S105 - the parameter's name
PATH = "/hooks/{provider}"


class HookPages:
    """The handler of the hooks."""

    def __init__(self, *, links: Links, ingesting: Ingesting, clock: Clock, limits: Limits, trusted: Networks) -> None:
        self._links, self._ingesting, self._clock, self._trusted = links, ingesting, clock, trusted
        self._limits = replace(limits, body_bytes=max(limits.body_bytes, BODY_BYTES))
        self._strikes = Strikes(clock, limits.bad_tokens)

    def add_to(self, app: web.Application) -> None:
        app.router.add_route(hdrs.METH_GET, PATH, self.take)
        app.router.add_route(hdrs.METH_POST, PATH, self.take)

    async def take(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        try:
            self._ingesting.find(provider)
            await self._ingesting.take(provider, await self._read(request, provider))
        except NotRunningError as error:
            raise ProblemError("not-ready", str(error), close=True) from None
        except BadSignature:
            raise self._forged(request) from None
        except UnreadableError:
            raise ProblemError(400, "the provider's plugin cannot read this request") from None
        return web.Response(status=204)

    async def _read(self, request: web.Request, provider: str) -> WebhookRequest:
        """The request as the provider sent it. UnreadableError for a query of too many parameters."""
        body = await read_body(request, self._clock, self._limits) if request.can_read_body else b""
        _, mark, query = request.raw_path.partition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise UnreadableError from None
        tokens = [value for name, value in pairs if name == TOKEN]
        return WebhookRequest(
            method=request.method,
            url=self._links.hook_url(provider) + mark + query,
            headers={name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers},
            query=tuple(pairs),
            body=body,
            delivery=self._links.read_hook(tokens[0]) if len(tokens) == 1 else None,
            received_at=self._clock.now(),
        )

    def _forged(self, request: web.Request) -> ProblemError:
        wait = self._strikes.strike(client_of(request, self._trusted))
        if wait:
            return ProblemError("rate-limited", "too many forged requests", headers={"Retry-After": str(round(wait))})
        return ProblemError("forbidden", "the provider did not sign this request")
