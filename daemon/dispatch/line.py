"""One provider's line: its ready queue, its senders, its rate and its breaker. A bulkhead: lines share nothing.

Claimed deliveries come in, wait in `ready` (never more than the senders hold in two turns), are rendered and given to
`channel.send` in batches. A line that is stopped, throttled or broken has no room, so nothing is claimed for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from daemon.clock import Clock, iso
from daemon.dispatch.outcome import held_back, retry_after, to_result
from daemon.dispatch.patience import Patience, Turn
from daemon.dispatch.portion import Portion
from daemon.dispatch.ready import Ready
from daemon.dispatch.records import Records, is_cancelled
from daemon.dispatch.senders import Senders
from daemon.dispatch.session import SendSession
from daemon.dispatch.spending import Purse
from daemon.dispatch.turns import waits_for_turn
from daemon.dispatch.work import Envelope
from daemon.errors import StoreUnavailableError
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND, Instant, Reason
from daemon.model.words import cut
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket
from daemon.pacing.destinations import Destinations
from daemon.store.claim import Claimed
from daemon.store.flight import Flights, Kind, Result
from daemon.store.writer import Writes
from plugins.contract import Channel, Deferred, Log, Message, Rejected, Unknown
from plugins.feedback import TakesFeedback

CRAWL_SECONDS = 10.0
"""Answers that take so long are failures of a provider when another one of its channel stands by."""


class Writer(Protocol):
    """Makes the message of an envelope, or the result that holds it."""

    def render(self, envelope: Envelope) -> Message | Result: ...


class Line:
    """`kind`: the channel that recipients perceive. `wake` is called when something may be due again, `freed` when there is room.
    `start`/`drain` make and end the senders."""

    def __init__(
        self,
        *,
        provider: str,
        kind: str,
        channel: Channel,
        store: Writes,
        flights: Flights,
        clock: Clock,
        ids: Ids,
        log: Log,
        metrics: Metrics,
        writer: Writer,
        bucket: Bucket,
        breaker: Breaker,
        wake: Callable[[], None],
        freed: Callable[[], None],
    ) -> None:
        self.provider, self.kind, self.channel = provider, kind, channel
        self.stopped: str | None = None
        self.trouble: str | None = None
        self.bucket, self.breaker = bucket, breaker
        self._traced = isinstance(channel, TakesFeedback)
        self.purse: Purse | None = None
        """Where the channel has prices."""
        self._store, self._flights, self._clock, self._ids = store, flights, clock, ids
        self._log, self._metrics, self._writer = log, metrics, writer
        self._wake, self._freed = wake, freed
        self.destinations = Destinations(channel.capabilities.concurrency)
        self._ready = Ready(self.destinations, channel.capabilities.batch)
        self._in_hand = 0
        """Messages in batches that have no outcome yet."""
        places = max(1, channel.capabilities.concurrency)
        self.portion = Portion()
        self._patience = Patience(
            destinations=self.destinations, ready=self._ready, places=places, clock=clock,
            late=self._late, moved=lambda: self._senders.call(len(self._senders.idle)), crawls=self._crawls,
        )  # fmt: skip
        self._senders = Senders(
            provider=provider, places=places, spare=channel.capabilities.spare,
            hanging=self._patience.hanging, next_batch=self._next_batch, send=self._send, ended=self._batch_ended, log=log,
        )  # fmt: skip
        self._records = Records(store=store, flights=flights, clock=clock, log=log.bind(provider=provider), wake=wake)
        self.spare = False
        """Another provider of this channel could take over."""
        self.rules_version = ""
        """Of the rules in force: for what it puts off itself."""
        self._closing = False

    @property
    def capacity(self) -> int:
        """Deliveries that may be claimed and not yet settled at once."""
        capabilities = self.channel.capabilities
        return max(1, capabilities.concurrency * capabilities.batch)

    @property
    def _held(self) -> int:
        """Claimed for it and not yet settled."""
        return len(self._ready) + self._in_hand

    def room(self) -> int:
        """How many more may be claimed now; 0 when stopped, broken, out of tokens, or still busy with what it has."""
        now = self._clock.instant()
        if self.stopped is not None or self._closing:
            return 0
        if (allowed := self.breaker.allowed(now)) is not None:
            return max(allowed - self._held, 0)  # broken, or a probe
        free = self.capacity - self._held
        if free < self.capacity // 4:
            return 0  # small claims cost as much as large ones
        tokens = self.bucket.available(now)
        if tokens is None:
            return free
        return min(free, tokens) if 2 * tokens >= min(free, self.bucket.burst(now)) else 0

    def available(self) -> bool:
        """It may send at all now: the choice between two providers of a channel."""
        if self.stopped is not None or self._closing:
            return False
        allowed = self.breaker.allowed(self._clock.instant())
        return allowed is None or (allowed > 0 and (not self.spare or self._held < allowed))

    async def put(self, envelopes: Sequence[Envelope]) -> None:
        now = self._clock.instant()
        for envelope in envelopes:
            self.bucket.reserve(now)
            envelope.domain = self._domain(envelope.claimed)
        self.portion.hold(envelopes, now)
        self._ready.put(envelopes)
        self._senders.call(min(len(envelopes), self._senders.free()))

    def _domain(self, claimed: Claimed) -> str:
        """Where a message goes, as far as that can hold up others: an e-mail's domain."""
        if self.channel.address != "email":
            return ""
        return (claimed.row.email or "").rpartition("@")[2].lower()

    def start(self) -> None:
        self._senders.start()

    async def drain(self, seconds: float, *, ending: bool = True) -> None:
        """Start nothing new, let running sends end, cancel what is left after `seconds`, give unsent ones back. `ending` False: the daemon
        goes on without this line, and nobody else will settle what it knows: it is over when the store has taken all, or after `end`."""
        self._closing = True
        if ending:
            self.end()
        self._senders.close()
        self._patience.stop()
        await self._records.settled()
        await self._senders.end(seconds)
        await self._records.settled()  # what the last answers let go
        await self._records.give_back(self.portion.let_go(self._ready.clear()), freed=self.destinations.freed_all(self._clock.instant()))

    def end(self) -> None:
        """The daemon ends: what the store cannot take now is left to the next start."""
        self._records.end()

    def _late(self, domain: str, seconds: float, news: bool, shed: Sequence[Envelope]) -> None:
        """A destination keeps a connection waiting."""
        if news and domain:
            self._log.warning("destination_slow", provider=self.provider, domain=domain, seconds=round(seconds, 1))
        if shed or any(session.unrecorded for session in self._patience.waiting()):
            now, rows = self._clock.instant(), [envelope.claimed.row for envelope in self.portion.let_go(shed)]
            untils = [self.destinations.put_off(domain, row.lane, row.delivery, now, row.expires_at) for row in rows]
            turns = [waits_for_turn(self.provider, domain, seconds, until, self.rules_version) for until in untils]
            self._records.soon(shed, turns, self._patience.waiting())

    def _crawls(self, seconds: float) -> bool:
        """Nothing has come back for so long: with another provider to turn to, this one is left alone for a while."""
        now = self._clock.instant()
        if self.spare and seconds > CRAWL_SECONDS and self.breaker.allowed(now) is None:
            self._troubled("slow", f"no answer for {seconds:.0f} s on any of its connections")
            self.breaker.trip(now)
            self._log.warning("provider_slow", provider=self.provider, seconds=round(seconds, 1))
            self._records.soon(self.portion.let_go(self._ready.clear()), (), self._patience.waiting())
        return self.spare

    def _batch_ended(self) -> None:
        if self.capacity - self._held >= self.capacity // 4:
            self._freed()  # else the claim loop would look for other lines' sake only

    def _next_batch(self) -> list[Envelope]:
        """A fair part of what is ready. A slow destination may have one sender's place when others stay free for the rest."""
        if not self._ready or self._closing or (free := self._senders.free()) <= 0:
            return []
        alone = free > self._senders.places // 4 + 1
        batch = self._ready.take(-(-len(self._ready) // free), self._clock.monotonic(), alone=alone)
        if not batch:
            self._patience.watch()
        return batch

    async def _send(self, batch: list[Envelope]) -> None:
        ready: list[Envelope] = []
        held: list[Result] = []
        for envelope in batch:
            made = self.render(envelope)
            if isinstance(made, Message):
                envelope.message = made
                ready.append(envelope)
            else:
                held.append(made)
        turn = Turn(self, {envelope.public_id: envelope.domain for envelope in batch}, self._clock)
        self._in_hand += len(turn.open)
        session = SendSession(
            ready, self._store, self._flights, self._clock.instant, self._ids.rng(), turn, lambda: self._closing, traced=self._traced,
            release=self.purse.release if self.purse is not None else lambda _: None,
        )  # fmt: skip
        turn.session = session
        for envelope in batch:
            if envelope.message is None:
                self._ended(turn, envelope, None)
        self._patience.begin(turn)
        senders = self._senders
        if senders.idle and senders.busy >= senders.places and self.destinations.is_slow(turn.domain):
            senders.call(1)  # a spare one
        if held:
            self._metrics.held(self.provider, sum(result.kind is Kind.HELD for result in held))
            session.settle(held)
        error: str | None = None
        try:
            if ready:
                await self.channel.send([e.message for e in ready if e.message is not None], session)
        except StoreUnavailableError as failure:  # a handover was not to be had: no fault of the channel's
            error = str(failure)
            self._log.error("handover_put_off", provider=self.provider, error=error)
        except (Exception, SystemExit, asyncio.CancelledError) as failure:
            if isinstance(failure, asyncio.CancelledError) and is_cancelled():
                error = "the daemon was stopping"
                raise
            error = f"{type(failure).__name__}: {failure}"
            self.fault(f"raised {error}", None)
        finally:
            self._patience.end(turn)
            for domain in turn.open.values():
                self._ended_at(domain, None)
            self._in_hand -= len(turn.open)
            turn.open.clear()
            self.portion.let_go(batch)
            await self._records.finish(session, error)
            turn.session = None  # they know each other: the messages would stay until the collector came by, which is seldom
            if not session.all_accepted:
                self._wake()

    def _ended(self, turn: Turn, envelope: Envelope, seconds: float | None) -> None:
        if (domain := turn.open.pop(envelope.public_id, None)) is not None:
            self._in_hand -= 1
            self._ended_at(domain, seconds)
            capacity = self.capacity
            if capacity - self._held == capacity // 4:
                self._freed()  # room for a claim, long before a batch that hangs has ended

    def _ended_at(self, domain: str, seconds: float | None) -> None:
        if not domain:
            return
        self.destinations.let_go(domain)
        self.destinations.end(domain, seconds, self._clock.monotonic())
        if self.destinations.earned(domain):
            self._records.soon((), freed=self.destinations.freed(domain, self._clock.instant()))

    def render(self, envelope: Envelope) -> Message | Result:
        """The message, or what keeps it from going now."""
        try:
            made = self._writer.render(envelope)
        except Exception as failure:  # noqa: BLE001 - one message that cannot be made must not keep its batch from going
            what = f"{type(failure).__name__}: {failure}"
            self._log.error("render_failed", provider=self.provider, delivery=envelope.public_id, error=what)
            return held_back(envelope, Reason.RENDER_ERROR, what)
        limit = self.channel.capabilities.max_text
        if isinstance(made, Message) and limit is not None and len(made.text) > limit:
            return held_back(envelope, Reason.TOO_LARGE, f"the text has {len(made.text)} characters, {self.provider} takes {limit}")
        put_off = self.purse.admit(envelope, made) if self.purse is not None and isinstance(made, Message) else None
        return put_off or made

    def result_of(self, envelope: Envelope, outcome: object) -> Result:
        """What is to be recorded of an outcome that came at once."""
        return to_result(envelope, outcome, self._clock.instant(), self._ids.rng())

    def handed_at_once(self, handed: Sequence[Claimed], now: Instant, outcomes: Mapping[str, int], *, held: int, put_off: int) -> None:
        """These were handed over in their claim's own transaction, and their channel has answered (`dispatch.at_once`) as `outcomes`
        counts; others came to nothing before."""
        self.bucket.take(now, len(handed) + held + put_off)
        self.portion.handed((self._domain(one) for one in handed), now)
        self._metrics.granted(self.provider, len(handed), 0)
        self._metrics.held(self.provider, held)
        for outcome, n in sorted(outcomes.items()):
            self._metrics.outcome(self.provider, self.kind, outcome, n=n)

    def granted(self, granted: Sequence[Envelope], refused: int, at: int) -> None:
        """A connection asked for handovers."""
        self._metrics.granted(self.provider, len(granted), refused)
        for envelope in granted:
            self._metrics.late(self.kind, (at - envelope.claimed.row.not_before) / SECOND)
            self.portion.sent(envelope, at)

    def waited(self, seconds: float) -> None:
        """A connection waited so long for the store's answer."""
        self._metrics.waited(seconds)

    def reported(self, envelope: Envelope, outcome: object, turn: Turn, seconds: float) -> None:
        """Destinations, rates, breaker and metrics follow each outcome, which came after so many seconds."""
        now = self._clock.instant()
        unsent = isinstance(outcome, Deferred) and (outcome.nothing_sent or outcome.scope == "provider")
        self._ended(turn, envelope, None if unsent else seconds)
        if self._senders.idle and self._senders.busy < self._senders.places and self._ready:
            self._senders.call(1)
        self._metrics.outcome(self.provider, self.kind, type(outcome).__name__.lower())
        match outcome:
            case Unknown():
                code, detail = outcome.code, outcome.detail
                self._log.warning("in_doubt", provider=self.provider, delivery=envelope.public_id, code=code, detail=detail)
                self._troubled(code, detail)
                turn.error()
            case Deferred() | Rejected() if outcome.scope == "operator":
                self._stop(outcome)
            case Deferred():
                self.portion.deferred(envelope, outcome, now)
                self._deferred(outcome, now, turn)
            case _ if self.spare and seconds > CRAWL_SECONDS:
                turn.error()  # an answer, but a crawling one, while another provider stands by
            case _:
                self.trouble = None
                self.breaker.succeeded(now)

    def _troubled(self, code: str | None, detail: str | None) -> None:
        """What an operator reads of a provider that fails; until it answers again."""
        self.trouble = cut(": ".join(filter(None, (code, detail)))) or "it failed without a word"

    def _stop(self, outcome: Deferred | Rejected) -> None:
        """Only an operator can end it."""
        if self.stopped is None:
            self.stopped = outcome.detail or outcome.code or "the provider refuses us"
            self._log.error("provider_stopped", provider=self.provider, code=outcome.code, detail=outcome.detail)

    def _deferred(self, outcome: Deferred, now: int, turn: Turn) -> None:
        if outcome.scope == "provider":
            self._troubled(outcome.code, outcome.detail)
        if outcome.throttled and outcome.scope == "provider":
            wait = retry_after(outcome.after, now)
            self.bucket.throttle(now, wait if wait is not None else SECOND)
        elif outcome.scope == "provider":
            turn.error()

    def failed(self) -> None:
        """The provider failed a send call."""
        self.breaker.failed(self._clock.instant())

    def fault(self, what: str, envelope: Envelope | None = None) -> None:
        """The plugin broke its contract: counted, logged, and it weighs on the breaker."""
        self._metrics.fault(self.provider)
        self._log.error("plugin_fault", provider=self.provider, what=what, delivery=envelope.public_id if envelope else None)
        self._troubled("plugin", what)
        self.breaker.failed(self._clock.instant())

    @property
    def detail(self) -> str | None:
        """What is wrong with the provider, in its own words."""
        return self.stopped or self.trouble

    def rests_until(self, now: Instant) -> Instant | None:
        """It is left alone until then; None: it is not, or only an operator can end it."""
        until = max(self.breaker.open_until, self.bucket.paused_until)
        return until if until > now and not self.stopped else None

    def status(self) -> dict[str, Any]:
        """For `homing status`: what an operator wants to know of a provider. `retry_at`: until then it is left alone."""
        now = self._clock.instant()
        until = self.rests_until(now)
        return {
            "provider": self.provider,
            "channel": self.kind,
            "breaker": "stopped" if self.stopped else self.breaker.state(now).value,
            "detail": self.detail,
            "retry_at": None if until is None else iso(until),
            "in_hand": self._held,
            "rate": self.bucket.current_rate(now),
            "spend": self.purse.status() if self.purse is not None else None,
        }
