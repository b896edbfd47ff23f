"""What the store machine needs of a database: transactions, crashes, copies, and a look at the rows. One driver an engine.

`rows()` speaks the model's words (machine_model), not the tables': where the layout changes, only this file does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, select

from daemon.store import engine as engines
from daemon.store import schema as s

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Rows:
    """What the tables say. A delivery in flight has the state `claimed` or `handed_over`."""

    deliveries: dict[int, tuple[Any, ...]]
    """id -> (occurrence, person, job, channel, state, reason, attempts, not_before, doubted, handed_over_at, ended_at, follows, escalates)"""
    due: list[tuple[int, str, int, int]]
    """(job, channel, not_before, delivery), sorted"""
    heads: dict[tuple[int, str], int]
    """(job, channel) -> the instant at which its first waiting delivery is due"""
    flights: dict[int, tuple[Any, ...]]
    """delivery -> (person, epoch, handed_over_at, closes)"""
    touches: list[tuple[int, int, int, str]]
    """(person, at, delivery, campaign), sorted"""
    tally: dict[tuple[int, str, str], int]
    """(job, state, reason) -> n, where n is not 0"""
    guards: dict[tuple[str, Any], int]
    suppressions: dict[tuple[bytes, str], tuple[str, str]]
    withdrawn: set[tuple[int, str]]
    jobs: dict[int, tuple[Any, ...]]
    """id -> (key, state, reason, expanded, release cursor is behind the last row, accepted, duplicate, finished, version)"""
    progress: dict[int, str]
    """job -> where its body is, as expansion noted it"""
    attempts: dict[int, list[str]]
    commit: tuple[int, int]


class Driver(Protocol):
    """A store under test. After `crash_in` and `put_back` the next act runs on a new connection."""

    def fresh(self) -> None: ...
    def act(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def crash_in(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def rows(self) -> Rows: ...
    def keep(self) -> object: ...
    def put_back(self, copy: object) -> None: ...


class SqliteDriver:
    """One file, made anew for each example. Syncing is off: a crash here loses the connection, not the disk's cache."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="homing-machine-")
        folder = Path(self._folder.name)
        self._path, self._empty = folder / "homing.db", folder / "empty.db"
        self._copies = 0
        engine = engines.open_writer(self._empty)
        engines.prepare(engine)
        engine.dispose()  # the last connection checkpoints: the file alone is all of it
        self._engine: Engine = engines.open_writer(self._path)
        self._conn: Connection | None = None

    def fresh(self) -> None:
        self._lose()
        self._lay(self._empty)

    def _lay(self, file: Path) -> None:
        for name in ("-wal", "-shm"):
            Path(f"{self._path}{name}").unlink(missing_ok=True)
        shutil.copyfile(file, self._path)

    def _lose(self) -> None:
        """The connection is gone, with whatever it had not committed."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        self._engine.dispose()

    def _open(self) -> Connection:
        if self._conn is None:
            self._conn = self._engine.connect()
            raw: Any = self._conn.connection.driver_connection  # below Core: a PRAGMA must not open a transaction
            raw.execute("PRAGMA synchronous=OFF")
        return self._conn

    def act(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        conn = self._open()
        with conn.begin():
            return act(conn, *args, **kwargs)

    def crash_in(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run the act and lose the connection before its commit."""
        conn = self._open()
        conn.begin()
        try:
            act(conn, *args, **kwargs)
        finally:
            conn.rollback()
            self._lose()

    def keep(self) -> Path:
        self._copies += 1
        copy = self._path.with_name(f"copy-{self._copies}.db")
        copy.unlink(missing_ok=True)
        self._lose()  # the last connection checkpoints
        shutil.copyfile(self._path, copy)
        return copy

    def put_back(self, copy: object) -> None:
        self._lose()
        assert isinstance(copy, Path)
        self._lay(copy)

    def rows(self) -> Rows:
        return self.act(read_rows)


_DELIVERIES = select(
    s.delivery.c.id, s.wave.c.occurrence, s.delivery.c.person, s.delivery.c.job, s.delivery.c.state, s.delivery.c.reason,
    s.delivery.c.attempts, s.delivery.c.not_before, s.delivery.c.key, s.delivery.c.handed_over_at, s.delivery.c.ended_at, s.wave.c.channel,
    s.delivery.c.follows, s.delivery.c.escalates,
).join(s.wave, s.wave.c.id == s.delivery.c.wave)  # fmt: skip
_FLIGHTS = select(
    s.flight.c.delivery, s.flight.c.person, s.flight.c.epoch, s.flight.c.handed_over, s.flight.c.handed_over_at, s.flight.c.closes
)
_DUE = select(s.lane.c.job, s.lane.c.channel, s.due.c.not_before, s.due.c.delivery).outerjoin_from(s.due, s.lane, s.lane.c.id == s.due.c.lane)
_HEADS = select(s.lane.c.job, s.lane.c.channel, s.lane.c.head).where(s.lane.c.head.is_not(None))
_TOUCHES = select(s.touch.c.person, s.touch.c.at, s.touch.c.delivery, s.campaign.c.name).join(
    s.campaign, s.campaign.c.id == s.touch.c.campaign
)
_JOBS = select(
    s.job.c.id, s.job.c.key, s.job.c.state, s.job.c.reason, s.job.c.expanded, s.job.c.release_cursor, s.job.c.last_id, s.job.c.accepted,
    s.job.c.duplicate, s.job.c.finished_at, s.job.c.version, s.job.c.guard,
)  # fmt: skip
_TALLY = select(s.tally.c.job, s.tally.c.state, s.tally.c.reason, s.tally.c.n).where(s.tally.c.n != 0)
_SUPPRESSIONS = select(s.suppression.c.hash, s.suppression.c.channel, s.suppression.c.scope, s.suppression.c.reason)
_WITHDRAWN = select(s.consent.c.person, s.consent.c.channel).where(s.consent.c.state == "withdrawn")
_ATTEMPTS = select(s.attempt.c.delivery, s.attempt.c.outcome).order_by(s.attempt.c.delivery, s.attempt.c.n)
_GUARDED = (
    ("recipient", select(s.recipient.c.id, s.recipient.c.guard)),
    ("campaign", select(s.campaign.c.name, s.campaign.c.guard)),
    ("queue", select(s.queue.c.name, s.queue.c.guard)),
)
_PROGRESS = select(s.meta.c.key, s.meta.c.value).where(s.meta.c.key.startswith("expansion:"))
_COMMIT = select(s.meta.c.value).where(s.meta.c.key == "commit")


def read_rows(conn: Connection) -> Rows:
    flights = {row[0]: row for row in conn.execute(_FLIGHTS)}
    deliveries: dict[int, tuple[Any, ...]] = {}
    for id, occurrence, person, job, state, reason, attempts, not_before, key, handed_over_at, ended, *several in conn.execute(_DELIVERIES):
        flight = flights.get(id)
        if flight is not None:
            assert state == "due", f"delivery {id} is in flight and its row says {state}"
            state = "handed_over" if flight.handed_over else "claimed"
        deliveries[id] = (
            occurrence, person, job, several[0], state, reason, attempts, not_before, key == "doubt", handed_over_at, ended, *several[1:],
        )  # fmt: skip
    jobs = conn.execute(_JOBS).all()
    guards = {(kind, name): guard for kind, query in _GUARDED for name, guard in conn.execute(query)}
    attempts_of: dict[int, list[str]] = {}
    for delivery, outcome in conn.execute(_ATTEMPTS):
        attempts_of.setdefault(delivery, []).append(outcome)
    number, highest = conn.execute(_COMMIT).scalar_one().split()
    return Rows(
        deliveries=deliveries,
        due=sorted(tuple(row) for row in conn.execute(_DUE)),  # type: ignore[misc]
        heads={(job, channel): head for job, channel, head in conn.execute(_HEADS)},
        flights={
            row.delivery: (row.person, row.epoch, row.handed_over_at if row.handed_over else None, row.closes) for row in flights.values()
        },
        touches=sorted(tuple(row) for row in conn.execute(_TOUCHES)),  # type: ignore[misc]
        tally={(job, state, reason): n for job, state, reason, n in conn.execute(_TALLY)},
        guards=guards | {("job", row.id): row.guard for row in jobs},
        suppressions={(hash, channel): (scope, reason) for hash, channel, scope, reason in conn.execute(_SUPPRESSIONS)},
        withdrawn={(person, channel) for person, channel in conn.execute(_WITHDRAWN)},
        jobs={
            row.id: (
                row.key, row.state, row.reason, bool(row.expanded), row.last_id is None or row.release_cursor == row.last_id, row.accepted,
                row.duplicate, row.finished_at is not None, row.version,
            )
            for row in jobs
        },
        progress={int(key.split(":")[1]): value for key, value in conn.execute(_PROGRESS)},
        attempts=attempts_of,
        commit=(int(number), int(highest)),
    )  # fmt: skip
