"""Offers under everything that can happen to their messages: refused handovers, all outcomes, crashes, sweeps, orders, in any order.

Whatever the history: a code that a customer may have seen is never given to another one, books and pools add up, and in the end each
offer is where its message says.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, HOUR, Decision, Reason, Verdict
from daemon.model.offer import IssueState
from daemon.store import schema as s
from daemon.store.claim import Claimed
from daemon.store.codes import NewCode, add_codes, free_codes, pools_that_differ
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.facts import DueRow
from daemon.store.flight import Kind
from daemon.store.issues import Wanted, expire, issues_of, settle
from daemon.store.recover import begin
from daemon.store.redemptions import books, unbalanced
from daemon.store.writer import Lane, Store
from tests.store.conftest import LATER, NOW, World, add_job, outcome

PEOPLE, STEPS, ACTS = 4, 3, 60
SEEN = (Kind.ACCEPTED, Kind.UNKNOWN)


class History:
    """One random history. `seen`: code -> the walk whose customer may have it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng = world, random.Random(seed)
        self.hands: list[Claimed] = []
        self.flying: list[Claimed] = []
        self.seen: dict[str, int] = {}
        self.incarnation = 1

    async def lay_out(self) -> None:
        def fill(conn: Connection) -> None:
            for step in range(1, STEPS + 1):
                add_job(conn, step, people=range(1, PEOPLE + 1), first_id=step * 100, campaign=1)
                conn.exec_driver_sql(f"UPDATE wave SET step = 's{step}', occurrence = 1 WHERE id = {step}")
            conn.exec_driver_sql(f"UPDATE delivery SET expires_at = {LATER + 400 * DAY}")
            for person in range(1, PEOPLE + 1):
                conn.execute(insert(s.walk).values(
                    id=person, campaign=1, person=person, occurrence=1, version=1, state="open", entered_at=NOW, since_at=NOW, anchor_at=NOW,
                ))  # fmt: skip
            add_codes(conn, "winter", [NewCode(n, f"W-{n}", f"W-{n}") for n in range(1, 6)], NOW)

        await self.world.store.write(Lane.BULK, fill)

    async def act(self) -> None:
        acts = (self.claim, self.claim, self.hand_over, self.hand_over, self.record, self.record, self.sweep, self.buy, self.crash)
        await self.rng.choice(acts)()
        self.world.now += self.rng.randrange(1, 8) * HOUR
        await self.check()

    async def claim(self) -> None:
        """What a judge would find: the offer of its step, again where there is one; none left in the pool: held."""
        known = await self.world.store.read(issues_of, range(1, PEOPLE + 1))
        left = (await self.world.store.read(free_codes, ["winter"])).get("winter", 0)
        verdicts: dict[int, Decision] = {}
        self.world.offers = {}
        for step in range(1, STEPS + 1):
            for person in range(1, PEOPLE + 1):
                number, name = step * 100 + person - 1, f"s{step}"
                mine = next((one for one in known.get(person, ()) if one.step == name), None)
                want = Wanted(walk=person, step=name, person=person, campaign=1, offer=f"o{step}", rank=step, printed=self.world.now + DAY, valid=DAY, zone="UTC")
                again = mine is not None and mine.open_at(self.world.now)
                if mine is not None and not again and mine.state is not IssueState.RETURNED:
                    verdicts[number] = Decision(verdict=Verdict.DROP, reason=Reason.OFFER_EXPIRED)
                elif again and mine is not None:
                    self.world.offers[number] = want._replace(again=mine.id)
                elif step == 2:
                    self.world.offers[number] = want._replace(pattern="G-########")
                elif left > 0 and self.rng.random() < 0.7:
                    left -= 1
                    self.world.offers[number] = want._replace(pool="winter")
                else:
                    verdicts[number] = Decision(verdict=Verdict.DEFER, reason=Reason.NO_CODE, until=self.world.now + HOUR)

        def decide(row: DueRow) -> Decision:
            return verdicts.get(row.delivery, Decision(verdict=Verdict.SEND, closes=LATER + 400 * DAY))

        self.world.decide = decide
        self.hands += (await self.world.claim(self.rng.randrange(1, 6))).claimed

    async def hand_over(self) -> None:
        some, self.hands = self.hands[:3], self.hands[3:]
        self.world.shut = self.rng.random() < 0.3
        granted = await self.world.step(grants=some)
        self.world.shut = False
        self.flying += [one for one in some if one.row.delivery in granted]

    async def record(self) -> None:
        some, self.flying = self.flying[:2], self.flying[2:]
        told = []
        for one in some:
            kind = self.rng.choice((Kind.ACCEPTED, Kind.ACCEPTED, Kind.UNKNOWN, Kind.REJECTED, Kind.DEFERRED, Kind.HELD))
            told.append(outcome(one, kind, **({"again_at": self.world.now + HOUR} if kind is Kind.DEFERRED else {})))
            self.note(one, kind in SEEN)
        await self.world.step(outcomes=told)

    def note(self, one: Claimed, seen: bool) -> None:
        if seen and one.offer is not None and one.offer.code is not None:
            assert self.seen.setdefault(one.offer.code, one.row.person) == one.row.person, "a code that another customer has"

    async def sweep(self) -> None:
        await self.world.store.write(Lane.BULK, settle, 0, self.world.now)
        await self.world.store.write(Lane.BULK, expire, self.world.now)

    async def buy(self) -> None:
        codes = [code for (code,) in await self.world.sql("SELECT code FROM code")]
        name = self.rng.choice(("Order Completed", "Order Completed", "Order Cancelled"))
        said: dict[str, Any] = {"order_id": self.rng.randrange(4), "coupon": self.rng.choice(codes)}
        person = self.rng.randrange(1, PEOPLE + 1)
        row = EventRow(person, f"p-{person}", name, event_id(str(self.rng.random())), self.world.now, json.dumps(said))
        await self.world.store.write(Lane.EVENTS, take_events, [row], Shop(), self.world.now)

    async def crash(self) -> None:
        """Nobody records anything of what is claimed and on its way: the next incarnation finds it."""
        for one in self.flying:
            self.note(one, True)
        self.hands, self.flying = [], []
        self.incarnation += 1
        await self.world.store.write(Lane.BULK, begin, self.world.now, "node", "nonce")

    async def check(self) -> None:
        read = self.world.store.read
        assert not await read(pools_that_differ) and not unbalanced(await read(books))
        assert await self.world.sql("SELECT code FROM issue WHERE code IS NOT NULL GROUP BY code HAVING count(*) > 1") == []
        astray = "SELECT count(*) FROM issue LEFT JOIN code ON code.code = issue.code WHERE issue.code IS NOT NULL AND coalesce(code.issue, -1) <> issue.id"
        assert await self.world.sql(astray) == [(0,)], "a code knows whose it is"
        open_twice = "SELECT person FROM issue WHERE state = 'open' GROUP BY person, campaign HAVING count(*) > 1"
        assert await self.world.sql(open_twice) == []

    async def end(self) -> None:
        """After a last sweep nothing is set aside for a message that is over, and what a customer may have is in the books as given."""
        await self.crash()
        await self.sweep()
        await self.check()
        given = dict(await self.world.sql("SELECT code, walk FROM issue WHERE state IN ('open', 'redeemed', 'expired', 'replaced')"))
        assert {code: given.get(code) for code in self.seen} == self.seen


@pytest.mark.parametrize("seed", range(8))
async def test_no_history_gives_a_code_twice_or_loses_one(tmp_path: Path, seed: int) -> None:
    """Sixty acts at random, everything checked after each."""
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.BULK, begin, NOW, "node", "nonce")
    history = History(World(store), seed)
    try:
        await history.lay_out()
        for _ in range(ACTS):
            await history.act()
        await history.end()
        assert history.seen, "nothing happened"
    finally:
        await store.close()
