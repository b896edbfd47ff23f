"""Runs the acts: one thread writes, in lanes; a small pool reads.

The writer takes what waits in the most urgent lane as soon as it is free and commits it together (group commit without a
timer: facts/spikes.md §1). A caller gets its answer only after the commit. A cancelled or timed-out call may still have
committed: callers must never take that as "not done".
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from daemon.errors import StoreUnavailableError
from daemon.store import engine as engines

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

GROUP_LIMIT = 256
"""At most so many joined items or acts in one transaction."""
WAL_LIMIT_BYTES = 64 * 1024 * 1024
IDLE_SECONDS = 1.0
PUT_OFF = frozenset({"SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED"})
"""What may pass by itself: `StoreUnavailableError`. Any other failure of the file (I/O, corruption) ends who asked."""


class Lane(IntEnum):
    """Who goes first at the one writer."""

    HANDOVER = 0
    EXIT = 1
    CLAIM = 2
    INTAKE = 3
    BULK = 4


_ALONE = (Lane.CLAIM.value, Lane.BULK.value)
"""Lanes whose acts are transactions of their own."""


class Writes(Protocol):
    """What stages use of a store."""

    async def write(self, lane: Lane, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def join(self, lane: Lane, act: Callable[[Connection, Sequence[Item]], Sequence[T]], item: Item, /) -> T: ...
    async def read(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


class KeptStore(Writes, Protocol):
    """A store with what its owner needs: `Store`, or the one of a simulation."""

    commits: int

    def wal_bytes(self) -> int: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class _Call:
    act: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    joined: bool
    future: asyncio.Future[Any]


class Store:
    """The SQLite store of one process. Make it with `Store.open`; `close` waits for what is under way."""

    def __init__(
        self, writer: Engine, reader: Engine, path: Path | None, after_join: Callable[[Sequence[Any]], None] | None = None
    ) -> None:
        self._writer, self._reader, self.path = writer, reader, path
        self._after_join = after_join
        self._lanes: tuple[deque[_Call], ...] = tuple(deque() for _ in Lane)
        self._wake = threading.Condition()
        self._stopping = False
        self._dirty = False
        self.commits = 0
        self._conn = writer.connect()
        self._readers = ThreadPoolExecutor(1 if path is None else 2, thread_name_prefix="store-read")
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
            with self._reader.begin() as conn:
                return act(conn, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def _submit(
        self, lane: Lane, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, joined: bool
    ) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._stopping:
                raise StoreUnavailableError("the store is closed")
            self._lanes[lane].append(_Call(act, args, kwargs, joined, future))
            self._wake.notify()
        return future

    def _take(self) -> list[_Call] | None:
        """The calls for the next transaction; empty = idle for a while; None = stop."""
        with self._wake:
            if not any(self._lanes) and not self._stopping:
                self._wake.wait(IDLE_SECONDS)
            return self._next() or (None if self._stopping else [])

    def _next(self) -> list[_Call]:
        """The most urgent calls that may share a transaction; empty = nothing waits."""
        for lane, waiting in enumerate(self._lanes):
            if not waiting:
                continue
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
            answers = self._transact(calls)
            self._dirty = True
            for loop in {call.future.get_loop() for call in calls}:
                mine = [answer for answer in answers if answer[0].get_loop() is loop]
                try:
                    loop.call_soon_threadsafe(_answer, mine)
                except RuntimeError:
                    continue  # that loop has closed: nobody waits there any more
            self._checkpoint(idle=False)

    def _transact(self, calls: list[_Call]) -> list[tuple[asyncio.Future[Any], Any, BaseException | None]]:
        conn = self._conn
        answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            with conn.begin():
                if calls[0].joined:
                    results = calls[0].act(conn, [call.args[0] for call in calls])
                    answers = [(call.future, result, None) for call, result in zip(calls, results, strict=True)]
                elif len(calls) == 1:
                    answers = [(calls[0].future, calls[0].act(conn, *calls[0].args, **calls[0].kwargs), None)]
                else:
                    answers = [self._savepoint(conn, call) for call in calls]
            self.commits += 1
            if calls[0].joined and self._after_join is not None:
                self._after_join([answer[1] for answer in answers])
        except BaseException as failure:  # supervision: the error goes to whoever waits, the writer lives on
            error = _told(failure)
            if len(calls) > 1 and not conn.in_transaction():
                return [answer for call in calls for answer in self._transact([call])]  # one bad item must not spoil the others'
            return [(call.future, None, error) for call in calls]
        return answers

    @staticmethod
    def _savepoint(conn: Connection, call: _Call) -> tuple[asyncio.Future[Any], Any, BaseException | None]:
        try:
            with conn.begin_nested():
                return (call.future, call.act(conn, *call.args, **call.kwargs), None)
        except Exception as error:  # supervision: one act's failure is its caller's
            if not conn.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
                raise  # a full disk ended the whole transaction, the others' work too: each is done again alone
            return (call.future, None, _told(error))

    def _checkpoint(self, *, idle: bool) -> None:
        if self.path is None or not self._dirty:
            return
        if not idle and self.wal_bytes() < WAL_LIMIT_BYTES:
            return
        raw: Any = self._conn.connection.driver_connection  # below Core: a PRAGMA must not open a transaction
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)" if idle else "PRAGMA wal_checkpoint(RESTART)").fetchall()
        self._dirty = False

    def wal_bytes(self) -> int:
        """Bytes in the write-ahead log."""
        try:
            return 0 if self.path is None else Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    async def close(self) -> None:
        """Finish what waits, checkpoint, close. Safe to call twice."""
        with self._wake:
            if self._stopping and self._conn.closed:
                return
            self._stopping = True
            self._wake.notify()
        await asyncio.get_running_loop().run_in_executor(self._readers, self._thread.join)
        self._readers.shutdown()
        if not self._conn.closed:
            self._checkpoint(idle=True)
            self._conn.close()
            self._writer.dispose()
            self._reader.dispose()


def _told(failure: BaseException) -> BaseException:
    """A full disk and a busy file in words for the operator; everything else as it is."""
    name = getattr(getattr(failure, "orig", None), "sqlite_errorname", None)
    if isinstance(failure, OperationalError) and name in PUT_OFF:
        return StoreUnavailableError(f"the store cannot be written now ({failure.orig}); make room on its disk")
    return failure


def _answer(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
