"""Web: offers: codes come in for their pools, and the books of what became of those that were issued can be read."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Any, Protocol

from daemon.clock import Clock
from daemon.intake.stocking import Books, Stocked
from daemon.model.offer import IssueState
from daemon.store.issued import IssuedCode
from daemon.store.redemptions import Strange
from daemon.web.body import chunks, media_type
from daemon.web.connection import Limits
from daemon.web.fields import PAGING, Cursors, Field
from daemon.web.route import Call, Route
from daemon.web.views import time

LIST = "offers"
UNKNOWN = {404: "There is no such campaign."}
CODES = "codes"
STATES = (*(state.value for state in IssueState), "all")
MEDIA = ("text/plain", "text/csv")


class OfferDoor(Protocol):
    """`intake.Stocking`."""

    async def take(self, pool: str, body: AsyncIterable[bytes], /) -> Stocked: ...
    async def books(self, campaign: str | None, /) -> Books: ...
    async def strange(self, after: tuple[str, str], limit: int, /) -> list[Strange]: ...
    async def codes(
        self, after: int, limit: int, campaign: str | None, offer: str | None, state: str | None, /
    ) -> list[IssuedCode]: ...


class OffersApi:
    """The routes of offers and their codes."""

    def __init__(self, *, door: OfferDoor, clock: Clock, limits: Limits, cursors: Cursors) -> None:
        self._door, self._clock, self._limits, self._cursors = door, clock, limits, cursors

    def routes(self) -> Sequence[Route]:
        campaign = Field(name="campaign", about="Only this one.", most=64)
        offer = Field(name="offer", about="Only this offer's.", most=64)
        state = Field(name="state", about="Only in this state (default: reserved or open, which a shop must accept).", choices=STATES)
        return (
            Route(
                method="GET", path="/v1/offers", name="listOffers", tag="offers", scope="operate:read", handler=self.list,
                query=(campaign,), problems=UNKNOWN,
                summary="Offers that were issued, by state; pools and what is left of them; what does not add up.",
            ),
            Route(
                method="GET", path="/v1/offers/codes", name="listCodes", tag="offers", scope="operate:read", handler=self.codes,
                query=(campaign, offer, state, *PAGING), answer="Page", problems=UNKNOWN,
                summary="Codes that were given out, in that order.",
            ),
            Route(
                method="GET", path="/v1/offers/uses", name="listStrangeUses", tag="offers", scope="operate:read", handler=self.uses,
                query=PAGING, answer="Page", summary="Codes that orders used and the books do not explain.",
            ),
            Route(
                method="POST", path="/v1/offers/pools/{pool}", name="importCodes", tag="offers", scope="operate:write", handler=self.add,
                media=MEDIA, summary="Put codes into a pool: one a line, or CSV with a column code.",
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> dict[str, Any]:
        books = await self._door.books(call.query.get("campaign"))
        return {
            "offers": [line._asdict() for line in books.lines],
            "pools": [{**pool._asdict(), "name": pool.name or None} for pool in books.pools],
            "wrong": list(books.wrong),
        }

    async def uses(self, call: Call) -> dict[str, Any]:
        position = self._cursors.read(LIST, call.query)
        rows = await self._door.strange((str(position[0]), str(position[1])) if position else ("", ""), call.limit)
        last = [rows[-1].code, rows[-1].key] if len(rows) == call.limit else None
        items = [
            {"what": row.what, "code": row.code, "order": row.order, "recipient": row.recipient, "at": time(row.at)} for row in rows
        ]  # fmt: skip
        return {"items": items, "next": self._cursors.write(LIST, last)}

    async def codes(self, call: Call) -> dict[str, Any]:
        position = self._cursors.read(CODES, call.query)
        asked = (call.query.get(name) for name in ("campaign", "offer", "state"))
        rows = await self._door.codes(int(position[0]) if position else 0, call.limit, *asked)
        items = [
            {
                "code": row.code, "pool": row.pool or None, "campaign": row.campaign, "offer": row.offer, "recipient": row.recipient,
                "state": row.state, "issued_at": time(row.issued_at), "ends_at": time(row.ends_at),
            }
            for row in rows
        ]  # fmt: skip
        return {"items": items, "next": self._cursors.write(CODES, [rows[-1].id] if len(rows) == call.limit else None)}

    async def add(self, call: Call) -> dict[str, Any]:
        media_type(call.request, MEDIA)
        done = await self._door.take(call.path["pool"], chunks(call.request, self._clock, self._limits, self._limits.job_bytes))
        errors = [{"line": error.line, "code": error.code, "detail": error.detail} for error in done.errors]
        return {
            "pool": done.pool, "rows": done.rows, "added": done.added, "known": done.known, "rejected": done.rejected,
            "woken": done.woken, "free": done.free, "errors": errors,
        }  # fmt: skip
