"""Web: the suppression list: addresses come in and are kept as hashes; one can be lifted; the hashes can be read."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from typing import Any, Protocol

from daemon.clock import Clock
from daemon.intake.suppressing import REASONS, Taken
from daemon.store.suppressions import ALL, MARKETING, SuppressionRow
from daemon.web.body import chunks, media_type
from daemon.web.connection import Limits
from daemon.web.fields import PAGING, Cursors, Field
from daemon.web.route import Call, Route
from daemon.web.views import time

LIST = "suppressions"
MEDIA = ("application/x-ndjson", "text/plain")
DEFAULTS = (
    Field(name="channel", about="Where a line names none: email for e-mail addresses, all (*) for phone numbers.", most=32),
    Field(name="scope", about="Where a line names none: all.", choices=(MARKETING, ALL)),
    Field(name="reason", about="Where a line names none: suppressed.", choices=tuple(reason.value for reason in REASONS)),
    Field(name="source", about="Where the list comes from.", most=200),
)


class SuppressionDoor(Protocol):
    """`intake.Suppressing`."""

    async def take(self, body: AsyncIterable[bytes], defaults: Mapping[str, Any], /) -> Taken: ...
    async def remove(self, address: str, channel: str | None, /) -> list[SuppressionRow]: ...
    async def page(self, after: tuple[bytes, str] | None, limit: int, /) -> list[SuppressionRow]: ...


class SuppressionsApi:
    """The routes of the list."""

    def __init__(self, *, door: SuppressionDoor, clock: Clock, limits: Limits, cursors: Cursors) -> None:
        self._door, self._clock, self._limits, self._cursors = door, clock, limits, cursors

    def routes(self) -> Sequence[Route]:
        address = Field(name="address", about="An e-mail address or phone number.", required=True, most=320)
        channel = Field(name="channel", about="Only for this channel.", most=32)
        return (
            Route(
                method="GET", path="/v1/suppressions", name="listSuppressions", tag="suppressions", scope="operate:read", handler=self.list,
                query=PAGING, answer="Page", summary="The list: keyed hashes of addresses, with channel, scope and reason.",
            ),
            Route(
                method="POST", path="/v1/suppressions", name="addSuppressions", tag="suppressions", scope="operate:write", handler=self.add,
                query=DEFAULTS, media=MEDIA, summary="Suppress addresses: one a line, plain or as a JSON object. In force at once.",
            ),
            Route(
                method="POST", path="/v1/suppressions/remove", name="removeSuppression", tag="suppressions", scope="operate:write",
                handler=self.remove, body=(address, channel), summary="Lift the suppression of an address.",
                problems={404: "It is not on the list."},
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> dict[str, Any]:
        position = self._cursors.read(LIST, call.query)
        after = (bytes.fromhex(str(position[0])), str(position[1])) if position else None
        rows = await self._door.page(after, call.limit)
        last = [rows[-1].hash.hex(), rows[-1].channel] if len(rows) == call.limit else None
        return {"items": [_json(row) for row in rows], "next": self._cursors.write(LIST, last)}

    async def add(self, call: Call) -> dict[str, Any]:
        media_type(call.request, MEDIA)
        taken = await self._door.take(chunks(call.request, self._clock, self._limits, self._limits.job_bytes), call.query)
        errors = [{"line": error.line, "code": error.code, "detail": error.detail} for error in taken.errors]
        return {"rows": taken.rows, "added": taken.added, "known": taken.known, "rejected": taken.rejected, "errors": errors}

    async def remove(self, call: Call) -> dict[str, Any]:
        gone = await self._door.remove(call.body["address"], call.body.get("channel"))
        return {"removed": [_json(row) for row in gone]}


def _json(row: SuppressionRow) -> dict[str, Any]:
    return {
        "hash": row.hash.hex(),
        "channel": row.channel,
        "scope": row.scope,
        "reason": row.reason,
        "at": time(row.at),
        "source": row.source,
    }
