"""When campaigns, queues and jobs were paused, so that what came too late because of it can be told so.

A pause itself is a flag and a guard elsewhere (`operate`, `jobs`); here is its time alone, in the transaction of the operator's act. As
many rows as there were pauses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant
from daemon.policy.tz import utc_text
from daemon.store import schema as s
from daemon.store.facts import DueRow
from daemon.store.sql import fetch, ids, in_list, many

Kind = Literal["campaign", "queue", "job"]

_P = s.pause.c
_MINE = (_P.kind == bindparam("b_kind"), _P.name == bindparam("b_name"), _P.until.is_(None))
_RUNS = select(_P.since).where(*_MINE)
_BEGIN = upsert(s.pause).on_conflict_do_update(index_elements=[_P.kind, _P.name, _P.since], set_={"until": null()})
_END = update(s.pause).where(*_MINE).values(until=bindparam("b_now"))
_OF = select(_P.name, _P.since, _P.until).where(_P.kind == bindparam("kind"), in_list(_P.name, "names")).order_by(_P.name, _P.since)


def note_pause(conn: Connection, kind: Kind, name: str, now: Instant, *, paused: bool) -> None:
    """It is paused, or goes on, from `now` on; said again, it changes nothing."""
    if not paused:
        many(conn, _END, ("b_kind", "b_name", "b_now"), [(kind, name, now)])
    elif not fetch(conn, _RUNS, ("b_kind", "b_name"), (kind, name)):
        many(conn, _BEGIN, ("kind", "name", "since"), [(kind, name, now)])


def pauses_over(conn: Connection, rows: Collection[DueRow]) -> dict[int, Mapping[str, Any]]:
    """Of deliveries whose life is over: which pause was on when it ended, as facts. The first kind that there is; who had none is not
    named."""
    found: dict[int, Mapping[str, Any]] = {}
    kinds: tuple[tuple[Kind, Mapping[int, str]], ...] = (
        ("campaign", {row.delivery: row.campaign_name for row in rows}),
        ("queue", {row.delivery: row.queue for row in rows}),
        ("job", {row.delivery: row.job_key for row in rows}),
    )
    for kind, names in kinds:
        pauses = fetch(conn, _OF, ("kind", "names"), (kind, ids(sorted({*names.values()}))))
        for row in rows if pauses else ():
            ends = row.expires_at
            for name, since, until in pauses:
                if name == names[row.delivery] and since <= ends and (until is None or ends <= until):
                    stopped = {kind: name, "paused_at": utc_text(since)} | ({"resumed_at": utc_text(until)} if until is not None else {})
                    found.setdefault(row.delivery, stopped)
    return found
