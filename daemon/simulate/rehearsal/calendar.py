"""What a rehearsal came to, day by day, told from the counts of the store, the channels' own, and the verdicts of the rules.

A day is one of `default_zone`. `planned`: deliveries that came into being · `sent`: taken by a channel · `bounced`, `refused`: not taken,
for good or for now · `capped`: verdicts that put a delivery off for a frequency cap (one that is put off twice counts twice) · `held`,
`dropped`, `expired`: those that ended so, by reason · `audiences`: who would be put into, or taken out of, each retargeting audience.
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
from daemon.store.rehearse import AudienceName, Stood

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
class Moved:
    """Of one audience: who comes in, is taken out, or leaves since its time is over; and how many should be in at the end."""

    added: int = 0
    removed: int = 0
    expired: int = 0
    members: int = 0

    def __bool__(self) -> bool:
        """Somebody moves."""
        return bool(self.added or self.removed or self.expired)

    def then(self, later: Moved) -> Moved:
        """Both, one after the other."""
        sums = {name: getattr(self, name) + getattr(later, name) for name in ("added", "removed", "expired")}
        return Moved(**sums, members=later.members)


@dataclass(slots=True, kw_only=True)
class Day:
    """One day. `sent` by channel; `refused`: attempts, by `channels.BOUNCED` and `REFUSED`; `ended` by (state, reason); `waiting`: at
    its end; `audiences`: those of which somebody moves."""

    date: date
    planned: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: int = 0
    events: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    audiences: dict[AudienceName, Moved] = field(default_factory=dict)

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
        """No delivery came, went, was refused or judged."""
        return not (self.planned or self.sent or self.deferred or self.ended or self.refused)

    def as_json(self) -> dict[str, Any]:
        ended = {f"{state}:{reason}" if reason else state: n for (state, reason), n in sorted(self.ended.items())}
        return {
            "date": self.date.isoformat(), "planned": self.planned, "sent": dict(sorted(self.sent.items())), "capped": self.capped,
            "deferred": dict(sorted(self.deferred.items())), "ended": ended, "waiting": self.waiting,
            "events": dict(sorted(self.events.items())),
            **({"refused": dict(sorted(self.refused.items()))} if self.refused else {}),
            **({"audiences": [_shown(key, moved) for key, moved in sorted(self.audiences.items())]} if self.audiences else {}),
        }  # fmt: skip


def _shown(key: AudienceName, moved: Moved) -> dict[str, Any]:
    return {
        "campaign": key.campaign, "provider": key.provider, "audience": key.name, "added": moved.added, "removed": moved.removed,
        "expired": moved.expired, "members": moved.members,
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
            for name in ("sent", "deferred", "ended", "events", "refused"):
                getattr(total, name).update(getattr(day, name))
            total.waiting = day.waiting
            for key, moved in day.audiences.items():
                total.audiences[key] = total.audiences.get(key, Moved()).then(moved)
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


def moves(before: Mapping[AudienceName, Stood], after: Mapping[AudienceName, Stood], only: str | None = None) -> dict[AudienceName, Moved]:
    """What moved between two looks, of which the later counts those who left since the former. `only`: the audiences of this campaign."""
    found: dict[AudienceName, Moved] = {}
    for key, stood in after.items():
        added = stood.members - (before[key].members if key in before else 0) + stood.removed + stood.expired
        removed = stood.removed - min(added, 0)  # somebody left while the former look was taken
        moved = Moved(added=max(added, 0), removed=removed, expired=stood.expired, members=stood.members)
        if moved and only in (None, key.campaign):
            found[key] = moved
    return found


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
