"""PACING, warm-up: how many messages a day a new sender may send, over a provider and to each group of domains, until it is known.

Receivers distrust an address that sends much from its first day on. Each day's ceiling is the one before times `growth`; the day
that would reach `until` has none, and the warm-up is over. A day is one of the config's zone. What is claimed and not yet handed over
counts too, so the ceiling is kept exactly; what comes to nothing gives its place back. Pure: instants come in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from daemon.model.delivery import Instant

ALL = ""
"""The provider as a whole, beside the groups of domains."""
Day = tuple[int, Instant, Instant]
"""(number of the day, its first instant, that of the next one)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """`start`: number of the first day (`date.toordinal`), before which nothing goes."""

    start: int
    first_day: int
    growth: float
    until: int

    def ceiling(self, day: int) -> int | None:
        """Messages of that day; None = the warm-up is over."""
        if day < self.start:
            return 0
        if self.first_day >= self.until:
            return None
        if self.growth > 1 and (day - self.start) * math.log(self.growth) > math.log(self.until / self.first_day) + 1:
            return None  # and the power is a number that can be written
        most = math.floor(self.first_day * self.growth ** (day - self.start) + 1e-9)
        return most if most < self.until else None


class Full(NamedTuple):
    """A ceiling that is reached. `name`: of the group, "" for the provider; `until`: when the next day begins."""

    name: str
    ceiling: int
    sent: int
    day: int
    until: Instant


class Ration:
    """The ceilings of one provider. `curves`: by name. `day_of(now)`: the day of an instant."""

    def __init__(self, curves: Mapping[str, Curve], day_of: Callable[[Instant], Day], state: Mapping[str, Any] | None = None) -> None:
        self._curves = dict(curves)
        self._day_of = day_of
        self._day: Day = (0, 0, 0)
        self._counted = int(state["day"]) if state else 0
        self._sent: Counter[str] = Counter(state["sent"] if state else ())
        self._open: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._curves)

    def names(self, name: str) -> list[str]:
        """The ceilings that a message to this group comes under."""
        return [each for each in dict.fromkeys((ALL, name)) if each in self._curves]

    def full(self, name: str, now: Instant, taken: Mapping[str, int]) -> Full | None:
        """The first ceiling that has no room for one more, `taken` being claimed already."""
        day, _, until = self._today(now)
        for each in self.names(name):
            ceiling = self._curves[each].ceiling(day)
            if ceiling is not None and self._sent[each] + self._open[each] + taken.get(each, 0) >= ceiling:
                return Full(each, ceiling, self._sent[each], day - self._curves[each].start + 1, until)
        return None

    def hold(self, name: str) -> None:
        """A message was claimed."""
        self._open.update(self.names(name))

    def let_go(self, name: str) -> None:
        """It came to nothing, or has been handed over."""
        self._open.subtract(self.names(name))

    def send(self, name: str, now: Instant) -> None:
        """It was handed over."""
        self._today(now)
        self._sent.update(self.names(name))
        self.let_go(name)

    def _today(self, now: Instant) -> Day:
        if not self._day[1] <= now < self._day[2]:
            self._day = self._day_of(now)
        if self._day[0] > self._counted:  # a clock that was set back forgets nothing
            self._counted = self._day[0]
            self._sent.clear()
        return self._day

    def to_state(self) -> dict[str, Any]:
        """What the store keeps."""
        return {"day": self._counted, "sent": {name: n for name, n in self._sent.items() if n > 0}}
