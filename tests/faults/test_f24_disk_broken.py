"""The disk fails, or the store's file is damaged, replaced or deleted under the daemon: it stops at once and says so, exit code 74."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from daemon.app.opening import open_state
from daemon.app.ports import system_ports
from daemon.app.setup import read_setup
from daemon.clock import SystemClock
from daemon.errors import StoreBrokenError, StoreUnavailableError
from daemon.store.engine import check_durable
from daemon.store.memory import injected
from tests.faults.conftest import Build, needs_strace
from tests.faults.house import Troubled
from tests.system.daemon_world import document, person, wait_for

slow = pytest.mark.slow


def people(prefix: str, count: int) -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}") for n in range(count)]


def whole_lines(path: Path) -> list[str]:
    """What strace has written by now."""
    return [line for line in path.read_text(errors="replace").splitlines(keepends=True) if line.endswith("\n")]


@slow
@needs_strace
@pytest.mark.promise("F24")
@pytest.mark.parametrize(
    ("fault", "files"),
    [
        ("fdatasync:error=EIO:when=60+", ("homing.db", "homing.db-wal")),
        ("pwrite64:error=EIO:when=400+", ("homing.db", "homing.db-wal")),
        ("fsync:error=EIO:when=2+", ("journal",)),
        ("write:error=EIO:when=20+", ("journal",)),
    ],
)
def test_an_io_error_ends_the_daemon_at_once_and_the_store_is_checked_before_it_sends_again(
    build: Build, tmp_path: Path, fault: str, files: tuple[str, ...]
) -> None:
    """Exit 74, no sync is asked for again, what was handed over is accepted or in doubt; the next start checks and goes on."""
    house, trace = build(rate="150/s"), tmp_path / "strace.log"
    house.go(words=house.straced(fault, log=trace, paths=[house.state / name for name in files]))
    house.ready()
    house.give(document("eio", people("eio", 400)))
    assert house.code() == 74
    log = house.tail()
    assert "the store is broken" in log or "the send journal could not be" in log
    assert "Traceback" not in log
    said = trace.read_text(errors="replace")
    failed = [n for n, line in enumerate(said.splitlines()) if "sync(" in line and "(INJECTED)" in line]
    asked_again = [line for line in said.splitlines()[failed[0] + 1 :] if "sync(" in line] if failed else []
    assert not asked_again
    assert "(INJECTED)" in said and bool(failed) == ("sync" in fault)
    assert (house.state / "store.suspect").exists()
    taken = len(house.relay.taken())
    assert taken < 400

    house.start()
    assert not (house.state / "store.suspect").exists()
    house.settled("eio")
    house.once_each(400)
    assert len(house.doubted()) <= house.pool
    assert house.stop() == 0


@slow
@pytest.mark.promise("F24")
def test_a_store_that_fails_its_check_is_held_and_can_only_be_looked_at(build: Build) -> None:
    """After an exit 74 the check finds damage: nothing is sent, taken in or written, until a backup is put back."""
    house = build(rate="150/s")
    house.start()
    house.bearer = house.token()
    house.give(document("torn", people("torn", 600)))
    house.sent(60)
    back_up(house)
    assert house.stop() == 0
    taken = len(house.relay.taken())
    database = house.state / "homing.db"
    (house.state / "store.suspect").write_text("the store is broken: disk I/O error\n")
    tear(database)
    torn = database.read_bytes()

    house.launch()
    assert list(house.holds()) == ["store_damaged"]
    status, problem = house.api("GET", "/readyz")
    assert status == 503 and "damage" in problem["detail"]
    assert "docs/operations.md" in house("status").out
    assert house.post_job(document("more", people("more", 1)))[0] == 503
    house.still(1.5)
    assert len(house.relay.taken()) == taken
    assert house.stop() == 0
    assert database.read_bytes() == torn
    assert (house.state / "store.suspect").exists()
    assert house("db", "check").code == 1

    for name in ("homing.db-wal", "homing.db-shm"):
        (house.state / name).unlink(missing_ok=True)
    shutil.copy(house.folder / "saved" / "homing.db", database)
    house.launch()
    assert list(house.holds()) == ["restored"]
    assert not (house.state / "store.suspect").exists()


def tear(database: Path) -> None:
    """Overwrite pages of an index, in the middle of the file, so that the file still opens."""
    with closing(sqlite3.connect(database)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempt'").fetchone()[0]
        size = conn.execute("PRAGMA page_size").fetchone()[0]
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x00garbage" * (size // 8))


def back_up(house: Troubled) -> None:
    """A backup in FOLDER/saved, and some messages after it, however slow this machine is."""
    house.relay.freeze()
    assert house("db", "backup", str(house.folder / "saved")).code == 0
    taken = len(house.relay.taken())
    house.relay.thaw()
    house.sent(taken + 30)


def swap(house: Troubled) -> None:
    """An older copy in the store's place, as a careless restore does it."""
    back_up(house)
    (house.folder / "saved" / "homing.db").replace(house.state / "homing.db")
    for name in ("homing.db-wal", "homing.db-shm"):
        (house.state / name).unlink()


def delete(house: Troubled) -> None:
    (house.state / "homing.db").unlink()


def delete_log(house: Troubled) -> None:
    (house.state / "homing.db-wal").unlink()


@slow
@pytest.mark.promise("F45")
@pytest.mark.parametrize("fault", [swap, delete, delete_log])
def test_a_store_taken_away_from_under_the_daemon_ends_it_with_74(build: Build, fault: object) -> None:
    """Noticed within two seconds; the next start is held, or goes on with what the file knows, and nobody gets two."""
    house = build(rate="100/s")
    house.start()
    house.give(document("gone", people("gone", 600)))
    house.sent(60)
    fault(house)  # type: ignore[operator]
    began = time.monotonic()
    assert house.code(10) == 74
    assert time.monotonic() - began < 8
    assert "while the daemon runs" in house.tail()
    taken = house.relay.counts()
    assert len(taken) < 600
    house.launch()
    wait_for(lambda: house.holds() or not house.status()["deliveries"].get("due"), "held, or all is sent")
    house.still(0.5)
    assert max(house.relay.counts().values()) == 1
    if fault is not delete_log:
        assert "restored" in house.holds()


@pytest.mark.promise("F25")
@pytest.mark.parametrize("pragma", ["synchronous=NORMAL", "synchronous=OFF", "journal_mode=DELETE"])
def test_a_store_that_would_not_be_durable_is_refused(tmp_path: Path, pragma: str) -> None:
    """The pragmas are read back after they were set: a commit that returns must be on disk."""
    with closing(sqlite3.connect(tmp_path / "homing.db")) as conn:
        conn.execute("PRAGMA journal_mode=WAL").fetchall()
        conn.execute("PRAGMA synchronous=FULL")
        check_durable(conn)
        conn.execute(f"PRAGMA {pragma}").fetchall()
        with pytest.raises(StoreUnavailableError, match="would not be durable"):
            check_durable(conn)


@pytest.mark.promise("F24")
async def test_a_store_that_breaks_while_it_is_opened_is_checked_by_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commit of a start meets the failing disk as well as any other."""
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "config.toml").write_text(f'[homing]\nstate_dir = "{tmp_path / "var"}"\n')
    setup = read_setup(tmp_path / "config.toml", {})
    ports = system_ports(SystemClock(), {})

    def fails(*_: object) -> None:
        raise injected("SQLITE_IOERR_FSYNC")

    with monkeypatch.context() as patch:
        patch.setattr("daemon.app.opening.begin", fails)
        with pytest.raises(StoreBrokenError):
            await open_state(setup, ports)
    assert (tmp_path / "var" / "store.suspect").exists()
    opened = await open_state(setup, ports)
    assert opened.damage is None
    assert not (tmp_path / "var" / "store.suspect").exists()
    await opened.close()
    await ports.close()
