"""SMTP: the wire. An asyncio protocol that writes groups of commands and pairs each reply with the command that it answers.

It takes a session over from aiosmtplib (facts/spikes.md §1) and knows how many replies are owed. A reply that nobody waits for, a
garbled one, a late one or an end of the connection is a `Failure`: the connection is aborted and never used again. What a failure
means for a message is not known here but in `courier`. Deadlines are per stage and do not move when single bytes drip in (F12).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from channels.smtp.replies import Garbled, Reply, ReplyReader

Stage = Literal["reset", "mail", "rcpt", "data", "dot"]
"""What a reply answers. Each stage has its own deadline."""

FailureKind = Literal["lost", "timeout", "garbled", "unexpected", "stalled", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a connection is of no more use: the evidence that ends up beside a message in doubt."""

    kind: FailureKind
    detail: str


class Exchange(asyncio.Protocol):
    """One open SMTP session after its EHLO. Not started: `connection_made` is called by who takes the transport over."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop, seconds: Mapping[Stage, float], name: str) -> None:
        self.name = name
        self.failure: Failure | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._seconds = seconds
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._owed: deque[Stage] = deque()
        self._replies: list[Reply] = []
        self._need = 0
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- the courier's side

    @property
    def quiet(self) -> bool:
        """True when nothing is owed, nothing is unread and nothing failed: fit for the next envelope."""
        return self.failure is None and not self._owed and not self._replies and not self._reader.partial and not self._gone

    def write(self, data: bytes | memoryview, *stages: Stage) -> bool:
        """Write; one reply is owed for each stage. False when it surely did not leave: the connection is gone.

        The answer is exact where it matters: asyncio hands the bytes to the kernel at once when it has none waiting, and an
        error there closes the transport within the call. In every other case it is True, and who wrote a dot is in doubt.
        """
        transport = self._transport
        if self.failure is not None or transport is None or transport.is_closing():
            return False
        if stages:
            if not self._owed:
                self._expect(self._seconds[stages[0]])
            self._owed.extend(stages)
        transport.write(data)
        return not transport.is_closing()

    async def take(self, count: int) -> list[Reply]:
        """The next replies in order; fewer than `count` when the connection failed before they came."""
        if len(self._replies) < count and self.failure is None:
            self._need = count
            await self._wait()
        taken = self._replies[:count]
        del self._replies[:count]
        return taken

    async def drained(self, seconds: float) -> bool:
        """Wait until the kernel has all that was written. False when the connection failed, or after `seconds` (`stalled`)."""
        if self._paused and self.failure is None:
            try:
                async with asyncio.timeout(seconds):
                    self._need = -1
                    await self._wait()
            except TimeoutError:
                self.fail("stalled", f"the relay took no more bytes for {seconds:g} s")
        return self.failure is None and not self._gone

    def fail(self, kind: FailureKind, detail: str) -> None:
        """End the connection without a farewell. The first reason stays."""
        if self.failure is None:
            self.failure = Failure(kind=kind, detail=f"{detail} ({self.name})")
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def quit(self) -> None:
        """Close a session that owes nothing, politely: the answer to QUIT is not waited for."""
        if self.quiet and self._transport is not None:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        else:
            self.fail("dropped", "closed by us")

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # So that `_paused` says: the kernel has not yet taken all of it. Not high=0: asyncio's TLS transport pauses at size >= high,
        # so at 0 it pauses and resumes by turns with nothing in its buffer, and who waits then may wait for ever.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        before = len(self._replies)
        try:
            self._reader.feed(data, self._replies)
        except Garbled as error:
            garbled: str | None = str(error)
        else:
            garbled = None
        came = len(self._replies) - before
        if came > len(self._owed):
            extra = self._replies[before + len(self._owed)]
            del self._replies[before + len(self._owed) :]
            self._owed.clear()
            self.fail("unexpected", f"a reply that nobody waits for: {extra.code} {extra.text}")
            return
        for _ in range(came):
            self._owed.popleft()
        goodbye = self._cut_at_421(before)
        if garbled is not None:
            self.fail("garbled", f"no SMTP reply: {garbled}")
        elif goodbye is not None:  # it closes now; what else was owed will not come
            self.fail("lost", f"the relay closed with 421 {goodbye.text}")
        elif not self._owed:
            if self._reader.partial:
                self.fail("unexpected", "bytes that nobody waits for")
        elif came:
            self._expect(self._seconds[self._owed[0]])
        if 0 < self._need <= len(self._replies):
            self._wake()

    def eof_received(self) -> None:
        self.fail("lost", "the relay closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.failure is None:
            self.failure = Failure(kind="lost", detail=f"connection lost: {exc or 'closed'} ({self.name})")
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._need < 0:
            self._wake()

    # -- within

    @property
    def _gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _cut_at_421(self, start: int) -> Reply | None:
        """The relay's goodbye among the new replies; what it says after that does not count."""
        for index in range(start, len(self._replies)):
            if self._replies[index].code == 421:
                del self._replies[index + 1 :]
                return self._replies[index]
        return None

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._need = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expect(self, seconds: float) -> None:
        """The next owed reply has to be whole by then. One lazy timer per connection: it is moved when it fires, not per reply."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._owed or self.failure is not None:
            return
        if self._loop.time() >= self._deadline:
            stage = self._owed[0]
            self.fail("timeout", f"no answer to {stage.upper()} in {self._seconds[stage]:g} s")
        else:
            self._timer = self._loop.call_at(self._deadline, self._look)
