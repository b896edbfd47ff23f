"""FLOOR 7, simulate: an asyncio loop whose time is a number and whose interleavings are drawn from a seed.

When nothing can run, the clock jumps to the next timer; when there is none either, that is a `Deadlock`, named. Each batch of
callbacks that could run is shuffled by the seed, so that orders are met which nobody wrote. Threads, sockets, processes and
signals raise `Forbidden`. Works on CPython 3.11 to 3.13 by overriding what `BaseEventLoop` documents and `_run_once`.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_LIMIT = 5_000_000


class Forbidden(RuntimeError):
    """Simulated code reached for the real world; take the port instead."""


class Deadlock(RuntimeError):
    """Nothing can run and no timer is set: the tasks in the message wait for each other, or for nothing."""


class TooManySteps(RuntimeError):
    """More steps than a sound run needs: somebody spins."""


class SimTask(asyncio.Task[T]):
    """A task whose hash is its number: sets of tasks (TaskGroup has one) have the same order in every run."""

    number: int

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimFuture(asyncio.Future[Any]):
    """The same for futures."""

    number: int

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimHandle(asyncio.Handle):
    """A callback that is to run. Made for each step: no more than a step needs, and in one frame."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., object], args: Sequence[Any], loop: SimLoop, context: Context | None) -> None:
        made: Any = self  # the base class says too little of what it has
        made._context = copy_context() if context is None else context
        made._loop, made._callback, made._args = loop, callback, args
        made._cancelled, made._repr, made._source_traceback = False, None, None


class SimTimer(asyncio.TimerHandle):
    """The same at a later time."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., object], args: Sequence[Any], loop: SimLoop, context: Context | None
    ) -> None:
        made: Any = self
        made._context = copy_context() if context is None else context
        made._loop, made._callback, made._args = loop, callback, args
        made._cancelled, made._repr, made._source_traceback = False, None, None
        made._when, made._scheduled = when, False


class Owner(Protocol):
    """Who wants to know of its tasks. Not alive: it gets no timers any more."""

    alive: bool

    def adopt(self, task: SimTask[Any], /) -> None: ...


class SimLoop(asyncio.base_events.BaseEventLoop):
    """`asyncio.Runner(loop_factory=lambda: SimLoop(seed=7))`. `digest()` tells two histories apart."""

    def __init__(self, *, seed: int, shuffle: bool = True, step_limit: int = STEP_LIMIT) -> None:
        self._now = 0.0
        super().__init__()
        self._order = random.Random(f"loop {seed}") if shuffle else None
        self._limit = step_limit
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = 0
        self._trace = hashlib.sha256()
        self._told: list[str] = []
        self.steps = 0
        self._alarms: list[tuple[int, int, Callable[[], object]]] = []
        self.owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
        """Whose tasks are made: a simulated process."""
        self.errors: list[BaseException] = []
        """What callbacks raised and no one awaited; a simulation that has any has failed."""
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Seconds since this world began."""
        return self._now

    def digest(self) -> str:
        """Of every step so far: its time and what ran."""
        self._hash()
        return self._trace.hexdigest()[:16]

    def note(self, text: str) -> None:
        """Put something of the simulation's own (a crash, a commit) into the history."""
        self._told.append(f"note {text}")

    def _hash(self) -> None:
        self._trace.update("\n".join([*self._told, ""]).encode())
        self._told.clear()

    def at_step(self, step: int, then: Callable[[], object]) -> None:
        """Call `then` between two steps, once so many are done. It is no step of its own."""
        heapq.heappush(self._alarms, (step, self._next(), then))

    # --- time -----------------------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = SimHandle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._set(self._now + delay, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Timers of one instant fire in the order in which they were set, before the shuffle."""
        return self._set(when, callback, args, context)

    def _set(self, when: float, callback: Callable[..., object], args: Sequence[Any], context: Context | None) -> asyncio.TimerHandle:
        timer = SimTimer(when, callback, args, self, context)
        if (owner := self.owner.get()) is not None and not owner.alive:
            timer.cancel()  # the dead set no clock: what looks again each second would look for ever
            return timer
        self._numbers += 1
        heapq.heappush(self._timers, (when, self._numbers, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    # --- steps ----------------------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Turn after turn, until somebody stops the loop: what `run_forever` would do, in one frame."""
        told, alarms = self._told, self._alarms
        while True:
            for handle in self._batch():
                if handle._cancelled:
                    continue
                self.steps += 1
                callback: Any = handle._callback  # type: ignore[attr-defined]
                owner = getattr(callback, "__self__", None)
                told.append(owner.get_name() if type(owner) is SimTask else _label(callback))
                try:
                    handle._context.run(callback, *handle._args)  # type: ignore[attr-defined]
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as `Handle._run`
                    self.call_exception_handler({"message": f"in {_label(callback)}", "exception": error, "handle": handle})
                while alarms and self.steps >= alarms[0][0]:
                    heapq.heappop(alarms)[2]()
            if len(told) > 500:
                self._hash()
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _batch(self) -> list[asyncio.Handle]:
        """All that can run now, shuffled; if nothing can, time goes on to the next timer."""
        ready: Any = self._ready  # type: ignore[attr-defined]
        if self.steps >= self._limit:
            limit, self._limit = self._limit, sys.maxsize  # so that the tasks can still be cancelled
            raise TooManySteps(f"{limit} steps by {self._now:.6f} s; running: {self._waiting()}")
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise Deadlock(f"nothing can run at {self._now:.6f} s; waiting: {self._waiting()}")
            self._now = max(self._now, timers[0][0])
            self._told.append(f"at {self._now:.9f}")
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
        batch = list(ready)
        ready.clear()
        if self._order is not None and len(batch) > 1:
            self._order.shuffle(batch)
        return batch

    def _waiting(self) -> str:
        names = sorted(f"{task.get_name()} in {task.get_coro()!s:.80}".split(" at 0x")[0] for task in asyncio.all_tasks(self))
        return ", ".join(names) or "no task"

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    # --- tasks, in the same order everywhere --------------------------------------------------------------------------------------

    def create_task(self, coro: Coroutine[Any, Any, T], **options: Any) -> SimTask[T]:  # type: ignore[override]  # options differ by version
        self._check_closed()  # type: ignore[attr-defined]
        task: SimTask[T] = SimTask.__new__(SimTask)
        task.number = self._next()
        if options.get("name") is None:
            options["name"] = f"task-{task.number}"
        task.__init__(coro, loop=self, **options)  # type: ignore[misc]
        if (owner := self.owner.get()) is not None:
            owner.adopt(task)
        return task

    def create_future(self) -> asyncio.Future[Any]:
        future = SimFuture(loop=self)
        self._numbers += 1
        future.number = self._numbers
        return future

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or RuntimeError(str(context.get("message"))))

    # --- the world stays out ------------------------------------------------------------------------------------------------------

    def call_soon_threadsafe(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        """asyncio itself calls it on this thread to close async generators; from any other thread it is forbidden."""
        if self._thread_id is not None and self._thread_id != threading.get_ident():  # type: ignore[attr-defined]
            raise Forbidden("call_soon_threadsafe from another thread: simulated code has one thread")
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no selector to wake."""


def _ban(name: str) -> Callable[..., NoReturn]:
    def banned(_self: SimLoop, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise Forbidden(f"loop.{name} is not for simulated code: take the port")

    return banned


BANNED = (
    "run_in_executor",
    "set_default_executor",
    "getaddrinfo",
    "getnameinfo",
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "create_datagram_endpoint",
    "connect_accepted_socket",
    "start_tls",
    "sendfile",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_connect",
    "sock_accept",
    "sock_sendfile",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_shell",
    "subprocess_exec",
    "add_signal_handler",
    "remove_signal_handler",
    "add_reader",
    "remove_reader",
    "add_writer",
    "remove_writer",
)
for _name in BANNED:
    setattr(SimLoop, _name, _ban(_name))


def _label(callback: Any) -> str:
    """What a step runs, where that is no task of ours, in words that are the same in every run."""
    try:
        name: str = callback.__qualname__
    except AttributeError:
        return type(callback).__name__
    return name
