"""Single facts of the store, by name: the table `meta`."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many, value

UNFOLLOWED = "unfollowed"
"""Deliveries with numbers below this one are followed by nothing on another channel (see `store.recover.mark_journaled`)."""

_META = select(s.meta.c.value).where(s.meta.c.key == bindparam("b_key"))
_UPSERT = upsert(s.meta)
_SET_META = _UPSERT.on_conflict_do_update(index_elements=[s.meta.c.key], set_={"value": _UPSERT.excluded.value})


def get_meta(conn: Connection, key: str) -> str | None:
    found: str | None = value(conn, _META, ("b_key",), (key,))
    return found


_METAS = select(s.meta.c.key, s.meta.c.value).where(in_list(s.meta.c.key, "keys"))


def get_metas(conn: Connection, keys: Iterable[str]) -> dict[str, str]:
    """Those of these facts that there are."""
    return dict(fetch(conn, _METAS, ("keys",), (ids(keys),)))


def set_meta(conn: Connection, key: str, text: str) -> None:
    many(conn, _SET_META, ("key", "value"), [(key, text)])
