"""The simulated store runs the acts of the real one: joined, in lanes, durable over a death, and failing as a file fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from daemon.errors import StoreBrokenError, StoreUnavailableError
from daemon.simulate import MemoryFile, Process, SimStore, StoreFaults, World, simulate
from daemon.store import schema as s
from daemon.store.engine import Transaction
from daemon.store.writer import Lane


def note_all(conn: Connection, keys: Sequence[str]) -> Sequence[str]:
    for key in keys:
        conn.execute(insert(s.meta).values(key=key, value="x"))
    return keys


def keys(conn: Connection) -> list[str]:
    return sorted(conn.execute(select(s.meta.c.key)).scalars())


def opened(world: World, file: MemoryFile, process: Process, faults: StoreFaults, told: list[Any] | None = None) -> SimStore:
    def tell(results: Sequence[Any]) -> None:
        if told is not None:
            told.append(list(results))

    return SimStore(file, process, world.loop, random.Random(1), faults, tell)


def test_joined_acts_share_a_commit_and_survive_the_process() -> None:
    """One transaction for what waits together; the journal is told of it; a killed process leaves what was committed."""
    file, told = MemoryFile(), []

    async def main(world: World) -> list[str]:
        process = Process(world.loop, 1)
        store = opened(world, file, process, StoreFaults(1), told)
        assert await asyncio.gather(*(store.join(Lane.HANDOVER, note_all, key) for key in "abc")) == ["a", "b", "c"]
        assert store.commits == 1
        process.strike()
        await process.bury()
        return await opened(world, file, Process(world.loop, 2), StoreFaults(1)).read(keys)

    assert simulate(1, main).result == ["a", "b", "c"]
    assert sorted(told[0]) == ["a", "b", "c"]


def test_a_file_between_two_worlds_is_empty_and_keeps_its_statements() -> None:
    """Rows are gone but those of a new file; the schema is as it was, so nothing is compiled again; a changed one is made anew."""
    file = MemoryFile()
    first, conn = _content(file), file.conn
    with Transaction(conn):
        note_all(conn, ["a", "b"])
    assert _content(file) != first
    version = conn.exec_driver_sql("PRAGMA schema_version").scalar()
    conn.rollback()
    file.reset()
    assert file.conn is conn
    assert _content(file) == first
    assert conn.exec_driver_sql("PRAGMA schema_version").scalar() == version
    conn.rollback()
    conn.exec_driver_sql("CREATE TABLE stranger (id INTEGER)")
    conn.commit()
    file.reset()
    assert file.conn is not conn
    assert _content(file) == first


def _content(file: MemoryFile) -> dict[str, list[Any]]:
    """All rows of all tables."""
    raw: Any = file.conn.connection.driver_connection
    names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    return {name: raw.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def test_a_killed_process_writes_nothing_more() -> None:
    """What it has asked for and what was not committed yet is not done."""
    file = MemoryFile()

    async def main(world: World) -> list[str]:
        process = Process(world.loop, 1)
        store = opened(world, file, process, StoreFaults(1))

        async def work() -> None:
            await store.join(Lane.HANDOVER, note_all, "late")

        process.run(work(), "work")
        await asyncio.sleep(0)
        process.strike()
        await process.bury()
        await asyncio.sleep(1)
        return await opened(world, file, Process(world.loop, 2), StoreFaults(1)).read(keys)

    assert simulate(1, main).result == []


def test_a_full_disk_passes_and_a_broken_one_does_not() -> None:
    """The same errors as of the real file, and nothing of the act is left."""
    file = MemoryFile()

    async def main(world: World) -> list[str]:
        faults = StoreFaults(1)
        store = opened(world, file, Process(world.loop, 1), faults)
        faults.full = 1.0
        with pytest.raises(StoreUnavailableError):
            await store.join(Lane.BULK, note_all, "full")
        faults.full = 0.0
        await store.join(Lane.BULK, note_all, "room")
        faults.broken = True
        with pytest.raises(StoreBrokenError):
            await store.write(Lane.BULK, note_all, [])
        with pytest.raises(StoreBrokenError):
            await store.read(keys)
        return await opened(world, file, Process(world.loop, 2), StoreFaults(1)).read(keys)

    assert simulate(1, main).result == ["room"]
