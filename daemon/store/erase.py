"""Erase: nothing is left of a recipient but what keeps it from being written to again (design: permission). Lane EXIT, one transaction.

Addresses, traits, events, profile, browsers and the words of its deliveries go; its addresses stay suppressed by their keyed hashes, its
consents as they were said, its deliveries as numbers that reports count. Done twice it changes nothing the second time.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, literal_column, null, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.audiences import leave_audiences
from daemon.store.events import forget_events
from daemon.store.issues import forget_issues
from daemon.store.merged import merged_into, owner_of
from daemon.store.profiles import forget_profiles
from daemon.store.push import forget
from daemon.store.recipients import person_id
from daemon.store.segments import forget_memberships
from daemon.store.settling import forget_walks
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.suppressions import ALL, ANY_CHANNEL, SuppressionEntry, add_suppressions
from daemon.store.tallies import Tallies
from daemon.store.wake import wake


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """`fresh`: it was not erased before. `suppressed`: addresses; `browsers`: push subscriptions; `dropped`: deliveries that an operator
    or new data would have freed; `woken`: waiting ones that are due now, to be dropped."""

    recipient: str
    fresh: bool
    suppressed: int = 0
    browsers: int = 0
    audiences: int = 0
    dropped: int = 0
    woken: int = 0


_CLEAR = (
    update(s.recipient)
    .where(s.recipient.c.id == bindparam("b_id"))
    .values(
        {name: null() for name in ("email", "phone", "zone", "locale", "country", "traits", "email_hash", "phone_hash", "paused_until")}
        | {"erased": 1, "guard": s.recipient.c.guard + 1, "updated_at": bindparam("b_now")}
    )
)
_HASHES = select(s.recipient.c.id, s.recipient.c.email_hash, s.recipient.c.phone_hash).where(in_list(s.recipient.c.id, "persons"))
_WAVES = select(s.wave.c.id)
_MINE = (
    select(s.delivery.c.id, s.delivery.c.job, s.delivery.c.state, s.delivery.c.reason, s.delivery.c.key)
    .where(in_list(s.delivery.c.wave, "waves"), s.delivery.c.person == bindparam("person"))
)  # fmt: skip
_WORDLESS = update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(vars=null())
_END = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), ended_at=bindparam("b_now"))
)
_ATTEMPTS = update(s.attempt).where(s.attempt.c.delivery == bindparam("b_id")).values(detail=null())
_F = s.feedback.c
_FEEDBACK = update(s.feedback).where(_F.person == bindparam("b_person")).values(detail=null())
_OF_ADDRESS = update(s.feedback).where(_F.hash == bindparam("b_hash"), _F.hash != literal_column("x''")).values(detail=null())
"""Reports that name the address alone: a reply's words."""


def erase_recipient(conn: Connection, key: str, *, now: Instant, source: str) -> Erased | None:
    """Erase, with all that was merged into it; None if nobody has this id."""
    person, key = owner_of(conn, person_id(key), key)
    row = conn.execute(
        select(s.recipient.c.erased, s.recipient.c.email_hash, s.recipient.c.phone_hash).where(
            s.recipient.c.id == person, s.recipient.c.key == key
        )
    ).first()
    if row is None:
        return None
    if row.erased:
        return Erased(recipient=key, fresh=False)
    family = [person, *merged_into(conn, person)]
    hashes = sorted({hash for _, *found in fetch(conn, _HASHES, ("persons",), (ids(family),)) for hash in found if hash is not None})
    add_suppressions(conn, [SuppressionEntry(one, ANY_CHANNEL, ALL, Reason.ERASED.value, now, source) for one in hashes])
    left = leave_audiences(conn, family, Reason.ERASED.value, now)
    many(conn, _CLEAR, ("b_id", "b_now"), [(one, now) for one in family])
    browsers = forget(conn, family)
    forget_events(conn, family)
    forget_issues(conn, family)
    forget_profiles(conn, family)
    forget_memberships(conn, [person])
    for one in family:
        forget_walks(conn, one, now)
    many(conn, _OF_ADDRESS, ("b_hash",), [(one,) for one in hashes])
    dropped = sum(_clear_deliveries(conn, one, now) for one in family)
    woken = wake(conn, family, now)
    return Erased(
        recipient=key, fresh=True, suppressed=len(hashes), browsers=browsers, audiences=left, dropped=dropped, woken=woken
    )  # fmt: skip


def _clear_deliveries(conn: Connection, person: int, now: Instant) -> int:
    """Their words go; those that are held end. Returns how many ended: the others are dropped by the next claim."""
    waves = ids(conn.execute(_WAVES).scalars())
    found = conn.execute(_MINE, {"waves": waves, "person": person}).all()
    many(conn, _WORDLESS, ("b_id",), [(row.id,) for row in found])
    many(conn, _ATTEMPTS, ("b_id",), [(row.id,) for row in found])
    conn.execute(_FEEDBACK, {"b_person": person})
    held = [row for row in found if row.state == State.HELD.value]
    ended: list[tuple[int, str, str | None, Instant | None]] = []
    tallies = Tallies()
    for row in held:
        if row.key == "doubt":  # a second copy that does not go leaves the first one's doubt
            tallies.move(row.job, State.HELD, row.reason, State.IN_DOUBT, "")
            ended.append((row.id, State.IN_DOUBT.value, None, None))
        else:
            tallies.move(row.job, State.HELD, row.reason, State.DROPPED, Reason.ERASED.value)
            ended.append((row.id, State.DROPPED.value, Reason.ERASED.value, now))
    many(conn, _END, ("b_id", "b_state", "b_reason", "b_now"), ended)
    tallies.write(conn)
    return len(held)
