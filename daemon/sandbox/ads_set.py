"""What an advertising platform of the sandbox keeps: sets of people by their hashes, changed with a delay as the real ones are."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HASH = re.compile(r"[0-9a-f]{64}")
Row = tuple[str, str]
"""The hashes of e-mail and phone, "" for none."""


def is_bad(row: Row) -> bool:
    """One in 4096 is never matched: a sure and repeatable kind of partial failure."""
    return (row[0] or row[1]).startswith("000")


@dataclass(slots=True)
class AudienceSet:
    """One audience. Changes wait `lag` seconds of the server's time before they show."""

    id: str
    name: str
    rows: dict[str, Row] = field(default_factory=dict)
    """Hash -> the row that it belongs to."""
    waiting: deque[tuple[float, bool, tuple[Row, ...]]] = field(default_factory=deque)

    def change(self, at: float, rows: Iterable[Row], *, add: bool) -> None:
        self.waiting.append((at, add, tuple(rows)))

    def settle(self, now: float) -> None:
        """Apply what has waited long enough, in order."""
        while self.waiting and self.waiting[0][0] <= now:
            _, add, rows = self.waiting.popleft()
            for row in rows:
                for key in filter(None, row):
                    old = self.rows.pop(key, None)
                    for other in filter(None, old or ()):
                        self.rows.pop(other, None)
                if add:
                    self.rows.update(dict.fromkeys(filter(None, row), row))

    def members(self) -> set[Row]:
        return set(self.rows.values())


@dataclass(slots=True)
class Ledger:
    """All audiences of one network and what was asked of it. `log`: one object a request, oldest first."""

    network: str
    now: Callable[[], float]
    lag: Callable[[], float]
    audiences: dict[str, AudienceSet] = field(default_factory=dict)
    log: list[Mapping[str, Any]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    """What a client must never do, whatever was answered: a real platform would have refused it, or worse."""

    def make(self, name: str) -> AudienceSet:
        number = f"{7_000_000 + len(self.audiences)}"
        made = self.audiences[number] = AudienceSet(number, name)
        return made

    def change(self, audience: AudienceSet, rows: Iterable[Row], *, add: bool) -> None:
        audience.change(self.now() + self.lag(), rows, add=add)

    def members(self, name: str) -> set[Row]:
        """Who shows in the audiences of this name now."""
        found: set[Row] = set()
        for audience in self.audiences.values():
            if audience.name == name:
                audience.settle(self.now())
                found |= audience.members()
        return found

    def note(self, act: str, **facts: Any) -> None:
        self.log.append({"n": len(self.log) + 1, "at": self.now(), "network": self.network, "act": act, **facts})

    def breach(self, what: str) -> None:
        self.breaches.append(what)
