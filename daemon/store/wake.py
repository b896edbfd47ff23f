"""Makes a person's waiting deliveries due now, when what they waited for may have changed (design: life of a delivery, 8).

Called in the transaction that changed it: a touch was released, a guard was raised. The next claim decides them anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, literal_column, or_, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.due import bring_forward
from daemon.store.sql import fetch, ids, in_list, many

WAITS_FOR_SLOT = frozenset({Reason.CAP_REACHED.value, Reason.YIELDED_TO_PRIORITY.value})

_OPEN_WAVES = (
    select(s.wave.c.id)
    .join(s.job, s.job.c.campaign == s.wave.c.campaign)
    .where(s.job.c.finished_at.is_(None), s.job.c.state.in_(("accepted", "held", "paused")))
    .distinct()
)
_NEXT_CAMPAIGN = (
    select(s.lane.c.campaign)
    .where(s.lane.c.head.is_not(None), s.lane.c.person.is_(None), s.lane.c.campaign > bindparam("after"))
    .order_by(s.lane.c.campaign)
    .limit(1)
)
_WAVES = select(s.wave.c.id).where(in_list(s.wave.c.campaign, "campaigns"))
_TIMELY = (
    or_(s.job.c.not_before.is_(None), s.job.c.not_before <= bindparam("now")),
    or_(s.delivery.c.escalates.is_(None), s.delivery.c.reason.is_not(None)),
)
"""What no rule put off waits for more than a rule: for the job's own beginning, or as an escalation for a reaction that may yet come."""
_WAITING = (
    select(s.delivery.c.lane, s.delivery.c.not_before, s.delivery.c.id, s.delivery.c.reason, s.delivery.c.provider)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .where(
        in_list(s.delivery.c.wave, "waves"),
        in_list(s.delivery.c.person, "persons"),
        s.delivery.c.state == State.DUE.value,
        s.delivery.c.not_before > bindparam("now"),
        *_TIMELY,
    )
)
_WAITING_ALONE = (
    select(s.due.c.lane, s.due.c.not_before, s.due.c.delivery, s.delivery.c.reason, s.delivery.c.provider)
    .select_from(s.lane)
    .join(s.due, s.due.c.lane == s.lane.c.id)
    .join(s.delivery, s.delivery.c.id == s.due.c.delivery)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .where(s.lane.c.person.is_not(None), in_list(s.lane.c.person, "persons"), s.due.c.not_before > bindparam("now"), *_TIMELY)
)
"""In the lanes of jobs of one recipient."""


_RAISE = update(s.recipient).where(s.recipient.c.id == bindparam("b_person")).values(guard=s.recipient.c.guard + literal_column("1"))


def raise_guards(conn: Connection, persons: Iterable[int]) -> None:
    """What is claimed of these persons, and not handed over yet, is not handed over any more but decided anew."""
    many(conn, _RAISE, ("b_person",), [(person,) for person in persons])


def waiting_campaigns(conn: Connection) -> list[int]:
    """The campaigns of which some delivery waits, but for jobs of one recipient: one step in the index for each, whatever the number
    of jobs."""
    found: list[int] = []
    after = -1
    while rows := fetch(conn, _NEXT_CAMPAIGN, ("after",), (after,)):
        after = rows[0][0]
        found.append(after)
    return found


def open_waves(conn: Connection) -> list[int]:
    """The waves of open jobs: a person's rows, due or held, are found by probing UNIQUE(wave, person) once a wave."""
    return [wave for (wave,) in fetch(conn, _OPEN_WAVES)]


def due_waves(conn: Connection) -> list[int]:
    """The waves in which some delivery is in the due queue, but for jobs of one recipient."""
    return [wave for (wave,) in fetch(conn, _WAVES, ("campaigns",), (ids(waiting_campaigns(conn)),))]


def wake(conn: Connection, persons: Iterable[int], now: Instant, reasons: frozenset[str] | None = None) -> int:
    """Move the persons' future due rows to now; only those that wait for one of `reasons`, if given. Returns how many.

    Rows in flight have no due row and are left alone, as are those that a provider put off: a retry comes no sooner because
    something else about its person has changed. Nothing goes before its job may begin, and no escalation before its time.
    """
    who = ids(sorted(persons))
    found = dict.fromkeys(fetch(conn, _WAITING, ("waves", "persons", "now"), (ids(due_waves(conn)), who, now)))
    found |= dict.fromkeys(fetch(conn, _WAITING_ALONE, ("persons", "now"), (who, now)))
    moved = [
        (lane, at, delivery)
        for lane, at, delivery, reason, provider in found
        if (reason in reasons if reasons is not None else reason is not None or provider is None)
    ]
    return bring_forward(conn, moved, now)
