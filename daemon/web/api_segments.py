"""Web: segments: what there is, who is in one now, evaluate, and import a list."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Protocol

from daemon.audience.segment_desk import Taken
from daemon.clock import Clock
from daemon.model.delivery import Instant
from daemon.web.body import media_type, read_body
from daemon.web.connection import Limits
from daemon.web.fields import Field
from daemon.web.problems import Fault, ProblemError, invalid
from daemon.web.route import Call, Route

LINES = "application/x-ndjson"
MOST_ROWS = 1000
MISSING = {404: "There is no such segment."}


class SegmentsDoor(Protocol):
    """`audience.segment_desk.SegmentDesk`."""

    async def list(self) -> Sequence[dict[str, Any]]: ...
    async def preview(self, name: str, limit: int, /) -> dict[str, Any]: ...
    async def evaluate(self, names: Sequence[str], /) -> dict[str, int]: ...
    async def take(self, name: str, recipients: Sequence[str], since: Instant | None, /, *, last: bool, replace: bool) -> Taken: ...


class SegmentsApi:
    """The routes."""

    def __init__(self, *, door: SegmentsDoor, clock: Clock, limits: Limits) -> None:
        self._door, self._clock, self._limits = door, clock, limits

    def routes(self) -> Sequence[Route]:
        names = Field(name="segments", kind="texts", most=63, about="Only these; without it all.")
        limit = Field(name="limit", kind="integer", least=0, most=100, about="How many of them to show (default 10).")
        whole = (
            Field(name="since", kind="integer", most=1 << 62, about="`since` of the first piece's answer."),
            Field(name="last", kind="boolean", about="No piece comes after this one."),
            Field(name="replace", kind="boolean", about="With the last piece: whoever was in none of them leaves the list."),
        )
        return (
            Route(
                method="GET", path="/v1/segments", name="listSegments", tag="segments", scope="recipients:read", handler=self.list,
                answer="Items", summary="All segments: their conditions, schedules, and how many were in them when last evaluated.",
            ),
            Route(
                method="GET", path="/v1/segments/{name}/preview", name="previewSegment", tag="segments", scope="recipients:read",
                handler=self.preview, query=(limit,), problems=MISSING,
                summary="How many match a segment's condition now, and some of them. Changes nothing.",
            ),
            Route(
                method="POST", path="/v1/segments/evaluate", name="evaluateSegments", tag="segments", scope="recipients:write",
                handler=self.evaluate, body=(names,), problems=MISSING,
                summary="Evaluate now, whatever the schedules say: people enter and leave, each with an event. Answers when it is done.",
            ),
            Route(
                method="POST", path="/v1/segments/{name}/import", name="importSegment", tag="segments", scope="recipients:write",
                handler=self.take, media=(LINES,), query=whole, problems={422: "The segment has a condition."},
                summary="Put recipients into an imported list: an id in quotes, or an object with `id`, a line; up to 1,000 a piece.",
            ),
        )  # fmt: skip

    async def list(self, _: Call) -> dict[str, Any]:
        return {"items": list(await self._door.list())}

    async def preview(self, call: Call) -> dict[str, Any]:
        return await self._door.preview(call.path["name"], int(call.query.get("limit", 10)))

    async def evaluate(self, call: Call) -> dict[str, Any]:
        return {"members": await self._door.evaluate(call.body.get("segments", ()))}

    async def take(self, call: Call) -> dict[str, Any]:
        media_type(call.request, (LINES,))
        body = await read_body(call.request, self._clock, self._limits)
        found = [_id(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(found) > MOST_ROWS:
            raise ProblemError("too-large", f"a piece has at most {MOST_ROWS} recipients")
        query = call.query
        done = await self._door.take(
            call.path["name"], found, query.get("since"), last=bool(query.get("last")), replace=bool(query.get("replace"))
        )
        return dataclasses.asdict(done)


def _id(number: int, line: bytes) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    found = value.get("id") if isinstance(value, dict) else value
    if not isinstance(found, str) or not 0 < len(found) <= 200:
        raise invalid([Fault(pointer="", line=number, code="id", detail="must be an id in quotes, or an object with an id")])
    return found
