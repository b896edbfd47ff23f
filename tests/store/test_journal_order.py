"""The send journal is told between the commit of a handover and the answer to who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from daemon.errors import StoreUnavailableError
from daemon.store import schema as s
from daemon.store.writer import Lane, Store


def note_all(conn: Connection, keys: Sequence[str]) -> Sequence[str]:
    for key in keys:
        conn.execute(insert(s.meta).values(key=key, value="x"))
    return keys


def keys(conn: Connection) -> list[str]:
    return sorted(conn.execute(select(s.meta.c.key)).scalars())


@pytest.mark.promise("P11")
async def test_nobody_is_told_before_the_send_journal_is(tmp_path: Path) -> None:
    """A grant whose bytes are on the wire and that the journal does not know would go again after a restore."""
    answered: list[bool] = []
    waiting: list[asyncio.Future[str]] = []
    store = Store.open(tmp_path / "homing.db", after_join=lambda results: answered.append(waiting[0].done()))
    try:
        waiting.append(asyncio.ensure_future(store.join(Lane.HANDOVER, note_all, "k")))
        assert await waiting[0] == "k"
        assert answered == [False]
    finally:
        await store.close()


@pytest.mark.promise("P11", "F22")
async def test_what_the_send_journal_cannot_take_is_not_granted(tmp_path: Path) -> None:
    """The handover is committed, so it will be in doubt; but nobody may start the bytes."""

    def full(results: Sequence[Any]) -> None:
        raise StoreUnavailableError("the send journal could not be written (disk full?)")

    store = Store.open(tmp_path / "homing.db", after_join=full)
    try:
        with pytest.raises(StoreUnavailableError, match="journal"):
            await store.join(Lane.HANDOVER, note_all, "k")
        assert await store.read(keys) == ["k"]
    finally:
        await store.close()
