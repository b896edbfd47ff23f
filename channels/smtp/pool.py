"""SMTP: open connections kept for reuse, and the choice between relays. Lends one connection per `send()`; opens no more than asked.

A relay that refuses is left alone for a growing time (1 s, doubled up to 5 minutes, with jitter); meanwhile the next one in order
serves. So is one whose connections break three times in a row: each such try may leave a message in doubt. One that answers a
final dot with garbage is left alone for 15 minutes (F10). Nothing here knows a message.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from channels.smtp.exchange import Exchange, Failure
from channels.smtp.session import CannotOpen, Offer
from channels.smtp.settings import Endpoint
from plugins import Clock, Deferred, Log

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
QUARANTINE = 900.0
STRIKES = 3
SPARE_WAIT = 1.0
"""What was to go over a spare connection that is refused is tried again so soon."""

Opener = Callable[[Endpoint, str], Awaitable[tuple[Exchange, Offer]]]
"""Opens a session with a relay under a name for the evidence. Raises CannotOpen."""


@dataclass(slots=True, eq=False)
class Relay:
    """One relay and how it has behaved lately. Instants are monotonic seconds."""

    endpoint: Endpoint
    idle: deque[Link] = field(default_factory=deque)
    rests_until: float = 0.0
    rests: int = 0
    strikes: int = 0
    last: Deferred | None = None


@dataclass(slots=True, eq=False)
class Link:
    """One open connection. `busy`: in the middle of a message, so of no use to the next borrower. `dirty`: a refused envelope is
    open there and RSET is due. `rested`: it was idle, and the relay may have closed it without our knowing."""

    relay: Relay
    exchange: Exchange
    offer: Offer
    sent: int = 0
    busy: bool = False
    dirty: bool = False
    rested: bool = False
    idle_since: float = 0.0


class Pool:
    """The connections of one provider."""

    def __init__(
        self, *, endpoints: Sequence[Endpoint], open_session: Opener, clock: Clock, rng: random.Random, log: Log, idle_seconds: float,
        size: int,
    ) -> None:  # fmt: skip
        """`size`: connections beyond so many are spare ones: good to have, and nobody's failure if they are refused."""
        self._relays = [Relay(endpoint) for endpoint in endpoints]
        self._open_session = open_session
        self._clock = clock
        self._rng = rng
        self._log = log
        self._idle_seconds = idle_seconds
        self._size = size
        self._links: set[Link] = set()
        self._lent = 0
        """Connections in somebody's hands, and those that are being opened for somebody."""
        self._count = 0
        self.refused_at = -math.inf
        """When a spare connection was refused, monotonic."""
        self._reaper: asyncio.TimerHandle | None = None
        self._stopped = False

    async def borrow(self) -> Link:
        """A connection in good order: an idle one, or a new one to the first relay that opens. Raises CannotOpen; for a spare one that is
        refused with an outcome that blames nobody."""
        spare = self._lent >= self._size
        self._lent += 1
        try:
            return await self._borrow(spare=spare)
        except BaseException:
            self._lent -= 1
            raise

    async def _borrow(self, *, spare: bool) -> Link:
        refusals: list[Deferred] = []
        for relay in self._relays:
            if (link := self._idle_link(relay)) is not None:
                return link
            rest = relay.rests_until - self._clock.monotonic()
            if rest > 0:
                refusals.append(replace(relay.last or Deferred(scope="provider", code="resting"), after=rest))
                continue
            try:
                return await self._open(relay)
            except CannotOpen as refusal:
                if spare:
                    self.refused_at = self._clock.monotonic()
                    self._log.info("smtp.spare_refused", relay=str(relay.endpoint), detail=refusal.outcome.detail)
                    continue
                self._rest(relay, refusal.outcome)
                refusals.append(replace(refusal.outcome, after=relay.rests_until - self._clock.monotonic()))
        raise _Unreachable(_NO_SPARE if spare else _worst(refusals))

    def give_back(self, link: Link, *, more: bool = True) -> None:
        """Return a lent connection. It is kept if it owes nothing and `more` may go over it."""
        self._lent -= 1
        if not more or self._stopped or not link.exchange.quiet:
            self._links.discard(link)
            link.exchange.quit()
            return
        link.idle_since = self._clock.monotonic()
        link.rested = True
        link.relay.idle.append(link)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(self._idle_seconds, self._reap)

    def answered(self, link: Link) -> None:
        """The relay answered a final dot, whatever it said: it is well."""
        relay = link.relay
        if relay.rests:
            self._log.info("smtp.relay_back", relay=str(relay.endpoint))
        relay.rests = relay.strikes = 0
        relay.last = None

    def struck(self, link: Link, failure: Failure) -> None:
        """A connection broke in the middle of a conversation. Three in a row without an answer to a dot, and the relay rests."""
        relay = link.relay
        relay.strikes += 1
        if relay.strikes >= STRIKES:
            self._rest(relay, Deferred(scope="provider", code=failure.kind, detail=f"{relay.strikes} times in a row: {failure.detail}"))

    def doubted(self, link: Link) -> None:
        """The relay left a final dot without a proper answer. Garbage there is a reason to leave it alone for long (F10)."""
        failure = link.exchange.failure
        if failure is not None and failure.kind != "garbled":
            self.struck(link, failure)
            return
        detail = failure.detail if failure is not None else "an answer to the final dot that is none"
        link.relay.rests_until = self._clock.monotonic() + QUARANTINE
        link.relay.last = Deferred(scope="provider", code="quarantined", detail=detail)
        self._log.error("smtp.relay_quarantined", relay=str(link.relay.endpoint), seconds=QUARANTINE, detail=detail)

    async def stop(self) -> None:
        """Close what is idle and wait until it is closed; what is lent is closed when it comes back. Twice does no harm."""
        self._stopped = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        closing = []
        for relay in self._relays:
            while relay.idle:
                link = relay.idle.popleft()
                self._links.discard(link)
                link.exchange.quit()
                closing.append(link.exchange)
        if closing:
            await asyncio.wait([exchange.closed for exchange in closing], timeout=1.0)
            for exchange in closing:
                exchange.fail("dropped", "closed by us")

    def _idle_link(self, relay: Relay) -> Link | None:
        """The most recently used one that is still good; the others grow old at the other end and are closed by the reaper."""
        while relay.idle:
            link = relay.idle.pop()
            if link.exchange.quiet and self._clock.monotonic() - link.idle_since < self._idle_seconds:
                return link
            self._links.discard(link)
            link.exchange.quit()
        return None

    async def _open(self, relay: Relay) -> Link:
        self._count += 1
        exchange, offer = await self._open_session(relay.endpoint, f"{relay.endpoint} connection {self._count}")
        link = Link(relay, exchange, offer)
        self._links.add(link)
        return link

    def _rest(self, relay: Relay, outcome: Deferred) -> None:
        """Leave it alone. What fails beside others, while it rests already, is the same failure and makes the rest no longer."""
        if relay.rests_until > self._clock.monotonic():
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(relay.rests, 20))
        relay.rests += 1
        relay.rests_until = self._clock.monotonic() + pause * self._rng.uniform(0.5, 1.0)
        relay.last = outcome
        self._log.warning("smtp.relay_rests", relay=str(relay.endpoint), seconds=pause, code=outcome.code, detail=outcome.detail)
        while relay.idle and not outcome.throttled:  # "too many connections" speaks well of those that are open
            link = relay.idle.pop()
            self._links.discard(link)
            link.exchange.quit()

    def _reap(self) -> None:
        """Close what was idle for too long; the oldest stands first in each relay's row."""
        self._reaper = None
        now = self._clock.monotonic()
        left = False
        for relay in self._relays:
            while relay.idle and (now - relay.idle[0].idle_since >= self._idle_seconds or not relay.idle[0].exchange.quiet):
                link = relay.idle.popleft()
                self._links.discard(link)
                link.exchange.quit()
            left = left or bool(relay.idle)
        if left and not self._stopped:
            self._reaper = asyncio.get_running_loop().call_later(self._idle_seconds, self._reap)


class _Unreachable(CannotOpen):
    """No relay takes a connection now."""

    def __init__(self, outcome: Deferred) -> None:
        super().__init__(outcome.code or "unreachable", outcome.detail or "no relay can be reached")
        self.outcome = outcome


_NO_SPARE = Deferred(nothing_sent=True, after=SPARE_WAIT, code="no_spare", detail="the relay takes no more connections")


def _worst(refusals: Sequence[Deferred]) -> Deferred:
    """What to tell of several refusals: one that only an operator can end comes first, else the preferred relay's; try again
    as soon as the first of them may be asked."""
    chief = next((refusal for refusal in refusals if refusal.scope == "operator"), refusals[0])
    waits = [refusal.after for refusal in refusals if isinstance(refusal.after, float)]
    return replace(chief, after=min(waits, default=None))
