"""What the messages of campaigns with a budget cost: set aside by the claim, in its own transaction, once for each delivery.

So no two claims can share what is left. What was set aside stays so, whatever became of the message: some providers bill what they refuse,
and too little is spent rather than too much. A delivery that comes back is not counted again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many

_O, _D = s.outlay.c, s.outlaid.c
_SPENT = select(_O.campaign, _O.channel, _O.micros).where(in_list(_O.campaign, "campaigns"))
_COUNTED = select(_D.delivery).where(in_list(_D.delivery, "ids"))
_KEEP = upsert(s.outlaid).on_conflict_do_nothing()
_add = upsert(s.outlay)
_ADD = _add.on_conflict_do_update(index_elements=[_O.campaign, _O.channel], set_={"micros": _O.micros + _add.excluded.micros})


class Outlay(NamedTuple):
    """`spent`: (campaign, channel) -> millionths of the shop's currency; `counted`: those deliveries of the asked ones that are in it."""

    spent: Mapping[tuple[int, str], int]
    counted: frozenset[int]


class Cost(NamedTuple):
    """What one delivery costs, in millionths."""

    delivery: int
    campaign: int
    channel: str
    micros: int


def outlay_of(conn: Connection, campaigns: Collection[int], deliveries: Iterable[int]) -> Outlay:
    """What was set aside for these campaigns so far."""
    spent = {(campaign, channel): micros for campaign, channel, micros in fetch(conn, _SPENT, ("campaigns",), (ids(sorted(campaigns)),))}
    counted = frozenset(delivery for (delivery,) in fetch(conn, _COUNTED, ("ids",), (ids(deliveries),)))
    return Outlay(spent, counted)


def set_aside(conn: Connection, costs: Iterable[Cost]) -> None:
    """Count these; none of them is counted yet."""
    sums: dict[tuple[int, str], int] = defaultdict(int)
    mine = list(costs)
    for each in mine:
        sums[each.campaign, each.channel] += each.micros
    many(conn, _KEEP, ("delivery",), [(each.delivery,) for each in mine])
    many(conn, _ADD, ("campaign", "channel", "micros"), [(*key, micros) for key, micros in sorted(sums.items())])
