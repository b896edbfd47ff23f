"""One `send()` call's line to the store: grants leave to send and takes the outcomes (the plugin's `Session`).

What a plugin reports is kept until its next handover, or the end of the call, and recorded in that same transaction. What
it leaves unreported is settled here: handed over = in doubt, not handed over = back to due.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from daemon.dispatch.outcome import to_result
from daemon.dispatch.work import Envelope
from daemon.model.delivery import Instant
from daemon.store.flight import Flights, Kind, Result, Step, StepDone
from daemon.store.spend import Cost
from daemon.store.writer import Lane, Writes
from plugins.contract import Accepted, Deferred, Outcome, Rejected, Unknown


class Watch(Protocol):
    """Who is told of each outcome as it is reported: the provider's line (rates, breaker, metrics)."""

    def reported(self, envelope: Envelope, outcome: object) -> None: ...
    def granted(self, granted: Sequence[Envelope], refused: int, at: Instant) -> None: ...
    def asking(self) -> None: ...
    def asked(self) -> None: ...
    def fault(self, what: str, envelope: Envelope | None = None) -> None: ...


class SendSession:
    """Satisfies `plugins.Session`. Each message must be reported at most once; what breaks the rules is counted as a fault."""

    def __init__(
        self, batch: Sequence[Envelope], store: Writes, flights: Flights, clock: Callable[[], Instant], rng: random.Random, watch: Watch,
        closing: Callable[[], bool], *, traced: bool = False, release: Callable[[Cost], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`traced`: the provider's own ids are kept, to find deliveries by them in its feedback. `release`: what a message would have
        cost is not spent."""
        self._open = {envelope.public_id: envelope for envelope in batch}
        self._all = dict(self._open)
        self._store, self._flights, self._clock, self._rng = store, flights, clock, rng
        self._watch, self._closing, self._traced = watch, closing, traced
        self._release = release
        self._asked: set[str] = set()
        self._granted: set[str] = set()
        self._pending: list[Result] = []
        self.all_accepted = True
        """False: something went back to the queue, or made room for another message to its person."""

    @property
    def closing(self) -> bool:
        return self._closing()

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        wanted: list[Envelope] = []
        for id in dict.fromkeys(ids):
            envelope = self._open.get(id)
            if envelope is None or id in self._asked:
                self._watch.fault("asked for a handover that is not its to ask", self._all.get(id))
                continue
            wanted.append(envelope)
        outcomes, self._pending = self._pending, []
        if not wanted and not outcomes:
            return frozenset()
        self._asked.update([envelope.public_id for envelope in wanted])
        step = Step(
            outcomes=outcomes, grants=[(e.claimed.row.delivery, e.claimed.epoch) for e in wanted],
            costs=[((e.claimed.row.delivery, e.claimed.epoch), e.cost) for e in wanted if e.cost is not None],
        )  # fmt: skip
        self._watch.asking()
        try:
            done = await self._commit(step)
        finally:
            self._watch.asked()
        going: list[Envelope] = []
        for envelope in wanted:
            if envelope.claimed.row.delivery in done.granted:
                going.append(envelope)
            else:
                del self._open[envelope.public_id]  # the store put it back to due
                self._unspent(envelope)
        granted = frozenset([envelope.public_id for envelope in going])
        self._granted |= granted
        self.all_accepted &= len(going) == len(wanted)
        self._watch.granted(going, len(wanted) - len(going), done.at)
        return granted

    def report(self, id: str, outcome: Outcome) -> None:
        envelope = self._open.pop(id, None)
        if envelope is None:
            self._watch.fault("reported a message twice, or one that is not its own", self._all.get(id))
            return
        if id not in self._asked and isinstance(outcome, Rejected | Deferred):
            self._unspent(envelope)  # refused before anything could leave
        self._watch.reported(envelope, outcome)
        self.all_accepted &= type(outcome) is Accepted
        result = to_result(envelope, outcome, self._clock(), self._rng)
        self._pending.append(result._replace(traced=True) if self._traced else result)

    def settle(self, results: Sequence[Result]) -> None:
        """Results of messages that the plugin never got (they could not be made): recorded with the next step."""
        self._pending += results
        self.all_accepted = False

    @property
    def unrecorded(self) -> bool:
        """Something was reported that the store does not know yet."""
        return bool(self._pending)

    async def flush(self) -> None:
        """Record what was reported, though the call goes on: it may wait for long."""
        outcomes, self._pending = self._pending, []
        if outcomes:
            await self._commit(Step(outcomes=outcomes))

    async def finish(self, error: str | None) -> None:
        """Settle what was left open when `send` returned (`error` None) or failed, and record all that waits.

        Called again after StoreUnavailableError, it records what could not be recorded before."""
        for id, envelope in list(self._open.items()):
            if id in self._granted:
                self._watch.fault("left a handed-over message unreported", envelope)
                self.report(id, Unknown(code="unreported", detail=error or "the plugin returned without a report"))
            elif id in self._asked:  # the answer never reached the plugin, so nothing was sent
                self.report(id, Deferred(nothing_sent=True, detail=error))
            else:
                self._give_back(envelope, error)
        outcomes, self._pending = self._pending, []
        if outcomes:
            await self._commit(Step(outcomes=outcomes))

    async def _commit(self, step: Step) -> StepDone:
        try:
            return await self._store.join(Lane.HANDOVER, self._flights.step, step)
        except BaseException:
            self._pending = [*step.outcomes, *self._pending]  # recorded again by the next step; twice is harmless
            raise

    def _unspent(self, envelope: Envelope) -> None:
        if envelope.cost is not None:
            self._release(envelope.cost)
            envelope.cost = None

    def _give_back(self, envelope: Envelope, error: str | None) -> None:
        del self._open[envelope.public_id]
        self._unspent(envelope)
        self.all_accepted = False
        now = self._clock()
        again_at = now if error is None else now + 5_000_000
        row = envelope.claimed.row
        self._pending.append(
            Result(
                delivery=row.delivery,
                epoch=envelope.claimed.epoch,
                kind=Kind.DEFERRED,
                code="unsent",
                detail=error,
                again_at=again_at,
                burnt=False,
            )
        )
