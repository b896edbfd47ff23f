"""Web: the operators' words over HTTP: queues, campaigns, held things, doubts, the kill switch. Each is one `Operations` method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.errors import NotFoundError
from daemon.ids import decode_id
from daemon.model.delivery import Reason
from daemon.web.fields import PAGING, Cursors, Field
from daemon.web.operations import Operations, Page, Selection
from daemon.web.route import Call, Handler, Route

EXPECT = Field(name="expect", kind="integer", most=10**12, about="How many deliveries you mean to touch; another count is refused.")
SELECTION = (
    Field(name="reason", about="Only those held for this reason.", choices=tuple(reason.value for reason in Reason)),
    Field(name="campaign", about="Only of this campaign.", most=200),
    Field(name="queue", about="Only of this queue.", most=63),
    Field(name="job", about="Only of this job.", most=200),
    Field(name="delivery", kind="delivery", about="Only this delivery."),
)
MISSING = {404: "There is none of this name."}
REFUSED = {409: "A guard rail says no: `detail` names the count or the command."}
EITHER = {**MISSING, **REFUSED}


class OperateApi:
    """The routes of operators."""

    def __init__(self, *, operations: Operations, cursors: Cursors) -> None:
        self._do, self._cursors = operations, cursors

    def routes(self) -> Sequence[Route]:
        return (*self._queues(), *self._campaigns(), *self._held(), *self._doubts(), *self._audit(), *self._audiences(), *self._gate())

    def _queues(self) -> Sequence[Route]:
        return (
            _look("/v1/queues", "listQueues", "queues", self.list_queues, "All queues with what waits in them.", answer="Items"),
            _act("/v1/queues/{name}/pause", "pauseQueue", "queues", self.pause_queue, "Send nothing of it until it is resumed.", MISSING),
            _act("/v1/queues/{name}/resume", "resumeQueue", "queues", self.resume_queue, "Let it go on.", MISSING),
            _act(
                "/v1/queues/{name}/cancel", "cancelQueue", "queues", self.cancel_queue, "Cancel its open jobs.", EITHER,
                body=(EXPECT,),
            ),
        )  # fmt: skip

    def _campaigns(self) -> Sequence[Route]:
        to = Field(name="to", kind="texts", required=True, most=254, about="Addresses; each must be among [homing] test_addresses.")
        test = (to, Field(name="locale", about="In this language."), Field(name="recipient", about="With this recipient's data."))
        return (
            _look("/v1/campaigns", "listCampaigns", "campaigns", self.list_campaigns, "All campaigns.", answer="Items"),
            _look("/v1/campaigns/{name}", "getCampaign", "campaigns", self.show_campaign, "One campaign.", problems=MISSING),
            _act("/v1/campaigns/{name}/start", "startCampaign", "campaigns", self.start_campaign, "Let it send.", EITHER),
            _act("/v1/campaigns/{name}/pause", "pauseCampaign", "campaigns", self.pause_campaign, "Hold its sending.", EITHER),
            _act("/v1/campaigns/{name}/resume", "resumeCampaign", "campaigns", self.resume_campaign, "Let it go on.", EITHER),
            _act("/v1/campaigns/{name}/archive", "archiveCampaign", "campaigns", self.archive_campaign, "End it for good.", EITHER),
            _act(
                "/v1/campaigns/{name}/move", "moveCampaign", "campaigns", self.move_campaign, "Let open walks go on by the newest version.",
                EITHER, body=(Field(name="dry_run", kind="boolean", about="Only say what would change."),),
            ),
            _act(
                "/v1/campaigns/{name}/test", "testCampaign", "campaigns", self.test_campaign, "Send its messages to test addresses.",
                EITHER, body=test,
            ),
        )  # fmt: skip

    def _held(self) -> Sequence[Route]:
        chosen = (*SELECTION, EXPECT)
        return (
            _look("/v1/held", "listHeld", "held", self.list_held, "What is held.", query=(*SELECTION, *PAGING), answer="Page"),
            _act("/v1/held/release", "releaseHeld", "held", self.release_held, "Let held things be decided anew.", REFUSED, body=chosen),
            _act("/v1/held/cancel", "cancelHeld", "held", self.cancel_held, "End held things unsent.", REFUSED, body=chosen),
        )

    def _doubts(self) -> Sequence[Route]:
        fate = Field(name="as", required=True, choices=("sent", "unsent"), about="What you found out at the provider.")
        return (
            _look("/v1/doubts", "listDoubts", "doubts", self.list_doubts, "Deliveries whose fate is unknown.", query=PAGING, answer="Page"),
            _act("/v1/doubts/{id}/resolve", "resolveDoubt", "doubts", self.resolve_doubt, "Close a doubt.", MISSING, body=(fate,)),
        )

    def _audit(self) -> Sequence[Route]:
        expect = Field(name="expect", kind="integer", most=10**12, required=True, about="How many findings wait: `open` of the audit.")
        return (
            _look("/v1/audit", "getAudit", "audit", self.audit, "How far the audit of what was sent is, and what it found."),
            _act("/v1/audit/accept", "acceptFindings", "audit", self.accept_findings, "The findings were seen.", REFUSED, body=(expect,)),
        )

    def _audiences(self) -> Sequence[Route]:
        provider = (Field(name="provider", about="Only of this provider.", most=63),)
        return (
            _look("/v1/audiences", "listAudiences", "audiences", self.audiences, "Audiences and their platforms.", query=provider),
            _act("/v1/audiences/sync", "syncAudiences", "audiences", self.sync, "Bring them up to date now.", MISSING, body=provider),
        )

    def _gate(self) -> Sequence[Route]:
        detail = Field(name="detail", about="Why, for whoever looks later.", most=200)
        start = (
            Field(name="expect", kind="integer", most=10**12, required=True, about="How many deliveries wait: `backlog` of the gate."),
            Field(name="accept_clock", kind="boolean", about="Trust the clock from now on."),
            Field(name="accept_restore", kind="boolean", about="Take this store as the true one."),
        )
        return (
            _look("/v1/gate", "getGate", "gate", self.gate, "What holds all sending."),
            _act("/v1/gate/stop", "stopAll", "gate", self.stop_all, "The kill switch: all sending stops.", {}, body=(detail,)),
            _act("/v1/gate/start", "startAll", "gate", self.start_all, "Let sending go on.", REFUSED, body=start),
        )

    async def list_queues(self, _: Call) -> dict[str, Any]:
        return {"items": list(await self._do.list_queues())}

    async def pause_queue(self, call: Call) -> Any:
        return await self._do.pause_queue(call.path["name"])

    async def resume_queue(self, call: Call) -> Any:
        return await self._do.resume_queue(call.path["name"])

    async def cancel_queue(self, call: Call) -> Any:
        return await self._do.cancel_queue(call.path["name"], expect=call.body.get("expect"))

    async def list_campaigns(self, _: Call) -> dict[str, Any]:
        return {"items": list(await self._do.list_campaigns())}

    async def show_campaign(self, call: Call) -> Any:
        return await self._do.show_campaign(call.path["name"])

    async def start_campaign(self, call: Call) -> Any:
        return await self._do.start_campaign(call.path["name"])

    async def pause_campaign(self, call: Call) -> Any:
        return await self._do.pause_campaign(call.path["name"])

    async def resume_campaign(self, call: Call) -> Any:
        return await self._do.resume_campaign(call.path["name"])

    async def move_campaign(self, call: Call) -> Any:
        return await self._do.move_campaign(call.path["name"], dry_run=bool(call.body.get("dry_run")))

    async def archive_campaign(self, call: Call) -> Any:
        return await self._do.archive_campaign(call.path["name"])

    async def test_campaign(self, call: Call) -> Any:
        body = call.body
        return await self._do.test_campaign(
            call.path["name"], to=body["to"], locale=body.get("locale"), recipient=body.get("recipient")
        )  # fmt: skip

    async def list_held(self, call: Call) -> dict[str, Any]:
        after = self._cursors.read("held", call.query)
        return self._page("held", await self._do.list_held(_selection(call.query), after=after, limit=call.limit))

    async def release_held(self, call: Call) -> Any:
        return await self._do.release_held(_selection(call.body), expect=call.body.get("expect"))

    async def cancel_held(self, call: Call) -> Any:
        return await self._do.cancel_held(_selection(call.body), expect=call.body.get("expect"))

    async def list_doubts(self, call: Call) -> dict[str, Any]:
        after = self._cursors.read("doubts", call.query)
        return self._page("doubts", await self._do.list_doubts(after=after, limit=call.limit))

    async def resolve_doubt(self, call: Call) -> Any:
        delivery = decode_id(call.path["id"])
        if delivery is None:
            raise NotFoundError("no delivery in doubt has this id")
        return await self._do.resolve_doubt(delivery, sent=call.body["as"] == "sent")

    async def audit(self, _: Call) -> Any:
        return await self._do.audit()

    async def accept_findings(self, call: Call) -> Any:
        return await self._do.accept_findings(expect=call.body["expect"])

    async def audiences(self, call: Call) -> Any:
        return await self._do.audiences(provider=call.query.get("provider"))

    async def sync(self, call: Call) -> Any:
        return await self._do.sync_audiences(provider=call.body.get("provider"))

    async def gate(self, _: Call) -> Any:
        return await self._do.gate()

    async def stop_all(self, call: Call) -> Any:
        return await self._do.stop_all(detail=call.body.get("detail") or f"stopped over the API by {call.caller.name}")

    async def start_all(self, call: Call) -> Any:
        body = call.body
        return await self._do.start_all(
            expect=body["expect"], accept_clock=body.get("accept_clock", False), accept_restore=body.get("accept_restore", False)
        )

    def _page(self, kind: str, page: Page) -> dict[str, Any]:
        return {"items": list(page.items), "next": self._cursors.write(kind, page.next)}


def _selection(given: Any) -> Selection:
    return Selection(**{field.name: given.get(field.name) for field in SELECTION})


def _look(
    path: str, name: str, tag: str, handler: Handler, summary: str, *, query: Sequence[Field] = (), answer: str = "Object",
    problems: dict[int, str] | None = None,
) -> Route:  # fmt: skip
    return Route(
        method="GET", path=path, name=name, tag=tag, scope="operate:read", handler=handler, summary=summary, query=query, answer=answer,
        problems=problems or {},
    )  # fmt: skip


def _act(
    path: str, name: str, tag: str, handler: Handler, summary: str, problems: dict[int, str], *, body: Sequence[Field] | None = None
) -> Route:
    return Route(
        method="POST", path=path, name=name, tag=tag, scope="operate:write", handler=handler, summary=summary, body=body, problems=problems
    )
