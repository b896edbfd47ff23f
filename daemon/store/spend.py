"""What was handed over will cost: sums by provider, local day and currency, written in the handover's own transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.store import schema as s
from daemon.store.sql import many


class Cost(NamedTuple):
    """What one message costs: `day` = days since 1970 of the local date it counts for, `micros` = millionths of `currency`."""

    provider: str
    day: int
    currency: str
    micros: int
    parts: int


_insert = upsert(s.spend)
_ADD = _insert.on_conflict_do_update(
    index_elements=[s.spend.c.provider, s.spend.c.day, s.spend.c.currency],
    set_={"micros": s.spend.c.micros + _insert.excluded.micros, "parts": s.spend.c.parts + _insert.excluded.parts},
)
_SINCE = (
    select(s.spend.c.day, s.spend.c.currency, s.spend.c.micros, s.spend.c.parts)
    .where(s.spend.c.provider == bindparam("provider"), s.spend.c.day >= bindparam("day"))
    .order_by(s.spend.c.day)
)


def add_costs(conn: Connection, costs: Iterable[Cost]) -> None:
    """These were handed over."""
    sums: dict[tuple[str, int, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for cost in costs:
        micros, parts = sums[cost[:3]]
        sums[cost[:3]] = micros + cost.micros, parts + cost.parts
    many(conn, _ADD, Cost._fields, [(*key, *each) for key, each in sorted(sums.items())])


def load_spend(conn: Connection, provider: str, day: int) -> dict[tuple[int, str], tuple[int, int]]:
    """(day, currency) -> (micros, parts) from a day on."""
    return {(row.day, row.currency): (row.micros, row.parts) for row in conn.execute(_SINCE, {"provider": provider, "day": day})}
