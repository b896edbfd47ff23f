"""FLOOR 7, simulate: the store of a simulated daemon: the acts of the real one, run between two steps of the loop.

SQLite in memory takes the place of the file and survives the process, as a file does. The lanes, the joining into one transaction
and the transaction itself are the code of `store.writer.Store`; in place of its thread there are timers. Each act has a virtual
delay before it (it waits for its turn) and one after it (it has committed and the caller does not know yet), so that a crash can
fall anywhere, also between commit and answer. Reads see what was committed last.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from daemon.errors import StoreUnavailableError
from daemon.simulate.loop import SimLoop
from daemon.simulate.process import Process
from daemon.store import failures
from daemon.store.engine import Transaction
from daemon.store.memory import MemoryFile, injected, without_room
from daemon.store.writer import Lane, Store, _Answer, _answer, _Call

P = ParamSpec("P")
T = TypeVar("T")

BEFORE = (0.00005, 0.03)
AFTER = (0.00005, 0.005)
"""Seconds that an act waits for its turn, and that its caller waits for the answer after the commit: a slow disk, on which what several
connections ask for comes together in one commit, as it does in production."""


class StoreFaults:
    """What goes wrong at the store, for all its processes. `full`: the share of writes that find the disk full · `broken`: the
    next write meets an I/O error, and whether it is on disk is not known; from then on nothing works until the next start."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"store faults {seed}")
        self.full = 0.0
        self.broken = False
        self.strikes = 0

    def full_now(self) -> bool:
        return self.full > 0 and self._rng.random() < self.full

    def kept(self) -> bool:
        """Did the commit that failed reach the disk?"""
        return self._rng.random() < 0.5


class SimStore(Store):
    """A `Store` without a thread. `told(name)`: each committed transaction, for the history."""

    def __init__(
        self, file: MemoryFile, process: Process, loop: SimLoop, rng: random.Random, faults: StoreFaults,
        after_join: Callable[[Sequence[Any]], None],
    ) -> None:  # fmt: skip
        failures.Kept.__init__(self)  # not super(): it starts the thread
        self.path: Path | None = None
        self.commits = 0
        self._conn, self._process, self._loop, self._rng, self._faults = file.conn, process, loop, rng, faults
        self._after_join = after_join
        self._lanes = tuple(deque[_Call]() for _ in Lane)
        self._stopping = False
        self._mark = None
        self._lax = False
        self._busy = False
        self._idle: asyncio.Event = asyncio.Event()

    def _submit(
        self, lane: Lane, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, joined: bool
    ) -> asyncio.Future[Any]:
        self._process.check()
        if self._stopping:
            raise StoreUnavailableError("the store is closed")
        future = self._loop.create_future()
        self._lanes[lane].append(_Call(act, args, kwargs, joined, future, lane))
        self._start()
        return future

    async def read(self, act: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._process.check()
        future = self._loop.create_future()
        answer: Callable[[], object]

        def look() -> None:
            nonlocal answer
            if not self._process.alive or future.done():
                return
            try:
                if self.broken is not None:
                    raise self.broken
                with Transaction(self._conn):
                    result = act(self._conn, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - it goes to who asked
                answer = functools.partial(_settle, future, None, error)
            else:
                answer = functools.partial(_settle, future, result, None)
            self._loop.call_later(self._rng.uniform(*AFTER), answer)

        self._loop.call_later(self._rng.uniform(*BEFORE), look)
        found: T = await future
        return found

    def _start(self) -> None:
        """In place of the writer's thread: the next transaction comes after its delay, when none is under way."""
        if not self._busy:
            self._busy = True
            self._loop.call_later(self._rng.uniform(*BEFORE), self._commit)

    def _commit(self) -> None:
        if not self._process.alive:
            return
        calls, refusal = self._next(), self.broken or self.frozen
        answers: list[_Answer] = self._transact(calls) if refusal is None else [(call.future, None, refusal) for call in calls]
        self._loop.call_later(self._rng.uniform(*AFTER), self._tell, answers)

    def _tell(self, answers: list[_Answer]) -> None:
        if not self._process.alive:
            return
        self._busy = False
        _answer(answers)
        if any(self._lanes):
            self._start()
        else:
            self._idle.set()

    def _transact(self, calls: list[_Call]) -> list[_Answer]:
        if self._faults.broken:
            self._faults.broken = False
            if self._faults.kept():
                super()._transact(calls)
            error = self._found(failures.told(injected("SQLITE_IOERR_FSYNC")))
            return [(call.future, None, error) for call in calls]
        if self._faults.full_now():
            self._faults.strikes += 1
            calls = [_Call(without_room(call.act), call.args, call.kwargs, call.joined, call.future, call.lane) for call in calls]
        answers = super()._transact(calls)
        self._loop.note(calls[0].act.__name__)
        return answers

    def _ask_for_sync(self, sync: bool) -> None:
        """What is in memory survives the process; that a commit which may be done again can be lost with the power is not simulated."""

    def wal_bytes(self) -> int:
        return 0

    def give_way(self) -> None:
        """Nothing runs beside what runs."""

    async def close(self) -> None:
        """Finish what waits. The file stays."""
        self._stopping = True
        while self._busy:
            self._idle.clear()
            await self._idle.wait()


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    _answer([(future, result, error)])
