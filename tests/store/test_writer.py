"""The writer: lanes, groups, and what an error in one act does to the others."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from daemon.errors import StateHeldError, StoreBrokenError, StoreUnavailableError
from daemon.pacing.stride import Stride
from daemon.store import schema as s
from daemon.store import writer
from daemon.store.engine import BUSY_MILLISECONDS, StateLock
from daemon.store.expansion_end import end_expansion, fail_job
from daemon.store.jobs import accept_job, finish_jobs
from daemon.store.plan import note_reading, plan_chunk, start_over
from daemon.store.release import release_chunk
from daemon.store.writer import Lane, Store, redone

NORMAL, FULL = 1, 2


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "homing.db")
    yield opened
    await opened.close()


def note(conn: Connection, key: str) -> str:
    conn.execute(insert(s.meta).values(key=key, value="x"))
    return key


def note_all(conn: Connection, keys: Sequence[str]) -> Sequence[str]:
    for key in keys:
        note(conn, key)
    return keys


def keys(conn: Connection) -> list[str]:
    return sorted(conn.execute(select(s.meta.c.key)).scalars())


async def test_calls_of_successive_turns_of_the_loop_share_a_commit(store: Store) -> None:
    """As long as each turn brings more, for some turns; a call that comes alone is not kept waiting for others."""
    before = store.commits
    calls: list[asyncio.Task[str]] = []
    for turn in range(4):
        calls += [asyncio.create_task(store.join(Lane.HANDOVER, note_all, f"k{turn}.{i}")) for i in range(3)]
        await asyncio.sleep(0)
    assert len(await asyncio.gather(*calls)) == 12
    assert store.commits - before == 1
    async with asyncio.timeout(0.9):  # less than the writer's own look
        await store.join(Lane.HANDOVER, note_all, "alone")


async def test_joined_items_are_one_commit_and_each_gets_its_own_answer(store: Store) -> None:
    """What waits when the writer is free goes together."""
    before = store.commits
    answers = await asyncio.gather(*(store.join(Lane.HANDOVER, note_all, f"k{i}") for i in range(50)))
    assert answers == [f"k{i}" for i in range(50)]
    assert store.commits - before < 25


@pytest.mark.parametrize("joined", [True, False])
async def test_one_bad_act_does_not_spoil_the_others(store: Store, joined: bool) -> None:
    """The one that cannot be written fails alone; the rest of its group is committed."""
    await store.write(Lane.INTAKE, note, "taken")
    wanted = ["a", "taken", "b"]
    calls = [store.join(Lane.HANDOVER, note_all, key) if joined else store.write(Lane.INTAKE, note, key) for key in wanted]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert (answers[0], answers[2]) == ("a", "b")
    assert isinstance(answers[1], Exception)
    assert await store.read(keys) == ["a", "b", "taken"]


async def test_the_most_urgent_lane_goes_first(store: Store) -> None:
    """A handover does not wait behind bulk work that was asked for earlier."""
    order: list[str] = []

    def act(conn: Connection, name: str) -> None:
        order.append(name)

    bulk = [asyncio.ensure_future(store.write(Lane.BULK, act, "bulk")) for _ in range(20)]
    urgent = asyncio.ensure_future(store.write(Lane.HANDOVER, act, "handover"))
    await asyncio.gather(*bulk, urgent)
    assert order.index("handover") < 5


async def test_handovers_without_end_do_not_keep_an_unsubscribe_waiting(store: Store) -> None:
    """Who waits to forbid a send has every second turn, however many handovers are asked for."""
    order: list[str] = []
    free = threading.Event()

    def turn(name: str) -> Callable[[Connection], None]:
        return lambda _conn: order.append(name)

    def hand_over(_conn: Connection, names: Sequence[str]) -> Sequence[str]:
        order.extend(names)
        return names

    first = asyncio.ensure_future(store.write(Lane.HANDOVER, lambda _conn: free.wait(10)))
    while store._lanes[Lane.HANDOVER] or not store._handed:
        await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(store.join(Lane.HANDOVER, functools.partial(hand_over), f"handover {n}")) for n in range(3)]
    waiting += [asyncio.ensure_future(store.write(Lane.EXIT, turn("unsubscribe")))]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(first, *waiting)
    assert order == ["unsubscribe", "handover 0", "handover 1", "handover 2"]


@pytest.mark.parametrize(("lane", "waits"), [(Lane.HANDOVER, True), (Lane.EXIT, True), (Lane.INTAKE, True), (Lane.BULK, False)])
async def test_bulk_work_gives_way_while_others_want_the_writer(
    store: Store, monkeypatch: pytest.MonkeyPatch, lane: Lane, waits: bool
) -> None:
    """From the moment they ask until they are answered; not for work of its own kind."""
    monkeypatch.setattr(writer, "GIVE_WAY_SECONDS", 10.0)
    begun, free = threading.Event(), threading.Event()

    def busy(_conn: Connection) -> None:
        begun.set()
        free.wait(10)

    asked = asyncio.ensure_future(store.write(lane, busy))
    await asyncio.to_thread(begun.wait, 10)
    giving = asyncio.ensure_future(asyncio.to_thread(store.give_way))
    done, _ = await asyncio.wait([giving], timeout=0.05 if waits else 10)
    assert bool(done) is not waits
    free.set()
    await asyncio.gather(asked, giving)


async def test_bulk_work_goes_on_beside_a_writer_that_never_rests(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving way has an end."""
    monkeypatch.setattr(writer, "GIVE_WAY_SECONDS", 0.001)
    free = threading.Event()
    asked = asyncio.ensure_future(store.write(Lane.HANDOVER, lambda _conn: free.wait(10)))
    await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.to_thread(store.give_way), 5)
    free.set()
    await asked


async def test_a_cancelled_call_may_still_have_committed(store: Store) -> None:
    """Giving up waiting is not undoing: the row is there."""
    call = asyncio.ensure_future(store.write(Lane.BULK, note, "late"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await store.write(Lane.BULK, note, "after")
    assert "late" in await store.read(keys)


@pytest.mark.promise("F22")
async def test_a_full_disk_is_told_in_words_and_passes(store: Store) -> None:
    """What may pass by itself is `StoreUnavailableError`; when there is room again, the same act goes through."""

    def limit(conn: Connection, pages: int) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill(conn: Connection) -> None:
        conn.execute(insert(s.meta).values(key="big", value="x" * 1_000_000))

    await store.write(Lane.BULK, limit, 1)
    for lane in (Lane.BULK, Lane.INTAKE):
        with pytest.raises(StoreUnavailableError, match="make room"):
            await asyncio.gather(store.write(lane, fill), store.write(lane, note, "small"))
    await store.write(Lane.BULK, limit, 1_000_000)
    await store.write(Lane.BULK, fill)


async def test_what_is_submitted_in_one_turn_of_the_loop_shares_a_commit(store: Store) -> None:
    """Group commit without a timer: the writer is told once, when all of them are there."""
    before = store.commits
    await asyncio.gather(*(store.write(Lane.INTAKE, note, f"n{number}") for number in range(5)))
    assert store.commits == before + 1


async def test_a_full_log_is_copied_back_once_and_then_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every commit after that: the file keeps its size, but it is filled again from its beginning."""
    limit = 400_000
    monkeypatch.setattr("daemon.store.writer.WAL_LIMIT_BYTES", limit)
    store = Store.open(tmp_path / "homing.db")
    copied: list[str] = []

    def listen(conn: Connection) -> None:
        raw: Any = conn.connection.driver_connection
        raw.set_trace_callback(lambda statement: copied.append(statement) if "wal_checkpoint" in statement else None)

    await store.write(Lane.BULK, listen)
    for number in range(200):
        await store.write(Lane.BULK, note, f"{number:04d}" + "x" * 3000)
    assert 1 <= len(copied) <= 200 * 4 * 4096 // limit
    assert store.wal_bytes() < 2 * limit
    await store.close()


async def test_whoever_reads_for_long_holds_up_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup or a check of a live store reads for minutes: the log is cut short when it has ended, and nobody waits for that."""
    monkeypatch.setattr("daemon.store.writer.IDLE_SECONDS", 0.01)
    store = Store.open(tmp_path / "homing.db")
    tried = threading.Semaphore(0)

    def listen(conn: Connection) -> None:
        raw: Any = conn.connection.driver_connection
        raw.set_trace_callback(lambda statement: tried.release() if "wal_checkpoint(TRUNCATE)" in statement else None)

    await store.write(Lane.BULK, note, "a")
    await store.write(Lane.BULK, listen)
    with closing(sqlite3.connect(f"file:{tmp_path / 'homing.db'}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        await store.write(Lane.BULK, note, "b")
        while tried.acquire(blocking=False):
            pass
        assert await asyncio.to_thread(tried.acquire, timeout=10)
        began = time.monotonic()
        await store.write(Lane.HANDOVER, note, "c")
        assert time.monotonic() - began < 2.5
        assert store.wal_bytes() > 0
    async with asyncio.timeout(10):
        while store.wal_bytes():
            await asyncio.to_thread(tried.acquire, timeout=0.05)
    assert await store.write(Lane.BULK, lambda conn: conn.exec_driver_sql("PRAGMA busy_timeout").scalar_one()) == BUSY_MILLISECONDS
    await store.close()


async def test_a_log_that_cannot_be_copied_back_breaks_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error: nobody may be left waiting for a writer that has ended without a word."""
    monkeypatch.setattr("daemon.store.writer.IDLE_SECONDS", 0.01)
    store = Store.open(tmp_path / "homing.db")
    broken = threading.Event()
    store.when_broken = broken.set

    def forbid(conn: Connection) -> None:
        raw: Any = conn.connection.driver_connection
        raw.set_authorizer(lambda action, what, *_: sqlite3.SQLITE_DENY if what == "wal_checkpoint" else sqlite3.SQLITE_OK)
        note(conn, "a")

    await store.write(Lane.BULK, forbid)
    assert await asyncio.to_thread(broken.wait, 10)
    with pytest.raises(StoreBrokenError, match="cannot be copied back"):
        await store.write(Lane.HANDOVER, note, "b")
    await store.close()


async def test_only_work_that_is_done_again_is_not_synced_at_its_commit(tmp_path: Path) -> None:
    """Whatever came before or after it: an acknowledgement, a handover, an unsubscribe is on the disk when it is answered."""
    store = Store.open(tmp_path / "homing.db")

    def synchronous(conn: Connection) -> int:
        return int(conn.exec_driver_sql("PRAGMA synchronous").scalar_one())

    bulk = redone(functools.partial(synchronous))
    found = [await store.write(lane, act) for lane, act in ((Lane.BULK, synchronous), (Lane.BULK, bulk), (Lane.BULK, bulk), (Lane.EXIT, synchronous))]
    assert found == [FULL, NORMAL, NORMAL, FULL]
    await store.write(Lane.BULK, bulk)
    assert await store.join(Lane.HANDOVER, lambda conn, items: [synchronous(conn) for _ in items], 1) == FULL
    await store.close()


async def test_work_that_is_done_again_does_not_take_the_sync_from_its_group(tmp_path: Path) -> None:
    """Acts of a lane that share a commit: one that must be on the disk is enough."""
    store = Store.open(tmp_path / "homing.db")
    entered, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        entered.set()
        go.wait(10)

    def synchronous(conn: Connection) -> int:
        return int(conn.exec_driver_sql("PRAGMA synchronous").scalar_one())

    holding = asyncio.ensure_future(store.write(Lane.BULK, hold))
    while not entered.is_set():
        await asyncio.sleep(0)
    both = [asyncio.ensure_future(store.write(Lane.EXIT, act)) for act in (redone(functools.partial(synchronous)), synchronous)]
    await asyncio.sleep(0)
    before = store.commits
    go.set()
    assert await asyncio.gather(*both) == [FULL, FULL]
    await holding
    assert store.commits == before + 2
    await store.close()


async def test_strides_do_not_hide_that_work_is_done_again() -> None:
    """The mark is seen through the watch of `pacing.stride`, and the acts of expansion have it; those that end something have not."""
    for act in (plan_chunk, note_reading, release_chunk):
        assert Stride(lambda: 0.0).timed(act, 1).redone  # type: ignore[attr-defined]
    for act in (end_expansion, fail_job, start_over, accept_job, finish_jobs):
        assert not hasattr(act, "redone")


async def test_readers_cannot_write(store: Store) -> None:
    """Every write goes through the one writer."""
    with pytest.raises(Exception, match="readonly database"):
        await store.read(note, "x")


async def test_a_closed_store_says_so(store: Store) -> None:
    """Closing twice is harmless; asking later is an error, not a hang."""
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.write(Lane.BULK, note, "x")


@pytest.mark.promise("F36")
def test_a_state_folder_has_one_holder(tmp_path: Path) -> None:
    """The second is told who holds it, and gets it once it is released."""
    first, second = StateLock(tmp_path / "state"), StateLock(tmp_path / "state")
    first.acquire()
    with pytest.raises(StateHeldError, match="already in use by process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


async def test_a_journal_that_fails_has_nothing_done_twice(tmp_path: Path) -> None:
    """The group is committed when the journal is told: its failure goes to each caller, and no act is run again."""
    runs: list[int] = []

    def count(conn: Connection, items: Sequence[str]) -> Sequence[str]:
        runs.append(len(items))
        return note_all(conn, items)

    def fail(results: Sequence[str]) -> None:
        raise StoreUnavailableError("the journal's disk is full")

    store = Store.open(tmp_path / "homing.db", after_join=fail)
    try:
        answers = await asyncio.gather(*(store.join(Lane.HANDOVER, count, f"k{i}") for i in range(20)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
        assert sum(runs) == 20
        assert len(await store.read(keys)) == 20
    finally:
        await store.close()


async def test_a_broken_store_is_not_touched_again_and_tells_once(tmp_path: Path) -> None:
    """Its file replaced: whoever asks gets the error at once, nothing is written, and closing copies no log into the other file."""
    path = tmp_path / "homing.db"
    store = Store.open(path)
    told: list[bool] = []
    store.when_broken = lambda: told.append(True)
    await store.write(Lane.INTAKE, note, "before")
    path.rename(tmp_path / "away.db")
    path.write_bytes(b"another")
    store.check_file()
    for attempt in (store.write(Lane.HANDOVER, note, "after"), store.read(keys)):
        with pytest.raises(StoreBrokenError, match="replaced by another file"):
            await attempt
    await store.close()
    assert told == [True]
    assert path.read_bytes() == b"another"
    assert (tmp_path / "homing.db-wal").stat().st_size > 0


async def test_a_full_disk_is_answered_with_room_where_there_is_some_to_give(tmp_path: Path) -> None:
    """Handovers and outcomes are tried again when room was made; bulk work is not worth it."""
    store = Store.open(tmp_path / "homing.db")

    def limit(conn: Connection, pages: int) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill(conn: Connection, key: str) -> str:
        conn.execute(insert(s.meta).values(key=key, value="x" * 200_000))
        return key

    given: list[int] = []

    def give() -> bool:
        given.append(1)
        store._conn.connection.driver_connection.execute("PRAGMA max_page_count = 1000000")  # what the ballast does on a disk
        return len(given) == 1

    try:
        await store.write(Lane.BULK, limit, 1)
        store.make_room = give
        with pytest.raises(StoreUnavailableError, match="make room"):
            await store.write(Lane.BULK, fill, "bulk")
        assert given == []
        assert await store.write(Lane.HANDOVER, fill, "outcome") == "outcome"
        assert given == [1]
    finally:
        await store.close()


async def test_a_broken_store_is_closed_without_writing_its_log_back(tmp_path: Path) -> None:
    """SQLite's last close of a file copies the log and syncs; after a failed sync that would ask the disk a second time."""
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.INTAKE, note, "before")
    size = store.wal_bytes()
    assert size > 0
    store.condemn(StoreBrokenError("disk I/O error"))
    await store.close()
    assert (tmp_path / "homing.db-wal").stat().st_size == size
    again = Store.open(tmp_path / "homing.db")
    assert await again.read(keys) == ["before"]
    await again.close()


BEYOND = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from sqlalchemy import text
from daemon.errors import StoreUnavailableError
from daemon.store.writer import Lane, Store

def put(conn, size):
    conn.execute(text("INSERT INTO meta (key, value) VALUES (hex(randomblob(8)), hex(randomblob(:n)))"), {"n": size})

def count(conn):
    return conn.execute(text("SELECT count(*) FROM meta WHERE length(value) > 1000")).scalar_one()

async def main():
    store = Store.open(Path(sys.argv[1]))
    store.no_room = lambda: sys.argv[2] == "quota"
    await store.write(Lane.BULK, put, 1000)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1] + "-wal").st_size, resource.RLIM_INFINITY))
    for lane in (Lane.BULK, Lane.HANDOVER):
        try:
            await store.write(lane, put, 200_000)
        except Exception as error:
            print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        await store.write(Lane.BULK, put, 200_000)
        print(await store.read(count))
    except Exception as error:
        print(type(error).__name__)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.promise("F22", "F24")
@pytest.mark.parametrize(
    ("why", "said"), [("quota", ["StoreUnavailableError", "StoreUnavailableError", "2"]), ("broken", ["StoreBrokenError"] * 3)]
)
def test_a_write_that_fails_for_a_quota_passes_and_for_anything_else_breaks_the_store(tmp_path: Path, why: str, said: list[str]) -> None:
    """SQLite calls both an I/O error (here a real one, of a limit on the file's size): what else the folder takes decides."""
    done = subprocess.run(
        [sys.executable, "-c", BEYOND, str(tmp_path / "homing.db"), why], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == said
