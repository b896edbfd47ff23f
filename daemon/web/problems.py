"""Web: what is answered when a request fails: `application/problem+json` (RFC 9457) with a closed list of types.

Each type is a page that the daemon serves at `/problems/TYPE`. A failure that HTTP itself names (405, 408, 422 of a parameter,
431, 500) has the type `about:blank`, as RFC 9457 asks: it says no more than its status. Texts never repeat what was sent, and a
traceback goes to the log, found by `request_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from daemon.errors import (
    ConfigError,
    GuardRefusedError,
    HomingError,
    IntakeError,
    NotFoundError,
    StateHeldError,
    StoreBrokenError,
    StoreUnavailableError,
    UsageError,
)

CONTENT_TYPE = "application/problem+json"
BLANK = "about:blank"
RETRY_SECONDS = 5
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """A problem type: its status, its title, and what its page advises."""

    status: int
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "invalid-json": Kind(400, "The body cannot be read", "Send one JSON value in UTF-8, without repeated keys, NaN or deep nesting."),
    "invalid-job": Kind(422, "The job is not valid", "`errors` names each field. Correct them and send the job again under the same id."),
    "job-conflict": Kind(409, "Another job has this id", "A job's id may be sent again only with the same content. Choose a new id."),
    "unknown-queue": Kind(422, "There is no such queue", "Name one of [queues] in config.toml; `homing queue list` shows them."),
    "unknown-campaign": Kind(422, "There is no such campaign", "Name one that `homing campaigns list` shows, or give the queue one."),
    "too-large": Kind(413, "The body is too large", "Split it; jobs have the limits of [intake] in config.toml."),
    "unauthorized": Kind(401, "A valid token is needed", "Send `Authorization: Bearer TOKEN`; `homing token create` makes one."),
    "forbidden": Kind(403, "The token lacks the scope", "Make a token with the scope that the API's description names."),
    "not-found": Kind(404, "There is nothing here", "The path is unknown, or what it names does not exist."),
    "unsupported-media-type": Kind(415, "The body's type is not supported", "`Accept` in the answer lists the types; compress nothing."),
    "rate-limited": Kind(429, "Too many requests", "Wait for as many seconds as `Retry-After` says."),
    "not-ready": Kind(503, "Not ready", "Starting, stopping, or the store is out of reach. Try again after `Retry-After` seconds."),
    "guard-refused": Kind(409, "A guard rail says no", "`detail` names the count or the command that would allow it."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong: `pointer` a JSON pointer into the body, or the parameter's name; `line` of a job's body."""

    code: str
    detail: str
    pointer: str | None = None
    line: int | None = None

    def json(self) -> dict[str, Any]:
        return {"pointer": self.pointer, "line": self.line, "code": self.code, "detail": self.detail}


class ProblemError(Exception):
    """Raised by handlers to be answered. `kind`: a key of `KINDS`, or a status code for `about:blank`."""

    def __init__(
        self, kind: str | int, detail: str, *, errors: Iterable[Fault] = (), headers: Mapping[str, str] | None = None, close: bool = False
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors = kind, detail, tuple(errors)
        self.headers = dict(headers or {})
        self.close = close
        """What is left of the request is not read: the connection ends with the answer."""


def invalid(faults: Sequence[Fault], *, where: str = "the request") -> ProblemError:
    """422 for parameters and fields that are wrong."""
    return ProblemError(422, f"{where} is not valid: {faults[0].detail}", errors=faults)


def answer(
    kind: str | int, detail: str, *, instance: str, request_id: str, errors: Iterable[Fault] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """The response that says so."""
    known = KINDS[kind] if isinstance(kind, str) else None
    status = known.status if known else int(kind)
    faults = list(errors)
    body = {
        "type": f"/problems/{kind}" if known else BLANK,
        "title": known.title if known else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
        "errors": [fault.json() for fault in faults[:MOST_ERRORS]],
    }
    extra = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}
    if status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="homing"'
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")  # half a pair of surrogates stays its escape
    return web.Response(status=status, body=text, content_type=CONTENT_TYPE, headers={**extra, **(headers or {})})


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an error of ours, or aiohttp's own, is answered with; None if it is a fault of the daemon."""
    if isinstance(error, ProblemError):
        return error
    return _of_ours(error) if isinstance(error, HomingError) else _of_http(error)


def _of_http(error: Exception) -> ProblemError | None:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ProblemError(405, f"this path answers {allowed}", headers={"Allow": allowed})
        case web.HTTPNotFound():
            return ProblemError("not-found", "there is nothing at this path")
        case web.HTTPException() if error.status >= 400:
            return ProblemError(error.status, HTTPStatus(error.status).phrase)
        case web.RequestPayloadError():
            return ProblemError(400, "the body broke off or is not encoded as its head says", close=True)
        case _:
            return None


def _of_ours(error: HomingError) -> ProblemError:
    match error:
        case IntakeError():
            kind = error.type if error.type in KINDS else "invalid-job"
            return ProblemError(kind, error.detail, errors=map(row_fault, error.errors), close=kind == "too-large")
        case NotFoundError():
            return ProblemError("not-found", str(error))
        case GuardRefusedError():
            return ProblemError("guard-refused", str(error))
        case StateHeldError() | StoreUnavailableError() | StoreBrokenError():
            return ProblemError("not-ready", "the store cannot be reached now")
        case ConfigError():
            faults = [Fault(code="config", detail=str(problem), pointer=problem.key) for problem in error.problems]
            return ProblemError(422, "the configuration is wrong; the old one stays in force", errors=faults)
        case UsageError():
            return ProblemError(422, str(error))
        case _:
            return ProblemError(500, str(error))


def row_fault(error: object) -> Fault:
    """A `RowError` of intake (or what has its fields) as the contract shows it."""
    field = getattr(error, "field", None)
    pointer = getattr(error, "pointer", None) or (f"/{field}" if field else None)
    code, detail = getattr(error, "code", "invalid"), getattr(error, "detail", str(error))
    return Fault(code=code, detail=detail, pointer=pointer, line=getattr(error, "line", None))
