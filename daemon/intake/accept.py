"""INTAKE, the one door: HTTP, spool, command line and brokers all bring their jobs to `Intake.accept`.

The body streams to a file, file and folder are fsynced, the head is checked, the job row is committed; only then is there a
receipt (promise P1). The same id with the same content gets the first receipt again, with other content `job-conflict`. The
digest is over the raw body: the same rows in another order are other content, but enrol nobody twice.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from daemon.clock import Clock
from daemon.config.load import Config
from daemon.content.render import compile_version
from daemon.content.version import CampaignVersion, inline_campaign
from daemon.disk import Disk
from daemon.errors import IntakeError, NotFoundError
from daemon.executor import Executor
from daemon.ids import Ids
from daemon.intake.body import Opening, read_opening, sniff_format
from daemon.intake.head import HeadRules, canonical, check_values, parse_head, read_key
from daemon.intake.incoming import MAX_BODY_BYTES, Incoming
from daemon.intake.parse import BodyError, Format, plain
from daemon.metrics import Metrics
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import Instant
from daemon.model.job import InlineMessage, JobHead, Receipt, RowError
from daemon.room import RESERVE_BYTES
from daemon.store.campaigns import Loaded
from daemon.store.jobs import NewJob, accept_job, find_same, read_campaign
from daemon.store.release import bodies_in_use
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

Members = Callable[[str], AsyncIterator[Sequence[str]]]
"""The ids of a segment's members, some at a time. NotFoundError."""
_BLOCK = 256 * 1024

_PROBLEM = {"cut_off": "invalid-json", "json": "invalid-json", "encoding": "invalid-json", "format": "unsupported-media-type"}
"""BodyError code -> problem type; the others are `invalid-job`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is known of a job beside its body.

    `source`: http, cli, spool or a broker's name · `format` None: looked at the body · `head`: fields that the body need not
    have (for CSV: all of them); the body's own win · `queue`: wins over the body's (spool folder, command line) · `default_id`:
    where the job has none · `packed`: gzip · `sent_at`: when it was dropped, if before now.
    """

    source: str
    format: Format | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    default_id: str | None = None
    packed: bool = False
    sent_at: Instant | None = None


class Intake:
    """Takes jobs in. `config` may be replaced at a reload; `channels()` = those that a provider serves now."""

    def __init__(
        self,
        *,
        store: Writes,
        config: Config,
        folder: Path,
        disk: Disk,
        clock: Clock,
        ids: Ids,
        executor: Executor,
        channels: Callable[[], Collection[str]],
        log: Log,
        accepted: Callable[[], None] = lambda: None,
        metrics: Metrics | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        scarce: Callable[[], str | None] = lambda: None,
        members: Members | None = None,
    ) -> None:
        """`folder` = STATE/jobs. `accepted()` is called after each commit: expansion need not wait for its timer.
        `scarce()`: why nothing is taken in now (no room on the disk). `members`: of a segment, for jobs that name one."""
        self.config = config
        self._store, self._folder, self._disk, self._clock, self._ids = store, folder, disk, clock, ids
        self._executor, self._channels, self._log, self._accepted = executor, channels, log, accepted
        self._limit, self._scarce = max_body_bytes, scarce
        self._members: Members | None = members
        self._metrics = metrics

    async def prepare(self) -> None:
        """Make the folders, and throw away what a crash left there. Call once, before the first job."""
        in_use = await self._store.read(bodies_in_use)
        await self._executor.run(self._clean, in_use)

    def _clean(self, in_use: Collection[str]) -> None:
        """Half received bodies, and bodies that no job waits to read."""
        self._disk.make_folder(self._folder / "tmp")
        for name in self._disk.names(self._folder / "tmp"):
            self._disk.remove(self._folder / "tmp" / name)
        for name in self._disk.names(self._folder):
            if name.endswith(".body") and name not in in_use:
                self._disk.remove(self._folder / name)

    async def accept(self, body: AsyncIterable[bytes], arrival: Arrival) -> Receipt:
        """The receipt, once body and job are on disk. IntakeError with the problem type if the job is refused.

        An error of `body` itself (a connection that broke) passes through; then nothing was accepted.
        """
        incoming = await self._receive(body, arrival.packed)
        try:
            receipt = await self._enter(incoming, arrival)
        except BodyError as error:
            self._refused(arrival, error.code, error.detail)
            raise self._refusal(error) from None
        except IntakeError as error:
            self._refused(arrival, error.type, error.detail)
            raise
        finally:
            await self._executor.run(incoming.discard)
        return receipt

    async def _receive(self, body: AsyncIterable[bytes], packed: bool) -> Incoming:
        """The whole body in a file of STATE/jobs/tmp, fsynced."""
        run = self._executor.run
        if self._scarce() or await run(self._disk.free, self._folder) < RESERVE_BYTES:
            raise IntakeError("not-ready", "the disk of the state folder is nearly full; nothing is taken in until there is room")
        incoming = await run(self._open, packed)
        try:
            waiting: list[bytes] = []
            size = 0
            async for piece in body:
                waiting.append(piece)
                size += len(piece)
                if size >= _BLOCK:
                    await run(incoming.write, b"".join(waiting))
                    waiting, size = [], 0
            await run(incoming.write, b"".join(waiting))
            await run(incoming.finish)
        except BaseException as error:
            await run(incoming.discard)
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                raise IntakeError("not-ready", f"the body could not be written to disk: {error.strerror}") from error
            raise
        return incoming

    def _refused(self, arrival: Arrival, code: str, detail: str) -> None:
        self._log.info("job_refused", source=arrival.source, code=code, detail=detail)
        self._count(arrival, "refused")

    def _count(self, arrival: Arrival, result: str) -> None:
        if self._metrics is not None:
            self._metrics.job(arrival.source, result)

    def _open(self, packed: bool) -> Incoming:
        return Incoming(self._disk, self._folder / "tmp" / self._ids.nonce(), packed=packed, limit=self._limit)

    def _look(self, path: Path, format: Format | None) -> Opening:
        with self._disk.open_regular(path) as file:
            return read_opening(file, format or sniff_format(file))

    async def _enter(self, incoming: Incoming, arrival: Arrival) -> Receipt:
        """From a body on disk to a job in the store."""
        now = self._clock.instant()
        opening = await self._executor.run(self._look, incoming.path, arrival.format)
        head = _merge_head(opening, arrival)
        check_values(head)
        key, queue = read_key(head)
        written = canonical(head)
        before = await self._store.read(find_same, key, incoming.digest, written)
        if before is not None:
            self._count(arrival, "known")
            return before
        sent_at = min(arrival.sent_at, now) if arrival.sent_at is not None else now
        rules = HeadRules(sent_at=sent_at, late_grace=self.config.intake.late_grace, channels=self._channels())
        job = parse_head(head, rules)
        self._check_size(job, opening)
        path = incoming.path
        if job.segment is not None:
            path, opening = await self._list_members(job, job.segment, opening)
        try:
            new = await self._new_job(job, opening, incoming.digest, now)
        except IntakeError:
            await self._executor.run(self._disk.remove, path)
            raise
        body = f"{key}.{self._ids.nonce()[:16]}.body"  # its own even beside the same job by another door: whoever loses removes it
        new = replace(new, source=arrival.source, head=written, body=body, queue=queue)
        await self._executor.run(self._disk.rename, path, self._folder / body)
        try:
            done = await self._store.write(Lane.INTAKE, accept_job, new, now)
        except IntakeError:
            await self._executor.run(self._disk.remove, self._folder / body)
            raise
        if not done.fresh:
            await self._executor.run(self._disk.remove, self._folder / body)
        self._count(arrival, "accepted" if done.fresh else "known")
        if done.fresh:
            receipt = done.receipt
            self._log.info("job_received", job=key, queue=queue, campaign=receipt.campaign, source=arrival.source, bytes=incoming.size)
            self._accepted()
        return done.receipt

    async def _list_members(self, job: JobHead, segment: str, opening: Opening) -> tuple[Path, Opening]:
        """A body of a row for each member of the segment as it is now, on disk, in place of the one that came."""
        if opening.format is not Format.JSON or opening.offset:
            detail = "a job has recipients or a segment, not both"
            raise IntakeError("invalid-job", detail, [RowError(line=None, field="segment", code="both", detail=detail)])
        if self._members is None:
            raise IntakeError("invalid-job", "jobs for a segment are not taken here")
        listed = await self._executor.run(self._open, False)
        rows = 0
        try:
            async for some in self._members(segment):
                rows += len(some)
                lines = "".join(f"{json.dumps({'id': key}, ensure_ascii=False)}\n" for key in some)
                await self._executor.run(listed.write, lines.encode())
            await self._executor.run(listed.finish)
            found = replace(opening, format=Format.NDJSON, offset=0, line=0, rows=rows)
            self._check_size(job, found)
        except BaseException as error:
            await self._executor.run(listed.discard)
            if isinstance(error, NotFoundError):
                fault = RowError(line=None, field="segment", code="unknown", detail=str(error))
                raise IntakeError("invalid-job", str(error), [fault]) from None
            raise
        return listed.path, found

    def _check_size(self, job: JobHead, opening: Opening) -> None:
        most = self.config.intake.max_recipients
        for count in (opening.rows, job.expected_count):
            if count is not None and count > most:
                raise IntakeError("too-large", f"the job has {count} recipients; [intake] max_recipients allows {most}")
        if job.queue not in self.config.queues:
            known = ", ".join(sorted(self.config.queues)) or "none"
            raise IntakeError("unknown-queue", f'[queues] in config.toml has no "{job.queue}" (it has: {known})')

    async def _new_job(self, job: JobHead, opening: Opening, digest: str, now: Instant) -> NewJob:
        """The job row but for where it came from."""
        inline = await self._executor.run(_compile_inline, job.id, job.message) if job.message else None
        if inline is not None:
            campaign, priority = inline.name, 50
        else:
            campaign, priority = await self._find_campaign(job)
        return NewJob(
            key=job.id, queue=job.queue, campaign=campaign, inline=inline, digest=digest, source="", received_at=now, head="", body="",
            format=opening.format.value, offset=opening.offset, line=opening.line, expected=job.expected_count,
            priority=job.priority if job.priority is not None else priority, not_before=job.not_before, expires_at=job.expires_at,
            window=json.dumps(job.window, sort_keys=True) if job.window else None,
        )  # fmt: skip

    async def _find_campaign(self, job: JobHead) -> tuple[str, int]:
        """(name, priority) of the job's campaign, or of its queue's."""
        name = job.campaign or self.config.queues[job.queue].campaign
        if not name:
            raise IntakeError("invalid-job", f"the job names no campaign and no message, and [queues.{job.queue}] has no campaign either")
        found = await self._store.read(read_campaign, name)
        if found is None:
            raise IntakeError("unknown-campaign", f'no campaign is named "{name}"; `homing campaigns list` shows them')
        status, body = found
        if status == CampaignStatus.ARCHIVED.value:
            raise IntakeError("invalid-job", f'the campaign "{name}" is archived: it takes no more jobs')
        return name, CampaignVersion.from_json(body).campaign.priority

    @staticmethod
    def _refusal(error: BodyError) -> IntakeError:
        kind = _PROBLEM.get(error.code, "too-large" if error.code == "too_large" else "invalid-job")
        return IntakeError(kind, error.detail, [RowError(line=error.line, code=error.code, detail=error.detail)])


def _merge_head(opening: Opening, arrival: Arrival) -> dict[str, Any]:
    """The job's head from the body and from outside. `recipients` of the body are its rows, no field."""
    head = {**arrival.head, **(opening.head or {})}
    if arrival.queue is not None:
        head["queue"] = arrival.queue
    if head.get("id") is None and arrival.default_id is not None:
        head["id"] = arrival.default_id
    return head


def _compile_inline(job: str, message: InlineMessage) -> Loaded:
    """The version of a job's own message. IntakeError when its templates are wrong."""
    parts = {"subject": message.subject, "text": message.text, "html": message.html}
    version = CampaignVersion.of(inline_campaign(job, message), {name: text for name, text in parts.items() if text})
    problems = compile_version(version).problems
    if problems:
        fields = [f"message/{problem.key}" if problem.key else "message" for problem in problems]
        told = [plain(str(problem), 400) for problem in problems]
        errors = [RowError(line=None, field=field, code="template", detail=detail) for field, detail in zip(fields, told, strict=True)]
        raise IntakeError("invalid-job", f"the message cannot be used: {told[0]}", errors)
    return Loaded(name=version.campaign.name, digest=version.digest, body=version.to_json(), status=CampaignStatus.ACTIVE.value)
