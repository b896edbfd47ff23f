"""What sending over a provider costs in a day, and the ceiling over it (`Capabilities.daily_spend`, the channel's `price`).

A message is priced when it is made. One that would exceed the day's ceiling waits for the next midnight of `default_zone` and burns
no attempt. The sum is written with the handover, so a crash never makes it smaller; what a provider then refused stays counted:
some bill it all the same, and too little is sent rather than too much. Test sends are not counted. There is one ceiling, whatever the
currency: prices of one day in two of them are added up as they are, so neither gets a ceiling of its own, and the plugin is at fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from daemon.clock import Clock
from daemon.dispatch.outcome import held_back
from daemon.dispatch.work import Envelope
from daemon.model.delivery import Decision, Instant, Reason, Verdict
from daemon.policy.periods import Calendar, period_end
from daemon.policy.tz import day_date, local_day
from daemon.store.claim import decision_json
from daemon.store.flight import Kind, Result
from daemon.store.spend import Cost
from plugins.contract import Message
from plugins.feedback import Price

MICROS = 1_000_000
MOST = 10**15
"""Micros that one message may cost at most: more is a mistake of the plugin."""


class Purse:
    """One provider's spending. `spent`: what its rows say, (day, currency) -> (micros, parts)."""

    def __init__(
        self, *, provider: str, channel: Any, zone: str, clock: Clock, spent: Mapping[tuple[int, str], tuple[int, int]],
        fault: Callable[[str, Envelope], None],
    ) -> None:  # fmt: skip
        """`channel`: has `price` (plugins.feedback.Prices) and `capabilities`. `fault` is told when `price` breaks its word."""
        self._provider, self._channel, self._zone, self._clock, self._fault = provider, channel, zone, clock, fault
        self._used = {key: (micros, parts) for key, (micros, parts) in spent.items()}
        """With what is about to be handed over."""
        self._told: set[tuple[int, str]] = set()
        self._currency = next((currency for _, currency in reversed(self._used)), "USD")

    @property
    def ceiling(self) -> int | None:
        """Micros a day; None = no limit."""
        limit = self._channel.capabilities.daily_spend
        return None if limit is None else int(limit * MICROS)

    def admit(self, envelope: Envelope, message: Message) -> Result | None:
        """Set aside what the message costs (`envelope.cost`). A result: it does not go now, or it has no price."""
        now = self._clock.instant()
        try:
            cost = self._cost(self._channel.price(message), local_day(self._zone, now))
        except Exception as error:  # noqa: BLE001 - plugin isolation: one message without a price must not keep its batch from going
            self._fault(f"price() failed: {type(error).__name__}: {error}", envelope)
            if self.ceiling is None:
                return None
            return held_back(envelope, Reason.RENDER_ERROR, f"it has no price: {type(error).__name__}: {error}")
        if any(day == cost.day and currency != cost.currency and used for (day, currency), (used, _) in self._used.items()):
            self._mixed(cost, envelope)
        used = self._today(cost.day)[0]
        if self.ceiling is not None and used + cost.micros > self.ceiling:
            return self._put_off(envelope, cost, used, now)
        self._add(cost, 1)
        self._currency = cost.currency
        envelope.cost = cost
        return None

    def _today(self, day: int) -> tuple[int, int]:
        """(micros, parts) of a day, in all currencies."""
        found = [used for (of, _), used in self._used.items() if of == day]
        return sum(micros for micros, _ in found), sum(parts for _, parts in found)

    def _mixed(self, cost: Cost, envelope: Envelope) -> None:
        """Told once a day and currency."""
        if (cost.day, cost.currency) not in self._told:
            self._told = {key for key in self._told if key[0] == cost.day} | {(cost.day, cost.currency)}
            self._fault(f"price() is in {cost.currency}, and in another currency before on this day: daily_spend is one sum", envelope)

    def release(self, cost: Cost) -> None:
        """It was surely not handed over."""
        self._add(cost, -1)

    def _add(self, cost: Cost, sign: int) -> None:
        key = cost.day, cost.currency
        micros, parts = self._used.get(key, (0, 0))
        self._used[key] = micros + sign * cost.micros, parts + sign * cost.parts
        for old in [key for key in self._used if key[0] < cost.day - 1]:
            del self._used[old]

    def _cost(self, price: object, day: int) -> Cost:
        """TypeError or ValueError for what is no price."""
        if not isinstance(price, Price):
            raise TypeError(f"{type(price).__name__} is no Price")
        if not math.isfinite(price.amount) or not 0 <= price.amount * MICROS <= MOST or not 0 <= price.parts <= MOST:
            raise ValueError(f"a price of {price.amount} for {price.parts} parts")
        return Cost(self._provider, day, str(price.currency)[:8], math.ceil(round(price.amount * MICROS, 3)), int(price.parts))

    def _put_off(self, envelope: Envelope, cost: Cost, used: int, now: Instant) -> Result:
        until = period_end(Calendar.DAY, self._zone, now)
        facts = {
            "provider": self._provider, "day": day_date(cost.day).isoformat(), "zone": self._zone, "limit": (self.ceiling or 0) / MICROS,
            "spent": used / MICROS, "price": cost.micros / MICROS, "currency": cost.currency,
        }  # fmt: skip
        decision = Decision(verdict=Verdict.DEFER, reason=Reason.SPEND_LIMIT, until=until, facts=facts, checks=(("spend", "defer"),))
        return Result(
            delivery=envelope.claimed.row.delivery, epoch=envelope.claimed.epoch, kind=Kind.DEFERRED, reason=Reason.SPEND_LIMIT,
            again_at=until, burnt=False, decision=decision_json(decision),
        )  # fmt: skip

    def status(self) -> dict[str, object]:
        """Of today, for `homing status`: amounts in the currency's own unit."""
        now = self._clock.instant()
        day = local_day(self._zone, now)
        micros, parts = self._today(day)
        limit = self.ceiling
        return {
            "day": day_date(day).isoformat(), "currency": self._currency, "amount": micros / MICROS, "parts": parts,
            "limit": None if limit is None else limit / MICROS,
        }  # fmt: skip
