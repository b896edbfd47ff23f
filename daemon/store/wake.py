"""Makes a person's waiting deliveries due now, when what they waited for may have changed (design: life of a delivery, 8).

Called in the transaction that changed it: a touch was released, a guard was raised. The next claim decides them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.due import DELETE_DUE, DUE_NAMES, INSERT_DUE
from daemon.store.sql import ids, in_list, many

WAITS_FOR_SLOT = frozenset({Reason.CAP_REACHED.value, Reason.YIELDED_TO_PRIORITY.value})

_OPEN_WAVES = (
    select(s.wave.c.id)
    .join(s.job, s.job.c.campaign == s.wave.c.campaign)
    .where(s.job.c.finished_at.is_(None), s.job.c.state.in_(("accepted", "held", "paused")))
    .distinct()
)
_WAITING = select(s.delivery.c.id, s.delivery.c.lane, s.delivery.c.not_before, s.delivery.c.reason).where(
    in_list(s.delivery.c.wave, "waves"),
    in_list(s.delivery.c.person, "persons"),
    s.delivery.c.state == State.DUE.value,
    s.delivery.c.not_before > bindparam("now"),
)
_NOT_BEFORE = update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(not_before=bindparam("b_now"))


def open_waves(conn: Connection) -> Sequence[int]:
    """The waves in which a delivery may wait: a person's rows are found by probing UNIQUE(wave, person) once a wave."""
    return conn.execute(_OPEN_WAVES).scalars().all()


def wake(conn: Connection, persons: Iterable[int], now: Instant, reasons: frozenset[str] | None = None) -> int:
    """Move the persons' future due rows to now; only those that wait for one of `reasons`, if given. Returns how many.

    Rows in flight have no due row and are left alone.
    """
    found = conn.execute(_WAITING, {"waves": ids(open_waves(conn)), "persons": ids(sorted(persons)), "now": now}).all()
    moved = [row for row in found if reasons is None or row[3] in reasons]
    gone = [row for row in moved if many(conn, DELETE_DUE, ("b_lane", "b_not_before", "b_id"), [(row[1], row[2], row[0])])]
    many(conn, INSERT_DUE, DUE_NAMES, [(row[1], now, row[0]) for row in gone])
    many(conn, _NOT_BEFORE, ("b_id", "b_now"), [(row[0], now) for row in gone])
    return len(gone)
