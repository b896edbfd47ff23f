"""What a channel answers at once leaves the store as claim, handover and outcome do, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.store import schema as s
from daemon.store.at_once import Answer, Answers, settle_at_once
from daemon.store.claim import Claimed
from daemon.store.flight import Kind, Result, grant, record
from daemon.store.follow import Then
from daemon.store.recover import begin
from daemon.store.spend import Cost, add_costs
from daemon.store.writer import Lane, Store
from tests.store.conftest import NOW, World, add_job

TABLES = ("delivery", "flight", "touch", "due", "attempt", "suppression", "spend", "reason_history", "recipient", "lane", "push_subscription")
GONE = b"a browser"
HELD = '{"verdict":"hold"}'


def told(claimed: Claimed) -> Answer | None:
    """By the recipient: the fates that there are."""
    row = claimed.row
    make = partial(Result, row.delivery, claimed.epoch)
    match row.person % 8:
        case 0:
            return Answer()
        case 1:
            return Answer(make(Kind.ACCEPTED), Cost("relay", 20_000, "USD", 40_000, 2))
        case 2:
            return Answer(make(Kind.REJECTED, scope="address", code="bounced", detail="no such user"))
        case 3:
            return Answer(make(Kind.HELD, reason=Reason.RENDER_ERROR, burnt=False, decision=HELD), handed=False)
        case 4:
            return Answer(make(Kind.DEFERRED, reason=Reason.SPEND_LIMIT, again_at=NOW + 77, burnt=False, decision=HELD), handed=False)
        case 5:
            return Answer(make(Kind.ACCEPTED, then=Then([("sms", NOW + 900)], 3_600_000_000, escalates=True)))
        case 6:
            return Answer(make(Kind.REJECTED, scope="message"), Cost("relay", 20_000, "USD", 10_000, 1))
        case 7 if row.person % 3 == 0:
            return Answer(make(Kind.ACCEPTED, gone=[GONE]))
    return None


def furnish(conn: Connection) -> None:
    """Two jobs of a hundred and sixty people; second copies of some."""
    add_job(conn, 1, people=range(100, 260))
    add_job(conn, 2, people=[100, 101, 102], first_id=1000)
    conn.execute(update(s.delivery).where(s.delivery.c.id.between(3, 8)).values(key="doubt", handed_over_at=NOW - 9, attempts=1))
    conn.execute(insert(s.queue).values(name="q", paused=0, guard=3))
    conn.execute(insert(s.push_subscription).values(hash=GONE, person=100, address="{}", created_at=NOW, last_seen_at=NOW))


def content(conn: Connection) -> dict[str, list[str]]:
    found = {name: sorted(map(repr, conn.exec_driver_sql(f"SELECT * FROM {name}"))) for name in TABLES}
    found["tally"] = sorted(map(repr, conn.exec_driver_sql("SELECT * FROM tally WHERE n <> 0")))
    return found


async def at_once(world: World, answers: Answers) -> Sequence[Claimed]:
    settle = partial(settle_at_once, answers=answers, now=NOW, owner=1)
    return (await world.store.write(Lane.CLAIM, partial(world.claim_now, settle=settle), 1000)).claimed


async def by_and_by(world: World, answer: Callable[[Claimed], Answer | None]) -> Sequence[Claimed]:
    """As a line does it, at one instant."""
    claimed = (await world.claim(1000)).claimed
    answered = [(one, found) for one in claimed if (found := answer(one)) is not None]

    def settle(conn: Connection) -> None:
        handed = [(one, found) for one, found in answered if found.handed]
        granted = grant(conn, {(one.row.delivery, one.epoch) for one, _ in handed}, NOW, shut=False, refused_at=NOW)
        assert len(granted) == len(handed)
        add_costs(conn, [found.cost for _, found in handed if found.cost is not None])
        record(conn, [found.result or Result(one.row.delivery, one.epoch, Kind.ACCEPTED) for one, found in answered], NOW)

    await world.store.write(Lane.HANDOVER, settle)
    return [one for one in claimed if answer(one) is None]


def some_may(row: Any) -> Decision:
    if row.person % 9 == 5:
        return Decision(verdict=Verdict.DEFER, reason=Reason.CAP_REACHED, until=NOW + 5)
    return Decision(verdict=Verdict.SEND, closes=NOW + 60_000_000)


@pytest.mark.parametrize("uncapped", [False, True])
async def test_at_once_leaves_what_the_long_way_leaves(uncapped: bool) -> None:
    """Accepted, priced, refused, held, put off, followed, one with a dead browser, and not asked about at all: each table is the same, row by row."""
    left = []
    for way in (lambda world: at_once(world, lambda going, *_: [told(one) for one in going]), lambda world: by_and_by(world, told)):
        store = Store.open()
        await store.write(Lane.BULK, begin, NOW, "node", "nonce")
        world = World(store)
        world.decide, world.uncapped = some_may, uncapped
        await store.write(Lane.BULK, furnish)
        rest = await way(world)
        left.append((await store.write(Lane.BULK, content), sorted(one.row.delivery for one in rest)))
        await store.close()
    assert left[0] == left[1]
    states = [state for state in ("accepted", "rejected", "held", "due", "in_doubt") if any(f"'{state}'" in row for row in left[0][0]["delivery"])]
    assert len(states) == 5
    assert left[0][1]
    assert left[0][0]["push_subscription"] == []
