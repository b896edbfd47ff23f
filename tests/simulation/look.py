"""What the daemon has published of its deliveries, read for the table of states and for the end of a world."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from tests.simulation.events import Counted, Event, Intent, Received

_STATES = (
    "SELECT CASE WHEN f.delivery IS NULL THEN d.state WHEN f.handed_over THEN 'handed_over' ELSE 'claimed' END, count(*) "
    "FROM delivery d LEFT JOIN flight f ON f.delivery = d.id GROUP BY 1"
)
_EACH = (
    "SELECT coalesce(b.key, j.key), r.key, CASE WHEN f.delivery IS NULL THEN d.state WHEN f.handed_over THEN 'handed_over' ELSE 'claimed' END, "
    "coalesce(d.reason, ''), d.id FROM delivery d JOIN job j ON j.id = d.job JOIN recipient r ON r.id = d.person "
    "LEFT JOIN flight f ON f.delivery = d.id LEFT JOIN walk w ON w.id = d.walk LEFT JOIN job b ON b.id = w.job "
    "UNION ALL SELECT j.key, r.key, CASE WHEN w.state IN ('planned', 'open') THEN 'planned' WHEN w.end_reason = 'operator' THEN 'cancelled' "
    "ELSE 'dropped' END, coalesce(w.end_reason, ''), -w.id FROM walk w JOIN job j ON j.id = w.job JOIN recipient r ON r.id = w.person "
    "WHERE NOT EXISTS (SELECT 1 FROM delivery d JOIN wave v ON v.id = d.wave WHERE v.campaign = w.campaign AND d.walk = w.id)"
)
"""What a walk plans is of the job that began it; one that has planned nothing yet is as a planned delivery."""
_ON_ITS_WAY = (
    "SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM flight) + (SELECT count(*) FROM delivery WHERE state IN ('planned', 'due'))"
    " + (SELECT count(*) FROM walk WHERE state = 'planned' OR (state = 'open' AND step IS NULL))"
)
_WALKS = (
    "SELECT DISTINCT j.key FROM walk w JOIN job j ON j.id = w.job JOIN recipient r ON r.id = w.person WHERE r.key = ? AND w.state = 'open'"
)
_PAUSED = "SELECT name FROM queue WHERE paused"
_HELD = "SELECT DISTINCT reason FROM job WHERE state = 'held'"
_JOBS = "SELECT key, state, rows, accepted, duplicate, rejected, expanded FROM job WHERE source <> 'walks' ORDER BY id"


def _ask(conn: Connection, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Straight from the file, beside the daemon's own statements."""
    raw: Any = conn.connection.driver_connection
    found: list[tuple[Any, ...]] = raw.execute(statement, values).fetchall()
    return found


def states(conn: Connection) -> Mapping[str, int]:
    """State -> deliveries."""
    return {str(state): int(n) for state, n in _ask(conn, _STATES)}


def published(conn: Connection) -> Mapping[Intent, str]:
    return {(job, person): state for job, person, state, _, _ in _ask(conn, _EACH)}


def ended(conn: Connection) -> Mapping[Intent, tuple[str, str]]:
    """(job, recipient) -> (state, reason)."""
    return {(job, person): (state, reason) for job, person, state, reason, _ in _ask(conn, _EACH)}


def walks(conn: Connection, recipient: str) -> frozenset[str]:
    """The jobs that brought him where he walks now."""
    return frozenset(row[0] for row in _ask(conn, _WALKS, recipient))


def doubts(conn: Connection) -> list[tuple[int, Intent]]:
    return sorted((number, (job, person)) for job, person, state, _, number in _ask(conn, _EACH) if state == "in_doubt")


def paused(conn: Connection) -> list[str]:
    """Queues that somebody has paused and not resumed."""
    return sorted(row[0] for row in _ask(conn, _PAUSED))


def held_jobs(conn: Connection) -> list[str]:
    """Reasons for which whole jobs are held."""
    return sorted(row[0] for row in _ask(conn, _HELD))


def cancelled_jobs(conn: Connection, queue: str) -> list[str]:
    return [row[0] for row in _ask(conn, "SELECT key FROM job WHERE state = 'cancelled' AND queue = ? ORDER BY id", queue)]


def receipts(conn: Connection) -> list[Counted]:
    return [
        Counted(job=key, state=state, rows=rows, accepted=accepted, duplicate=duplicate, rejected=rejected)
        for key, state, rows, accepted, duplicate, rejected, _ in _ask(conn, _JOBS)
    ]


def is_planned(conn: Connection, keys: Collection[str]) -> bool:
    """Every job has come and is expanded, or will never be."""
    jobs = _ask(conn, _JOBS)
    return {row[0] for row in jobs} == set(keys) and all(row[6] or row[1] in ("failed", "cancelled") for row in jobs)


def on_its_way(conn: Connection) -> int:
    """How much is not over."""
    return int(_ask(conn, _ON_ITS_WAY)[0][0])


def taken(events: Iterable[Event]) -> set[Intent]:
    """What relays took."""
    return {(event.job, event.recipient) for event in events if isinstance(event, Received) and event.taken}
