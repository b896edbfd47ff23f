"""What runs again and again never reads the jobs that ever were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from daemon.store.feedback import Report, hear, join_parked
from daemon.store.held import HeldWhere, count_held, list_held
from daemon.store.jobs import any_ended, finish_jobs
from daemon.store.operate import waiting_in_queue
from daemon.store.plan import jobs_to_expand
from daemon.store.recipients import free_zone_holds
from daemon.store.release import bodies_in_use, find_work
from daemon.store.wake import wake
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job

KINDS = ("accepted", "failed", "bounced", "complained", "unsubscribed", "resubscribed", "opened")
REPORTS = [
    Report("relay", "email", kind, NOW - 1, delivery, provider_id, hash, event)
    for kind in KINDS
    for delivery, provider_id, hash, event in ((1, "SM1", None, ""), (None, "SM1", None, "e"), (None, "SM2", b"h", ""), (None, None, b"h7", ""))
]

ACTS: dict[str, Callable[[Connection], Any]] = {
    "find_work": find_work,
    "jobs_to_expand": jobs_to_expand,
    "any_ended": any_ended,
    "finish_jobs": lambda conn: finish_jobs(conn, NOW),
    "bodies_in_use": bodies_in_use,
    "wake": lambda conn: wake(conn, [7], NOW),
    "free_zone_holds": lambda conn: free_zone_holds(conn, [7], NOW),
    "list_held": lambda conn: list_held(conn, HeldWhere(), None, 50),
    "count_held": lambda conn: count_held(conn, HeldWhere()),
    "hear": lambda conn: [hear(conn, REPORTS, channels=("email", "sms"), now=NOW) for _ in range(2)],
    "join_parked": lambda conn: (hear(conn, REPORTS, channels=(), now=NOW), join_parked(conn, 0, channels=(), now=NOW)),
    "waiting_in_queue": lambda conn: waiting_in_queue(conn, "q"),
}


def plans_of(conn: Connection, act: Callable[[Connection], Any]) -> list[str]:
    """SQLite's plan for each statement that the act runs, by whatever way: the driver itself is listened to."""
    raw: Any = conn.connection.driver_connection
    statements: list[str] = []
    raw.set_trace_callback(statements.append)
    try:
        act(conn)
    finally:
        raw.set_trace_callback(None)
    return [row[3] for text in dict.fromkeys(statements) for row in raw.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()]


@pytest.mark.parametrize("name", sorted(ACTS))
async def test_no_act_walks_all_jobs(world: World, name: str) -> None:
    """SQLite's own plan for each statement, as it is run, with its parameters: the finished jobs are never looked at."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql("UPDATE delivery SET state = 'in_doubt', provider = 'relay', handed_over_at = :at", at=NOW)
    plans = await world.store.write(Lane.BULK, plans_of, ACTS[name])
    assert plans
    walks = ("SCAN job", "SCAN wave", "SCAN delivery", "SCAN recipient", "SCAN feedback ", "SCAN provider_ref", "SCAN attempt", "SCAN touch")
    assert [plan for plan in plans if plan.startswith(walks) and not plan.endswith(("INDEX job_open", "INDEX delivery_held"))] == []
