"""Web: tracking in the format of Segment's HTTP API, so that its stock libraries work unchanged with Homing's address.

The write key is an API token with the scope events:write: as the basic-auth user, as `writeKey` in the body, or as a bearer. All that is
JSON is answered with 200 as Segment does, also what means nothing here; what was wrong with a message stands in `errors`.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import hdrs, web

from daemon.clock import Clock
from daemon.intake.tracker import Tracked
from daemon.web.access import Access
from daemon.web.body import chunks, parse_json
from daemon.web.connection import Limits
from daemon.web.problems import ProblemError, row_fault
from daemon.web.route import Call, Route

MOST_BYTES = 500 * 1024
"""Of a request, as Segment's; unpacked, and packed anyway."""
MOST_ERRORS = 100
SCOPE = "events:write"
MEDIA = ("application/json",)
SINGLE = ("identify", "track", "page", "screen", "group", "alias")
ABOUT = {
    "identify": "What a person is like; links its anonymousId.", "track": "Something that a person did.", "page": "A page was viewed.",
    "screen": "A screen was viewed.", "group": "A person's group, as the trait group_id.",
    "alias": "Another id of a person; a recipient of that id becomes this one.",
}  # fmt: skip


class TrackDoor(Protocol):
    """`intake.tracker.Tracker`."""

    async def take(self, items: Sequence[Any], *, kind: str | None = None, sent: Any = None, historical: bool = False) -> Tracked: ...


class TrackApi:
    """The routes of the format."""

    def __init__(self, *, door: TrackDoor, access: Access, clock: Clock, limits: Limits) -> None:
        self._door, self._access, self._clock, self._limits = door, access, clock, limits

    def routes(self) -> Sequence[Route]:
        return (
            *(self._route(kind, f"{ABOUT[kind]} Segment's format.", self._single(kind)) for kind in SINGLE),
            self._route("batch", "Up to 500 KB of messages of Segment's format, 32 KB each, also gzip; bad ones in `errors`.", self.batch),
            self._route("import", "As /v1/batch, of the past: instants are taken as they stand.", self.history),
        )

    def _route(self, word: str, summary: str, handler: Callable[[Call], Any]) -> Route:
        return Route(
            method="POST", path=f"/v1/{word}", name=f"track{word.title()}", tag="events", scope=SCOPE, handler=handler, media=MEDIA,
            summary=summary, answer="Tracked", key_in_body=True,
        )  # fmt: skip

    def _single(self, kind: str) -> Callable[[Call], Any]:
        async def take(call: Call) -> dict[str, Any]:
            body = await self._body(call.request)
            return _answer(await self._door.take([body], kind=kind, sent=body.get("sentAt")))

        return take

    async def batch(self, call: Call) -> dict[str, Any]:
        return await self._many(call, historical=False)

    async def history(self, call: Call) -> dict[str, Any]:
        return await self._many(call, historical=True)

    async def _many(self, call: Call, *, historical: bool) -> dict[str, Any]:
        body = await self._body(call.request)
        items = body.get("batch")
        if not isinstance(items, list):
            raise ProblemError("invalid-json", "the body has no list named batch")
        context = body.get("context")
        if isinstance(context, dict):
            items = [{"context": context, **item} if isinstance(item, dict) else item for item in items]
        done = await self._door.take(items, sent=body.get("sentAt"), historical=historical)
        return {**_answer(done), "rows": done.rows, "kept": done.kept, "known": done.known, "rejected": done.rejected}

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        """The request's object; its sender may write events. The type is not looked at: old libraries name none, or text/plain."""
        if request.headers.get(hdrs.AUTHORIZATION) is not None:
            await self._access.admit(request, SCOPE, key=_basic_user(request))
        raw = b"".join([piece async for piece in chunks(request, self._clock, self._limits, MOST_BYTES)])
        try:
            body = parse_json(_unpacked(raw) if raw.startswith(b"\x1f\x8b") else raw)
            if not isinstance(body, dict):
                raise ProblemError("invalid-json", "the body is not a JSON object")
        except ProblemError:
            await self._admit_by(request, None)
            raise
        await self._admit_by(request, body.get("writeKey"))
        return body

    async def _admit_by(self, request: web.Request, key: object) -> None:
        """By the key in the body, where the head has none."""
        if request.headers.get(hdrs.AUTHORIZATION) is None:
            await self._access.admit(request, SCOPE, key=key if isinstance(key, str) else "")


def _answer(done: Tracked) -> dict[str, Any]:
    """As Segment answers; and what was wrong."""
    errors = [row_fault(error).json() | {"recipient": error.recipient} for error in done.errors[:MOST_ERRORS]]
    return {"success": True} | ({"errors": errors} if errors else {})


def _unpacked(raw: bytes) -> bytes:
    """Of gzip, whatever the head says of it: no more than is allowed."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(raw, MOST_BYTES + 1)
    except zlib.error:
        raise ProblemError("invalid-json", "the body is not whole gzip", close=True) from None
    if len(found) > MOST_BYTES:
        raise ProblemError("too-large", f"a body may have {MOST_BYTES} bytes here", close=True)
    if not unpacker.eof or unpacker.unused_data:
        raise ProblemError("invalid-json", "the body is not whole gzip")
    return found


def _basic_user(request: web.Request) -> str | None:
    """The user's name of HTTP basic auth (RFC 7617)."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None
