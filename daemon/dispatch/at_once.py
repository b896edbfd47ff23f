"""DISPATCH, at once: channels that say what becomes of a message the moment that it is decided, because nothing leaves by them.

A rehearsal's. The claim's transaction asks them (`store.at_once`), so there is no flight, no sender and no session between a decision and
its outcome; rates, prices and counts are the line's own all the same. Never a channel that reaches the world: what it had done when the
transaction failed would not be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from daemon.dispatch.line import Line
from daemon.dispatch.work import Envelope, PlanBook
from daemon.model.delivery import Instant
from daemon.store.at_once import Answer, Products
from daemon.store.claim import Claimed, Profiles
from daemon.store.flight import Kind, Result
from plugins.contract import Accepted, Deferred, Message, Rejected

TAKEN = Answer()
ACCEPTED = Accepted()
Said = Accepted | Rejected | Deferred


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A channel by shape. `reads`: it wants to see each message, else none is made; `refuses`: not all are accepted."""

    @property
    def reads(self) -> bool: ...

    @property
    def refuses(self) -> bool: ...

    def answer(self, claimed: Claimed) -> Said:
        """What becomes of it. Asked inside a transaction: changes nothing."""
        ...

    def took(self, claimed: Sequence[Claimed], messages: Sequence[Message], at: Instant) -> None:
        """These were accepted, and it is committed. `messages`: theirs, if it reads them, or none."""
        ...

    def refused(self, refused: Sequence[tuple[Claimed, Said]]) -> None:
        """These were not, and it is committed."""
        ...


class _Told:
    """What a line's channel has said in one claim. `refused`: handed over and not accepted; the rest came to nothing before."""

    def __init__(self, line: Line, channel: AnswersAtOnce) -> None:
        self.line, self.channel = line, channel
        self.reads, self.refuses = channel.reads or line.purse is not None, channel.refuses
        self.accepted: list[Claimed] = []
        self.messages: list[Message] = []
        self.refused: list[tuple[Claimed, Said]] = []
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
        outcome = told.channel.answer(one) if told.refuses else ACCEPTED
        if outcome is not ACCEPTED:
            return Answer(self._result(told, self._envelope(one, {}, {}), None, outcome))
        told.accepted.append(one)
        plan = self._plans.peek(one.row.campaign, one.row.version)
        if plan is None or not plan.several:
            return TAKEN
        return Answer(told.line.result_of(self._envelope(one, {}, {}), outcome))

    def _read(self, told: _Told, one: Claimed, profiles: Profiles, products: Products) -> Answer:
        envelope = self._envelope(one, profiles, products)
        made = told.line.render(envelope)
        if not isinstance(made, Message):
            told.held += made.kind is Kind.HELD
            told.put_off += made.kind is not Kind.HELD
            return Answer(made, handed=False)
        return Answer(self._result(told, envelope, made, told.channel.answer(one) if told.refuses else ACCEPTED), envelope.cost)

    def _result(self, told: _Told, envelope: Envelope, made: Message | None, outcome: Said) -> Result:
        """What is to be recorded of it; noted for `settle`."""
        if isinstance(outcome, Accepted):
            told.accepted.append(envelope.claimed)
            told.messages += [made] if made is not None else []
        else:
            told.refused.append((envelope.claimed, outcome))
        return told.line.result_of(envelope, outcome)

    def _envelope(self, one: Claimed, profiles: Profiles, products: Products) -> Envelope:
        return self._plans.envelope(one, profiles.get(one.row.person), products.get(one.row.person, ()))

    def settle(self, now: Instant) -> None:
        """It is committed: the lines count it, and the channels are told."""
        for told in self._told.values():
            handed = [*told.accepted, *(one for one, _ in told.refused)]
            outcomes = Counter([type(said).__name__.lower() for _, said in told.refused])
            outcomes["accepted"] = len(told.accepted)
            told.line.handed_at_once(handed, now, outcomes, held=told.held, put_off=told.put_off)
            if told.accepted:
                told.channel.took(told.accepted, told.messages, now)
            if told.refused:
                told.channel.refused(told.refused)
