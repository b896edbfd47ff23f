"""The suppression list as rows: keyed hashes of addresses that get nothing, or no marketing. No address is kept here.

A suppression is in force at its commit: whoever is claimed just now under that address is refused at the handover. A wider
one (all) replaces a narrower one (marketing), never the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, literal_column, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason
from daemon.store import schema as s
from daemon.store.flight import raise_guards
from daemon.store.sql import many
from daemon.store.unsubscribe import STOP

MARKETING, ALL = "marketing", "all"
ANY_CHANNEL = "*"


class SuppressionEntry(NamedTuple):
    """What is to be suppressed. `scope`: marketing | all."""

    hash: bytes
    channel: str
    scope: str
    reason: str
    at: Instant
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRow:
    """One row of the list."""

    hash: bytes
    channel: str
    scope: str
    reason: str
    at: Instant
    source: str | None


_insert = upsert(s.suppression)
_ADD = _insert.on_conflict_do_update(
    index_elements=[s.suppression.c.hash, s.suppression.c.channel],
    set_={name: _insert.excluded[name] for name in ("scope", "reason", "at", "source")},
    where=or_(
        (s.suppression.c.scope == literal_column(f"'{MARKETING}'")) & (_insert.excluded.scope == literal_column(f"'{ALL}'")),
        # what a STOP made, a START would lift, and a sunset an order: who else suppresses it takes it over
        s.suppression.c.source.like(literal_column(f"'{STOP}%'")) & (s.suppression.c.reason == _insert.excluded.reason),
        (s.suppression.c.reason == literal_column(f"'{Reason.SUNSET.value}'")) & (_insert.excluded.reason != s.suppression.c.reason),
    ),
)


def add_suppressions(conn: Connection, entries: Sequence[SuppressionEntry]) -> int:
    """Suppress them. Returns how many rows are new or were widened; the others were there."""
    added = many(conn, _ADD, SuppressionEntry._fields, entries)
    raise_guards(conn, [entry.hash for entry in entries])
    return added


def remove_suppression(conn: Connection, hash: bytes, channel: str | None) -> list[SuppressionRow]:
    """Lift it, for one channel or (None) all. Returns the rows that were there, for the log."""
    where = [s.suppression.c.hash == hash] + ([s.suppression.c.channel == channel] if channel is not None else [])
    gone = [SuppressionRow(**row) for row in conn.execute(select(s.suppression).where(*where)).mappings()]
    conn.execute(delete(s.suppression).where(*where))
    return gone


def list_suppressions(conn: Connection, after: tuple[bytes, str] | None, limit: int) -> list[SuppressionRow]:
    """At most `limit` rows after a (hash, channel), in that order."""
    query = select(s.suppression).order_by(s.suppression.c.hash, s.suppression.c.channel).limit(limit)
    if after is not None:
        query = query.where(tuple_(s.suppression.c.hash, s.suppression.c.channel) > after)
    return [SuppressionRow(**row) for row in conn.execute(query).mappings()]
