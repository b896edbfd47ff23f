"""Runs the acts: one thread writes, in lanes; a small pool reads.

The writer takes what waits in the most urgent lane as soon as it is free and commits it together (group commit without a
timer: facts/spikes.md §1). A caller gets its answer only after the commit. A cancelled or timed-out call may still have
committed: callers must never take that as "not done".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from daemon.errors import HomingError, StoreBrokenError, StoreUnavailableError
from daemon.store import engine as engines
from daemon.store import failures

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

GROUP_LIMIT = 256
"""At most so many joined items or acts in one transaction."""
RING_TURNS = 4
"""Turns of the loop by which the writer is rung later at most while each brings more calls: answers of a provider come in one turn after
the other, and what they ask for then shares a commit. A tenth of a push's CPU time (measured); no more of it by more turns."""
WAL_LIMIT_BYTES = 16 * 1024 * 1024
"""Copying 16 MB of the log back holds the writer for some 10 ms beside the sync (64 MB: 40 ms, which handovers felt in an import)."""
WAL_CUT_BYTES = 4 * WAL_LIMIT_BYTES
"""A log that somebody's long reading has let grow so far is not kept at its size."""
IDLE_SECONDS = 1.0
GIVE_WAY_SECONDS = 0.02
"""Bulk work waits so long at most for others to be done, so that it goes on beside a writer that never rests."""
READERS = 2


class Lane(IntEnum):
    """Who goes first at the one writer."""

    HANDOVER = 0
    EXIT = 1
    CLAIM = 2
    INTAKE = 3
    EVENTS = 4
    BULK = 5


_ALONE = (Lane.CLAIM.value, Lane.EVENTS.value, Lane.BULK.value)
"""Lanes whose acts are transactions of their own."""


def redone(act: Callable[P, T]) -> Callable[P, T]:
    """Marks an act of bulk work whose commit need not be on the disk when it is answered: whoever asked goes on from a cursor that is
    written in the same transaction, and has everything that it was made from until a later, synced commit. The log is one file, so such
    a commit (a handover, the end of the expansion) takes all before it along. Loses nothing at kill -9, and at a power cut only work
    that is then done again; spares the writer, and who waits for it, a sync of half a megabyte for every ten milliseconds of work."""
    act.redone = True  # type: ignore[attr-defined]
    return act


class Writes(Protocol):
    """What stages use of a store."""

    async def write(self, lane: Lane, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def join(self, lane: Lane, act: Callable[[Connection, Sequence[Item]], Sequence[T]], item: Item, /) -> T: ...
    async def read(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


class KeptStore(Writes, Protocol):
    """A store with what its owner needs: `Store`, or the one of a simulation. See `Kept` for what may be wrong with it."""

    commits: int
    broken: StoreBrokenError | None
    frozen: StoreUnavailableError | None
    when_broken: Callable[[], object]
    make_room: Callable[[], bool]
    no_room: Callable[[], bool]

    def condemn(self, error: StoreBrokenError) -> None: ...
    def check_file(self) -> None: ...
    def wal_bytes(self) -> int: ...
    def give_way(self) -> None: ...
    async def close(self) -> None: ...


_Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


@dataclass(slots=True)
class _Call:
    act: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    joined: bool
    future: asyncio.Future[Any]
    lane: Lane


class Store(failures.Kept):
    """The SQLite store of one process. Make it with `Store.open`; `close` waits for what is under way."""

    _handed = False
    """The last turn was the handovers'."""

    def __init__(
        self, writer: Engine, reader: Engine, path: Path | None, after_join: Callable[[Sequence[Any]], None] | None = None
    ) -> None:
        super().__init__()
        self._writer, self._reader, self.path = writer, reader, path
        self._after_join = after_join
        self._lanes: tuple[deque[_Call], ...] = tuple(deque() for _ in Lane)
        self._wake, self._calm = threading.Condition(), threading.Event()
        self._stopping = self._ringing = False
        self._dirty = self._lax = False
        self.commits = 0
        self._wal_path = f"{path}-wal"
        self._wal_full = WAL_LIMIT_BYTES
        """The log is copied back when its file is larger than this: it is used again from its beginning, so its size stays, and grows
        only when all of it has been filled once more."""
        self._mark = None if path is None else failures.FileMark(path)
        self._conn = writer.connect()
        self._readers = ThreadPoolExecutor(1 if path is None else READERS, thread_name_prefix="store-read")
        if path is not None:
            _warm(reader)
        self.check_file()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path | None = None, *, after_join: Callable[[Sequence[Any]], None] | None = None) -> Store:
        """Open (and make, if it is not there) the store. `path` None: in memory. Raises StoreUnavailableError.

        `after_join` gets the results of each committed `join` transaction before its callers do, in the writer's
        thread: the send journal.
        """
        if path is not None:
            engines.make_file(path)
        writer = engines.open_writer(path)
        try:
            engines.prepare(writer)
        except BaseException:
            writer.dispose()
            raise
        reader = writer if path is None else engines.open_reader(path)
        return cls(writer, reader, path, after_join)

    async def write(self, lane: Lane, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act(conn, ...)` as one transaction (or as a savepoint beside others of its lane) and give its result."""
        result: T = await self._submit(lane, act, args, kwargs, joined=False)
        return result

    async def join(self, lane: Lane, act: Callable[[Connection, Sequence[Item]], Sequence[T]], item: Item, /) -> T:
        """Run `act(conn, items)` over all items that wait for it, in one transaction; give this item's result."""
        result: T = await self._submit(lane, act, (item,), {}, joined=True)
        return result

    async def read(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a reading act on a read-only snapshot."""
        if self.path is None:
            return await self.write(Lane.BULK, act, *args, **kwargs)

        def run() -> T:
            if self.broken is not None:
                raise self.broken
            try:
                with self._reader.begin() as conn:
                    return act(conn, *args, **kwargs)
            except DatabaseError as failure:
                raise self._found(failures.told(failure, reading=True)) from failure

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def give_way(self) -> None:
        """Called by bulk work that computes in a thread of its own, every few hundred microseconds: returns when nobody else wants the
        writer. An act of many short statements takes the interpreter's lock after each of them; beside a thread that keeps it for a whole
        turn every time, half a millisecond of handovers became 75 (measured: the reading of an import)."""
        self._calm.wait(GIVE_WAY_SECONDS)

    def _submit(
        self, lane: Lane, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, joined: bool
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._wake:
            if self._stopping:
                raise StoreUnavailableError("the store is closed")
            self._lanes[lane].append(_Call(act, args, kwargs, joined, future, lane))
            if lane < Lane.BULK:
                self._calm.clear()
            ring = not self._ringing
            self._ringing = True
        if ring:
            loop.call_soon(self._ring, loop, 1, RING_TURNS)
        return future

    def _ring(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int) -> None:
        """Tell the writer, once for all that was submitted in one turn of the loop: they share a commit, and it wakes up once. While more
        comes in each turn it is left alone for some turns."""
        with self._wake:
            waiting = sum(map(len, self._lanes))
            if waiting > seen and turns:
                loop.call_soon(self._ring, loop, waiting, turns - 1)
                return
            self._ringing = False
            self._wake.notify()

    def _take(self) -> list[_Call] | None:
        """The calls for the next transaction; empty = idle for a while; None = stop."""
        with self._wake:
            if not any(self._lanes[: Lane.BULK]):
                self._calm.set()
            if not any(self._lanes) and not self._stopping:
                self._wake.wait(IDLE_SECONDS)
            return self._next() or (None if self._stopping else [])

    def _next(self) -> list[_Call]:
        """The most urgent calls that may share a transaction; empty = nothing waits. Handovers come without end while mail goes out:
        who waits to forbid one has every second turn, so that an unsubscribe is not answered only when the sending pauses."""
        lanes = [(lane, waiting) for lane, waiting in enumerate(self._lanes) if waiting]
        if self._handed and len(lanes) > 1 and lanes[1][0] == Lane.EXIT:
            del lanes[0]
        for lane, waiting in lanes:
            self._handed = lane == Lane.HANDOVER
            first = waiting.popleft()
            calls = [first]
            alone = lane in _ALONE
            while (
                waiting
                and not alone
                and len(calls) < GROUP_LIMIT
                and waiting[0].joined == first.joined
                and (not first.joined or waiting[0].act == first.act)
            ):
                calls.append(waiting.popleft())
            return calls
        return []

    def _run(self) -> None:
        while (calls := self._take()) is not None:
            if not calls:
                self._checkpoint(idle=True)
                continue
            refusal = self.broken or self.frozen
            answers = self._transact(calls) if refusal is None else [(call.future, None, refusal) for call in calls]
            self._dirty = refusal is None
            for loop in {call.future.get_loop() for call in calls}:
                mine = [answer for answer in answers if answer[0].get_loop() is loop]
                try:
                    loop.call_soon_threadsafe(_answer, mine)
                except RuntimeError:
                    continue  # that loop has closed: nobody waits there any more
            self._checkpoint(idle=False)

    def _transact(self, calls: list[_Call]) -> list[_Answer]:
        conn = self._conn
        answers: list[_Answer] = []
        try:
            self._ask_for_sync(not all(getattr(call.act, "redone", False) for call in calls))
            with engines.Transaction(conn):
                if calls[0].joined:
                    results = calls[0].act(conn, [call.args[0] for call in calls])
                    answers = [(call.future, result, None) for call, result in zip(calls, results, strict=True)]
                elif len(calls) == 1:
                    answers = [(calls[0].future, calls[0].act(conn, *calls[0].args, **calls[0].kwargs), None)]
                else:
                    answers = [self._savepoint(conn, call) for call in calls]
        except BaseException as failure:  # supervision: the error goes to whoever waits, the writer lives on
            full = self.is_full(failure)
            error = self._found(failures.told(failure, full=full))
            if self.broken is None and not engines.in_transaction(conn):
                if full and calls[0].lane <= Lane.EXIT and self.make_room():
                    return self._transact(calls)
                if len(calls) > 1:
                    return [answer for call in calls for answer in self._transact([call])]  # one bad item must not spoil the others'
            return [(call.future, None, error) for call in calls]
        self.commits += 1
        return self._journaled(calls, answers)

    def _ask_for_sync(self, sync: bool) -> None:
        """Whether the next commit is to be on the disk before it is answered (see `redone`)."""
        if sync is self._lax:
            raw: Any = self._conn.connection.driver_connection  # below Core: a PRAGMA must not open a transaction
            raw.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            self._lax = not sync

    def _journaled(self, calls: list[_Call], answers: list[_Answer]) -> list[_Answer]:
        """What was committed is told to the journal before anyone is. If that fails nobody is told that he may send."""
        if not calls[0].joined or self._after_join is None:
            return answers
        try:
            self._after_join([answer[1] for answer in answers])
        except BaseException as failure:  # supervision, as above
            if isinstance(failure, StoreUnavailableError) and self.make_room():
                return self._journaled(calls, answers)
            error = self._found(failure)
            return [(call.future, None, error) for call in calls]
        return answers

    def _found(self, error: BaseException) -> BaseException:
        """An error on its way to who asked; a broken store is remembered, and the rest of the daemon is told."""
        if isinstance(error, StoreBrokenError):
            self.condemn(error)
        return error

    def check_file(self) -> None:
        """See that the store's files are still those that were opened. Two looks at the folder: may be called from the loop."""
        if self._mark is not None and self.broken is None and (strange := self._mark.strange()) is not None:
            self._found(failures.broken(strange))

    def _savepoint(self, conn: Connection, call: _Call) -> _Answer:
        try:
            with conn.begin_nested():
                return (call.future, call.act(conn, *call.args, **call.kwargs), None)
        except Exception as error:  # supervision: one act's failure is its caller's
            told = self._found(failures.told(error, full=self.is_full(error)))
            if self.broken is not None or not conn.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
                raise  # a full disk ended the whole transaction, the others' work too: each is done again alone
            return (call.future, None, told)

    def _checkpoint(self, *, idle: bool) -> None:
        if self.path is None or not self._dirty:
            return
        size = self.wal_bytes()
        if not idle and size <= self._wal_full:
            return
        self.check_file()
        if self.broken is not None:
            return
        raw: Any = self._conn.connection.driver_connection  # below Core: a PRAGMA must not open a transaction
        cut = idle or size > WAL_CUT_BYTES
        raw.execute("PRAGMA busy_timeout=0")  # whoever reads for long (a backup, a check) is not waited for
        try:
            [(left, _, _)] = raw.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if cut else 'PASSIVE'})").fetchall()
        except (sqlite3.Error, MemoryError) as failure:  # a full disk: the log only grows, until there is room
            told = failures.told(failure, full=self.is_full(failure))
            self._found(told if isinstance(told, HomingError) else failures.broken(f"its log cannot be copied back: {failure}"))
            return
        finally:
            raw.execute(f"PRAGMA busy_timeout={engines.BUSY_MILLISECONDS}")
        self._wal_full = max(WAL_LIMIT_BYTES, self.wal_bytes())
        self._dirty = idle and bool(left)

    def wal_bytes(self) -> int:
        """Bytes in the write-ahead log."""
        try:
            return 0 if self.path is None else os.stat(self._wal_path).st_size  # noqa: PTH116 - asked at every commit
        except FileNotFoundError:
            return 0

    async def close(self) -> None:
        """Finish what waits, checkpoint, close. Safe to call twice. A broken store is let go of without a checkpoint."""
        with self._wake:
            if self._stopping and self._conn.closed:
                return
            self._stopping = True
            self._wake.notify()
        await asyncio.get_running_loop().run_in_executor(self._readers, self._thread.join)
        self._readers.shutdown()
        if not self._conn.closed:
            self._checkpoint(idle=True)
            if self.broken is not None or self.frozen is not None:
                self._conn.invalidate()
            self._conn.close()
            self._writer.dispose()
            self._reader.dispose()


def _warm(reader: Engine) -> None:
    """Open the readers' connections now: later there may be no descriptor left (F26). And as long as one of them is open, closing
    the writer's is not the file's last close, with which SQLite would write the log back into a file that may be broken."""
    with contextlib.ExitStack() as stack:
        for conn in [stack.enter_context(reader.connect()) for _ in range(READERS)]:
            conn.execute(text("SELECT 1 FROM sqlite_master LIMIT 1"))


def _answer(answers: list[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
