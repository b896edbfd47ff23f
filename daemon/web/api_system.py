"""Web: the daemon about itself: alive, ready, state, metrics, its own description, problem pages, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from daemon import metrics as counted
from daemon.clock import Clock
from daemon.errors import NotFoundError
from daemon.ids import Ids
from daemon.store.read import read_overview
from daemon.store.tokens import SCOPES, SECRET_BYTES, check_scopes, create_token, list_tokens, revoke_token
from daemon.store.writer import Lane, Writes
from daemon.web.access import Access
from daemon.web.addresses import is_loopback
from daemon.web.connection import Connection
from daemon.web.fields import Field
from daemon.web.operations import Operations
from daemon.web.pages import problem_page
from daemon.web.problems import ProblemError
from daemon.web.route import Call, Route, json_answer
from daemon.web.views import overview_json, time, token_json

HTML = "text/html"


class SystemApi:
    """`not_ready()`: why the daemon is not ready, in words; None when it is. `degraded()`: what it does not do for now.
    `document()`: the API's own description."""

    def __init__(
        self, *, store: Writes, operations: Operations, access: Access, clock: Clock, ids: Ids, metrics: counted.Metrics,
        not_ready: Callable[[], str | None], degraded: Callable[[], str | None], document: Callable[[], dict[str, Any]],
    ) -> None:  # fmt: skip
        self._store, self._operations, self._access, self._clock, self._ids = store, operations, access, clock, ids
        self._metrics, self._not_ready, self._degraded, self._document = metrics, not_ready, degraded, document

    def routes(self) -> Sequence[Route]:
        return (*self._open(), *self._tokens(), *self._state())

    def _open(self) -> Sequence[Route]:
        loopback = {401: "No valid token, and not from this machine.", 403: "The token lacks operate:read."}
        return (
            _look("/healthz", "getHealth", self.alive, "The process answers; `degraded`: what it leaves for now.", answer="Health"),
            _look("/readyz", "getReadiness", self.ready, "It takes jobs and may send.", answer="Health", problems={503: "Not ready."}),
            _look(
                "/metrics", "getMetrics", self.metrics, "Prometheus text; without a token from this machine only.", kind="text/plain",
                answer="Text", problems=loopback,
            ),
            _look("/openapi.json", "getDescription", self.describe, "This description."),
            _look("/problems/", "listProblems", self.problems, "All problem types.", kind=HTML, answer="Text"),
            _look(
                "/problems/{type}", "getProblem", self.problem, "What a problem type means.", kind=HTML, answer="Text",
                problems={404: "No such type."},
            ),
        )  # fmt: skip

    def _tokens(self) -> Sequence[Route]:
        name = Field(name="name", about="For the log and for revoking it.", required=True, most=100)
        scopes = Field(name="scopes", kind="texts", required=True, about=f"Of {', '.join(SCOPES)}.", most=40)
        return (
            Route(
                method="GET", path="/v1/tokens", name="listTokens", tag="tokens", scope="admin:read", handler=self.list_tokens,
                answer="Items", summary="All tokens, without their text.",
            ),
            Route(
                method="POST", path="/v1/tokens", name="createToken", tag="tokens", scope="admin:write", handler=self.create_token,
                body=(name, scopes), status=201, answer="NewToken", summary="A new token. Its text is shown this once.",
            ),
            Route(
                method="DELETE", path="/v1/tokens/{name}", name="revokeToken", tag="tokens", scope="admin:write", handler=self.revoke_token,
                summary="Revoke a token.", problems={404: "No token in force has this name."},
            ),
        )  # fmt: skip

    def _state(self) -> Sequence[Route]:
        return (
            Route(
                method="GET", path="/v1/status", name="getStatus", tag="system", scope="operate:read", handler=self.status, answer="Status",
                summary="The state of everything in one answer.",
            ),
            Route(
                method="POST", path="/v1/reload", name="reload", tag="system", scope="admin:write", handler=self.reload,
                summary="Read config and campaigns again; the old ones stay in force if the new ones are wrong.",
                problems={422: "The config is wrong; `errors` has each problem."},
            ),
        )  # fmt: skip

    async def alive(self, _: Call) -> dict[str, Any]:
        return {"ok": True, "degraded": self._degraded()}

    async def ready(self, _: Call) -> dict[str, Any]:
        why = self._not_ready()
        if why is not None:
            raise ProblemError("not-ready", why)
        return {"ok": True}

    async def metrics(self, call: Call) -> web.Response:
        request = call.request
        local = isinstance(request.protocol, Connection) and request.protocol.uid is not None
        if not local and not is_loopback(request):
            await self._access.admit(request, "operate:read")
        return web.Response(body=self._metrics.text(), headers={"Content-Type": counted.CONTENT_TYPE})

    async def describe(self, _: Call) -> web.Response:
        return json_answer(self._document())

    async def problems(self, _: Call) -> web.Response:
        return self._page("")

    async def problem(self, call: Call) -> web.Response:
        return self._page(call.path["type"])

    @staticmethod
    def _page(name: str) -> web.Response:
        page = problem_page(name)
        if page is None:
            raise NotFoundError("there is no such problem type")
        return page

    async def status(self, _: Call) -> dict[str, Any]:
        now = self._clock.instant()
        found = await self._store.read(read_overview, now)
        return {
            **overview_json(found, now),
            "ready": self._not_ready() is None,
            "degraded": self._degraded(),
            "gate": dict(await self._operations.gate()),
            "providers": [dict(item) for item in await self._operations.providers()],
            "notices": [dict(item) for item in await self._operations.notices()],
            "queues": [dict(item) for item in await self._operations.list_queues()],
        }

    async def reload(self, _: Call) -> dict[str, Any]:
        return dict(await self._operations.reload())

    async def list_tokens(self, _: Call) -> dict[str, Any]:
        return {"items": [token_json(row) for row in await self._store.read(list_tokens)]}

    async def create_token(self, call: Call) -> dict[str, Any]:
        scopes = check_scopes(call.body["scopes"])
        now = self._clock.instant()
        secret = self._ids.token_bytes(SECRET_BYTES)
        text = await self._store.write(Lane.BULK, create_token, name=call.body["name"], scopes=scopes, secret=secret, now=now)
        self._access.forget()
        return {"name": call.body["name"], "token": text, "scopes": sorted(scopes), "created_at": time(now)}

    async def revoke_token(self, call: Call) -> dict[str, Any]:
        row = await self._store.write(Lane.EXIT, revoke_token, name=call.path["name"], now=self._clock.instant())
        self._access.forget()
        return token_json(row)


def _look(
    path: str, name: str, handler: Any, summary: str, *, answer: str = "Object", kind: str = "application/json",
    problems: dict[int, str] | None = None,
) -> Route:  # fmt: skip
    return Route(
        method="GET", path=path, name=name, tag="system", scope=None, handler=handler, summary=summary, answer=answer, kind=kind,
        problems=problems or {},
    )  # fmt: skip
