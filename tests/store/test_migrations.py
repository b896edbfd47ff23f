"""The migrations add up to the schema, and an upgrade is safe to interrupt and to repeat."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import StoreUnavailableError
from daemon.store import engine as engines
from daemon.store.migrate import stored_version, upgrade
from daemon.store.writer import Store


def shape(path: Path) -> set[tuple[str, str]]:
    """Name and text of everything in a store, white space aside."""
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(name, "".join(sql.split())) for name, sql in rows}


async def test_the_sum_of_the_migrations_is_the_schema(tmp_path: Path) -> None:
    """A store made at a first start and one made by all migrations are the same."""
    await Store.open(tmp_path / "new.db").close()
    assert upgrade(tmp_path / "migrated.db") is None
    assert shape(tmp_path / "new.db") == shape(tmp_path / "migrated.db")
    assert stored_version(tmp_path / "migrated.db") == engines.SCHEMA_VERSION
    await Store.open(tmp_path / "migrated.db").close()


def test_lanes_and_flights_of_an_older_store_get_what_they_keep_now(tmp_path: Path) -> None:
    """From 0001: each lane its head and campaign, each flight what its record needs."""
    path = tmp_path / "old.db"
    upgrade(path, to="0001")
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executescript("""
            INSERT INTO job
                (id, key, queue, campaign, version, digest, state, source, received_at, head, format, body, priority, accepted, first_id)
                VALUES (1, 'j', 'q', 5, 1, 'd', 'accepted', 'spool', 1, '{}', 'json', 'b', 50, 1, 9);
            INSERT INTO wave VALUES (3, 5, 's', 1, 'email');
            INSERT INTO lane VALUES (7, 'q', 1, 50, 'email'), (8, 'q', 1, 60, 'email');
            INSERT INTO due VALUES (7, 20, 1), (7, 10, 2);
            INSERT INTO delivery (id, wave, person, job, version, state, lane, not_before, expires_at, attempts, key)
                VALUES (9, 3, 4, 1, 1, 'due', 7, 1, 2, 2, 'doubt');
            INSERT INTO flight VALUES (9, 3, 4, 1, 0, 1, 1, 0, 0, 0, 0, 99, 'email', NULL, NULL, 'relay', NULL, 1, NULL);
        """)
    assert upgrade(path) == "0001"
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT id, campaign, head, person FROM lane").fetchall() == [(7, 5, 10, 4), (8, 5, None, 4)]
        assert conn.execute("SELECT campaign, lane, attempts, doubted FROM flight").fetchall() == [(5, 7, 2, 1)]


def test_recipients_of_an_older_store_keep_their_rows(tmp_path: Path) -> None:
    """From 0002: the table is written anew, every value as it was, and a second row of one id is refused as before."""
    path = tmp_path / "old.db"
    upgrade(path, to="0002")
    given = [
        (9, "nine", "a@b.co", "+62811", "Asia/Jakarta", "id", "ID", '{"a":1}', b"e", b"p", 3, 1, 10, 11),
        (7, "seven", None, None, None, None, None, None, None, None, 0, 0, 12, 13),
    ]
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany(f"INSERT INTO recipient VALUES ({', '.join('?' * 14)})", given)
    assert upgrade(path) == "0002"
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT * FROM recipient").fetchall() == [(*row, None, 0) for row in sorted(given)]
        with pytest.raises(sqlite3.IntegrityError, match=r"recipient\.id"):
            conn.execute("INSERT INTO recipient (id, key, created_at, updated_at) VALUES (7, 'other', 1, 1)")


async def test_an_upgrade_of_an_up_to_date_store_does_nothing(tmp_path: Path) -> None:
    """It may be run at any time while the daemon is down."""
    await Store.open(tmp_path / "homing.db").close()
    before = shape(tmp_path / "homing.db")
    assert upgrade(tmp_path / "homing.db") == engines.SCHEMA_VERSION
    assert shape(tmp_path / "homing.db") == before
    assert not list(tmp_path.glob("*.bak"))


@pytest.mark.promise("F46")
@pytest.mark.parametrize(("version", "advice"), [("9999", "install the Homing that wrote it"), ("0000", "homing db upgrade")])
async def test_a_store_of_another_schema_is_refused_with_what_to_do(tmp_path: Path, version: str, advice: str) -> None:
    """A daemon never migrates by itself, and never runs on a store that a newer one wrote."""
    path = tmp_path / "homing.db"
    await Store.open(path).close()
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE alembic_version SET version_num = ?", (version,))
    with pytest.raises(StoreUnavailableError, match=advice):
        Store.open(path)
    if version == "9999":
        with pytest.raises(StoreUnavailableError, match="newer"):
            upgrade(path)


@pytest.mark.promise("F45")
def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    """Neither opened nor upgraded."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("CREATE TABLE mine (x)")
    for attempt in (Store.open, upgrade):
        with pytest.raises(StoreUnavailableError, match="alembic_version"):
            attempt(path)  # type: ignore[operator]


@pytest.mark.promise("F46")
def test_a_step_that_fails_half_way_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """One transaction a step: after the cause is gone the same upgrade goes through. The copy from before is there, for its owner only."""
    path = tmp_path / "homing.db"
    upgrade(path, to="0001")
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("CREATE INDEX lane_campaign ON lane (id)")  # in the way of the last part of 0002
    before = shape(path)
    with pytest.raises(StoreUnavailableError, match="changed nothing"):
        upgrade(path)
    assert shape(path) == before
    assert stored_version(path) == "0001"
    copy = tmp_path / "homing.db.0001.bak"
    assert shape(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("DROP INDEX lane_campaign")
    assert upgrade(path) == "0001"
    assert stored_version(path) == engines.SCHEMA_VERSION


def test_an_sqlite_library_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and not by a syntax error in the middle of a job."""
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 26, 0))
    with pytest.raises(StoreUnavailableError, match=r"needs 3\.33"):
        Store.open(tmp_path / "homing.db")
