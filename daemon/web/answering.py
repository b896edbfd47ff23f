"""Web: around each request of a listener: its id, its deadline, its problem if it fails, its line in the metrics.

The one place where errors become answers. What nobody foresaw is logged with the request's id and answered as 500 without a word
of it.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from daemon.clock import Clock
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.web.connection import Connection
from daemon.web.problems import ProblemError, answer, problem_of
from plugins.contract import Log

REQUEST_ID = web.RequestKey("request_id", str)
CALLER = web.RequestKey("caller", str)
MOST_PATH = 200


class Answering:
    """The outermost middleware of a listener, and the maker of its problems."""

    def __init__(self, name: str, *, clock: Clock, ids: Ids, metrics: Metrics, log: Log) -> None:
        self._name, self._clock, self._ids, self._metrics, self._log = name, clock, ids, metrics, log

    def problem(self, status: int, detail: str) -> web.Response:
        """A problem outside any request that could be read."""
        request_id = self._ids.nonce()
        kind = {413: "too-large", 429: "rate-limited", 503: "not-ready"}.get(status, status)
        response = answer(kind, detail, instance="/", request_id=request_id)
        response.headers["X-Request-Id"] = request_id
        return response

    def middleware(self) -> Middleware:
        @web.middleware
        async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = request.protocol if isinstance(request.protocol, Connection) else None
            if connection is not None:
                connection.begun()
            request[REQUEST_ID] = request_id = self._ids.nonce()
            started = self._clock.monotonic()
            status, last = 500, True
            try:
                response = await self._answer(request, handler)
                status = response.status
                if not request.content.is_eof() and not response.prepared:
                    response.force_close()  # answered before the body was in: what still comes is no next request
                last = response.keep_alive is False
            finally:
                if connection is not None:
                    connection.done(last=last)
                self._count(request, status, self._clock.monotonic() - started)
            if not response.prepared:
                response.headers["X-Request-Id"] = request_id
                response.headers["Server"] = "homing"
                response.headers.setdefault("Cache-Control", "no-store")
                response.headers.setdefault("X-Content-Type-Options", "nosniff")
            return response

        return around

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_clear(request)
            return await handler(request)
        except (ConnectionError, TimeoutError):
            raise  # the peer is gone, or an act of ours took too long: aiohttp ends the line
        except Exception as error:  # noqa: BLE001  supervision: one request's failure is its answer
            problem = problem_of(error)
            if problem is None:
                self._log.error("request_failed", request_id=request[REQUEST_ID], route=route_of(request), exc_info=error)
                problem = ProblemError(500, "an error inside Homing; its log has the request_id")
            instance = quote(request.path[:MOST_PATH])
            response = answer(
                problem.kind, problem.detail, instance=instance, request_id=request[REQUEST_ID], errors=problem.errors,
                headers=problem.headers,
            )  # fmt: skip
            if problem.close:
                response.force_close()
            return response

    def _count(self, request: web.Request, status: int, seconds: float) -> None:
        route = route_of(request)
        self._metrics.request(self._name, route, request.method if route else "?", status, seconds)
        if route and request.method not in ("GET", "HEAD"):
            self._log.info(
                "request", listener=self._name, route=route, method=request.method, status=status, request_id=request[REQUEST_ID],
                caller=request.get(CALLER), ms=round(seconds * 1000, 1),
            )  # fmt: skip


def route_of(request: web.Request) -> str:
    """The route's pattern, "" for a path that is none: labels stay bounded."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _check_clear(request: web.BaseRequest) -> None:
    """What two servers in a row could read differently is how requests are smuggled past proxies. RFC 9112 3.2: HTTP/1.1 needs
    exactly one Host; 6.1: a transfer coding that we do not decode would leave the body's end to guess."""
    coded = [value.strip().lower() for value in request.headers.getall("Transfer-Encoding", [])]
    if coded not in ([], ["chunked"]):
        raise ProblemError(400, "Transfer-Encoding may be chunked and nothing else", close=True)
    if len(request.headers.getall("Host", [])) != 1 and request.version >= (1, 1):
        raise ProblemError(400, "a request of HTTP/1.1 has one Host field", close=True)
