"""The books of offers are kept: expired, given back, and whoever waited for a code goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import Connection, insert

from daemon.app.offering import Offering
from daemon.model.delivery import DAY
from daemon.store import schema as s
from daemon.store.codes import NewCode, add_codes
from daemon.store.issues import STRETCH, expire
from daemon.store.writer import Lane
from tests.stages.intake_world import IntakeWorld
from tests.store.conftest import add_job


async def test_a_round_settles_and_expires_what_is_over(tmp_path: Path) -> None:
    """One issue whose message was dropped, one past its end, one open: returned, expired, open; the delivery that was held for want of a
    code is due, and the senders are told."""
    world = await IntakeWorld.open(tmp_path)
    now = world.clock.instant()

    def fill(conn: Connection) -> None:
        add_job(conn, 1, people=(1, 2, 3, 4))
        add_codes(conn, "winter", [NewCode(n, f"C-{n}", f"C-{n}") for n in (1, 2, 3)], now)
        conn.exec_driver_sql("UPDATE delivery SET state = 'dropped', ended_at = 1 WHERE id = 1")
        conn.exec_driver_sql("UPDATE delivery SET state = 'held', reason = 'no_code', key = 'codes:winter' WHERE id = 4")
        for number, state, ends in ((1, "reserved", None), (2, "open", now - 1), (3, "open", now + DAY)):
            conn.execute(insert(s.walk).values(
                id=number, campaign=1, person=number, occurrence=1, version=1, state="open", entered_at=1, since_at=1, anchor_at=1,
            ))  # fmt: skip
            conn.execute(insert(s.issue).values(
                id=number, walk=number, step="s", person=number, campaign=1, offer="o", rank=0, pool="winter", code=f"C-{number}", state=state,
                reserved_at=1, accepted_at=None if state == "reserved" else 1, ends_at=ends,
            ))  # fmt: skip
            conn.exec_driver_sql(f"UPDATE code SET issue = {number} WHERE code = 'C-{number}'")
        conn.exec_driver_sql("UPDATE code_pool SET free = 0")

    await world.store.write(Lane.BULK, fill)
    woken = asyncio.Event()
    service = Offering(store=world.store, clock=world.clock, log=world.log, woken=woken.set, seconds=0.01)
    await service.start()
    await service.ready()
    try:
        async with asyncio.timeout(10):
            await woken.wait()
        assert await world.sql("SELECT state FROM issue ORDER BY id") == [("returned",), ("expired",), ("open",)]
        assert await world.sql("SELECT state, reason FROM delivery WHERE id = 4") == [("due", None)]
        assert await world.sql("SELECT free FROM code_pool") == [(1,)]
    finally:
        await service.stop()
        await world.close()


async def test_what_ends_at_one_midnight_expires_a_stretch_a_transaction(tmp_path: Path) -> None:
    """A campaign's offers all end with the same day: no transaction takes more of them than the writer can spare."""
    world = await IntakeWorld.open(tmp_path)
    now = world.clock.instant()
    many = 2 * STRETCH + 10

    def fill(conn: Connection) -> None:
        conn.execute(insert(s.issue), [
            {"id": number, "walk": number, "step": "s", "person": number, "campaign": 1, "offer": "o", "rank": 0, "state": "open",
             "reserved_at": 1, "accepted_at": 1, "ends_at": now}
            for number in range(1, many + 1)
        ])  # fmt: skip

    await world.store.write(Lane.BULK, fill)
    taken = [await world.store.write(Lane.BULK, expire, now) for _ in range(4)]
    assert taken == [STRETCH, STRETCH, 10, 0]
    await world.do("UPDATE issue SET state = 'open', ended_at = NULL")
    service = Offering(store=world.store, clock=world.clock, log=world.log, woken=lambda: None)
    await service.look()
    assert await world.sql("SELECT state, count(*) FROM issue GROUP BY 1") == [("expired", many)]
    await world.close()
