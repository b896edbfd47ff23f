"""One reading act on a store that somebody else may hold: for commands that look beside a running daemon. Never writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from daemon.errors import StoreUnavailableError
from daemon.store.engine import open_reader

P = ParamSpec("P")
T = TypeVar("T")


def look(path: Path, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `act` finds. StoreUnavailableError: there is no store, it cannot be read, or it is of another release."""
    if not path.exists():
        raise StoreUnavailableError(f"{path}: there is no store yet; `homing recipients import` makes one")
    engine = open_reader(path)
    try:
        with engine.connect() as conn, conn.begin():
            return act(conn, *args, **kwargs)
    except DatabaseError as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error.orig or error}") from error
    finally:
        engine.dispose()
