"""Web: reports by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from daemon.reports.named import Report
from daemon.web.fields import Field
from daemon.web.route import Call, Route


class ReportDoor(Protocol):
    """`reports.named.Reporting`."""

    def known(self) -> Mapping[str, str]: ...
    async def report(self, name: str, campaign: str | None = None, /) -> Report: ...


class ReportsApi:
    """The routes of reports."""

    def __init__(self, *, door: ReportDoor) -> None:
        self._door = door

    def routes(self) -> Sequence[Route]:
        campaign = Field(name="campaign", about="Only this one.", most=64)
        return (
            Route(
                method="GET", path="/v1/reports", name="listReports", tag="reports", scope="reports:read", handler=self.list,
                summary="The reports that there are.",
            ),
            Route(
                method="GET", path="/v1/reports/{name}", name="readReport", tag="reports", scope="reports:read", handler=self.read,
                query=(campaign,), summary="A report: columns, rows, and the whole as it is kept.",
                problems={404: "There is none of this name."},
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> dict[str, Any]:
        return {"reports": [{"name": name, "about": about} for name, about in self._door.known().items()]}

    async def read(self, call: Call) -> dict[str, Any]:
        found = await self._door.report(call.path["name"], call.query.get("campaign"))
        return {
            "name": found.name, "about": found.about, "columns": list(found.columns), "rows": [dict(row) for row in found.rows],
            "details": [dict(each) for each in found.details],
        }  # fmt: skip
