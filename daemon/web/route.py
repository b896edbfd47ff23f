"""Web: a route of the API as data: who may call it, what it takes, what it answers. The router and `openapi` both read it.

A handler gets a `Call` whose caller, query and body were checked, and gives JSON or a response of its own; what it raises
becomes a problem in `answering`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import hdrs, web

from daemon.clock import Clock
from daemon.web.access import Access, Caller
from daemon.web.answering import CALLER
from daemon.web.body import media_type, parse_json, read_body
from daemon.web.connection import Connection, Limits
from daemon.web.fields import Field, check_fields, check_query
from daemon.web.problems import answer

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One checked request. `query` and `body` hold what was given, as `Field.check` gave it."""

    request: web.Request
    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def limit(self) -> int:
        return int(self.query.get("limit", 100))


Handler = Callable[[Call], Awaitable[web.StreamResponse | Mapping[str, Any]]]
NOBODY = Caller(name="anyone", scopes=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`scope` None = open to all. `body`: fields of a JSON object; `media`: types of a raw body that the handler reads itself;
    neither = no body. `answer`: name of the schema in `openapi`; `kind`: media type of the answer."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    scope: str | None
    tag: str
    query: Sequence[Field] = ()
    body: Sequence[Field] | None = None
    media: Sequence[str] = ()
    status: int = 200
    answer: str = "Object"
    kind: str = JSON
    problems: Mapping[int, str] = field(default_factory=dict)
    """Further statuses that the handler itself answers, with a word on when."""
    key_in_body: bool = False
    """The token may stand in the body: the handler itself asks `Access`, once it has read it."""


class Routing:
    """Makes aiohttp routes of `Route`s."""

    def __init__(self, *, access: Access, clock: Clock, limits: Limits) -> None:
        self._access, self._clock, self._limits = access, clock, limits

    def add(self, app: web.Application, routes: Sequence[Route]) -> None:
        for route in routes:
            app.router.add_route(route.method, route.path, self._wrap(route), expect_handler=_expect)
            if route.method == hdrs.METH_GET:
                app.router.add_route(hdrs.METH_HEAD, route.path, self._wrap(route), expect_handler=_expect)

    def _wrap(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = await self._access.admit(request, route.scope) if route.scope and not route.key_in_body else NOBODY
            request[CALLER] = caller.name
            query = check_query(request, route.query)
            body = await self._body(route, request)
            found = await route.handler(Call(request=request, caller=caller, path=request.match_info, query=query, body=body))
            return found if isinstance(found, web.StreamResponse) else json_answer(found, route.status)

        return handle

    async def _body(self, route: Route, request: web.Request) -> Mapping[str, Any]:
        """The fields. Not looked at: a body where none is meant; none where every field may be left out."""
        if route.media or route.body is None:
            return {}
        if not request.can_read_body and not any(item.required for item in route.body):
            return {}
        media_type(request, (JSON,))
        return check_fields(parse_json(await read_body(request, self._clock, self._limits)), route.body)


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """`Expect: 100-continue` is the only one there is (RFC 9110 10.1.1)."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        response = answer(417, "only Expect: 100-continue is known", instance="/", request_id="")
        response.force_close()
        if isinstance(request.protocol, Connection):  # aiohttp asks this before any middleware
            request.protocol.done(last=True)
        return response
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # what was sent so far is no answer
    return None


def json_answer(value: Any, status: int = 200) -> web.Response:
    """JSON as it goes out."""
    return web.Response(status=status, body=json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), content_type=JSON)
