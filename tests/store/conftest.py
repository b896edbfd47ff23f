"""A small world in a real SQLite file: one campaign, one job, people with a due delivery each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from daemon.model.delivery import Decision, State, Verdict
from daemon.store import engine as engines
from daemon.store import schema as s
from daemon.store.claim import Claimed, ClaimResult, Judged, Settle, claim_due
from daemon.store.due import put_due
from daemon.store.facts import DueRow, Known
from daemon.store.flight import Flights, Kind, Result, Step, last_commit
from daemon.store.follow import Then
from daemon.store.issues import Wanted
from daemon.store.lanes import DueLane
from daemon.store.recover import begin
from daemon.store.sql import many
from daemon.store.tallies import Tallies
from daemon.store.writer import Lane, Store

NOW = 1_780_000_000_000_000
LATER = NOW + 86_400_000_000
pytest.register_assert_rewrite("tests.store.machine", "tests.store.machine_acts", "tests.store.machine_model", "tests.store.machine_world")


def mint(pattern: str, walk: int, step: str, turn: int) -> str:
    """Codes that are easy to foretell."""
    return pattern.replace("########", f"{walk:04}{turn:04}")


@contextmanager
def in_memory() -> Iterator[Connection]:
    """A store of its own."""
    engine = engines.open_writer(None)
    engines.prepare(engine)
    with engine.connect() as conn:
        yield conn
    engine.dispose()


@pytest.fixture(scope="module")
def conn() -> Iterator[Connection]:
    """Of a store in memory, for the acts alone; one for a file of tests."""
    with in_memory() as conn:
        yield conn


def everybody_may(row: DueRow) -> Decision:
    return Decision(verdict=Verdict.SEND, closes=LATER)


class World:
    """The store and the acts a test plays with; `now` is moved by hand, `shut` closes the gate."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.shut = False
        self.epoch = 0
        self.flights = Flights(lambda: self.now, lambda now, highest: self.shut)
        self.decide: Callable[[DueRow], Decision] = everybody_may
        self.seen_known: dict[int, Known] = {}
        self.rivals: frozenset[int] = frozenset()
        self.uncapped = False
        self.offers: dict[int, Wanted] = {}
        self.then: Then | None = None

    def _judge(self, rows: Sequence[DueRow], known: Any, rivals: frozenset[int]) -> Sequence[Judged]:
        self.seen_known, self.rivals = dict(known), rivals
        states = {Verdict.SEND: State.CLAIMED, Verdict.DEFER: State.DUE, Verdict.HOLD: State.HELD, Verdict.DROP: State.DROPPED}
        return [
            Judged(row=row, decision=(d := self.decide(row)), state=states[d.verdict], zone="Asia/Jakarta", provider="relay", address_hash=row.email_hash, uncapped=self.uncapped,
                   offer=self.offers.get(row.delivery), then=self.then)
            for row in rows
            if row.delivery not in rivals
        ]  # fmt: skip

    async def claim(self, n: int = 100, *, share: Callable[[Sequence[DueLane]], Sequence[tuple[int, int]]] | None = None) -> ClaimResult:
        return await self.store.write(Lane.CLAIM, self.claim_now, n, share=share)

    def claim_now(
        self, conn: Connection, n: int = 100, *, share: Callable[[Sequence[DueLane]], Sequence[tuple[int, int]]] | None = None, contest: bool = True,
        settle: Settle | None = None,
    ) -> ClaimResult:  # fmt: skip
        """At `now`, or at the last commit where that is later: each commit has an instant of its own."""
        self.epoch += 1
        _, highest = last_commit(conn)
        return claim_due(
            conn, now=max(self.now, highest), owner=1, epoch=self.epoch, horizon=0, share=share or (lambda lanes: [(x.id, n) for x in lanes]),
            judge=self._judge, contest=contest, prepare=lambda versions, fetch: None, mint=mint,
            settle=settle,
        )  # fmt: skip

    async def step(self, outcomes: Sequence[Result] = (), grants: Sequence[Claimed] = ()) -> frozenset[int]:
        done = await self.store.join(
            Lane.HANDOVER, self.flights.step, Step(outcomes=outcomes, grants=[(c.row.delivery, c.epoch) for c in grants])
        )
        return done.granted

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        return await self.store.write(
            Lane.BULK,
            lambda conn: (
                [tuple(row) for row in conn.execute(text(statement), values)]
                if statement.lower().startswith("select")
                else [conn.execute(text(statement), values).rowcount]
            ),
        )

    async def state(self, delivery: int) -> tuple[str, str | None]:
        [(state, reason)] = await self.sql("SELECT state, reason FROM delivery WHERE id = :i", i=delivery)
        return state, reason

    async def tally(self) -> dict[tuple[str, str], int]:
        return {(state, reason): n for state, reason, n in await self.sql("SELECT state, reason, n FROM tally WHERE n <> 0")}


def outcome(claimed: Claimed, kind: Kind, **more: Any) -> Result:
    return Result(delivery=claimed.row.delivery, epoch=claimed.epoch, kind=kind, **more)


def add_job(
    conn: Connection,
    number: int,
    *,
    people: Sequence[int],
    priority: int = 50,
    queue: str = "q",
    first_id: int = 1,
    campaign: int | None = None,
) -> None:
    """A job whose people are all due at NOW; campaign = number unless given."""
    campaign = campaign or number
    if conn.execute(select(s.campaign.c.id).where(s.campaign.c.id == campaign)).first() is None:
        conn.execute(insert(s.campaign).values(id=campaign, name=f"c{campaign}", status="active", version=1))
    conn.execute(insert(s.job).values(
        id=number, key=f"job-{number}", queue=queue, campaign=campaign, version=1, digest="d", state="accepted", source="spool", received_at=NOW,
        head="{}", format="json", body="b", priority=priority, expanded=1,
    ))  # fmt: skip
    conn.execute(insert(s.wave).values(id=number, campaign=campaign, step="s", occurrence=number, channel="email"))
    alone = people[0] if len(people) == 1 else None
    conn.execute(insert(s.lane).values(id=number, queue=queue, job=number, priority=priority, channel="email", campaign=campaign, person=alone))
    tallies = Tallies()
    for offset, person in enumerate(people):
        if conn.execute(select(s.recipient.c.id).where(s.recipient.c.id == person)).first() is None:
            conn.execute(insert(s.recipient).values(
                id=person, key=f"p-{person}", email=f"p{person}@example.com", email_hash=b"h%d" % person, created_at=NOW, updated_at=NOW,
            ))  # fmt: skip
        many(conn, insert(s.delivery), ("id", "wave", "person", "job", "version", "state", "lane", "not_before", "expires_at"),
             [(first_id + offset, number, person, number, 1, "due", number, NOW, LATER)])  # fmt: skip
        put_due(conn, [(number, NOW, first_id + offset)])
        tallies.add(number, State.DUE, "")
    tallies.write(conn)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.BULK, begin, NOW, "node", "nonce")
    yield World(store)
    await store.close()
