"""Web: what browsers reach under `/push/`: the two scripts, our public key, registering and leaving, a click.

A page of another site may call only if the provider's `origins` name it. Nothing is believed but tokens of ours and endpoints that are
known; what is neither is counted against its sender, as with links (B50). No cookies are used, so nothing rides on a visitor's session.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from aiohttp import web

from daemon.clock import Clock
from daemon.feedback.push import BadSubscriptionError, NoPushError, Pushing
from daemon.store.push import Subscribed
from daemon.web.addresses import Networks, Strikes, client_of
from daemon.web.body import media_type, parse_json, read_body
from daemon.web.connection import Limits
from daemon.web.fields import Field, check_fields
from daemon.web.problems import ProblemError
from daemon.web.route import JSON, json_answer

PREFIX = "/push/"
SCRIPT = "text/javascript"
_TOKEN = Field(name="token", about="Whose browser it is.", most=100)
_SUBSCRIPTION = Field(name="subscription", about="What PushSubscription.toJSON() gives.", kind="object", required=True)
JOIN = (
    _TOKEN,
    _SUBSCRIPTION,
    Field(name="old", about="The endpoint that it takes the place of; in place of a token.", most=2000),
    Field(name="source", about="Where its person agreed.", most=300),
    Field(name="text", about="The words that they agreed to.", most=500),
    Field(name="again", about="The page tells of a browser that agreed before: no new consent.", kind="boolean"),
)
LEAVE = (Field(name="endpoint", about="The subscription's endpoint.", required=True, most=2000),)
CLICK = (
    Field(name="token", about="The delivery's.", required=True, most=100),
    Field(name="action", about="The button.", most=100),
)


class PushPages:
    """Handlers of the public listener. `home`: our public address, as the scripts of other sites reach us."""

    def __init__(self, *, pushing: Pushing, home: str, clock: Clock, limits: Limits, trusted: Networks) -> None:
        self._pushing, self._clock, self._limits, self._trusted = pushing, clock, limits, trusted
        self._strikes = Strikes(clock, limits.bad_tokens)
        self._scripts = {name: script(name, home) for name in ("subscribe.js", "worker.js")}

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(PREFIX + "subscribe.js", self.subscribe_script)
        app.router.add_get(PREFIX + "worker.js", self.worker_script)
        app.router.add_get(PREFIX + "key", self.key)
        app.router.add_post(PREFIX + "subscriptions", self.join)
        app.router.add_delete(PREFIX + "subscriptions", self.leave)
        app.router.add_post(PREFIX + "clicks", self.click)
        for path in ("key", "subscriptions", "clicks"):
            app.router.add_options(PREFIX + path, self.preflight)
        app.on_response_prepare.append(self._allow)

    async def subscribe_script(self, _: web.Request) -> web.Response:
        return _script(self._scripts["subscribe.js"], {"Cache-Control": "public, max-age=3600"})

    async def worker_script(self, _: web.Request) -> web.Response:
        """Browsers look for a new one by themselves; a worker under `/push/` may be registered for the whole site."""
        return _script(self._scripts["worker.js"], {"Cache-Control": "no-cache", "Service-Worker-Allowed": "/"})

    async def key(self, _: web.Request) -> web.Response:
        try:
            return json_answer({"key": self._pushing.public_key()})
        except NoPushError:
            raise _no_push() from None

    async def join(self, request: web.Request) -> web.Response:
        """201: registered. 200: told again, and withdrawn since: nothing is registered. 404: token or old endpoint is not known. 422: no
        subscription that we could push to."""
        body = await self._body(request, JOIN)
        if ("token" in body) == ("old" in body):
            raise ProblemError(422, "give a token, or the old endpoint")
        try:
            done = await self._join(body, request.headers.get("User-Agent", ""))
        except NoPushError:
            raise _no_push() from None
        except BadSubscriptionError:
            self._strike(request)
            raise
        if done is None:
            raise self._unknown(request, "the token is not ours or too old, or nobody knows the old endpoint")
        if done.withdrawn:
            return json_answer({"subscriptions": done.total, "withdrawn": True})
        return json_answer({"subscriptions": done.total}, 201)

    async def _join(self, body: Mapping[str, Any], user_agent: str) -> Subscribed | None:
        if "old" in body:
            return await self._pushing.replace(body["old"], body["subscription"], user_agent=user_agent)
        return await self._pushing.join(
            body["token"], body["subscription"], source=f"push:{body.get('source', 'page')}", text=body.get("text"), user_agent=user_agent,
            again=body.get("again", False),
        )  # fmt: skip

    async def leave(self, request: web.Request) -> web.Response:
        """204, also when it is gone already: who asks to be left alone is answered with yes."""
        body = await self._body(request, LEAVE)
        if not await self._pushing.leave(body["endpoint"], source="push:page"):
            self._strike(request)
        return web.Response(status=204)

    async def click(self, request: web.Request) -> web.Response:
        body = await self._body(request, CLICK)
        if not await self._pushing.click(body["token"], body.get("action")):
            raise self._unknown(request, "the token is not ours")
        return web.Response(status=204)

    async def preflight(self, request: web.Request) -> web.Response:
        """What a browser asks before a page of another site may call (Fetch, CORS protocol)."""
        headers = {}
        if request.headers.get("Origin") in self._pushing.origins():
            headers = {
                "Access-Control-Allow-Methods": "GET, POST, DELETE", "Access-Control-Allow-Headers": "Content-Type",
                "Access-Control-Max-Age": "3600",
            }  # fmt: skip
        return web.Response(status=204, headers=headers)

    async def _allow(self, request: web.Request, response: web.StreamResponse) -> None:
        """Also on problems: a page must be able to read what was wrong."""
        if not request.path.startswith(PREFIX):
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin is not None and origin in self._pushing.origins():
            response.headers["Access-Control-Allow-Origin"] = origin

    async def _body(self, request: web.Request, fields: tuple[Field, ...]) -> Mapping[str, Any]:
        media_type(request, (JSON,))
        return check_fields(parse_json(await read_body(request, self._clock, self._limits)), fields)

    def _strike(self, request: web.Request) -> None:
        """ProblemError (429) after too many."""
        wait = self._strikes.strike(client_of(request, self._trusted))
        if wait:
            raise ProblemError("rate-limited", "too many requests that we do not know", headers={"Retry-After": str(round(wait))})

    def _unknown(self, request: web.Request, detail: str) -> ProblemError:
        self._strike(request)
        return ProblemError("not-found", detail)


def script(name: str, home: str) -> bytes:
    """A script as it goes out, with our public address in it."""
    text = files("daemon.web").joinpath("push", name).read_text(encoding="utf-8")
    return text.replace('"@HOME@"', json.dumps(home.rstrip("/"))).encode()


def _script(content: bytes, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=content, content_type=SCRIPT, charset="utf-8", headers={**headers, "Cross-Origin-Resource-Policy": "cross-origin"}
    )  # fmt: skip


def _no_push() -> ProblemError:
    return ProblemError("not-ready", "no provider takes subscriptions now")
