"""Brings a store file to this release's schema, by Alembic, under the caller's state lock; never at a daemon's start.

A copy of the file is made first (VACUUM INTO, `homing.db.SCHEMA.bak`). Each migration is one transaction: interrupted, the
store has the schema of the last finished one. Imported only by `homing db upgrade`: Alembic costs 0.9 s to load.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DatabaseError

from daemon.disk import SystemDisk
from daemon.errors import StoreUnavailableError
from daemon.store.engine import SCHEMA_VERSION, connect_to_read, make_file, open_writer


def stored_version(path: Path) -> str | None:
    """The schema of a store file; None if it has no tables. StoreUnavailableError if it is something else."""
    engine = create_engine("sqlite://", creator=functools.partial(connect_to_read, path), poolclass=NullPool)
    with engine.connect() as conn:
        names = set(conn.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
        if not names:
            return None
        if "alembic_version" not in names:
            raise StoreUnavailableError(f"{path} is not a store of Homing: it has tables, but no alembic_version")
        found: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def upgrade(path: Path, *, to: str = "head") -> str | None:
    """Run what is missing. Returns the schema it had before; StoreUnavailableError if a newer Homing wrote it.

    A path without a file becomes a new, empty store.
    """
    before = stored_version(path) if path.exists() else None
    if before is not None and before > SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"{path} has schema {before}, newer than this Homing's {SCHEMA_VERSION}: install the Homing that wrote it"
        )
    if before == SCHEMA_VERSION:
        return before
    make_file(path)
    engine = open_writer(path)
    try:
        with engine.connect() as conn:
            if before is not None:
                _keep_copy(conn, path.with_name(f"{path.name}.{before}.bak"))
            settings = AlembicConfig()
            settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            settings.attributes["connection"] = conn
            command.upgrade(settings, to)
            conn.commit()
    except DatabaseError as error:
        raise StoreUnavailableError(
            f"{path}: the upgrade failed and changed nothing beyond the last finished step: {error.orig}; the copy beside it is as before"
        ) from error
    finally:
        engine.dispose()
    return before


def _keep_copy(conn: Connection, copy: Path) -> None:
    """The store as it is, whole and synced, before anything is changed; an older copy stays until the new one is there."""
    fresh = copy.with_name(f".{copy.name}.tmp")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)  # it holds addresses; SQLite writes into an empty file
    raw: Any = conn.connection.driver_connection  # not inside a transaction
    raw.execute("VACUUM INTO ?", (str(fresh),))
    disk = SystemDisk()
    with disk.append(fresh) as file:
        file.sync()
    disk.rename(fresh, copy)
