"""What a rehearsal needs of the store: a copy as of one instant, made ready to be lived in, and what all has come to in it.

The original is opened read-only and only for the copy (SQLite's backup, in one step: a snapshot, whatever a daemon writes meanwhile).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, func, select, update

from daemon.errors import StoreUnavailableError
from daemon.model.delivery import Instant
from daemon.store import engine as engines
from daemon.store import schema as s
from daemon.store.memory import MemoryFile
from daemon.store.meta import set_meta
from daemon.store.recover import save_gate

P = ParamSpec("P")
T = TypeVar("T")

IN_MEMORY = 300 << 20
"""A larger store is copied into a file, which is removed at the end."""


class CopiedFile(MemoryFile):
    """A copy of a store, to be written to as if it were the store. `folder`: where a large one is laid; its file is gone when closed."""

    def __init__(self, source: Path | None, folder: Path) -> None:
        """`source` None, or not there: an empty store. StoreUnavailableError when it cannot be read, or has another schema."""
        there = source is not None and source.exists()
        large = there and source is not None and source.stat().st_size > IN_MEMORY
        self.laid = folder / "rehearsal.db" if large else None
        self.path = None
        engine = engines.open_writer(self.laid)
        self.conn = engine.connect()
        self._raw = self.conn.connection.driver_connection  # type: ignore[assignment]
        if there and source is not None:
            _copy(source, self._raw)
        engines.prepare(engine)
        for pragma in ("synchronous=OFF", "wal_autocheckpoint=1000"):
            self._raw.execute(f"PRAGMA {pragma}")

    def do(self, act: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A transaction of its own, between those of the daemon that lives on it."""
        with engines.Transaction(self.conn):
            return act(self.conn, *args, **kwargs)

    def close(self) -> None:
        self.conn.close()
        if self.laid is not None:
            for suffix in ("", "-wal", "-shm"):
                self.laid.with_name(self.laid.name + suffix).unlink(missing_ok=True)


def _copy(source: Path, into: sqlite3.Connection) -> None:
    try:
        original = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        try:
            original.backup(into, pages=-1)
        finally:
            original.close()
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{source}: the copy failed: {error}") from None


def make_ready(conn: Connection, now: Instant) -> None:
    """A copy begins to live at `now`, whatever held the original back: no kill switch, no suspicion about clock or origin, and rates as
    after a rest. What was on its way is settled by the start of the daemon, as after a crash."""
    save_gate(conn, {})
    set_meta(conn, "commit", f"0 {now}")
    conn.execute(update(s.incarnation).values(heartbeat_at=now))
    conn.execute(delete(s.bucket))


def standing(conn: Connection) -> Mapping[tuple[str, str, str], int]:
    """(campaign, state, reason) -> deliveries, by the counts that each act keeps."""
    query = (
        select(s.campaign.c.name, s.tally.c.state, s.tally.c.reason, func.sum(s.tally.c.n))
        .join(s.job, s.job.c.id == s.tally.c.job)
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .group_by(s.campaign.c.name, s.tally.c.state, s.tally.c.reason)
    )
    return {(name, state, reason): int(n) for name, state, reason, n in conn.execute(query) if n}


def people(conn: Connection) -> int:
    """How many recipients there are."""
    found: Any = conn.execute(select(func.count()).select_from(s.recipient)).scalar_one()
    return int(found)
