"""What a rehearsal came to, day by day, told from the counts of the store, the channels' own, and the verdicts of the rules.

A day is one of `default_zone`. `planned`: deliveries that came into being · `sent`: taken by a channel · `capped`: verdicts that put
a delivery off for a frequency cap (one that is put off twice counts twice) · `held`, `dropped`, `expired`: those that ended so, by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from daemon.clock import Clock
from daemon.metrics import Metrics
from daemon.model.delivery import Reason, State
from daemon.simulate.rehearsal.channels import Sent

Standing = Mapping[tuple[str, str, str], int]
CAPS = (Reason.CAP_REACHED.value, Reason.YIELDED_TO_PRIORITY.value)
WAITING = (State.PLANNED.value, State.DUE.value, State.CLAIMED.value)


class Verdicts(Metrics):
    """Counts the rules' verdicts of the current day beside everything else."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.today: Counter[tuple[str, str]] = Counter()

    def decided(self, verdict: str, reason: str | None, n: int = 1) -> None:
        self.today[verdict, reason or ""] += n
        super().decided(verdict, reason, n)


@dataclass(slots=True, kw_only=True)
class Day:
    """One day. `sent` by channel; `ended` by (state, reason); `waiting`: at its end."""

    date: date
    planned: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: int = 0
    events: Counter[str] = field(default_factory=Counter)

    @property
    def capped(self) -> int:
        return sum(self.deferred[reason] for reason in CAPS)

    def reasons(self, *states: State) -> Counter[str]:
        """Of what ended in these states today."""
        found: Counter[str] = Counter()
        for (state, reason), n in self.ended.items():
            if state in states:
                found[reason] += n
        return found

    @property
    def empty(self) -> bool:
        """No delivery came, went or was judged."""
        return not (self.planned or self.sent or self.deferred or self.ended)

    def as_json(self) -> dict[str, Any]:
        ended = {f"{state}:{reason}" if reason else state: n for (state, reason), n in sorted(self.ended.items())}
        return {
            "date": self.date.isoformat(), "planned": self.planned, "sent": dict(sorted(self.sent.items())), "capped": self.capped,
            "deferred": dict(sorted(self.deferred.items())), "ended": ended, "waiting": self.waiting,
            "events": dict(sorted(self.events.items())),
        }  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Calendar:
    """The whole. `sent` by (campaign, step, channel); `cost` by (channel, currency); `final`: where all deliveries stand at the end;
    `notes`: what is not as it would be."""

    days: list[Day] = field(default_factory=list)
    sent: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cost: dict[tuple[str, str], float] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)
    final: Standing = field(default_factory=dict)
    people: int = 0
    decided: int = 0
    notes: list[str] = field(default_factory=list)

    def took(self, sent: Sent) -> None:
        """A channel took a message."""
        self.sent[sent.campaign, sent.step, sent.channel] += 1
        self.parts[sent.channel] += sent.parts
        if sent.price:
            key = sent.channel, sent.currency
            self.cost[key] = self.cost.get(key, 0.0) + sent.price

    def totals(self) -> Day:
        """All days as one."""
        total = Day(date=self.days[0].date if self.days else date.min)
        for day in self.days:
            total.planned += day.planned
            for name in ("sent", "deferred", "ended", "events"):
                getattr(total, name).update(getattr(day, name))
            total.waiting = day.waiting
        return total

    def as_json(self) -> dict[str, Any]:
        return {
            "people": self.people, "decided": self.decided, "days": [day.as_json() for day in self.days], "totals": self.totals().as_json(),
            "sent": [{"campaign": c, "step": s, "channel": ch, "count": n} for (c, s, ch), n in sorted(self.sent.items())],
            "cost": [{"channel": ch, "currency": cur, "amount": round(n, 4)} for (ch, cur), n in sorted(self.cost.items())],
            "parts": dict(sorted(self.parts.items())),
            "final": [{"campaign": c, "state": st, "reason": r or None, "count": n} for (c, st, r), n in sorted(self.final.items())],
            "notes": self.notes,
        }  # fmt: skip


def close_day(
    day: date, before: Standing, after: Standing, verdicts: Mapping[tuple[str, str], int], sent: Sequence[str],
    events: Mapping[str, int], only: str | None = None,
) -> Day:  # fmt: skip
    """One day from what stood before and after it. `only`: count this campaign's deliveries alone; verdicts know no campaign."""
    made = Day(date=day, sent=Counter(sent), events=Counter(dict(events)))
    for key in sorted({*before, *after}):
        campaign, state, reason = key
        if only is not None and campaign != only:
            continue
        change = after.get(key, 0) - before.get(key, 0)
        made.planned += change
        if state in WAITING:
            made.waiting += after.get(key, 0)
        elif change:
            made.ended[state, reason] += change
    made.deferred.update({reason: n for (verdict, reason), n in sorted(verdicts.items()) if verdict == "defer" and n})
    return made
