"""Notices: facts that are to be told to `[[notify]]`, in the transaction in which they become true; and how far each target was told.

Triggers of the database write them: all acts that change a row are covered by one rule a table, and where nobody is to be told there is no
trigger, so that sending pays nothing. `watch` makes and removes them by what the config asks for. A notice holds numbers and what may
change later; names are looked up when it is told. Lane BULK for the targets' cursors.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, null, select, text, update

from daemon.config.notices import DELIVERY
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.enrolling import WALKS
from daemon.store.sql import fetch, ids, in_list, many, rows, value

STRETCH = 500
"""Notices that one look reads, told or not."""
PRUNED = 2000
"""Rows that one transaction notes, or removes."""
STATES = ("accepted", "rejected", "in_doubt", "dropped", "expired", "held")
"""Of a delivery, told by their names."""
REPORTS = tuple(one for one in DELIVERY if one not in (*STATES, "resolved"))
"""Kinds of feedback about a delivery."""
_COLUMNS = "(type, at, person, delivery, walk, job, detail)"
_DELIVERY = """INSERT INTO notice {columns} VALUES (
    {type}, CASE WHEN NEW.state IN ('accepted', 'rejected', 'dropped', 'expired') THEN NEW.ended_at END, NEW.person, NEW.id,
    NEW.walk, NEW.job, json_object('state', NEW.state, 'reason', NEW.reason, 'provider', NEW.provider, 'provider_id', NEW.provider_id,
    'attempts', NEW.attempts));"""
_WALK = """INSERT INTO notice {columns} VALUES (
    'recipient.' || {word}, {at}, NEW.person, NULL, NEW.id, NULL,
    json_object('reason', NEW.end_reason, 'occurrence', NEW.occurrence,
    'held_out', json(CASE NEW.held_out WHEN 1 THEN 'true' ELSE 'false' END)));"""
_CONSENT = """INSERT INTO notice {columns} VALUES ('recipient.unsubscribed', NEW.at, NEW.person, NULL, NULL, NULL,
    json_object('channel', NEW.channel, 'topic', NEW.topic, 'source', NEW.source));"""
_JOB = """INSERT INTO notice {columns} VALUES ('job.{word}', {at}, NULL, NULL, NULL, NEW.id, json_object('state', NEW.state,
    'reason', NEW.reason, 'rows', NEW.rows, 'accepted', NEW.accepted, 'duplicate', NEW.duplicate, 'rejected', NEW.rejected));"""
_IS_JOB = f"NEW.source <> '{WALKS}'"


def _words(names: Collection[str]) -> str:
    return "(" + ", ".join(f"'{name}'" for name in sorted(names)) + ")"


def triggers(types: Collection[str]) -> Mapping[str, str]:
    """Name -> text of the triggers that write notices of these types."""
    made: dict[str, str] = {}

    def add(name: str, event: str, when: str, act: str) -> None:
        made[f"notice_{name}"] = f"CREATE TRIGGER notice_{name} AFTER {event} WHEN {when} BEGIN {act.replace('{columns}', _COLUMNS)} END"

    if states := [one for one in STATES if f"delivery.{one}" in types]:
        act = _DELIVERY.replace("{type}", "'delivery.' || NEW.state")
        changed = "NEW.state <> OLD.state AND OLD.state <> 'in_doubt'"
        add("delivery_ends", "UPDATE OF state ON delivery", f"{changed} AND NEW.state IN {_words(states)}", act)
        add("delivery_begins", "INSERT ON delivery", f"NEW.state IN {_words(states)}", act)
    if "delivery.resolved" in types:
        act = _DELIVERY.replace("{type}", "'delivery.resolved'")
        add("delivery_resolved", "UPDATE OF state ON delivery", "OLD.state = 'in_doubt' AND NEW.state <> 'in_doubt'", act)
    if reports := [one for one in REPORTS if f"delivery.{one}" in types]:
        act = """INSERT INTO notice {columns} VALUES ('delivery.' || NEW.kind, NEW.at, NEW.person, NEW.delivery, NULL, NULL,
            json_object('provider', NEW.provider, 'code', NEW.code, 'human', json(CASE NEW.human WHEN 1 THEN 'true' ELSE 'false' END)));"""
        add("feedback", "INSERT ON feedback", f"NEW.delivery <> 0 AND NEW.kind IN {_words(reports)}", act)
    _add_people(types, add)
    _add_jobs(types, add)
    return made


def _add_people(types: Collection[str], add: Any) -> None:
    if "recipient.enrolled" in types:
        act = _WALK.replace("{word}", "'enrolled'").replace("{at}", "NEW.entered_at")
        add("walk_begins", "INSERT ON walk", "NEW.state = 'open'", act)
        add("walk_opens", "UPDATE OF state ON walk", "OLD.state = 'planned' AND NEW.state = 'open'", act)
    if ends := [one for one in ("exited", "converted") if f"recipient.{one}" in types]:
        act = _WALK.replace("{word}", "NEW.state").replace("{at}", "NEW.ended_at")
        add("walk_ends", "UPDATE OF state ON walk", f"NEW.state <> OLD.state AND NEW.state IN {_words(ends)}", act)
    if "recipient.unsubscribed" in types:
        add("consent_given", "INSERT ON consent", "NEW.state = 'withdrawn'", _CONSENT)
        add("consent_changed", "UPDATE OF state ON consent", "NEW.state = 'withdrawn' AND OLD.state <> 'withdrawn'", _CONSENT)
    if "recipient.erased" in types:
        act = "INSERT INTO notice {columns} VALUES ('recipient.erased', NEW.updated_at, NEW.id, NULL, NULL, NULL, NULL);"
        add("erased", "UPDATE OF erased ON recipient", "NEW.erased = 1 AND OLD.erased = 0", act)


def _add_jobs(types: Collection[str], add: Any) -> None:
    if "job.accepted" in types:
        read = "NEW.expanded = 1 AND OLD.expanded = 0 AND NEW.state IN ('accepted', 'paused')"
        freed = "OLD.state = 'held' AND NEW.state = 'accepted'"
        act = _JOB.replace("{word}", "accepted").replace("{at}", "NULL")
        add("job_accepted", "UPDATE OF state, expanded ON job", f"{_IS_JOB} AND ({read} OR {freed})", act)
    if "job.held" in types:
        act = _JOB.replace("{word}", "held").replace("{at}", "NULL")
        add("job_held", "UPDATE OF state ON job", f"{_IS_JOB} AND NEW.state = 'held' AND OLD.state <> 'held'", act)
    if "job.finished" in types:
        act = _JOB.replace("{word}", "finished").replace("{at}", "NEW.finished_at")
        when = f"{_IS_JOB} AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL"
        add("job_finished", "UPDATE OF finished_at ON job", when, act)


class Progress(NamedTuple):
    """How far a target was told; a row of `notice_target`."""

    name: str
    cursor: int
    tries: int = 0
    again_at: Instant | None = None
    failing_since: Instant | None = None
    error: str | None = None
    told: int = 0
    lost: int = 0


class Notice(NamedTuple):
    """One fact, with the names that belong to it."""

    id: int
    type: str
    at: Instant
    detail: str | None
    delivery: int | None
    person: int | None
    recipient: str | None
    job: str | None
    campaign: str | None
    version: int | None
    step: str | None
    variant: str | None
    channel: str | None
    noted_at: Instant


class Look(NamedTuple):
    """`top`: the newest notice that was noted; `more`: there are newer ones, which were not."""

    top: int
    more: bool


_THERE = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'notice_%'")
_T = s.notice_target.c
_N = s.notice.c
_TARGETS = select(*(_T[name] for name in Progress._fields)).order_by(_T.name)
_TOP = select(func.coalesce(func.max(_N.id), 0))
_FIRST = select(func.min(_N.id))
_FIRST_NEW = select(func.min(_N.id)).where(_N.noted_at.is_(null()))
_NOTE = (
    update(s.notice)
    .where(_N.noted_at.is_(null()), _N.id <= bindparam("b_to"))
    .values(noted_at=bindparam("b_now"), at=func.coalesce(_N.at, bindparam("b_now")))
)
_NEW = insert(s.notice_target)
_SAVE = (
    update(s.notice_target)
    .where(_T.name == bindparam("b_name"))
    .values({name: bindparam(f"b_{name}") for name in Progress._fields if name != "name"})
)
_SAVE_NAMES = tuple(f"b_{name}" for name in Progress._fields)
_LEAST = select(func.min(_T.cursor))
_PRUNE = delete(s.notice).where(_N.id <= bindparam("b_to"))
_VERSION: Any = func.coalesce(s.delivery.c.version, s.walk.c.version, s.job.c.version)
_OF: Any = func.coalesce(s.wave.c.campaign, s.walk.c.campaign, s.job.c.campaign)
_PAGE = (
    select(
        _N.id, _N.type, _N.at, _N.detail, _N.delivery, _N.person, s.recipient.c.key.label("recipient"), s.job.c.key.label("job"),
        s.campaign.c.name.label("campaign"), _VERSION.label("version"), s.wave.c.step, s.delivery.c.variant, s.wave.c.channel,
        _N.noted_at,
    )
    .select_from(s.notice)
    .outerjoin(s.recipient, s.recipient.c.id == _N.person)
    .outerjoin(s.delivery, s.delivery.c.id == _N.delivery)
    .outerjoin(s.wave, s.wave.c.id == s.delivery.c.wave)
    .outerjoin(s.walk, s.walk.c.id == _N.walk)
    .outerjoin(s.job, s.job.c.id == func.coalesce(_N.job, s.delivery.c.job))
    .outerjoin(s.campaign, s.campaign.c.id == _OF)
    .where(_N.id > bindparam("after"), _N.id <= bindparam("to"), in_list(_N.type, "types"))
    .order_by(_N.id)
)  # fmt: skip


def watch(conn: Connection, targets: Sequence[str], types: Collection[str]) -> list[Progress]:
    """From now on write notices of these types for these targets; a new one is told what happens from here on, one that is gone loses
    its place. Nobody to tell: no trigger is left."""
    wanted = triggers(types) if targets else {}
    there = dict(map(tuple, conn.execute(_THERE)))
    for name, sql in there.items():
        if wanted.get(name) != sql:
            conn.execute(text(f"DROP TRIGGER {name}"))
    for name, sql in wanted.items():
        if there.get(name) != sql:
            conn.execute(text(sql))
    known = {row.name for row in rows(conn, _TARGETS)}
    if gone := known - set(targets):
        conn.execute(delete(s.notice_target).where(in_list(_T.name, "names")), {"names": ids(sorted(gone))})
    top = newest(conn)
    many(conn, _NEW, ("name", "cursor"), [(name, top) for name in targets if name not in known])
    return progresses(conn)


def watched(conn: Connection) -> bool:
    """Is there anything left of a `watch`?"""
    return conn.execute(_THERE).first() is not None or bool(fetch(conn, _TARGETS)) or bool(value(conn, _FIRST))


def progresses(conn: Connection) -> list[Progress]:
    return [Progress._make(row) for row in fetch(conn, _TARGETS)]


def newest(conn: Connection) -> int:
    return int(value(conn, _TOP))


def look(conn: Connection) -> Look:
    fresh = value(conn, _FIRST_NEW)
    return Look(newest(conn), False) if fresh is None else Look(int(fresh) - 1, True)


def note_notices(conn: Connection, now: Instant) -> None:
    """Note a stretch of new ones; facts without an instant of their own are of now."""
    fresh = value(conn, _FIRST_NEW)
    if fresh is not None:
        many(conn, _NOTE, ("b_now", "b_to"), [(now, int(fresh) + PRUNED)])


def read_page(conn: Connection, after: int, to: int, types: Collection[str]) -> list[Notice]:
    """Those of these types behind `after`, up to `to`, in their order."""
    found = fetch(conn, _PAGE, ("after", "to", "types"), (after, to, ids(sorted(types))))
    return [Notice._make(row) for row in found]


def save_progress(conn: Connection, progress: Progress) -> None:
    """Keep how far a target was told; nothing for one that is not watched any more."""
    many(conn, _SAVE, _SAVE_NAMES, [tuple(progress)])


def prune_notices(conn: Connection) -> bool:
    """Remove what every target is done with, a stretch of it, but for the newest. True: there is more."""
    first, top, least = value(conn, _FIRST), newest(conn), value(conn, _LEAST)
    if first is None:
        return False
    end = min(top - 1, top if least is None else int(least))
    if end < first:
        return False
    many(conn, _PRUNE, ("b_to",), [(min(end, first + PRUNED),)])
    return bool(end > first + PRUNED)


def detail_of(notice: Notice) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(notice.detail) if notice.detail else {}
    return found
