"""Deliveries of a job counted by state and reason, kept by each act in its own transaction.

An act collects moves in a `Tallies` and writes them once: a few rows a batch. `claimed` covers handed-over ones.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import State
from daemon.store import schema as s
from daemon.store.sql import many

_insert = upsert(s.tally)
_ADD = _insert.on_conflict_do_update(
    index_elements=[s.tally.c.job, s.tally.c.state, s.tally.c.reason], set_={"n": s.tally.c.n + _insert.excluded.n}
)


class Tallies:
    """Moves to be added to `tally`. The reason counts for ended and held deliveries only ("" otherwise)."""

    def __init__(self) -> None:
        self._moves: dict[tuple[int, str, str], int] = defaultdict(int)

    def add(self, job: int, state: State, reason: str, n: int = 1) -> None:
        self._moves[job, state.value, reason] += n

    def move(self, job: int, old: State, old_reason: str, new: State, new_reason: str, n: int = 1) -> None:
        self._moves[job, old.value, old_reason] -= n
        self._moves[job, new.value, new_reason] += n

    def write(self, conn: Connection) -> None:
        many(conn, _ADD, ("job", "state", "reason", "n"), [(*key, n) for key, n in sorted(self._moves.items()) if n])
