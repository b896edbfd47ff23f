"""A line's eye on the send calls that are under way: which of them wait, for which destination, and for how long.

A call that has had no answer for longer than is usual names its destination slow; what else is claimed for it goes back to the queue
before it fills the line, and what the call has reported meanwhile is recorded though it has not ended. Looks once a second while
something is on its way, and seldomer while all that is there to see has been waiting for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from daemon.clock import Clock
from daemon.dispatch.ready import Ready
from daemon.dispatch.session import SendSession
from daemon.dispatch.work import Envelope
from daemon.pacing.destinations import Destinations

LOOK_SECONDS = 1.0
SELDOM_SECONDS = 15.0
HICCUP_SECONDS = 5.0
"""When nobody at all gets an answer it is the relay's pause and not a destination's, up to so long."""
LAG_SECONDS = 0.5
"""A look that comes so late tells of the daemon, not of the relay."""


class Answers(Protocol):
    """Who follows what comes back: the line."""

    def reported(self, envelope: Envelope, outcome: object, turn: Turn, seconds: float) -> None: ...
    def granted(self, granted: Sequence[Envelope], refused: int, at: int) -> None: ...
    def waited(self, seconds: float) -> None: ...
    def fault(self, what: str, envelope: Envelope | None = None) -> None: ...
    def failed(self) -> None: ...


class Turn:
    """One send call (`session.Watch`). A connection that fails a whole batch is one error, not fifty."""

    def __init__(self, line: Answers, domains: Mapping[str, str], clock: Clock) -> None:
        """`domains`: message id -> destination, in the order in which they go."""
        self._line, self._clock = line, clock
        self.open = dict(domains)
        self.session: SendSession | None = None
        self._asking_since: float | None = None
        self._since = clock.monotonic()
        self._erred = False

    def age(self, now: float) -> float:
        """How long nothing has come back; 0 while the store is asked."""
        return 0.0 if self._asking_since is not None else now - self._since

    @property
    def domain(self) -> str:
        """Where the message goes that is on the wire now: the first that is not reported."""
        return next(iter(self.open.values()), "")

    def reported(self, envelope: Envelope, outcome: object) -> None:
        now = self._clock.monotonic()
        seconds, self._since = now - self._since, now
        self._line.reported(envelope, outcome, self, seconds)

    def asking(self) -> None:
        self._asking_since = self._clock.monotonic()

    def asked(self) -> None:
        """The store's time is not the relay's."""
        if self._asking_since is not None:
            seconds = self._clock.monotonic() - self._asking_since
            self._since += seconds
            self._asking_since = None
            self._line.waited(seconds)

    def granted(self, granted: Sequence[Envelope], refused: int, at: int) -> None:
        self._line.granted(granted, refused, at)

    def fault(self, what: str, envelope: Envelope | None = None) -> None:
        self._line.fault(what, envelope)

    def error(self) -> None:
        if not self._erred:
            self._erred = True
            self._line.failed()


class Patience:
    """`late(domain, seconds, news, shed)`: a destination is slow; `shed` must go back to the queue. `moved()`: something may start now.
    `crawls(age)`: all calls wait, the youngest for so long; True if that is the provider's own fault."""

    def __init__(
        self, *, destinations: Destinations, ready: Ready, places: int, clock: Clock,
        late: Callable[[str, float, bool, Sequence[Envelope]], None], moved: Callable[[], None], crawls: Callable[[float], bool],
    ) -> None:  # fmt: skip
        self._destinations, self._ready, self._places, self._clock = destinations, ready, places, clock
        self._late, self._moved, self._crawls = late, moved, crawls
        self._turns: dict[Turn, None] = {}
        """In the order of their beginning: what they shed comes back in the same order in every run."""
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(self, turn: Turn) -> None:
        self._turns[turn] = None
        self._plan(LOOK_SECONDS)

    def end(self, turn: Turn) -> None:
        self._turns.pop(turn, None)

    def watch(self) -> None:
        """Something is ready and may not begin: look when it may."""
        self._plan(self._pause(self._clock.monotonic()))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def waiting(self) -> list[SendSession]:
        """Sessions of calls that wait for longer than is usual."""
        now, patience = self._clock.monotonic(), self._destinations.patience
        return [turn.session for turn in self._turns if turn.session is not None and turn.age(now) > patience]

    def hanging(self) -> int:
        """Calls that wait for much longer than is usual, or for a destination that is known to be slow; 0 when so many of them do that it
        must be the relay."""
        now, unusual = self._clock.monotonic(), self._destinations.unusual
        count = sum(turn.age(now) > unusual or self._destinations.is_slow(turn.domain) for turn in self._turns)
        return count if count <= max(1, len(self._turns) // 2) else 0

    def _look(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        if now - self._due < LAG_SECONDS:
            self._judge(now)
        if self._ready:
            self._moved()
        if self._turns or self._ready:
            self.watch()

    def _plan(self, seconds: float) -> None:
        """Look in so many seconds, or when it is planned, whichever is sooner."""
        due = self._clock.monotonic() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _pause(self, now: float) -> float:
        """What has waited for long changes slowly: with nothing else to see, a look each time that it is a quarter older will do, and
        when a slow destination has rested. Whatever comes back meanwhile calls the senders itself."""
        youngest = min((turn.age(now) for turn in self._turns), default=SELDOM_SECONDS)
        if youngest <= self._destinations.patience:
            return LOOK_SECONDS
        rested = self._destinations.rested_at(now) if self._ready else None
        pause = min(youngest / 4, SELDOM_SECONDS, SELDOM_SECONDS if rested is None else rested - now)
        return max(LOOK_SECONDS, pause)

    def _judge(self, now: float) -> None:
        least = min((turn.age(now) for turn in self._turns), default=0.0)
        if least > self._destinations.patience and (self._crawls(least) or least < HICCUP_SECONDS or len(self._turns) >= self._places):
            return  # with all places taken nothing else could begin anyway: an answer will tell
        for turn in self._turns:
            age = turn.age(now)
            if age > self._destinations.patience:
                domain = turn.domain
                news = self._destinations.waits(domain, age, now)
                self._late(domain, age, news, self._ready.shed(domain))
