"""What runs again and again never reads the jobs that ever were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

from daemon.store.held import HeldWhere, count_held, list_held
from daemon.store.jobs import any_ended, finish_jobs
from daemon.store.operate import waiting_in_queue
from daemon.store.plan import jobs_to_expand
from daemon.store.recipients import free_zone_holds
from daemon.store.release import bodies_in_use, find_work
from daemon.store.wake import wake
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job

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
    "waiting_in_queue": lambda conn: waiting_in_queue(conn, "q"),
}


@pytest.mark.parametrize("name", sorted(ACTS))
async def test_no_act_walks_all_jobs(world: World, name: str) -> None:
    """SQLite's own plan for each statement, as it is run, with its parameters: the finished jobs are never looked at."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    plans: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not many:
            raw = conn.connection.driver_connection
            plans.extend(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())

    def explained(conn: Connection) -> None:
        event.listen(conn, "before_cursor_execute", note)
        try:
            ACTS[name](conn)
        finally:
            event.remove(conn, "before_cursor_execute", note)

    await world.store.write(Lane.BULK, explained)
    assert plans
    walks = ("SCAN job", "SCAN wave", "SCAN delivery")
    assert [plan for plan in plans if plan.startswith(walks) and not plan.endswith(("INDEX job_open", "INDEX delivery_held"))] == []
