"""A store file in memory for simulated daemons: it survives the process, is emptied in a millisecond, and can be told to fail.

The errors are those that the driver raises, in SQLAlchemy's wrapping, so that they are read by the same code (`store.failures`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from daemon.store import engine as engines


class MemoryFile:
    """One for all worlds of a worker. `reset` takes its rows out and leaves its schema: a file that is made anew, or overwritten by an
    empty one, has the driver compile all of some two hundred statements again for each world (15 ms)."""

    def __init__(self) -> None:
        self._make()
        self.path: Path | None = None
        """The name that it is opened by."""

    def _make(self) -> None:
        engine = engines.open_writer(None)
        engines.prepare(engine)
        self.conn = engine.connect()
        self._raw: sqlite3.Connection = self.conn.connection.driver_connection  # type: ignore[assignment]
        self._tables = [name for (name,) in self._raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self._first = {name: self._raw.execute(f'SELECT * FROM "{name}"').fetchall() for name in self._tables}  # noqa: S608 - our own names
        self._schema = self._schema_version()

    def _schema_version(self) -> int:
        [(version,)] = self._raw.execute("PRAGMA schema_version").fetchall()
        return int(version)

    def reset(self) -> None:
        self.path = None
        try:
            if self._raw.in_transaction:
                self._raw.rollback()
            if self._schema_version() != self._schema:
                self._make()
                return
            self._raw.execute("BEGIN IMMEDIATE")
            for name in self._tables:
                self._raw.execute(f'DELETE FROM "{name}"')  # noqa: S608
                for row in self._first[name]:
                    self._raw.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row)  # noqa: S608
            self._raw.execute("COMMIT")
        except sqlite3.OperationalError:  # a world that broke off in the middle of an act still reads from it
            self._make()


class _SqliteError(Exception):
    """What the driver would raise."""

    def __init__(self, name: str) -> None:
        super().__init__(f"injected {name}")
        self.sqlite_errorname = name


def injected(name: str) -> OperationalError:
    """The error of this name, as an act meets it."""
    return OperationalError("(simulated)", None, _SqliteError(name))


def without_room(act: Callable[..., Any]) -> Callable[..., Any]:
    """The act, but its commit finds the disk full."""

    def run(*args: Any, **kwargs: Any) -> Any:
        act(*args, **kwargs)
        raise injected("SQLITE_FULL")

    run.__name__ = f"{act.__name__}, full"
    return run
