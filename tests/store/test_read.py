"""Reading acts: counts from tallies, a person's deliveries by probing waves; nothing scans what grows."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from daemon.errors import NotFoundError
from daemon.model.delivery import HOUR
from daemon.store.flight import Kind
from daemon.store.read import _LANES, _OF_PERSON, _PERSON, read_deliveries, read_overview
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job, outcome

KEY = "p"


async def two_jobs(world: World) -> int:
    """One person with a delivery in each of two campaigns, known by its key."""
    person = person_id(KEY)
    await world.store.write(Lane.BULK, add_job, 1, people=[person, 8], first_id=1)
    await world.store.write(Lane.BULK, add_job, 2, people=[person], first_id=10)
    await world.sql("UPDATE recipient SET key = :key WHERE id = :id", key=KEY, id=person)
    return person


async def test_deliveries_of_a_recipient_newest_first_page_by_page(world: World) -> None:
    """The cursor goes on where the page ended; the states of what is in flight are the present ones."""
    await two_jobs(world)
    rows, after = await world.store.read(read_deliveries, KEY, before=None, limit=1)
    assert ([row.id for row in rows], after) == ([10], 10)
    rows, after = await world.store.read(read_deliveries, KEY, before=10, limit=1)
    assert ([row.id for row in rows], after) == ([1], None)
    claimed = (await world.claim()).claimed
    rows, _ = await world.store.read(read_deliveries, KEY, before=None, limit=10)
    assert {row.state.value for row in rows} == {"claimed"}
    await world.step(grants=claimed)
    rows, _ = await world.store.read(read_deliveries, KEY, before=None, limit=10)
    assert {(row.state.value, row.provider) for row in rows} == {("handed_over", "relay")}
    await world.step(outcomes=[outcome(one, Kind.ACCEPTED) for one in claimed])
    rows, _ = await world.store.read(read_deliveries, KEY, before=None, limit=10)
    assert {row.state.value for row in rows} == {"accepted"}


async def test_an_unknown_recipient_is_not_found(world: World) -> None:
    """Another key with the same number would be told apart by its key."""
    person = await two_jobs(world)
    with pytest.raises(NotFoundError):
        await world.store.read(read_deliveries, "someone else", before=None, limit=1)
    await world.sql("UPDATE recipient SET key = 'other' WHERE id = :id", id=person)
    with pytest.raises(NotFoundError):
        await world.store.read(read_deliveries, KEY, before=None, limit=1)


async def test_the_overview_counts_and_knows_since_when_the_oldest_waits(world: World) -> None:
    """Deliveries by state, flights, doubts, the oldest due one; a paused queue's work is not overdue."""
    await two_jobs(world)
    found = await world.store.read(read_overview, NOW + HOUR)
    assert (found.deliveries, found.oldest_due, found.next_due, found.jobs) == ({"due": 3}, NOW, None, {"accepted": 2})
    found = await world.store.read(read_overview, NOW - HOUR)
    assert (found.oldest_due, found.next_due) == (None, NOW)
    await world.sql("INSERT INTO queue (name, paused, guard) VALUES ('q', 1, 1)")
    found = await world.store.read(read_overview, NOW + HOUR)
    assert (found.oldest_due, list(found.paused_queues)) == (None, ["q"])
    await world.sql("UPDATE queue SET paused = 0")
    claimed = (await world.claim()).claimed
    await world.step(grants=claimed)
    found = await world.store.read(read_overview, NOW)
    assert (found.in_flight, found.doubts) == (3, 0)
    await world.step(outcomes=[outcome(one, Kind.UNKNOWN) for one in claimed])
    found = await world.store.read(read_overview, NOW)
    assert (found.in_flight, found.doubts, found.deliveries["in_doubt"]) == (0, 3, 3)


@pytest.mark.parametrize("statement", [_OF_PERSON, _PERSON, _LANES], ids=["deliveries", "person", "lanes"])
async def test_no_reading_act_scans_what_grows(world: World, statement: object) -> None:
    """Only the open lanes (and the given list of waves) are walked; deliveries, recipients, due rows and flights are looked up."""
    await two_jobs(world)

    def plan(conn: Connection) -> list[str]:
        compiled = statement.compile(dialect=conn.dialect)  # type: ignore[attr-defined]
        values = tuple(compiled.params[name] or "[1]" for name in compiled.positiontup or ())
        return [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]

    lines = await world.store.read(plan)
    scanned = [line for line in lines if line.startswith("SCAN") and line.split()[1] != "lane" and "VIRTUAL TABLE" not in line]
    assert scanned == []
