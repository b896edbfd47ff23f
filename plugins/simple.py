"""SimpleChannel: the short form of a channel plugin. The author writes `send_one`; asking leave and reporting happen here.

For each message: wait for one of `capabilities.concurrency` places, ask handover for that one id, run `send_one` if it was
granted, report its outcome. Knows no provider and no store: messages come from the daemon's dispatch through `send`, outcomes
go back through the session. An exception in `send_one` is `Unknown` (the provider may have it), but `NotSent` gives back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from plugins.contract import Accepted, Capabilities, Clock, Context, Deferred, Log, Message, NotSent, Outcome, Rejected, Session, Unknown
from plugins.grant import Grant

if TYPE_CHECKING:
    import aiohttp

S = TypeVar("S")
ASK_AGAIN_SECONDS = (0.5, 2.0)
"""Waits before a doubt is asked again, where the provider honours the id as a key."""


class SimpleChannel(ABC, Generic[S]):
    """One message, one call, one outcome. Write `send_one`; override `open` and `close` for what lives as long as the channel.

    `self.settings`, `self.http`, `self.log`, `self.clock` and `self.context` are there from `open` on. At most
    `capabilities.concurrency` calls of `send_one` run at once, over all batches of this provider.
    """

    name: ClassVar[str]
    channel: ClassVar[str]
    address: ClassVar[str]
    settings_type: ClassVar[type[Any]]
    capabilities: Capabilities = Capabilities()
    send_seconds: ClassVar[float | None] = 60.0
    """`send_one` is ended after so long, and its message reported `Unknown`. The shared HTTP session gives up earlier. None: whatever
    `send_one` awaits has a deadline of its own."""

    context: Context[S]
    settings: S
    http: aiohttp.ClientSession
    log: Log
    clock: Clock

    _places: asyncio.Semaphore | None = None

    @abstractmethod
    async def send_one(self, message: Message) -> Outcome:
        """Send this message now and say what became of it. Runs only once handover is granted, once per grant."""

    async def open(self) -> None:
        """Called once before the first `send_one`: a place to sign in, to open a session of your own. Optional."""

    async def close(self) -> None:
        """Called once after the last `send_one`, if `open` was called. Optional."""

    async def start(self, context: Context[S]) -> None:
        self.context = context
        self.settings = context.settings
        self.http = context.http
        self.log = context.log
        self.clock = context.clock
        self._places = asyncio.Semaphore(self.capabilities.concurrency)
        await self.open()

    async def stop(self) -> None:
        if self._places is not None:
            self._places = None
            await self.close()

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        """Each message by itself: one that fails, in whatever manner, leaves the others alone."""
        if self._places is None:
            raise RuntimeError("send() was called before start() or after stop()")
        left, failures = deque(batch), list[BaseException]()
        workers = min(len(batch), self.capabilities.concurrency)
        await asyncio.gather(*(self._work(left, session, self._places, failures) for _ in range(workers)))
        if failures:
            raise failures[0]  # of the session, never of send_one: what is not reported goes back to due

    async def _work(self, left: deque[Message], session: Session, places: asyncio.Semaphore, failures: list[BaseException]) -> None:
        """Take one message after the other, in a place of its own: a task for each message costs as much again as asking for it."""
        task = asyncio.current_task()
        async with places:
            while left and not session.closing:
                try:
                    await self._send_granted(left.popleft(), session)
                except (Exception, asyncio.CancelledError) as error:
                    if task is not None and task.cancelling():
                        raise
                    failures.append(error)  # of this message alone, a cancellation of its own too: the others go on

    async def _send_granted(self, message: Message, session: Session) -> None:
        grant = Grant(self.clock)
        if message.id not in await session.handover([message.id]):
            return
        if grant.expired:
            outcome: Outcome = Deferred(nothing_sent=True, code="grant_expired")
        else:
            with grant.held():
                outcome = await self._outcome_of(message)
                if isinstance(outcome, Unknown) and self.capabilities.idempotent:
                    outcome = await self._ask_again(message, outcome, session, grant)
        session.report(message.id, outcome)

    async def _ask_again(self, message: Message, doubt: Unknown, session: Session, grant: Grant) -> Outcome:
        """The provider takes a second request under the same id for the first one, so asking is harmless while the grant lasts.
        Only an answer that settles it counts: that the second request was not taken says nothing of the first."""
        for seconds in ASK_AGAIN_SECONDS:
            await self.clock.sleep(seconds)
            if session.closing or grant.expired:
                break
            outcome = await self._outcome_of(message)
            if isinstance(outcome, Accepted | Rejected):
                return outcome
        return doubt

    async def _outcome_of(self, message: Message) -> Outcome:
        try:
            if self.send_seconds is None:
                outcome: object = await self.send_one(message)
            else:
                async with asyncio.timeout(self.send_seconds):
                    outcome = await self.send_one(message)
        except NotSent as error:
            return Deferred(nothing_sent=True, scope="provider", code="not_sent", detail=_line(error))
        except (Exception, SystemExit) as error:  # a SystemExit in a task of its own would end the daemon
            self.log.warning("send_one_raised", id=message.id, error=type(error).__name__, exc_info=error)
            return Unknown(code=type(error).__name__, detail=_line(error))
        if not isinstance(outcome, Outcome):
            self.log.error("send_one_returned_no_outcome", id=message.id, returned=type(outcome).__name__)
            return Unknown(code="wrong_type", detail=f"send_one returned {type(outcome).__name__}, which is no outcome")
        return outcome


def _line(error: BaseException) -> str:
    """The error's text on one line, short enough for a row in the list of doubts."""
    return " ".join(str(error).split())[:200]
