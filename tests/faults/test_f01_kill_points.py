"""SIGKILL exactly at a system call of the daemon: at the N-th sync, write to the store, send to the relay or read from it.

`make crash` kills at random; here strace delivers the signal when the call is entered, so that each side of a commit, of a dot and of
an answer is met for sure. Also killed: a daemon while it starts, again and again, and `homing db upgrade` in the middle.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from daemon.store import engine as engines
from daemon.store.migrate import stored_version, upgrade
from tests.faults.conftest import Build, needs_strace
from tests.faults.house import STRACE
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow
PEOPLE = 120


def people(prefix: str, count: int) -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}") for n in range(count)]


@needs_strace
@pytest.mark.promise("F1", "F2", "F3", "F4", "F5", "P2", "P3")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "sendto", "recvfrom"])
def test_killed_at_a_system_call_everybody_gets_one_or_is_in_doubt(build: Build, call: str) -> None:
    """fdatasync and pwrite64: about a commit of claim, handover or outcome. sendto: before bytes for the relay. recvfrom: before an answer
    is read. The count differs from run to run; what must be true does not."""
    house = build(delay_ms=5)
    house.start()
    house.api("POST", "/v1/queues/lapsed/pause")
    house.give(document(call, people(call, PEOPLE)))
    house.expanded(call)
    assert house.stop() == 0
    low, high = {"fdatasync": (3, 40), "pwrite64": (30, 300), "sendto": (30, 150), "recvfrom": (30, 200)}[call]
    rng, kills = random.Random(call), 0
    for _ in range(3):
        house.go(words=house.straced(f"{call}:signal=KILL:when={rng.randint(low, high)}"))
        wait_for(lambda: house.resumed("lapsed") or not house.running(), "the queue is resumed, or it is dead")
        wait_for(lambda: not house.running() or not house.waiting(), "it is dead, or all is sent")
        if house.running():
            break
        kills += 1
    house.end_daemon()
    house.start()
    house.api("POST", "/v1/queues/lapsed/resume")
    house.settled(call)
    assert kills
    house.once_each(PEOPLE)
    assert len(house.doubted()) <= kills * house.pool
    assert house.stop() == 0


@pytest.mark.promise("F30")
def test_a_crash_loop_at_the_start_sends_nothing_twice_and_loses_nothing(build: Build) -> None:
    """Killed thirty times within its first second, ready or not, with work waiting; doubts only of what was being sent."""
    house = build(delay_ms=5)
    house.start()
    house.give(document("loop", people("loop", 1500)))
    house.expanded("loop")
    house.kill()
    rng = random.Random(30)
    for _ in range(30):
        house.go()
        until = time.monotonic() + rng.uniform(0.0, 1.0)
        wait_for(lambda until=until: time.monotonic() > until, "its time is over")  # type: ignore[misc]
        house.kill()
    house.start()
    house.settled("loop")
    house.once_each(1500)
    assert len(house.doubted()) <= 31 * house.pool
    assert house.stop() == 0


def whole(store: Path) -> tuple[str | None, list[tuple[str, str]]]:
    """The schema that a store says it has, and the text of everything in it. Only read."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as conn:
        return stored_version(store), conn.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1").fetchall()


@needs_strace
@pytest.mark.promise("F46")
def test_an_upgrade_killed_at_any_write_can_be_done_again(build: Build, tmp_path: Path) -> None:
    """Each migration is there whole or not at all, a start refuses what is between two releases, and the next upgrade ends it."""
    house, old, log = build(), tmp_path / "old.db", tmp_path / "calls.log"
    store = house.state / "homing.db"
    upgrade(old, to="0001")
    with closing(sqlite3.connect(old)) as conn, conn:
        conn.executemany("INSERT INTO meta VALUES (?, 'x')", ((f"key-{n}",) for n in range(3000)))
    versions = [f"{n:04}" for n in range(1, int(engines.SCHEMA_VERSION) + 1)]
    for version in versions:
        upgrade(tmp_path / version, to=version)
    steps = {version: whole(tmp_path / version) for version in versions}

    def upgraded(*inject: str) -> int:
        """The code of an upgrade of the old store under strace."""
        for path in house.state.glob("homing.db*"):
            path.unlink()
        house.state.mkdir(exist_ok=True)
        shutil.copy(old, store)
        words = [str(STRACE), "-f", "-qq", "-o", str(log), "-e", "trace=pwrite64", *inject, *house.words()[:-1], "db", "upgrade"]
        return subprocess.run(words, capture_output=True, check=False).returncode

    assert upgraded() == 0
    writes = log.read_text().count("pwrite64(")
    met = set()
    for number in (1, *(writes * part // 12 for part in range(1, 12))):
        assert upgraded("-e", f"inject=pwrite64:signal=KILL:when={number}") in (-signal.SIGKILL, 128 + signal.SIGKILL)
        left = whole(store)
        assert left == steps[left[0] or ""]
        if left[0] in versions[1:-1] and left[0] not in met:
            refused = house("run")
            assert refused.code and "homing db upgrade" in refused.err
        met.add(left[0])
        said = house("db", "upgrade")
        assert said.code == 0, said.err
        assert whole(store) == steps[engines.SCHEMA_VERSION]
        with closing(sqlite3.connect(store)) as conn:
            assert conn.execute("SELECT count(*) FROM meta").fetchone() == (3000,)
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert met & set(versions[1:-1]), "no kill fell between two migrations"
