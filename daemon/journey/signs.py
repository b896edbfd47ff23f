"""JOURNEY, signs: what foretells that a customer does not come back: silence, growing gaps, falling opens and visits, tickets, returns.

Pure. All of one moment `then`, from what had happened by it, so that a model can learn from the past what followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from daemon.journey import events as e
from daemon.journey.alive import History, Model, p_order
from daemon.journey.events import Happening
from daemon.journey.profile import Order, in_order, orders_of
from daemon.model.delivery import DAY, Instant

MONTH = 30 * DAY
HORIZON_DAYS = 90.0
NAMES = (
    "silence", "lateness", "orders", "gap_growth", "discount_share", "return_share", "opens", "opens_trend", "visits", "visits_trend",
    "tickets",
)  # fmt: skip
SAYS = {
    "silence": "the pattern of orders says that none comes in 90 days",
    "lateness": "days since the last order, in gaps of one's own",
    "orders": "many orders",
    "gap_growth": "the last gap was longer than those before",
    "discount_share": "orders with a discount",
    "return_share": "orders that were returned",
    "opens": "messages opened or clicked in the last 30 days",
    "opens_trend": "more of them than in the 30 days before",
    "visits": "visits in the last 30 days",
    "visits_trend": "more of them than in the 30 days before",
    "tickets": "support tickets in the last 60 days",
}


def signs_of(
    happenings: Iterable[Happening], reactions: Iterable[Instant], visits: Sequence[Instant], model: Model, then: Instant
) -> tuple[float, ...] | None:  # fmt: skip
    """The signs in the order of NAMES. `happenings`: weighty events; `reactions`: opens and clicks of our messages. None: no orders by
    `then`."""
    known = in_order(row for row in happenings if row.at <= then)
    orders = orders_of([row for row in known if row.name in e.ORDERS])
    if not orders:
        return None
    opened = [row.at for row in known if row.name in (e.OPENED, e.CLICKED)] + [at for at in reactions if at <= then]
    tickets = sum(row.name == e.TICKET_OPENED and row.at > then - 2 * MONTH for row in known)
    silent = (then - orders[-1].at) / DAY
    gap, growth = _gaps(orders)
    history = History(len(orders) - 1, (orders[-1].at - orders[0].at) / DAY, (then - orders[0].at) / DAY)
    comes = min(max(p_order(model, history, HORIZON_DAYS), 1e-4), 1 - 1e-4)
    opens, more_opens = _trend(opened, then)
    seen, more_seen = _trend([at for at in visits if at <= then], then)
    return (
        math.log((1 - comes) / comes), math.log1p(silent / gap), math.log(len(orders)), growth,
        sum(order.discounted for order in orders) / len(orders), sum(order.refunded for order in orders) / len(orders),
        math.log1p(opens), more_opens, math.log1p(seen), more_seen, float(min(tickets, 5)),
    )  # fmt: skip


def _gaps(orders: Sequence[Order]) -> tuple[float, float]:
    """(Days between two on average, how much longer the last one was than that). Of a single order: a usual 60 days."""
    if len(orders) < 2:
        return 60.0, 0.0
    gap = max((orders[-1].at - orders[0].at) / DAY / (len(orders) - 1), 1.0)
    last = max((orders[-1].at - orders[-2].at) / DAY, 0.0)
    return gap, math.log((last + 1.0) / (gap + 1.0))


def _trend(instants: Sequence[Instant], then: Instant) -> tuple[int, float]:
    """(How many in the last 30 days, -1 all of them before .. 1 none before)."""
    late = sum(then - MONTH < at <= then for at in instants)
    early = sum(then - 2 * MONTH < at <= then - MONTH for at in instants)
    return late, (late - early) / (late + early + 1)
