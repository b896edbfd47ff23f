"""What the daemon has published of its deliveries, read for the table of states and for the end of a world."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, text

from tests.simulation.events import Counted, Event, Intent, Received

_STATES = text(
    "SELECT CASE WHEN f.delivery IS NULL THEN d.state WHEN f.handed_over THEN 'handed_over' ELSE 'claimed' END, count(*) "
    "FROM delivery d LEFT JOIN flight f ON f.delivery = d.id GROUP BY 1"
)
_EACH = text(
    "SELECT j.key, r.key, CASE WHEN f.delivery IS NULL THEN d.state WHEN f.handed_over THEN 'handed_over' ELSE 'claimed' END, "
    "coalesce(d.reason, ''), d.id FROM delivery d JOIN job j ON j.id = d.job JOIN recipient r ON r.id = d.person "
    "LEFT JOIN flight f ON f.delivery = d.id"
)
_OVER = text(
    "SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM flight) + (SELECT count(*) FROM delivery WHERE state IN ('planned', 'due'))"
)
_PAUSED = text("SELECT name FROM queue WHERE paused")
_HELD = text("SELECT DISTINCT reason FROM job WHERE state = 'held'")
_JOBS = text("SELECT key, state, rows, accepted, duplicate, rejected, expanded FROM job ORDER BY id")


def states(conn: Connection) -> Mapping[str, int]:
    """State -> deliveries."""
    with conn.begin():
        return {str(state): int(n) for state, n in conn.execute(_STATES)}


def published(conn: Connection) -> Mapping[Intent, str]:
    with conn.begin():
        return {(job, person): state for job, person, state, _, _ in conn.execute(_EACH)}


def ended(conn: Connection) -> Mapping[Intent, tuple[str, str]]:
    """(job, recipient) -> (state, reason)."""
    with conn.begin():
        return {(job, person): (state, reason) for job, person, state, reason, _ in conn.execute(_EACH)}


def doubts(conn: Connection) -> list[tuple[int, Intent]]:
    with conn.begin():
        return sorted((number, (job, person)) for job, person, state, _, number in conn.execute(_EACH) if state == "in_doubt")


def paused(conn: Connection) -> list[str]:
    """Queues that somebody has paused and not resumed."""
    with conn.begin():
        return sorted(conn.execute(_PAUSED).scalars())


def held_jobs(conn: Connection) -> list[str]:
    """Reasons for which whole jobs are held."""
    with conn.begin():
        return sorted(conn.execute(_HELD).scalars())


def cancelled_jobs(conn: Connection, queue: str) -> list[str]:
    with conn.begin():
        query = text("SELECT key FROM job WHERE state = 'cancelled' AND queue = :queue ORDER BY id")
        return list(conn.execute(query, {"queue": queue}).scalars())


def receipts(conn: Connection) -> list[Counted]:
    with conn.begin():
        return [
            Counted(job=row.key, state=row.state, rows=row.rows, accepted=row.accepted, duplicate=row.duplicate, rejected=row.rejected)
            for row in conn.execute(_JOBS)
        ]


def is_over(conn: Connection, keys: Collection[str]) -> bool:
    """Every job has come, is expanded (or will never be), and nothing of it is on its way."""
    with conn.begin():
        jobs = conn.execute(_JOBS).all()
        if {row.key for row in jobs} != set(keys) or any(not row.expanded and row.state not in ("failed", "cancelled") for row in jobs):
            return False
        return not conn.execute(_OVER).scalar_one()


def taken(events: Iterable[Event]) -> set[Intent]:
    """What relays took."""
    return {(event.job, event.recipient) for event in events if isinstance(event, Received) and event.taken}
