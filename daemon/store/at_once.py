"""Claim, handover and outcome in one transaction: for channels that say what becomes of a message at once, since nothing leaves by them.

A rehearsal's. What is accepted so never becomes a flight: what its claim, its handover and its outcome would leave in the store is written
as it stands at the end, set by set. Everything else (refused, held, put off) is claimed, handed over and recorded by the acts that do so
for any channel, one after the other. A test compares both ways.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, literal_column, null, update

from daemon.model.delivery import Instant, State
from daemon.model.product import Product
from daemon.store import schema as s
from daemon.store.claim import Claimed, Profiles, Send, write_flights
from daemon.store.facts import DueRow
from daemon.store.flight import Kind, Result, grant, record
from daemon.store.follow import Then, follow
from daemon.store.issues import open_issues
from daemon.store.products import recommended
from daemon.store.spend import Cost, add_costs
from daemon.store.sql import POURED, ids, in_list, many, pour, pouring
from daemon.store.tallies import Tallies


class Answer(NamedTuple):
    """What became of one message. `result` None: accepted, with nothing to be said beside; `handed`: it was handed over, at this `cost`."""

    result: Result | None = None
    cost: Cost | None = None
    handed: bool = True


Products = Mapping[int, Sequence[Product]]
"""Person -> what may be recommended."""
Answers = Callable[[Sequence[Claimed], Profiles, Products], Sequence[Answer | None]]
"""(what goes, profiles and recommendations of those whose words ask for them) -> what became of each; None: its channel does not say so
at once."""

_TOUCH_NAMES = ("person", "at", "delivery", "channel", "campaign", "topic", "zone")
_INSERT_TOUCH = insert(s.touch)
_POURED_TOUCHES = pouring(s.touch, _TOUCH_NAMES)
_ACCEPTED = (
    update(s.delivery)
    .where(in_list(s.delivery.c.id, "ids"))
    .values(
        state=literal_column(f"'{State.ACCEPTED.value}'"), reason=null(), not_before=bindparam("now"),
        attempts=s.delivery.c.attempts + literal_column("1"), provider=bindparam("by"), provider_id=null(), handed_over_at=bindparam("now"),
        ended_at=bindparam("now"), key=null(),
    )
)  # fmt: skip


def settle_at_once(
    conn: Connection, sends: Sequence[Send], profiles: Profiles, *, answers: Answers, now: Instant, owner: int,
    names_products: Callable[[DueRow], bool] = lambda _: False,
) -> tuple[Sequence[Send], bool]:  # fmt: skip
    """Bring those to their end of which `answers` says what it is; what is left of them (store.claim.Settle)."""
    taken: list[tuple[Send, Answer]] = []
    told: list[tuple[Send, Answer]] = []
    rest: list[Send] = []
    naming = {send.item.row.person for send in sends if names_products(send.item.row)}
    products = recommended(conn, naming, now) if naming else {}
    for send, answer in zip(sends, answers([send.claimed for send in sends], profiles, products), strict=True):
        if answer is None:
            rest.append(send)
        elif ((result := answer.result) is None or (result.kind is Kind.ACCEPTED and not result.gone)) and not send.claimed.row.doubted:
            taken.append((send, answer))
        else:
            told.append((send, answer))
    followed = _accept(conn, taken, now) if taken else False
    if told:
        _record(conn, told, now, owner)
    return rest, followed or bool(told)


def _accept(conn: Connection, taken: Sequence[tuple[Send, Answer]], now: Instant) -> bool:
    """What claim, handover and record leave of them. Does something follow on another channel?"""
    touches: list[tuple[Any, ...]] = []
    by_provider: dict[str, list[int]] = defaultdict(list)
    opened: dict[int, Instant] = {}
    followed: dict[int, Then] = {}
    for (item, claimed, _), answer in taken:
        row = item.row
        touches.append((row.person, now, row.delivery, row.channel, row.campaign, item.topic, item.zone))
        by_provider[item.provider].append(row.delivery)
        if claimed.offer is not None:
            opened[claimed.offer.issue] = now
        if answer.result is not None and answer.result.then is not None:
            followed[row.delivery] = answer.result.then
    if len(touches) < POURED:
        many(conn, _INSERT_TOUCH, _TOUCH_NAMES, touches)
    else:
        pour(conn, _POURED_TOUCHES, touches)
    for provider, deliveries in by_provider.items():
        many(conn, _ACCEPTED, ("ids", "now", "by"), [(ids(deliveries), now, provider)])
    add_costs(conn, [answer.cost for _, answer in taken if answer.cost is not None])
    tallies = Tallies()
    for job, n in Counter([send.item.row.job for send, _ in taken]).items():
        tallies.move(job, State.DUE, "", State.ACCEPTED, "", n)
    tallies.write(conn)
    if opened:
        open_issues(conn, opened)
    follow(conn, followed, now)
    return bool(followed)


def _record(conn: Connection, told: Sequence[tuple[Send, Answer]], now: Instant, owner: int) -> None:
    """The long way."""
    write_flights(conn, [send for send, _ in told], now, owner)
    claims = [(send.claimed.row.delivery, send.claimed.epoch) for send, _ in told]
    wanted = {claim for claim, (_, answer) in zip(claims, told, strict=True) if answer.handed}
    if wanted:
        granted = grant(conn, wanted, now, shut=False, refused_at=now)
        add_costs(conn, [a.cost for claim, (_, a) in zip(claims, told, strict=True) if a.cost is not None and claim in granted])
    record(conn, [answer.result or Result(*claim, Kind.ACCEPTED) for claim, (_, answer) in zip(claims, told, strict=True)], now)
