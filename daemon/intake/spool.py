"""INTAKE, the spool: jobs dropped as files, with the habits of a Maildir (contract: jobs).

Writers put a file into `SPOOL/QUEUE/tmp` and rename it into `new`; it ends in `done` with its receipt, or in `failed` with the
reason. It stays in `new` until its job is expanded, so a crash at any point only means that the same file gives the same
receipt again. What is no plain file of a trusted owner is never read. Reads nothing in `tmp`.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from daemon.clock import Clock, iso
from daemon.config.load import Config
from daemon.disk import Disk
from daemon.errors import IntakeError, StoreUnavailableError
from daemon.executor import Executor
from daemon.intake.accept import Arrival, Intake
from daemon.intake.body import Bodies, instant_of_file
from daemon.intake.parse import MAX_HEAD_BYTES, RowJsonError, loads, plain
from daemon.intake.spool_folders import FILE_MODE, Name, Refused, check_file, make_folders, read_name
from daemon.model.job import JobState
from daemon.service import Service, Signals
from daemon.store.jobs import JobView, read_job
from daemon.store.receipts import error_json, receipt_json
from daemon.store.writer import Writes
from plugins.contract import Log

POLL_SECONDS = 1.0
_BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A file whose job is taken in, but not expanded yet."""

    job: str
    inode: int


def _folders(config: Config) -> list[tuple[str, Path, Path]]:
    """(queue, its folder, that folder's `new`)."""
    return [(queue, config.spool.path / queue, config.spool.path / queue / "new") for queue in sorted(config.queues)]


class Spool(Service):
    """Watches `new` of each queue. `poke()` = look now. Signals: `spool_taken(file, job)`, `spool_done(file, folder)`."""

    def __init__(
        self,
        *,
        intake: Intake,
        store: Writes,
        config: Config,
        bodies: Bodies,
        disk: Disk,
        clock: Clock,
        executor: Executor,
        log: Log,
        signals: Signals | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        super().__init__("spool")
        self._intake, self._store, self._bodies, self._disk = intake, store, bodies, disk
        self._clock, self._executor, self._log = clock, executor, log
        self._signals = signals or Signals.off()
        self._poll_seconds = poll_seconds
        self._bell = asyncio.Event()
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._put_off: set[tuple[str, str]] = set()
        self._config, self._folders = config, _folders(config)

    def configure(self, config: Config) -> None:
        """Take another config (start and reload): the folders of its queues are made. ConfigError if one cannot be trusted."""
        make_folders(config, self._disk)
        self._config, self._folders = config, _folders(config)

    def poke(self) -> None:
        """Look at the folders now."""
        self._bell.set()

    async def stop(self) -> None:
        self._bell.set()
        await super().stop()

    async def run(self) -> None:
        self.configure(self._config)
        self.mark_ready()
        while not self.stopping.is_set():
            self._bell.clear()
            await self.look()
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._bell.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One round over all folders."""
        for queue, folder, found in await self._executor.run(self._listed):
            if isinstance(found, OSError):
                self._hold_back((queue, "new"), str(found))
                continue
            for name in found:
                if self.stopping.is_set():
                    return
                if not name.startswith(".") and not name.endswith(".head.json"):
                    await self._one(queue, folder, name)

    def _listed(self) -> list[tuple[str, Path, Sequence[str] | OSError]]:
        """What lies in each queue's folder, or why that cannot be told."""
        listed: list[tuple[str, Path, Sequence[str] | OSError]] = []
        for queue, folder, new in self._folders:
            try:
                listed.append((queue, folder, self._disk.names(new)))
            except OSError as error:
                listed.append((queue, folder, error))
        return listed

    async def _one(self, queue: str, folder: Path, name: str) -> None:
        """Take in a file, or finish one whose job is expanded. Whatever is wrong with a file ends in `failed`."""
        place = queue, name
        try:
            await self._take_or_fail(queue, folder, name)
        except FileNotFoundError as error:
            if os.path.lexists(folder / "new" / name):
                self._hold_back(place, f"{error.strerror}: {error.filename}; a reload (SIGHUP) makes missing folders anew")
            else:
                self._waiting.pop(place, None)  # taken away by its owner, who may
        except IntakeError as error:
            self._hold_back(place, error.detail)
        except (StoreUnavailableError, OSError) as error:
            self._hold_back(place, str(error))
        else:
            self._put_off.discard(place)

    async def _take_or_fail(self, queue: str, folder: Path, name: str) -> None:
        """IntakeError `not-ready`, StoreUnavailableError, OSError: not now, whether it was to end in `done` or in `failed`."""
        try:
            if (queue, name) not in self._waiting:
                await self._take(queue, folder, name)
            await self._finish(queue, folder, name)
        except Refused as refused:
            await self._fail(folder, name, {"type": "invalid-job", "code": refused.code, "detail": refused.detail})
        except IntakeError as error:
            if error.type == "not-ready":
                raise
            errors = [error_json(item) for item in error.errors]
            await self._fail(folder, name, {"type": error.type, "code": error.type, "detail": error.detail, "errors": errors})

    def _hold_back(self, place: tuple[str, str], why: str) -> None:
        """Not now; it is tried again in each round, and said once."""
        if place not in self._put_off:
            self._put_off.add(place)
            self._log.warning("spool_put_off", queue=place[0], file=plain(place[1], 300), why=plain(why, 500))

    async def _take(self, queue: str, folder: Path, name: str) -> None:
        parsed = read_name(name)
        path = folder / "new" / name
        file = await self._executor.run(self._open, path)
        try:
            status = self._disk.status_of(file)
            sidecar = await self._executor.run(self._sidecar, folder, parsed) if parsed.csv else {}
            arrival = Arrival(
                source="spool", format=parsed.format, head={**parsed.head, **sidecar}, queue=queue, default_id=parsed.id,
                packed=parsed.packed, sent_at=instant_of_file(status.st_mtime, self._clock.instant()),
            )  # fmt: skip
            receipt = await self._intake.accept(self._blocks(file), arrival)
        finally:
            file.close()
        self._waiting[queue, name] = _Waiting(receipt.job, status.st_ino)
        self._signals.emit("spool_taken", file=name, job=receipt.job)

    def _open(self, path: Path) -> BinaryIO:
        """The file, if it may be read at all. Raises Refused."""
        try:
            file = self._disk.open_regular(path)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR):
                raise Refused("not_regular", "no regular file: links, pipes, devices and folders are not read") from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise Refused("unreadable", "the daemon may not read it; give its group read permission") from None
            raise
        try:
            check_file(self._disk.status_of(file), self._config)
        except Refused:
            file.close()
            raise
        return file

    def _sidecar(self, folder: Path, parsed: Name) -> Mapping[str, Any]:
        """The head beside a CSV file, if there is one."""
        path = folder / "new" / f"{parsed.id}.head.json"
        try:
            file = self._open(path)
        except FileNotFoundError:
            return {}
        with file:
            raw = file.read(MAX_HEAD_BYTES + 1)
        try:
            head = loads(raw.decode()) if len(raw) <= MAX_HEAD_BYTES else None
        except (RowJsonError, UnicodeDecodeError) as error:
            raise Refused("head", f"{path.name}: {error}") from None
        if not isinstance(head, dict):
            raise Refused("head", f"{path.name} must be a JSON object of at most {MAX_HEAD_BYTES} bytes")
        return head

    async def _blocks(self, file: BinaryIO) -> AsyncIterator[bytes]:
        while block := await self._executor.run(file.read, _BLOCK):
            yield block

    async def _finish(self, queue: str, folder: Path, name: str) -> None:
        """Move the file on when its job is expanded."""
        waiting = self._waiting[queue, name]
        view = await self._store.read(read_job, waiting.job)
        if view is None or not (view.expanded or view.receipt.state in (JobState.FAILED, JobState.CANCELLED)):
            return
        if view.receipt.state is JobState.FAILED:
            errors = [error_json(error) for error in view.receipt.errors]
            detail = errors[0]["detail"] if errors else ""
            reason = {"job": waiting.job, "type": "invalid-job", "code": view.receipt.reason, "detail": detail, "errors": errors}
            await self._fail(folder, name, reason)
        else:
            await self._executor.run(self._done, folder, name, view, waiting.inode)
            self._signals.emit("spool_done", file=name, folder="done")
        self._waiting.pop((queue, name), None)

    def _done(self, folder: Path, name: str, view: JobView, inode: int) -> None:
        """Receipt and errors first, then the file: a crash in between does it again."""
        receipt = json.dumps(receipt_json(view.receipt), ensure_ascii=False, indent=2) + "\n"
        self._disk.write_atomic(folder / "done" / f"{name}.receipt.json", receipt.encode(), mode=FILE_MODE)
        errors = self._bodies.errors_path(view.receipt.job)
        if view.receipt.errors and self._disk.exists(errors):
            self._copy(errors, folder / "done" / f"{name}.errors.ndjson")
        self._move(folder, name, "done", inode)

    def _copy(self, source: Path, target: Path) -> None:
        temporary = target.with_name(f".{target.name}.tmp")
        self._disk.remove(temporary)
        with self._disk.open_regular(source) as file, self._disk.create(temporary, mode=FILE_MODE) as copy:
            while block := file.read(_BLOCK):
                copy.write(block)
            copy.sync()
        self._disk.rename(temporary, target)

    def _move(self, folder: Path, name: str, to: str, inode: int | None) -> None:
        path = folder / "new" / name
        if inode is not None and self._disk.status(path).st_ino != inode:
            return  # another file has taken its name: that one is looked at in the next round
        target = folder / to / name
        if self._disk.exists(target) and stat.S_ISDIR(self._disk.status(target).st_mode):
            target = folder / to / f"{name}.{self._clock.instant()}"
        self._disk.rename(path, target)
        if to == "done" and (parsed := read_name(name)).csv:
            sidecar = folder / "new" / f"{parsed.id}.head.json"
            if self._disk.exists(sidecar):
                self._disk.rename(sidecar, folder / to / sidecar.name)

    async def _fail(self, folder: Path, name: str, reason: Mapping[str, Any]) -> None:
        """Move the file to `failed`, with the reason beside it."""
        waiting = self._waiting.get((folder.name, name))
        shown = plain(name, 300)
        told = {"file": shown, "queue": folder.name, **reason, "at": iso(self._clock.instant())}
        text = json.dumps(told, ensure_ascii=True, indent=2) + "\n"
        beside = name if len(os.fsencode(name)) <= 200 and name.isprintable() else f"unnamed-{self._clock.instant()}"
        await self._executor.run(self._write_reason, folder, beside, text)
        try:
            await self._executor.run(self._move, folder, name, "failed", waiting.inode if waiting else None)
        except FileNotFoundError:
            pass  # taken away in the meantime
        self._waiting.pop((folder.name, name), None)
        self._log.warning("spool_failed", queue=folder.name, file=shown, code=reason.get("code"), detail=reason.get("detail"))
        self._signals.emit("spool_done", file=name, folder="failed")

    def _write_reason(self, folder: Path, name: str, text: str) -> None:
        self._disk.write_atomic(folder / "failed" / f"{name}.reason.json", text.encode(), mode=FILE_MODE)
