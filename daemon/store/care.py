"""Care of the store's file: a consistent copy while the daemon runs, and a check of what must be true in it.

Both only read the file (`mode=ro`, own connection), so they need no lock. Upgrades are in `migrate`.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DatabaseError

from daemon.errors import HomingError, StoreUnavailableError
from daemon.model.delivery import State
from daemon.store import engine as engines
from daemon.store import schema as s

KEYS = ("links.key", "pepper.key")
"""Files of the state folder without which a restored store could read neither its links nor its suppression list."""


def back_up(database: Path, state_dir: Path, folder: Path) -> list[Path]:
    """Copy the store, as of one instant, and the keys into a new folder. Returns the files. HomingError if it is there already."""
    if not database.exists():
        raise StoreUnavailableError(f"{database}: there is no store to back up; `homing run` makes one")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise HomingError(f"{folder} exists already; name a new folder for each backup") from None
    target = folder / "homing.db"
    source = engines.connect_to_read(database)
    copy = sqlite3.connect(target)
    try:
        os.chmod(target, 0o600)  # noqa: PTH101 - the path is made here
        source.backup(copy, pages=-1)  # in one step: a snapshot, whatever the daemon writes meanwhile
        copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{database}: the copy failed: {error}") from None
    finally:
        copy.close()
        source.close()
    made = [target]
    for name in KEYS:
        if (state_dir / name).exists():
            made.append(folder / name)
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write((state_dir / name).read_bytes())
    return made


def check_file(database: Path) -> list[str]:
    """Everything that is not as it must be; empty = all well. Reads the whole file."""
    if not database.exists():
        raise StoreUnavailableError(f"{database}: there is no store; `homing run` makes one")
    engine = engines.open_reader(database)
    try:
        with engine.begin() as conn:
            found = [f"SQLite: {line}" for line in conn.execute(text("PRAGMA integrity_check")).scalars() if line != "ok"]
            version = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if version != engines.SCHEMA_VERSION:
                found.append(f"schema {version}, this Homing needs {engines.SCHEMA_VERSION}: `homing db upgrade`")
                return found
            return found + check_rows(conn)
    except DatabaseError as error:
        return [f"SQLite: not readable as a store: {error.orig}"]
    finally:
        engine.dispose()


def quick_check(database: Path) -> str | None:
    """The first thing that is wrong with the file's pages; None = it is sound. Reads the whole file."""
    engine = engines.open_reader(database)
    try:
        with engine.begin() as conn:
            first = str(conn.execute(text("PRAGMA quick_check(1)")).scalar_one())
            return None if first == "ok" else " ".join(first.split())
    except DatabaseError as error:
        return str(error.orig)
    finally:
        engine.dispose()


def check_rows(conn: Connection) -> list[str]:
    """What the tables must say of each other."""
    in_flight = select(s.flight.c.delivery)
    lost = (
        select(func.count())
        .select_from(s.delivery.outerjoin(s.due, (s.due.c.delivery == s.delivery.c.id) & (s.due.c.lane == s.delivery.c.lane)))
        .where(s.delivery.c.state == State.DUE.value, s.due.c.delivery.is_(None), s.delivery.c.id.not_in(in_flight))
    )
    stray = (
        select(func.count())
        .select_from(s.due.join(s.delivery, s.delivery.c.id == s.due.c.delivery))
        .where(s.delivery.c.state != State.DUE.value)
    )
    homeless = select(func.count()).select_from(s.due.outerjoin(s.lane, s.lane.c.id == s.due.c.lane)).where(s.lane.c.id.is_(None))
    first = select(func.min(s.due.c.not_before)).where(s.due.c.lane == s.lane.c.id).correlate(s.lane).scalar_subquery()
    headed = select(func.count()).select_from(s.lane).where(s.lane.c.head.is_distinct_from(first))
    checks = (
        (lost, "deliveries are due and neither in the due queue nor in flight"),
        (stray, "rows of the due queue are of deliveries that are not due"),
        (homeless, "rows of the due queue lie in no lane"),
        (headed, "lanes whose head is not their first due row"),
    )
    found = [f"{n} {what}" for query, what in checks if (n := conn.execute(query).scalar_one())]
    return found + _false_tallies(conn)


_STANDING_STILL = (
    select(s.job.c.id, s.job.c.state, func.count(s.walk.c.id))
    .select_from(s.job)
    .outerjoin(s.walk, (s.walk.c.job == s.job.c.id) & (s.walk.c.id > func.coalesce(s.job.c.release_cursor, 0)))
    .where(s.job.c.enrols == 1)
    .group_by(s.job.c.id, s.job.c.state)
)
"""Walks of jobs that were not let go yet: counted as planned."""


def _false_tallies(conn: Connection) -> list[str]:
    """Jobs whose counts by state differ from their rows. A row in flight still says `due` and is counted as claimed."""
    rows = select(s.delivery.c.job, s.delivery.c.state, func.count()).group_by(s.delivery.c.job, s.delivery.c.state)
    counted = {(job, state): n for job, state, n in conn.execute(rows)}
    for job, n in conn.execute(select(s.flight.c.job, func.count()).group_by(s.flight.c.job)):
        counted[job, State.CLAIMED.value] = counted.get((job, State.CLAIMED.value), 0) + n
        counted[job, State.DUE.value] = counted.get((job, State.DUE.value), 0) - n
    sums = select(s.tally.c.job, s.tally.c.state, func.sum(s.tally.c.n)).group_by(s.tally.c.job, s.tally.c.state)
    told = {(job, state): int(n) for job, state, n in conn.execute(sums)}
    for job, state, n in conn.execute(_STANDING_STILL):
        if state == "cancelled":  # they are taken back a stretch at a time, and how far that is stands nowhere
            told.pop((job, State.PLANNED.value), None)
        else:
            counted[job, State.PLANNED.value] = counted.get((job, State.PLANNED.value), 0) + n
    wrong = [key for key in sorted({*counted, *told}) if counted.get(key, 0) != told.get(key, 0)]
    return [f"job {job}: {told.get((job, state), 0)} counted as {state}, there are {counted.get((job, state), 0)}" for job, state in wrong]
