"""Opens the SQLite file as the design asks: WAL, synchronous FULL, one connection that writes and checkpoints.

Linux only for the state lock (flock). Readers open `mode=ro` and never checkpoint, which keeps a SQLite library inside
the WAL-reset range (3.7.0-3.51.2 but 3.44.6 and 3.50.7) safe. Nothing here knows a table but `alembic_version`.
"""

from __future__ import annotations

import fcntl
import functools
import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, StaticPool, create_engine, event, text
from sqlalchemy.exc import DatabaseError, DBAPIError

from daemon.errors import StateHeldError, StoreBrokenError, StoreUnavailableError
from daemon.store import failures
from daemon.store.schema import metadata

SCHEMA_VERSION = "0022"
"""The migration that adds up to `schema.metadata`."""

OLDEST_SQLITE = (3, 33)
"""`UPDATE .. FROM` (release), and statements of more than 999 parameters (3.32)."""

PAGE_CACHE_KIB = 8_000
"""Bulk work goes in the order of what it writes and comes to each page once: beside ten million rows an import took the same CPU time
and as many reads with 2 MB as with 16 (measured). The system keeps the pages anyway."""
READER_CACHE_KIB = 2_000
"""Each of the two readers: what they ask is small or read once, and the system keeps the pages anyway."""
BUSY_MILLISECONDS = 5000
"""How long one process waits for another's lock."""
FULL = 2
"""`synchronous` as SQLite numbers it: each commit is synced."""


def _pragmas(connection: sqlite3.Connection, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def _say(connection: Any, statement: str) -> None:
    """Once a commit: straight to the driver, an error told as Core would."""
    try:
        connection.connection.dbapi_connection.execute(statement)
    except sqlite3.Error as error:
        raise DBAPIError.instance(statement, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect) from error


class Transaction:
    """One transaction of the connection that writes, begun and ended at the driver: by Core's way that alone costs 10 µs, as much as
    three statements, and most acts need nothing of Core. Whatever an act does by Core is in it: that finds it begun."""

    __slots__ = ("_conn",)

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def __enter__(self) -> None:
        _say(self._conn, "BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._undo()
            return
        try:
            if self._conn.in_transaction():
                self._conn.commit()
            else:
                _say(self._conn, "COMMIT")
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        self._conn.rollback()  # what Core has begun, also where it failed to end it
        raw: Any = self._conn.connection.dbapi_connection
        raw.rollback()


def in_transaction(conn: Connection) -> bool:
    """Something is begun and has neither been committed nor undone."""
    raw: Any = conn.connection.dbapi_connection
    return bool(raw.in_transaction) or conn.in_transaction()


def open_writer(path: Path | None) -> Engine:
    """The one engine that writes. `path` None = in memory (tests, simulation)."""
    engine = create_engine(
        URL.create("sqlite", database=None if path is None else str(path)),
        poolclass=StaticPool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "isolation_level": None, "cached_statements": 512},
    )

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        _pragmas(
            connection,
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "PRAGMA wal_autocheckpoint=0",
            f"PRAGMA cache_size=-{PAGE_CACHE_KIB}",
            f"PRAGMA busy_timeout={BUSY_MILLISECONDS}",
            "PRAGMA temp_store=MEMORY",
        )
        if path is not None:
            check_durable(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if not connection.connection.dbapi_connection.in_transaction:
            _say(connection, "BEGIN IMMEDIATE")

    return engine


def check_durable(connection: sqlite3.Connection) -> None:
    """A commit must be on disk when it returns (F25). Read back, since SQLite passes over what it cannot do. StoreUnavailableError."""
    journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = int(connection.execute("PRAGMA synchronous").fetchone()[0])
    if journal != "wal" or synchronous < FULL:
        raise StoreUnavailableError(
            f"the store would not be durable: journal_mode is {journal} and synchronous is {synchronous}, where wal and {FULL} (FULL) are"
            " needed; put it on a local disk of a file system that SQLite can use in WAL mode"
        )


def connect_to_read(path: Path) -> sqlite3.Connection:
    """The store's file and no other, whatever signs its name has."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False, isolation_level=None)


def open_reader(path: Path) -> Engine:
    """Read-only connections, one a thread that asks."""
    engine = create_engine(
        "sqlite://", creator=functools.partial(connect_to_read, path), poolclass=QueuePool,
        pool_size=2, max_overflow=2, hide_parameters=True,
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        _pragmas(connection, "PRAGMA query_only=ON", f"PRAGMA busy_timeout={BUSY_MILLISECONDS}", f"PRAGMA cache_size=-{READER_CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        _say(connection, "BEGIN")

    return engine


def make_file(path: Path) -> None:
    """Make the empty store file, for its owner alone: it holds addresses. SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailableError(f"{path}: the store cannot be made: {error.strerror}; see [homing] store") from None


def prepare(engine: Engine) -> None:
    """Make the tables of an empty file; refuse what is none, or of another schema. Raises StoreUnavailableError."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreUnavailableError(
            f"this Python has the SQLite library {sqlite3.sqlite_version}, Homing needs {oldest}: take a newer Python or system library"
        )
    try:
        found = _make_or_read(engine)
    except DatabaseError as error:
        if isinstance(told := failures.told(error), StoreBrokenError) and failures.error_name(error) != "SQLITE_NOTADB":
            raise told from None
        raise StoreUnavailableError(
            f"{engine.url.database}: the store cannot be opened: {error.orig}; see that path and rights are right, "
            "or put a backup back (docs/operations.md)"
        ) from None
    if found is None:
        raise StoreUnavailableError("the store file is not one of Homing's: it has tables, but no alembic_version")
    if found != SCHEMA_VERSION:
        newer = str(found) > SCHEMA_VERSION
        advice = "install the Homing that wrote it" if newer else "stop the daemon and run `homing db upgrade`"
        raise StoreUnavailableError(f"the store has schema {found}, this Homing needs {SCHEMA_VERSION}: {advice}")


def _make_or_read(engine: Engine) -> str | None:
    """The schema that the store has, after making it in an empty file; None: the tables are somebody else's."""
    with engine.begin() as conn:
        names = set(conn.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
        if not names:
            metadata.create_all(conn)
            key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"  # as Alembic writes it
            conn.execute(text(f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})"))
            conn.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": SCHEMA_VERSION})
            return SCHEMA_VERSION
        if "alembic_version" not in names:
            return None
        version: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return version


class StateLock:
    """The exclusive lock on the state folder: one daemon, or one writing command, at a time."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "lock"
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises StateHeldError when another process holds it, StoreUnavailableError when the folder cannot be used (both exit 75)."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.path.parent}: the state folder cannot be used: {error.strerror}; "
                "make it and give it to the user that runs homing, or name another as [homing] state_dir"
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "?"
            os.close(fd)
            raise StateHeldError(
                f"{self.path.parent}: already in use by process {holder}; one daemon at a time may use a state folder: "
                "stop that one first, or give this one a [homing] state_dir of its own"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def lost(self) -> bool:
        """The lock's file is another one now, or gone: another process may hold the state folder too."""
        if self._fd is None:
            return False
        mine = os.fstat(self._fd)
        try:
            there = os.stat(self.path)  # noqa: PTH116 - the other half of the line above
        except FileNotFoundError:
            return True
        return (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
