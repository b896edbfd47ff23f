"""Asks providers what became of messages whose fate is unknown, and settles what they can say (design: life of a delivery, 6).

For each provider whose channel has `reconcile`: its doubts from a minute to three days old, ever more seldom, fifty at a time. What
a provider says is written like an operator's word; what it does not mention stays in doubt. A plugin that raises or hangs
costs nobody else anything. Nothing is asked while the daemon drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from daemon.clock import Clock, to_datetime
from daemon.dispatch.render import MessageWriter
from daemon.dispatch.work import Envelope, PlanBook
from daemon.errors import StoreUnavailableError
from daemon.ids import encode_id
from daemon.metrics import Metrics
from daemon.model.delivery import HOUR, MINUTE, Instant, State
from daemon.model.words import cut
from daemon.service import Service
from daemon.store.claim import Claimed
from daemon.store.reconcile import Answer, Open, Then, open_doubts, read_then, settle_doubts
from daemon.store.writer import Lane, Writes
from plugins.contract import Accepted, Deferred, Log, Message, Rejected
from plugins.feedback import Doubt

ASK_SECONDS = 60.0
"""A look-up that takes longer is given up, and asked again at the next age."""
BATCH = 50
AGES = (MINUTE, 10 * MINUTE, HOUR)
EVERY = 6 * HOUR
"""A doubt is asked about when it reaches each of these ages, and then so often."""
OLDEST = 72 * HOUR

Ask = Callable[[Sequence[Doubt]], Awaitable[object]]


class Askers(Protocol):
    """Who can be asked now: provider -> its channel's `reconcile`."""

    def reconcilers(self) -> Mapping[str, Ask]: ...


def last_age(age: int) -> int:
    """The last age up to this one at which a doubt is asked about; 0 before the first."""
    return age // EVERY * EVERY if age >= EVERY else max((each for each in AGES if each <= age), default=0)


class Reconciling(Service):
    """`settled`: something may be due, or a slot is free; `found`: the provider's own ids of some deliveries are known now."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, metrics: Metrics, askers: Askers, writer: MessageWriter, plans: PlanBook,
        settled: Callable[[], None], found: Callable[[], None], look_seconds: float,
    ) -> None:  # fmt: skip
        """`writer` and `plans`: of its own, since they are used beside the claims."""
        super().__init__("reconcile")
        self._store, self._clock, self._log, self._metrics = store, clock, log, metrics
        self._askers, self._writer, self._plans = askers, writer, plans
        self._settled, self._found, self._look_seconds = settled, found, look_seconds
        self._asked: dict[str, dict[int, Instant]] = {}
        """Provider -> doubt -> when it was last asked about. A restart asks anew: that harms nobody."""

    async def run(self) -> None:
        self.mark_ready()
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            while not self.stopping.is_set():
                await asyncio.wait({stopping}, timeout=self._look_seconds)
                if not self.stopping.is_set() and (self._asked or self._askers.reconcilers()):
                    await self._unless_stopping(stopping)
        finally:
            stopping.cancel()

    async def _unless_stopping(self, stopping: asyncio.Future[Literal[True]]) -> None:
        look = asyncio.create_task(self.look(), name="reconcile-look")
        try:
            both: set[asyncio.Future[Any]] = {look, stopping}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)
        if not look.cancelled() and (failure := look.exception()) is not None:
            raise failure

    async def look(self) -> None:
        """Ask each provider about what is due to be asked about now."""
        askers = self._askers.reconcilers()
        for gone in self._asked.keys() - askers.keys():
            del self._asked[gone]
        await asyncio.gather(*(self._ask_all(provider, ask) for provider, ask in askers.items()))

    async def _ask_all(self, provider: str, ask: Ask) -> None:
        now = self._clock.instant()
        try:
            doubts = await self._store.read(open_doubts, provider, now - OLDEST, now - AGES[0])
            due = list(self._due(provider, doubts, now))
            for start in range(0, len(due), BATCH):
                if not await self._ask(provider, ask, due[start : start + BATCH]):
                    return
        except StoreUnavailableError as error:
            self._log.error("reconcile_put_off", provider=provider, error=str(error))

    def _due(self, provider: str, doubts: Sequence[Open], now: Instant) -> Iterator[int]:
        """Those that have reached an age since they were last asked about. What is no doubt any more is forgotten."""
        before = self._asked.get(provider, {})
        self._asked[provider] = {doubt.delivery: at for doubt in doubts if (at := before.get(doubt.delivery)) is not None}
        for doubt in doubts:
            asked = before.get(doubt.delivery)
            if asked is None or asked < doubt.handed_over_at + last_age(now - doubt.handed_over_at):
                yield doubt.delivery

    async def _ask(self, provider: str, ask: Ask, numbers: Sequence[int]) -> bool:
        """One batch. False: the provider could not say anything; the rest is asked at their next age."""
        then = await self._store.read(read_then, numbers, self._prepare)
        now = self._clock.instant()
        self._asked[provider].update(dict.fromkeys(numbers, now))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                said = await ask([self._doubt(one) for one in then])
            answers = self._answers(provider, said, {encode_id(one.row.delivery): one for one in then})
        except asyncio.CancelledError:
            if self.stopping.is_set() or (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return False  # the provider is being closed
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin isolation
            self._metrics.fault(provider)
            self._log.error("reconcile_failed", provider=provider, doubts=len(numbers), error=f"{type(error).__name__}: {error}")
            return False
        if answers:
            await self._write(provider, answers)
        return True

    async def _write(self, provider: str, answers: Sequence[Answer]) -> None:
        settled = await self._store.write(Lane.EXIT, settle_doubts, provider, answers, self._clock.instant())
        for answer in answers:
            if (state := settled.get(answer.delivery)) is not None:
                self._metrics.reconciled(provider, answer.state.value)
                self._log.info(
                    "doubt_settled", provider=provider, delivery=encode_id(answer.delivery), state=state.value, code=answer.code,
                    detail=answer.detail,
                )  # fmt: skip
        if any(state is not State.ACCEPTED for state in settled.values()):
            self._settled()
        if any(answer.provider_id is not None for answer in answers):
            self._found()

    def _answers(self, provider: str, said: object, asked: Mapping[str, Then]) -> list[Answer]:
        """What was said of those that were asked about. TypeError for what is no answer."""
        if not isinstance(said, Mapping):
            raise TypeError(f"reconcile gave {type(said).__name__}, not a mapping of ids")
        answers: list[Answer] = []
        for id, outcome in said.items():
            then = asked.get(id)
            if then is None or not isinstance(outcome, Accepted | Rejected | Deferred):
                self._metrics.fault(provider)
                what = f"reconcile said {type(outcome).__name__} of {str(id)[:40]}, which is no answer to what was asked"
                self._log.error("plugin_fault", provider=provider, what=what)
                continue
            answers.append(_answer(then.row.delivery, outcome))
        return answers

    def _prepare(self, campaign: int, version: int, body: str) -> None:
        """In the reader's thread: compiling takes its time."""
        self._plans.get(campaign, version, lambda _, __: body)

    def _doubt(self, then: Then) -> Doubt:
        message = self._message(then) if then.exact else None
        return Doubt(
            id=encode_id(then.row.delivery), address=message.address if message is not None else "",
            handed_over_at=to_datetime(then.handed_over_at), message=message,
        )  # fmt: skip

    def _message(self, then: Then) -> Message | None:
        """As it was made then; None if it cannot be made any more."""
        row = then.row
        plan = self._plans.peek(row.campaign, row.version)
        if plan is None:
            return None
        claimed = Claimed(row=row, epoch=0, provider="", closes=row.expires_at, zone=then.zones)
        envelope = Envelope(claimed=claimed, public_id=encode_id(row.delivery), plan=plan)
        try:
            made = self._writer.render(envelope, now=then.handed_over_at)
        except Exception as failure:  # noqa: BLE001 - one message that cannot be made must not keep the others from being asked about
            self._log.error("render_failed", delivery=envelope.public_id, error=f"{type(failure).__name__}: {failure}")
            return None
        return made if isinstance(made, Message) and made.address else None


def _answer(delivery: int, outcome: Accepted | Rejected | Deferred) -> Answer:
    if isinstance(outcome, Accepted):
        return Answer(delivery, State.ACCEPTED, detail=cut(outcome.detail), provider_id=cut(outcome.provider_id))
    state = State.REJECTED if isinstance(outcome, Rejected) else State.DUE
    return Answer(delivery, state, outcome.scope, cut(outcome.code), cut(outcome.detail))
