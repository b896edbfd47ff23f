"""DISPATCH, at once: channels that say what becomes of a message the moment that it is decided, because nothing leaves by them.

A rehearsal's. The claim's transaction asks them (`store.at_once`), so there is no flight, no sender and no session between a decision and
its outcome; rates, prices and counts are the line's own all the same. Never a channel that reaches the world: what it had done when the
transaction failed would not be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from daemon.dispatch.line import Line
from daemon.dispatch.work import Envelope, PlanBook
from daemon.model.delivery import Instant
from daemon.store.at_once import Answer, Products
from daemon.store.claim import Claimed, Profiles
from daemon.store.flight import Kind
from plugins.contract import Accepted, Message, Rejected

TAKEN = Answer()


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A channel by shape. `reads`: it wants to see each message; else none is made, and all are accepted."""

    @property
    def reads(self) -> bool: ...

    def answer(self, message: Message) -> Accepted | Rejected:
        """What becomes of it. Asked inside a transaction: changes nothing."""
        ...

    def took(self, claimed: Sequence[Claimed], messages: Sequence[Message], at: Instant) -> None:
        """These were accepted, and it is committed. `messages`: theirs, if it reads them, or none."""
        ...


class _Told:
    """What a line's channel has said in one claim. `refused`: handed over and not accepted; the rest came to nothing before."""

    def __init__(self, line: Line, channel: AnswersAtOnce) -> None:
        self.line, self.channel = line, channel
        self.reads = channel.reads or line.purse is not None
        self.accepted: list[Claimed] = []
        self.messages: list[Message] = []
        self.refused: list[Claimed] = []
        self.held = self.put_off = 0


class AtOnce:
    """One claim's. `lines`: those with room whose channels are such."""

    def __init__(self, lines: Sequence[tuple[Line, AnswersAtOnce]], plans: PlanBook) -> None:
        self._plans = plans
        self._told = {line.provider: _Told(line, channel) for line, channel in lines}

    def __bool__(self) -> bool:
        """There are such channels."""
        return bool(self._told)

    def answers(self, going: Sequence[Claimed], profiles: Profiles, products: Products) -> Sequence[Answer | None]:
        """See `store.at_once.Answers`."""
        found: list[Answer | None] = []
        for one in going:
            told = self._told.get(one.provider)
            if told is None:
                found.append(None)
            elif told.reads:
                found.append(self._read(told, one, profiles, products))
            else:
                found.append(self._unread(told, one))
        return found

    def _unread(self, told: _Told, one: Claimed) -> Answer:
        told.accepted.append(one)
        plan = self._plans.peek(one.row.campaign, one.row.version)
        if plan is None or not plan.several:
            return TAKEN
        return Answer(told.line.result_of(self._envelope(one, {}, {}), Accepted()))

    def _read(self, told: _Told, one: Claimed, profiles: Profiles, products: Products) -> Answer:
        envelope = self._envelope(one, profiles, products)
        made = told.line.render(envelope)
        if not isinstance(made, Message):
            told.held += made.kind is Kind.HELD
            told.put_off += made.kind is not Kind.HELD
            return Answer(made, handed=False)
        outcome = told.channel.answer(made)
        if isinstance(outcome, Accepted):
            told.accepted.append(one)
            told.messages.append(made)
        else:
            told.refused.append(one)
        return Answer(told.line.result_of(envelope, outcome), envelope.cost)

    def _envelope(self, one: Claimed, profiles: Profiles, products: Products) -> Envelope:
        return self._plans.envelope(one, profiles.get(one.row.person), products.get(one.row.person, ()))

    def settle(self, now: Instant) -> None:
        """It is committed: the lines count it, and the channels are told."""
        for told in self._told.values():
            handed, accepted = [*told.accepted, *told.refused], len(told.accepted)
            told.line.handed_at_once(handed, now, accepted=accepted, held=told.held, put_off=told.put_off)
            if told.accepted:
                told.channel.took(told.accepted, told.messages, now)
