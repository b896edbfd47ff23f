"""The life of an incarnation: its start (what a dead one left behind is settled), its heartbeat, its end.

A claim of a dead owner goes back to due; what it had handed over is in doubt, never sent again by itself. Also the facts
that decide whether sending may start: the installation's nonce, the last commit, the last heartbeat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, literal_column, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, State
from daemon.store import schema as s
from daemon.store.due import put_due, take_due
from daemon.store.flight import ATTEMPT_COUNT, last_commit
from daemon.store.meta import UNFOLLOWED, get_meta, set_meta
from daemon.store.sql import fetch, ids, in_list, many, value
from daemon.store.tallies import Tallies
from daemon.store.wake import WAITS_FOR_SLOT, wake


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """What the new incarnation found. `nonce`: the store's installation nonce; `commit`, `highest`: of the last step commit;
    `last_heartbeat`: of the incarnation before, None at the first start; `overdue`: something was due before it;
    `returned`: claims put back to due; `doubts`: deliveries now in doubt."""

    id: int
    nonce: str
    commit: int
    highest: Instant
    last_heartbeat: Instant | None
    overdue: bool
    returned: int
    doubts: Sequence[int]


_HEARTBEAT = select(func.max(s.incarnation.c.heartbeat_at))
_OVERDUE = select(s.lane.c.id).where(s.lane.c.head <= bindparam("b_now")).limit(1)
_LAST, _BEGUN = select(func.max(s.incarnation.c.id)), insert(s.incarnation)


def begin(conn: Connection, now: Instant, node: str, nonce: str) -> Began:
    """Start an incarnation: settle what dead ones left. `nonce` is taken when the store has none yet."""
    stored = get_meta(conn, "nonce")
    if stored is None:
        stored = nonce
        set_meta(conn, "nonce", nonce)
    if get_meta(conn, "commit") is None:
        set_meta(conn, "commit", "0 0")
    commit, highest = last_commit(conn)
    last = value(conn, _HEARTBEAT)
    overdue = bool(fetch(conn, _OVERDUE, ("b_now",), (now,)))
    number = (value(conn, _LAST) or 0) + 1
    many(conn, _BEGUN, ("id", "node", "started_at", "heartbeat_at"), [(number, node, now, now)])
    returned, doubts = _settle(conn, now)
    return Began(
        id=number, nonce=stored, commit=commit, highest=highest, last_heartbeat=last, overdue=overdue, returned=returned, doubts=doubts
    )  # fmt: skip


_LEFT = select(
    s.flight.c.delivery, s.flight.c.job, s.flight.c.handed_over, s.flight.c.handed_over_at, s.flight.c.provider, s.flight.c.epoch,
    s.delivery.c.lane, s.flight.c.person,
).join(s.delivery, s.delivery.c.id == s.flight.c.delivery)  # fmt: skip
_TO_DOUBT = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(
        state=literal_column("'in_doubt'"), reason=null(), provider=bindparam("b_provider"), handed_over_at=bindparam("b_at"),
        attempts=s.delivery.c.attempts + literal_column("1"),
    )
)  # fmt: skip
_EVIDENCE = insert(s.attempt)
_EVIDENCE_NAMES = ("delivery", "n", "at", "provider", "outcome", "scope", "code", "detail", "handed_over_at")
_NOT_BEFORE = update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(not_before=bindparam("b_now"))


_NONE_FLIES = delete(s.flight)


def _give_evidence(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Attempts behind those that there are. `rows`: (delivery, *the columns after `n`)."""
    tried = {row[0]: row[1] for row in fetch(conn, ATTEMPT_COUNT, ("ids",), (ids(row[0] for row in rows),))} if rows else {}
    many(conn, _EVIDENCE, _EVIDENCE_NAMES, [(row[0], tried.get(row[0], 0) + 1, *row[1:]) for row in rows])


def _settle(conn: Connection, now: Instant) -> tuple[int, list[int]]:
    tallies = Tallies()
    due: list[tuple[int, int, int]] = []
    doubts: list[tuple[int, str, int]] = []
    evidence: list[tuple[Any, ...]] = []
    freed: set[int] = set()
    for delivery, job, handed_over, handed_over_at, provider, epoch, lane, person in fetch(conn, _LEFT):
        if handed_over:
            doubts.append((delivery, provider, handed_over_at))
            detail = f"the daemon (claim {epoch}) ended after the handover and before an answer was stored"
            evidence.append((delivery, now, provider, "unknown", None, "crash", detail, handed_over_at))
            tallies.move(job, State.CLAIMED, "", State.IN_DOUBT, "")
        else:
            due.append((lane, now, delivery))
            freed.add(person)
            tallies.move(job, State.CLAIMED, "", State.DUE, "")
    many(conn, _TO_DOUBT, ("b_id", "b_provider", "b_at"), doubts)
    _give_evidence(conn, evidence)
    put_due(conn, due)
    many(conn, _NOT_BEFORE, ("b_id", "b_now"), [(row[2], now) for row in due])
    many(conn, _NONE_FLIES, (), [()])
    if freed:
        wake(conn, freed, now, WAITS_FOR_SLOT)
    tallies.write(conn)
    return len(due), [row[0] for row in doubts]


_BEAT = update(s.incarnation).where(s.incarnation.c.id == bindparam("b_id")).values(heartbeat_at=bindparam("b_now"))


def heartbeat(conn: Connection, incarnation: int, now: Instant) -> bool:
    """Still here. False: a later incarnation has begun, and has settled what this one had in hand."""
    if value(conn, _LAST) != incarnation:
        return False
    many(conn, _BEAT, ("b_id", "b_now"), [(incarnation, now)])
    return True


_ENDED = (
    update(s.incarnation)
    .where(s.incarnation.c.id == bindparam("b_id"))
    .values(heartbeat_at=bindparam("b_now"), ended_at=bindparam("b_now"))
)


def end(conn: Connection, incarnation: int, now: Instant) -> None:
    many(conn, _ENDED, ("b_id", "b_now"), [(incarnation, now)])


def load_gate(conn: Connection) -> dict[str, str]:
    """What holds all sending: reason -> detail. Empty = sending may go on."""
    gate: dict[str, str] = json.loads(get_meta(conn, "gate") or "{}")
    return gate


def save_gate(conn: Connection, gate: Mapping[str, str]) -> None:
    set_meta(conn, "gate", json.dumps(dict(gate), sort_keys=True))


_DECIDE_ANEW = (
    update(s.recipient)
    .where(s.recipient.c.id.in_(select(s.flight.c.person).where(s.flight.c.handed_over == 0)))
    .values(guard=s.recipient.c.guard + 1)
)


def decide_anew(conn: Connection) -> None:
    """Whatever is claimed, and not handed over, loses its leave: it was judged by rules or a clock that are not in force any more."""
    conn.execute(_DECIDE_ANEW)


def accept_clock(conn: Connection, now: Instant) -> None:
    """An operator takes the clock for right: instants are counted from `now` on, though later ones were committed. What is claimed
    was judged by a clock that was not trusted: it is decided anew."""
    decide_anew(conn)
    stored = get_meta(conn, "commit")
    if stored is not None:
        set_meta(conn, "commit", f"{stored.split()[0]} {now}")


def accept_restore(conn: Connection, nonce: str) -> None:
    """An operator takes this store as the true one: it gets the installation's new nonce."""
    set_meta(conn, "nonce", nonce)


LAST_PERSON = (1 << 63) - 1
_STRETCH = (
    select(s.touch.c.person)
    .where(s.touch.c.person > bindparam("after"))
    .order_by(s.touch.c.person)
    .offset(499)
    .limit(1)
)
_TOO_OLD = (
    select(s.touch.c.person, s.touch.c.at, s.touch.c.delivery)
    .where(s.touch.c.person > bindparam("after"), s.touch.c.person <= bindparam("upto"), s.touch.c.at < bindparam("before"))
)
_DELETE_TOUCH = delete(s.touch).where(
    s.touch.c.person == bindparam("b_person"), s.touch.c.at == bindparam("b_at"), s.touch.c.delivery == bindparam("b_id")
)


def prune_touches(conn: Connection, now: Instant, kept: int, after: int) -> int | None:
    """Delete touches that are `kept` microseconds old, of a stretch of persons who have some 500. Returns the cursor, None at the end.

    The age is counted to the last step commit, if that is before `now`: a clock that is ahead must not make caps forget.
    """
    before = min(now, last_commit(conn)[1]) - kept
    upto: int | None = value(conn, _STRETCH, ("after",), (after,))
    given = after, LAST_PERSON if upto is None else upto, before
    many(conn, _DELETE_TOUCH, ("b_person", "b_at", "b_id"), fetch(conn, _TOO_OLD, ("after", "upto", "before"), given))
    return upto


_V = s.campaign_version.c
_TO_MARK = (
    select(
        s.delivery.c.id, s.delivery.c.lane, s.delivery.c.not_before, s.delivery.c.state, s.delivery.c.reason, s.delivery.c.job,
        s.delivery.c.person, s.wave.c.channel, s.wave.c.campaign,
        func.json_extract(_V.body, "$.campaign.topic").label("topic"),
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .outerjoin(s.campaign_version, and_(_V.campaign == s.wave.c.campaign, _V.version == s.delivery.c.version))
    .where(in_list(s.delivery.c.id, "ids"), s.delivery.c.state.in_(("planned", "due", "held")))
)  # fmt: skip
_MARKED = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column("'in_doubt'"), reason=null(), handed_over_at=bindparam("b_at"))
)
_TOUCH = upsert(s.touch).on_conflict_do_nothing()
_THERE = select(s.delivery.c.id).where(in_list(s.delivery.c.id, "ids"))


def mark_journaled(conn: Connection, sent: Mapping[int, Instant], now: Instant) -> int:
    """Deliveries that the send journal says were handed over after this copy of the store was made: in doubt, and counted.

    `sent`: delivery -> instant of the handover. Returns how many were still waiting here. If it knows of others, which this copy has
    never heard of, they may have gone in place of, or after, those that it has: nothing follows these on another channel any more.
    """
    tallies = Tallies()
    rows = conn.execute(_TO_MARK, {"ids": ids(sorted(sent))}).all()
    for row in rows:
        tallied = row.reason if row.state == State.HELD.value else ""
        tallies.move(row.job, State(row.state), tallied, State.IN_DOUBT, "")
    take_due(conn, [(row.lane, row.not_before, row.id) for row in rows])
    many(conn, _MARKED, ("b_id", "b_at"), [(row.id, sent[row.id]) for row in rows])
    many(conn, _TOUCH, ("person", "at", "delivery", "channel", "campaign", "topic", "zone"),
         [(row.person, sent[row.id], row.id, row.channel, row.campaign, row.topic, None) for row in rows])  # fmt: skip
    why = "handed over after this copy of the store was made"
    _give_evidence(conn, [(row.id, now, "", "unknown", None, "journal", why, sent[row.id]) for row in rows])
    tallies.write(conn)
    if len(fetch(conn, _THERE, ("ids",), (ids(sorted(sent)),))) < len(sent):
        set_meta(conn, UNFOLLOWED, get_meta(conn, "next_delivery_id") or "0")
    return len(rows)


def load_buckets(conn: Connection) -> dict[str, str]:
    return dict(fetch(conn, _BUCKETS))


_BUCKETS = select(s.bucket.c.name, s.bucket.c.state)
_bucket = upsert(s.bucket)
_SAVE_BUCKET = _bucket.on_conflict_do_update(index_elements=[s.bucket.c.name], set_={"state": _bucket.excluded.state})


def save_buckets(conn: Connection, states: Mapping[str, str]) -> None:
    many(conn, _SAVE_BUCKET, ("name", "state"), sorted(states.items()))
