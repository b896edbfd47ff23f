"""Web: what is known of one recipient: why each message was or was not sent, and the deliveries as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from daemon.store.read import read_deliveries
from daemon.store.writer import Writes
from daemon.web.fields import PAGING, Cursors, Field
from daemon.web.route import Call, Route
from daemon.web.views import delivery_json

LIST = "deliveries"
MISSING = {404: "There is no such recipient, or no such campaign."}


class Explainer(Protocol):
    """`reports.explain.Explaining`."""

    async def explain(self, recipient: str, campaign: str | None = None) -> dict[str, Any]: ...


class PeopleApi:
    """The routes about one recipient."""

    def __init__(self, *, store: Writes, explainer: Explainer, cursors: Cursors) -> None:
        self._store, self._explainer, self._cursors = store, explainer, cursors

    def routes(self) -> Sequence[Route]:
        campaign = Field(name="campaign", about="Only this campaign.", most=200)
        recipient = Field(name="recipient", about="The recipient's id.", required=True, most=200)
        return (
            Route(
                method="GET", path="/v1/recipients/{id}/explain", name="explainRecipient", tag="recipients", scope="recipients:read",
                handler=self.explain, query=(campaign,), answer="Explain", problems=MISSING,
                summary="Why each message was or was not sent, by which rule and numbers, and when it may be.",
            ),
            Route(
                method="GET", path="/v1/deliveries", name="listDeliveries", tag="recipients", scope="recipients:read",
                handler=self.deliveries, query=(recipient, *PAGING), answer="Page", problems=MISSING,
                summary="A recipient's deliveries, the newest first.",
            ),
        )  # fmt: skip

    async def explain(self, call: Call) -> dict[str, Any]:
        return await self._explainer.explain(call.path["id"], call.query.get("campaign"))

    async def deliveries(self, call: Call) -> dict[str, Any]:
        position = self._cursors.read(LIST, call.query)
        before = position[0] if position else None
        rows, after = await self._store.read(read_deliveries, call.query["recipient"], before=before, limit=call.limit)
        return {"items": [delivery_json(row) for row in rows], "next": self._cursors.write(LIST, None if after is None else [after])}
