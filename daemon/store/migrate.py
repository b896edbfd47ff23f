"""Brings a store file to this release's schema, by Alembic, under the caller's state lock; never at a daemon's start.

A copy of the file is made first (VACUUM INTO, `homing.db.SCHEMA.bak`). Each migration is one transaction: interrupted, the
store has the schema of the last finished one. Imported only by `homing db upgrade`: Alembic costs 0.9 s to load.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import NullPool, create_engine, text

from daemon.errors import StoreUnavailableError
from daemon.store.engine import SCHEMA_VERSION


def stored_version(path: Path) -> str | None:
    """The schema of a store file; None if it has no tables. StoreUnavailableError if it is something else."""
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=NullPool)
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
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as conn:
        if before is not None:
            copy = path.with_name(f"{path.name}.{before}.bak")
            copy.unlink(missing_ok=True)
            conn.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})
            conn.rollback()
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        settings.attributes["connection"] = conn
        command.upgrade(settings, to)
        conn.commit()
    return before
