"""kill -9 while segments are evaluated: nobody is lost, and nobody moves twice."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.recipients import person_id
from daemon.store.writer import Lane, Store
from tests.stages.intake_world import NOW

PEOPLE = 600
KILLS = 5
MOST_STEPS = 40
"""All of it takes more than KILLS * MOST_STEPS steps, so every run is killed."""


async def evaluate(database: Path, *, kill_at: int, now: int) -> int:
    """Run the process to its end, or to that step; its exit status."""
    words = (sys.executable, "-m", "tests.stages.segment_process", str(database), str(kill_at), str(now))
    process = await asyncio.create_subprocess_exec(*words)
    async with asyncio.timeout(120):
        return await process.wait()


async def order(database: Path, people: range, days: float, now: int) -> None:
    store = Store.open(database)
    rows = [
        EventRow(person_id(f"c-{n}"), f"c-{n}", "Order Completed", event_id(f"{n} {days} {now}"), now - round(days * DAY), json.dumps({"revenue": 1}))
        for n in people
    ]  # fmt: skip
    for start in range(0, len(rows), 200):
        await store.write(Lane.EVENTS, take_events, rows[start : start + 200], Shop(), now)
    await store.close()


@pytest.mark.slow
async def test_an_evaluation_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    """First a quiet one, then one in which a third enters and a third leaves; each killed again and again at drawn moments."""
    database, rng = tmp_path / "homing.db", random.Random(4)
    await order(database, range(200), 29.5, NOW)
    await order(database, range(200, PEOPLE), 40, NOW)
    later = NOW + DAY
    for now in (NOW, later):
        if now == later:
            await order(database, range(200, 400), 0, later)
        for _ in range(KILLS):
            assert await evaluate(database, kill_at=rng.randint(1, MOST_STEPS), now=now) == -signal.SIGKILL
        assert await evaluate(database, kill_at=0, now=now) == 0
        if now == NOW:
            assert moves(database) == Counter()
            assert members(database) == {"buyers": PEOPLE, "lapsed": 400, "many": 0}
    assert members(database) == {"buyers": PEOPLE, "lapsed": 400, "many": 0}
    found = moves(database)
    assert set(found.values()) == {1}, "each move has one event"
    assert Counter((name, segment) for name, segment, _ in found) == {
        ("Segment Entered", "lapsed"): 200, ("Segment Left", "lapsed"): 200,
    }  # fmt: skip


def members(database: Path) -> dict[str, int]:
    """As counted, and as kept in the segment's row: both are the same."""
    with closing(sqlite3.connect(database)) as conn:
        assert conn.execute("SELECT count(*) FROM segment_run").fetchone() == (0,)
        kept = dict(conn.execute("SELECT name, members FROM segment"))
        counted = dict(conn.execute("SELECT s.name, count(m.person) FROM segment s LEFT JOIN segment_member m ON m.segment = s.id GROUP BY s.name"))
    assert kept == counted
    return kept


def moves(database: Path) -> Counter[tuple[str, str, int]]:
    with closing(sqlite3.connect(database)) as conn:
        rows = conn.execute(
            "SELECT n.name, e.properties, e.person FROM event e JOIN event_name n ON n.id = e.name WHERE n.name LIKE 'Segment%'"
        ).fetchall()
    return Counter((name, json.loads(said)["segment"], person) for name, said, person in rows)
