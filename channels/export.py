"""Writes lists for those who do not take messages one by one: letter shops, call centres. One CSV a campaign step and day.

    [providers.post]
    plugin = "export"
    folder = "lists"       # CAMPAIGN.STEP.2026-11-22.csv in it
    channel = "letter"     # what it stands in for; default "export"

The head lines of the template (`letter` in STEP.letter.liquid) become columns, its body the column `text`. A cell that a
spreadsheet would take for a formula gets an apostrophe in front. Rows are only ever added, each batch in one write that is on
disk before the messages count as accepted. What a crash left in doubt is settled from the lists: a row that is there was
written. Take a list away by moving it; later rows begin a new one of the same name. Takes messages from the daemon through the
plugin socket; writes to the folder only.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from plugins import (
    Accepted,
    Capabilities,
    Context,
    Deferred,
    Doubt,
    Grant,
    Message,
    Outcome,
    Session,
    Settled,
    Unknown,
    hookimpl,
)  # fmt: skip
from plugins.standing import address_of, fault_of_channel

FIXED = ("delivery", "campaign", "step", "variant", "recipient", "address", "locale", "created_at", "expires_at")
END = b"\r\n"
"""Ends a row, and stands nowhere else: a line break within a cell is a bare LF."""
BOM = b"\xef\xbb\xbf"
"""By it spreadsheets know the text for UTF-8."""
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
NUMBER = re.compile(r"[+-]?[0-9][0-9 .,-]*\Z")
STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # full-width signs count as well
MOST_FILES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`folder`: made if it is not there · `channel`: what it stands in for."""

    folder: Path
    channel: str = "export"

    def __post_init__(self) -> None:
        if (fault := fault_of_channel(self.channel, "letter or call")) is not None:
            raise fault


class Export:
    """Adds each batch to its lists. One batch at a time, which is one write a file."""

    name, channel, address, settings_type = "export", "export", "recipient", Settings
    capabilities = Capabilities(concurrency=1, batch=200, unit=200)

    def __init__(self) -> None:
        self._context: Context[Settings] | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def stands_for(cls, settings: Settings) -> tuple[str, str]:
        """The channel and the address that this provider stands in for."""
        return settings.channel, address_of(settings.channel)

    async def start(self, context: Context[Settings]) -> None:
        """OSError if the folder cannot be made."""
        context.settings.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._context = context

    async def stop(self) -> None:
        """Nothing is kept open between batches."""
        self._context = None

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        if (context := self._context) is None:
            raise RuntimeError("send() was called before start() or after stop()")
        async with self._turn:
            for rows in lists_of(batch).values():
                if session.closing:
                    return
                grant = Grant(context.clock)
                granted = await session.handover([message.id for message in rows])
                leaving = [message for message in rows if message.id in granted]
                if leaving:
                    outcome = await self._add(context, leaving, grant)
                    for message in leaving:
                        session.report(message.id, outcome)

    async def _add(self, context: Context[Settings], rows: Sequence[Message], grant: Grant) -> Outcome:
        if grant.expired:
            return Deferred(nothing_sent=True, code="grant_expired")
        today = context.clock.now().date()
        try:
            name = await asyncio.to_thread(add_rows, context.settings.folder, today, rows)  # noqa: TID251  # the folder may be far away and slow
        except NothingWrittenError as error:
            context.log.error("export_failed", error=str(error))
            return Deferred(nothing_sent=True, scope="provider", code="not_written", detail=str(error))
        except OSError as error:
            context.log.error("export_in_doubt", error=str(error))
            return Unknown(code="write", detail=str(error))
        return Accepted(provider_id=name)

    async def reconcile(self, doubts: Sequence[Doubt]) -> Mapping[str, Settled]:
        """What is in a list was written. What is in none may have been taken away with its list: it stays in doubt."""
        if (context := self._context) is None:
            return {}
        async with self._turn:
            ids = {doubt.id for doubt in doubts}
            found = await asyncio.to_thread(find_rows, context.settings.folder, ids)  # noqa: TID251  # as in `_add`
        return {id: Accepted(provider_id=name) for id, name in found.items()}


class NothingWrittenError(OSError):
    """Not a byte of the rows is in the file."""


def lists_of(batch: Iterable[Message]) -> Mapping[tuple[str, str, tuple[str, ...]], list[Message]]:
    """The messages by list: those of one campaign step with the same columns."""
    lists: dict[tuple[str, str, tuple[str, ...]], list[Message]] = {}
    for message in batch:
        lists.setdefault((message.campaign, message.step, columns_of(message)), []).append(message)
    return lists


def columns_of(message: Message) -> tuple[str, ...]:
    """The names of the columns: the fixed ones, the template's head lines, the text."""
    return (*FIXED, *(key for key in message.head if key not in FIXED and key != "text"), "text")


def add_rows(folder: Path, day: date, rows: Sequence[Message]) -> str:
    """Add rows of one list to its file and wait for the disk; the file's name. A last row cut off by a crash is taken out first.

    `NothingWrittenError` if surely nothing of it is there, another OSError if that is not sure.
    """
    columns = columns_of(rows[0])
    head = _line(columns)
    try:
        path, new = _choose(folder, f"{_safe(rows[0].campaign)}.{_safe(rows[0].step)}.{day.isoformat()}", head)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise NothingWrittenError(error.errno, f"cannot open a list in {folder}: {error.strerror}") from error
    try:
        end = _mend(file)
        text = b"".join([BOM + head if end == 0 else b"", *(_row(message, columns) for message in rows)])
        _write(file, text, end)
    finally:
        os.close(file)
    if new:
        _sync_folder(folder)
    return path.name


def _write(file: int, text: bytes, end: int) -> None:
    """All of the text at `end`, on disk; or none of it."""
    try:
        view = memoryview(text)
        while view:
            view = view[os.pwrite(file, view, end + len(text) - len(view)) :]
        os.fsync(file)  # noqa: TID251  # a plugin's own file
    except OSError as error:
        os.ftruncate(file, end)
        os.fsync(file)  # noqa: TID251  # a plugin's own file
        raise NothingWrittenError(error.errno, f"cannot write: {error.strerror}") from error


def _mend(file: int) -> int:
    """The length of the file without a row that was cut off; it is cut to that."""
    size = os.fstat(file).st_size
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        at = os.pread(file, end - start, start).rfind(END)
        if at >= 0:
            end = start + at + len(END)
            break
        end = start if start == 0 else start + len(END) - 1
    if end != size:
        os.ftruncate(file, end)
    return end


def _choose(folder: Path, stem: str, head: bytes) -> tuple[Path, bool]:
    """The day's file with these columns, and whether it is new; a template that changed its head lines begins another one."""
    for number in range(1, MOST_FILES):
        path = folder / (f"{stem}.csv" if number == 1 else f"{stem}-{number}.csv")
        try:
            with path.open("rb") as file:
                there = file.read(len(BOM) + len(head))
        except FileNotFoundError:
            return path, True
        if (BOM + head).startswith(there):  # or as much of it as a crash let through
            return path, False
    raise OSError(f"{MOST_FILES} lists of {stem} with other columns")


def find_rows(folder: Path, ids: set[str]) -> Mapping[str, str]:
    """Delivery id -> name of the list that has it. OSError if a list cannot be read."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open("rb") as file:
            first: bytes | None = None
            for line in file:
                first = line if first is None else first
                if line.endswith(END):
                    if (id := first.split(b",", 1)[0].decode("utf-8", "replace")) in ids:
                        found[id] = path.name
                    first = None
    return found


def _row(message: Message, columns: Sequence[str]) -> bytes:
    known = {
        "delivery": message.id, "campaign": message.campaign, "step": message.step, "variant": message.variant or "",
        "recipient": message.recipient, "address": message.address, "locale": message.locale or "",
        "created_at": message.created_at.isoformat(timespec="seconds"), "expires_at": message.expires_at.isoformat(timespec="seconds"),
        "text": message.text.strip(),
    }  # fmt: skip
    return _line([safe_cell(known.get(column) or message.head.get(column, "")) for column in columns])


def safe_cell(value: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would compute it. Numbers and phone numbers stay as they are."""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{value}" if value.lstrip(" ").startswith(STARTS_FORMULA) and not NUMBER.match(value) else value


def _line(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=END.decode()).writerow(cells)
    return buffer.getvalue().encode()


def _safe(name: str) -> str:
    return UNSAFE.sub("-", name)[:80]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)  # noqa: TID251  # as above
    finally:
        os.close(handle)


@hookimpl
def register_channels() -> list[type[Export]]:
    return [Export]
