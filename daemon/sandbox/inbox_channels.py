"""The inbox's pages beside the mail: SMS with their segments, pushes as a browser decrypted them, audiences with their members.

Reads what the local providers keep, changes nothing but one thing: a new browser can be made, to be subscribed by hand. What is
shown is hostile input; the templates escape it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from daemon.sandbox.ads import NETWORKS, AdsServer
from daemon.sandbox.push import PushService
from daemon.sandbox.twilio import TwilioServer

SHOWN = 200
"""Rows of a page; the newest."""
Render = Callable[..., web.Response]


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    path: str
    count: int


class ChannelPages:
    """The routes of those providers that there are. `render(template, **values)` makes a page."""

    def __init__(self, render: Render, *, sms: TwilioServer | None, push: PushService | None, ads: AdsServer | None) -> None:
        self._render, self._sms, self._push, self._ads = render, sms, push, ads

    def tabs(self) -> Sequence[Tab]:
        """What the head of each page links to."""
        found = []
        if self._sms is not None:
            found.append(Tab("SMS", "/sms", len(self._sms.messages)))
        if self._push is not None:
            found.append(Tab("Web push", "/push", len(self._push.pushes)))
        if self._ads is not None:
            found.append(Tab("Audiences", "/audiences", sum(len(self._ads.names(network)) for network in NETWORKS)))
        return found

    def routes(self) -> list[web.RouteDef]:
        routes = []
        if self._sms is not None:
            routes.append(web.get("/sms", self._serve(self.sms)))
        if self._push is not None:
            routes += [web.get("/push", self._serve(self.push)), web.post("/push", self.browser)]
        if self._ads is not None:
            routes.append(web.get("/audiences", self._serve(self.audiences)))
            routes.append(web.get("/audiences/{network}/{name}", self._serve(self.members)))
        return routes

    def _serve(self, page: Callable[[web.Request], web.Response]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            return page(request)

        return serve

    def sms(self, request: web.Request) -> web.Response:
        assert self._sms is not None  # noqa: S101 - the route is there
        search = request.query.get("q", "")[:200]
        wanted = search.casefold()
        found = [each for each in self._sms.messages if wanted in f"{each.entry.to} {each.entry.body} {each.entry.sid}".casefold()]
        segments = sum(each.entry.segments for each in found)
        return self._render("sms.html", here="/sms", messages=found[:SHOWN], found=len(found), segments=segments, search=search)

    def push(self, _: web.Request) -> web.Response:
        return self._pushes(None)

    def _pushes(self, browser: str | None) -> web.Response:
        assert self._push is not None  # noqa: S101 - the route is there
        shown = [(push, words_of(push.payload)) for push in self._push.pushes[: -SHOWN - 1 : -1]]
        return self._render("push.html", here="/push", pushes=shown, refused=self._push.refused[-20:], browser=browser)

    async def browser(self, request: web.Request) -> web.Response:
        """A new browser's subscription, for `PUT /v1/recipients/ID/push`. Only from this page itself."""
        assert self._push is not None  # noqa: S101 - the route is there
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="another site's page may not do that\n")
        return self._pushes(json.dumps(self._push.new_subscription(), indent=1))

    def audiences(self, _: web.Request) -> web.Response:
        assert self._ads is not None  # noqa: S101 - the route is there
        rows = [(network, name, len(self._ads.members(network, name))) for network in NETWORKS for name in self._ads.names(network)]
        asked = [(network, entry) for network in NETWORKS for entry in self._ads.log(network)[-20:]]
        return self._render("audiences.html", here="/audiences", audiences=rows, asked=asked, breaches=self._ads.breaches)

    def members(self, request: web.Request) -> web.Response:
        assert self._ads is not None  # noqa: S101 - the route is there
        network, name = request.match_info["network"], request.match_info["name"]
        if network not in NETWORKS or name not in self._ads.names(network):
            raise web.HTTPNotFound(text="no such audience\n")
        found = sorted(self._ads.members(network, name))
        values: dict[str, Any] = {"network": network, "audience": name, "count": len(found), "members": found[:SHOWN]}
        return self._render("audience.html", here="/audiences", **values)


def words_of(payload: Any) -> Mapping[str, Any]:
    """What a browser would show of a push; a payload that is none of ours is shown as it is."""
    if not isinstance(payload, dict):
        return {"title": "", "body": json.dumps(payload, ensure_ascii=False), "url": "", "actions": []}
    actions = payload.get("actions")
    titles = [each.get("title", "") if isinstance(each, dict) else str(each) for each in actions] if isinstance(actions, list) else []
    return {**{key: payload.get(key, "") for key in ("title", "body", "url")}, "actions": titles}
