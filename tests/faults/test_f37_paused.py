"""A process that is stopped for longer than its grants are good for, and one whose place was taken meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.conftest import Build
from tests.faults.house import Troubled
from tests.system.daemon_world import document, person, wait_for

pytestmark = pytest.mark.slow
GRANT_SECONDS = 10


def people(prefix: str, count: int) -> list[dict[str, object]]:
    return [person(f"{prefix}-{n}") for n in range(count)]


@pytest.mark.promise("F37")
def test_a_process_paused_beyond_its_grants_sends_nobody_two_and_loses_nobody(build: Build) -> None:
    """SIGSTOP in the middle of ten conversations, 12 s later SIGCONT: each message is taken once, or in doubt and taken at most once."""
    house = build(delay_ms=60)
    house.start()
    house.give(document("paused", people("paused", 1500)))
    for pause in (GRANT_SECONDS + 2, 0.5, 1.0):
        house.sent(len(house.relay.taken()) + 100)
        house.signal(signal.SIGSTOP)
        until = time.monotonic() + pause
        wait_for(lambda until=until: time.monotonic() > until, "the pause is over")  # type: ignore[misc]
        house.signal(signal.SIGCONT)
    house.settled("paused")
    house.once_each(1500)
    assert len(house.doubted()) <= house.pool
    assert house.holds() == {}
    assert house.stop() == 0


@pytest.mark.promise("F37")
def test_a_paused_process_whose_place_was_taken_hands_nothing_over_and_ends(build: Build) -> None:
    """Someone deletes the lock and starts another daemon, which settles what the first had in hand. Awake again, the first one ends
    with 75; what both sent together is each message once."""
    house = build(delay_ms=60)
    house.start()
    house.give(document("taken", people("taken", 1500)))
    house.sent(100)
    wait_for(lambda: stopped_between_commits(house), "it is stopped while it does not hold the store's own lock")
    (house.state / "lock").unlink()
    second = Second(house)
    try:
        second.launch()
        assert 0 < second.status()["doubts"] <= house.pool
        second.sent(200)
        house.signal(signal.SIGCONT)
        assert house.code() == 75
        second.settled("taken")
        second.once_each(1500)
        assert len(second.doubted()) <= house.pool
        assert second.stop() == 0
    finally:
        second.end()


def stopped_between_commits(house: Troubled) -> bool:
    """Stopped in a commit it would keep everybody out, which is safe and proves nothing here."""
    house.signal(signal.SIGSTOP)
    with closing(sqlite3.connect(house.state / "homing.db", timeout=0, isolation_level=None)) as conn:
        try:
            conn.execute("BEGIN IMMEDIATE")
            conn.execute("ROLLBACK")
        except sqlite3.OperationalError:
            house.signal(signal.SIGCONT)
            return False
    return True


class Second(Troubled):
    """Another daemon on the same installation."""

    def __init__(self, first: Troubled) -> None:
        self.__dict__.update(first.__dict__)
        self.log = (first.folder / "second.log").open("ab")
        text = first.config.read_text()
        self.config = first.folder / "second.toml"
        self.admin, self.public = first.free(2)
        for old, new in ((first.admin, self.admin), (first.public, self.public)):
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        self.config.write_text(text)

    def _homing(self, *words: str) -> list[str]:
        return [str(self.config) if word.endswith("config.toml") else word for word in super()._homing(*words)]
