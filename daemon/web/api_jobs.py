"""Web: jobs over HTTP: a job comes in by the one door `intake.accept`, is looked at, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from daemon.clock import Clock
from daemon.errors import NotFoundError
from daemon.intake.accept import Arrival
from daemon.intake.parse import Format
from daemon.model.delivery import Instant
from daemon.model.job import JobState, Receipt
from daemon.store.jobs import cancel_job, list_jobs, pause_job, read_job, resume_job
from daemon.store.receipts import job_json, receipt_json
from daemon.store.writer import Lane, Writes
from daemon.web.body import chunks, media_type
from daemon.web.connection import Connection, Limits
from daemon.web.fields import PAGING, Cursors, Field
from daemon.web.route import Call, Route, json_answer

MEDIA = {"application/json": Format.JSON, "application/x-ndjson": Format.NDJSON, "text/csv": Format.CSV}
LIST = "jobs"
HEAD = (
    Field(name="id", about="The job's id, where the body has none (CSV).", most=200),
    Field(name="queue", about="Its queue, where the body names none.", most=63),
    Field(name="campaign", about="Its campaign, where the body names none.", most=63),
    Field(name="expected_count", kind="integer", most=10**9, about="How many recipient rows there must be."),
    Field(name="priority", kind="integer", most=100, about="0 to 100; the campaign's if not given."),
    Field(name="not_before", about="RFC 3339 instant before which nothing of it is sent.", most=40),
    Field(name="expires_at", about="RFC 3339 instant from which nothing of it is sent.", most=40),
)


class JobDoor(Protocol):
    """`intake.Intake`."""

    async def accept(self, body: AsyncIterable[bytes], arrival: Arrival, /) -> Receipt: ...


class JobsApi:
    """`changed` is called when a job was paused, resumed or cancelled: the loops need not wait for their timers."""

    def __init__(
        self, *, intake: JobDoor, store: Writes, clock: Clock, limits: Limits, cursors: Cursors, changed: Callable[[], None]
    ) -> None:
        self._intake, self._store, self._clock, self._limits, self._cursors = intake, store, clock, limits, cursors
        self._changed = changed

    def routes(self) -> Sequence[Route]:
        states = tuple(state.value for state in JobState)
        of_queue = Field(name="queue", about="Only of this queue.", most=63)
        wanted = (of_queue, Field(name="state", about="Only in this state.", choices=states))
        control = "The job is in no state for this."
        return (
            Route(
                method="POST", path="/v1/jobs", name="createJob", tag="jobs", scope="jobs:write", handler=self.create, media=tuple(MEDIA),
                query=HEAD, status=202, answer="Receipt",
                summary="Drop a job. Answered when it is on disk; the same id with the same content gets its receipt again.",
                problems={400: "The body broke off or is not JSON.", 409: "Another job has this id.", 422: "The job is not valid."},
            ),
            Route(
                method="GET", path="/v1/jobs", name="listJobs", tag="jobs", scope="jobs:read", handler=self.list, query=(*wanted, *PAGING),
                answer="Jobs", summary="Jobs, the newest first.",
            ),
            Route(
                method="GET", path="/v1/jobs/{id}", name="getJob", tag="jobs", scope="jobs:read", handler=self.show, answer="Job",
                summary="One job: its receipt, its deliveries by state and reason.", problems={404: "There is no such job."},
            ),
            *(
                Route(
                    method="POST", path=f"/v1/jobs/{{id}}/{word}", name=f"{word}Job", tag="jobs", scope="jobs:write", handler=handler,
                    answer="Job", summary=summary, problems={404: "There is no such job.", 409: control},
                )
                for word, handler, summary in (
                    ("pause", self.pause, "Send nothing of it until it is resumed."),
                    ("resume", self.resume, "Let a paused job go on."),
                    ("cancel", self.cancel, "End it: what has not been handed over never will be."),
                )
            ),
        )  # fmt: skip

    async def create(self, call: Call) -> web.StreamResponse:
        request = call.request
        packed = request.headers.get("Content-Encoding", "").strip().lower() == "gzip"
        kind = MEDIA[media_type(request, tuple(MEDIA), packed=packed)]
        local = isinstance(request.protocol, Connection) and request.protocol.uid is not None
        head = dict(call.query)
        queue = head.pop("queue", None)
        if queue is not None and not local:
            head["queue"] = queue
        arrival = Arrival(source="cli" if local else "http", format=kind, head=head, queue=queue if local else None, packed=packed)
        receipt = await self._intake.accept(chunks(request, self._clock, self._limits, self._limits.job_bytes), arrival)
        return json_answer(receipt_json(receipt), 202)

    async def list(self, call: Call) -> dict[str, Any]:
        position = self._cursors.read(LIST, call.query)
        before = position[0] if position else None
        wanted = {name: call.query.get(name) for name in ("queue", "state")}
        jobs, after = await self._store.read(list_jobs, **wanted, before=before, limit=call.limit)
        return {"items": [job_json(job) for job in jobs], "next": self._cursors.write(LIST, None if after is None else [after])}

    async def show(self, call: Call) -> dict[str, Any]:
        job = await self._store.read(read_job, call.path["id"])
        if job is None:
            raise NotFoundError("no job has this id")
        return job_json(job)

    async def pause(self, call: Call) -> dict[str, Any]:
        return await self._control(pause_job, call, self._clock.instant())

    async def resume(self, call: Call) -> dict[str, Any]:
        return await self._control(resume_job, call, self._clock.instant())

    async def cancel(self, call: Call) -> dict[str, Any]:
        return await self._control(cancel_job, call)

    async def _control(self, act: Any, call: Call, *at: Instant) -> dict[str, Any]:
        await self._store.write(Lane.EXIT, act, call.path["id"], *at)
        self._changed()
        return await self.show(call)
