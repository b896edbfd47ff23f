"""One provider's line: its ready queue, its senders, its rate and its breaker. A bulkhead: lines share nothing.

Claimed deliveries come in, wait in `ready` (never more than the senders hold in two turns), are rendered and given to
`channel.send` in batches. A line that is stopped, throttled or broken has no room, so nothing is claimed for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from daemon.clock import Clock, iso
from daemon.dispatch.outcome import cut, retry_after
from daemon.dispatch.session import SendSession
from daemon.dispatch.work import Envelope
from daemon.errors import StoreUnavailableError
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND, Decision, Instant, Reason, Verdict
from daemon.pacing.breaker import Breaker
from daemon.pacing.bucket import Bucket
from daemon.store.claim import decision_json
from daemon.store.flight import Flights, Kind, Result, Step
from daemon.store.writer import Lane, Writes
from plugins.contract import Channel, Deferred, Log, Message, Unknown

RECORD_SECONDS = 1.0
"""How soon outcomes are brought to the store again that it could not take."""


class Writer(Protocol):
    """Makes the message of an envelope, or the result that holds it."""

    def render(self, envelope: Envelope) -> Message | Result: ...


class Line:
    """`kind`: the channel that recipients perceive. `wake` is called when room appears. `start`/`drain` make and end the senders."""

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
    ) -> None:
        self.provider, self.kind, self.channel = provider, kind, channel
        self.stopped: str | None = None
        self.trouble: str | None = None
        self.bucket, self.breaker = bucket, breaker
        self._store, self._flights, self._clock, self._ids = store, flights, clock, ids
        self._log, self._metrics, self._writer, self._wake = log, metrics, writer, wake
        self._ready: list[Envelope] = []
        self._in_hand = 0
        self._idle = 0
        self._more = asyncio.Condition()
        self._senders: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def capacity(self) -> int:
        """Deliveries that may be claimed and not yet settled at once."""
        capabilities = self.channel.capabilities
        return max(1, capabilities.concurrency * capabilities.batch)

    def room(self) -> int:
        """How many more may be claimed now; 0 when stopped, broken, out of tokens, or still busy with what it has."""
        now = self._clock.instant()
        held = len(self._ready) + self._in_hand
        if self.stopped is not None or self._closing:
            return 0
        allowed = self.breaker.allowed(now)
        if allowed is not None:
            return max(allowed - held, 0)  # broken, or a probe
        free = self.capacity - held
        if free < self.capacity // 4:
            return 0  # small claims cost as much as large ones
        tokens = self.bucket.available(now)
        return free if tokens is None else min(free, tokens)

    def available(self) -> bool:
        """It may send at all now: the choice between two providers of a channel."""
        return self.stopped is None and not self._closing and self.breaker.allowed(self._clock.instant()) != 0

    async def put(self, envelopes: Sequence[Envelope]) -> None:
        now = self._clock.instant()
        for _ in envelopes:
            self.bucket.reserve(now)
        self._ready.extend(envelopes)
        async with self._more:
            self._more.notify(len(envelopes))

    def start(self) -> None:
        for number in range(max(1, self.channel.capabilities.concurrency)):
            self._senders.append(asyncio.get_running_loop().create_task(self._run(), name=f"send-{self.provider}-{number}"))

    async def drain(self, seconds: float) -> None:
        """Start nothing new, let running sends end, cancel what is left after `seconds`, give unsent ones back."""
        self._closing = True
        async with self._more:
            self._more.notify_all()
        if self._senders:
            _, late = await asyncio.wait(self._senders, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._senders, return_exceptions=True)
        rest = [
            Result(delivery=e.claimed.row.delivery, epoch=e.claimed.epoch, kind=Kind.DEFERRED, again_at=self._clock.instant(), burnt=False)
            for e in self._ready
        ]
        self._ready.clear()
        if rest:
            try:
                await self._store.join(Lane.HANDOVER, self._flights.step, Step(outcomes=rest))
            except StoreUnavailableError as failure:  # a full disk: the next start gives them back
                self._log.error("outcomes_not_recorded", provider=self.provider, error=str(failure))

    async def _run(self) -> None:
        while True:
            async with self._more:
                self._idle += 1
                await self._more.wait_for(lambda: self._ready or self._closing)
                self._idle -= 1
                if self._closing:
                    return
                share = -(-len(self._ready) // (self._idle + 1))
                batch = self._take(min(share, self.channel.capabilities.batch))
                self._in_hand += len(batch)
            try:
                await self._send(batch)
            except Exception as failure:  # noqa: BLE001 - supervision: a sender outlives a failing store; its flights stay claimed
                self._log.error("send_failed", provider=self.provider, error=f"{type(failure).__name__}: {failure}", deliveries=len(batch))
            finally:
                self._in_hand -= len(batch)
                self._wake()

    def _take(self, count: int) -> list[Envelope]:
        """So many of the ready ones, evenly spaced: what all senders have in hand at one time lies together in the store, and a commit
        rewrites half as many of its pages."""
        stride = len(self._ready) // count
        taken = self._ready[: count * stride : stride]
        del self._ready[: count * stride : stride]
        return taken

    async def _send(self, batch: list[Envelope]) -> None:
        ready: list[Envelope] = []
        held: list[Result] = []
        for envelope in batch:
            made = self._render(envelope)
            if isinstance(made, Message):
                envelope.message = made
                ready.append(envelope)
            else:
                held.append(made)
        session = SendSession(ready, self._store, self._flights, self._clock.instant, self._ids.rng(), _Turn(self), lambda: self._closing)
        if held:
            self._metrics.held(self.provider, len(held))
            session.settle(held)
        error: str | None = None
        try:
            if ready:
                await self.channel.send([e.message for e in ready if e.message is not None], session)
        except (Exception, SystemExit, asyncio.CancelledError) as failure:
            if isinstance(failure, asyncio.CancelledError) and _is_cancelled():
                error = "the daemon was stopping"
                raise
            error = f"{type(failure).__name__}: {failure}"
            self.fault(f"raised {error}", None)
        finally:
            await self._finish(session, error)

    def _render(self, envelope: Envelope) -> Message | Result:
        try:
            made = self._writer.render(envelope)
        except Exception as failure:  # noqa: BLE001 - one message that cannot be made must not keep its batch from going
            what = f"{type(failure).__name__}: {failure}"
            self._log.error("render_failed", provider=self.provider, delivery=envelope.public_id, error=what)
            return _held(envelope, Reason.RENDER_ERROR, what)
        limit = self.channel.capabilities.max_text
        if isinstance(made, Message) and limit is not None and len(made.text) > limit:
            return _held(envelope, Reason.TOO_LARGE, f"the text has {len(made.text)} characters, {self.provider} takes {limit}")
        return made

    async def _finish(self, session: SendSession, error: str | None) -> None:
        settling = asyncio.ensure_future(self._settle(session, error))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await settling
            raise
        except Exception as failure:  # noqa: BLE001 - supervision: the flights stay, and the next start puts them in doubt
            self._log.error("outcomes_not_recorded", provider=self.provider, error=f"{type(failure).__name__}: {failure}")

    async def _settle(self, session: SendSession, error: str | None) -> None:
        """A store that is out of reach for a while (full disk) is asked again: what is known must not end as a doubt, and what
        was not sent must not stay claimed. Not while closing: the next start settles it."""
        while True:
            try:
                return await session.finish(error)
            except StoreUnavailableError as failure:
                if self._closing:
                    raise
                self._log.error("outcomes_put_off", provider=self.provider, error=str(failure))
                await self._clock.sleep(RECORD_SECONDS)

    def granted(self, granted: Sequence[Envelope], refused: int, at: int) -> None:
        """A connection asked for handovers."""
        self._metrics.granted(self.provider, len(granted), refused)
        for envelope in granted:
            self._metrics.late(self.kind, (at - envelope.claimed.row.not_before) / SECOND)

    def waited(self, seconds: float) -> None:
        """A connection waited so long for the store's answer."""
        self._metrics.waited(seconds)

    def reported(self, envelope: Envelope, outcome: object, turn: _Turn) -> None:
        """Rates, breaker and metrics follow each outcome."""
        now = self._clock.instant()
        self._metrics.outcome(self.provider, self.kind, type(outcome).__name__.lower())
        if isinstance(outcome, Unknown):
            self._log.warning("in_doubt", provider=self.provider, delivery=envelope.public_id, code=outcome.code, detail=outcome.detail)
            self._troubled(outcome.code, outcome.detail)
            turn.error(now)
        elif isinstance(outcome, Deferred):
            self._deferred(outcome, now, turn)
        else:
            self.trouble = None
            self.breaker.succeeded(now)

    def _troubled(self, code: str | None, detail: str | None) -> None:
        """What an operator reads of a provider that fails; until it answers again."""
        self.trouble = cut(": ".join(part for part in (code, detail) if part)) or "it failed without a word"

    def _deferred(self, outcome: Deferred, now: int, turn: _Turn) -> None:
        if outcome.scope == "operator":
            if self.stopped is None:
                self.stopped = outcome.detail or outcome.code or "the provider refuses us"
                self._log.error("provider_stopped", provider=self.provider, code=outcome.code, detail=outcome.detail)
            return
        if outcome.scope == "provider":
            self._troubled(outcome.code, outcome.detail)
        if outcome.throttled and outcome.scope == "provider":
            wait = retry_after(outcome.after, now)
            self.bucket.throttle(now, wait if wait is not None else SECOND)
        elif outcome.scope == "provider":
            turn.error(now)

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
            "in_hand": self._in_hand + len(self._ready),
            "rate": self.bucket.current_rate(now),
        }


class _Turn:
    """One send call as the breaker sees it: a connection that fails a whole batch is one error, not fifty (session.Watch)."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._erred = False

    def reported(self, envelope: Envelope, outcome: object) -> None:
        self._line.reported(envelope, outcome, self)

    def granted(self, granted: Sequence[Envelope], refused: int, at: int) -> None:
        self._line.granted(granted, refused, at)

    def waited(self, seconds: float) -> None:
        self._line.waited(seconds)

    def fault(self, what: str, envelope: Envelope | None = None) -> None:
        self._line.fault(what, envelope)

    def error(self, now: int) -> None:
        if not self._erred:
            self._erred = True
            self._line.breaker.failed(now)


def _is_cancelled() -> bool:
    """We are asked to stop; else a plugin let a cancellation of its own escape, which must not cost the line its sender."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _held(envelope: Envelope, reason: Reason, what: str) -> Result:
    claimed = envelope.claimed
    decision = Decision(verdict=Verdict.HOLD, reason=reason, key=f"campaign:{claimed.row.campaign_name}", facts={"what": what})
    return Result(
        delivery=claimed.row.delivery, epoch=claimed.epoch, kind=Kind.HELD, reason=reason, burnt=False, decision=decision_json(decision)
    )
