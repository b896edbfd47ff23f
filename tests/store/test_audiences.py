"""Desired and acknowledged sets: whatever is wanted, cut off, refused and changed in whatever order, the platform ends with what is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from daemon.errors import GuardRefusedError
from daemon.store import audience_batches as b
from daemon.store import audience_results as results
from daemon.store import audiences as a
from daemon.store import schema as s
from daemon.store.audience_read import read_audiences
from daemon.store.engine import open_writer, prepare
from daemon.store.jobs import cancel_job
from daemon.store.writer import Lane
from tests.store.conftest import World, add_job

NOW = 1_780_000_000_000_000
PEOPLE = 6


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = open_writer(None)
    prepare(engine)
    with engine.connect() as it, it.begin():
        yield it
    engine.dispose()


class Platform:
    """A set of handles, and the daemon's side of a batch, in as few words as possible. `deliver`: the answer gets lost, or not."""

    def __init__(self, conn: Connection) -> None:
        self.conn, self.holds, self.now, self.version = conn, set[bytes](), NOW, dict.fromkeys(range(1, PEOPLE + 1), 0)
        self.audience = a.open_audience(conn, 1, "meta", "x", origin=a.DOOR, description="", now=NOW)
        self.batch: b.Batch | None = None
        for person in self.version:
            conn.execute(s.recipient.insert().values(
                id=person, key=f"c-{person}", email="e", email_hash=self.hash(person), guard=0, erased=0, created_at=NOW, updated_at=NOW
            ))  # fmt: skip

    def hash(self, person: int) -> bytes:
        return f"{person}:{self.version[person]}".encode().ljust(16, b".")

    def want(self, person: int) -> None:
        a.put_members(self.conn, [a.Want(self.audience, person, None)], topic=None, rule="implied", now=self.now)

    def unwant(self, person: int) -> None:
        a.unwant_members(self.conn, [a.Leaving(self.audience, person, "exited")], self.now)

    def move(self, person: int) -> None:
        """The person has a new address."""
        self.version[person] += 1
        values = {"email_hash": self.hash(person), "guard": s.recipient.c.guard + 1}
        self.conn.execute(s.recipient.update().where(s.recipient.c.id == person).values(values))

    def watch(self) -> None:
        strays = a.find_strays(self.conn, self.audience, -1, 100, self.now)
        a.judge_strays(self.conn, self.audience, strays, topic=None, rule="implied", ended=(), now=self.now)

    def fill(self, most: int) -> None:
        """Begin a batch, if none is open."""
        if self.open() is not None:
            return
        waiting = b.next_audience(self.conn, "meta", self.now, busy={}, kinds=(0, 1))
        if waiting is None:
            return
        number = b.make_batch(self.conn, waiting.audience, waiting.adds, session=1, total=1, now=self.now)
        found = b.waiting_members(self.conn, waiting.audience, waiting.adds, -1, most)
        going = [
            b.Boarding(rider.person, a.address_of(rider.email_hash, None), self.hash(rider.person) if waiting.adds else rider.handle or b"")
            for rider in found
        ]
        assert b.board(self.conn, number, waiting.audience, waiting.adds, going) == len(found)
        b.seal(self.conn, number, last=True)

    def open(self) -> b.Batch | None:
        return next((batch for batch in b.open_batches(self.conn, "meta") if batch.state == b.READY), None)

    def send(self, *, answered: bool) -> None:
        """As the exchange does: who has changed since is not sent again, but counts as taken. The last person is never taken."""
        batch = self.open()
        if batch is None:
            return
        for rider in b.riders(self.conn, batch.id, -1, 100):
            if not batch.adds:
                self.holds.discard(rider.handle or b"")
            elif rider.person == PEOPLE:
                if answered:
                    b.refuse_members(self.conn, self.audience, [(rider.person, rider.address, "bad")])
            elif rider.want and rider.address == a.address_of(rider.email_hash, None):
                self.holds.add(rider.handle or b"")
        if answered:
            b.note_taken(self.conn, batch, request=None, received=None, invalid=0, detail=None, now=self.now, poll_at=None)
            while b.settle_some(self.conn, batch.id, 2, self.now, awaited=False):
                pass
            results.end_batch(self.conn, batch.id)

    def drain(self) -> None:
        for _ in range(40):
            self.watch()
            self.fill(100)
            self.send(answered=True)

    def wanted(self) -> set[bytes]:
        rows = self.conn.execute(text("SELECT person FROM audience_member WHERE want = 1 AND state <> 6"))
        return {self.hash(row.person) for row in rows}


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["want", "want", "unwant", "move"]), st.integers(1, PEOPLE)),
        st.tuples(st.just("fill"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["answered", "lost", "lost", "watch"]), st.just(0)),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One for all examples: each is undone."""
    made = open_writer(None)
    prepare(made)
    yield made
    made.dispose()


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("HOMING_AUDIENCES", "300")), deadline=None)
@example([("want", 1), ("fill", 1), ("move", 1), ("watch", 0)])
@example([("want", 1), ("fill", 1), ("unwant", 1), ("answered", 0), ("want", 1)])
@example([("want", 1), ("fill", 1), ("answered", 0), ("move", 1), ("want", 1)])
@given(_STEPS)
def test_the_platform_ends_with_what_is_wanted(engine: Engine, steps: list[tuple[str, int]]) -> None:
    """Any order of wishes, new addresses, batches whose answers get lost, and refusals; nobody whom nobody wants is left behind there."""
    with engine.connect() as conn, conn.begin() as transaction:
        platform = Platform(conn)
        for what, number in steps:
            platform.now += 1
            if what in ("want", "unwant", "move"):
                getattr(platform, what)(number)
            elif what == "fill":
                platform.fill(number)
            elif what == "watch":
                platform.watch()
            else:
                platform.send(answered=what != "lost")
        platform.drain()
        assert platform.holds == platform.wanted()
        assert b.next_audience(conn, "meta", platform.now, busy={}, kinds=(0, 1)) is None
        transaction.rollback()


def test_a_failed_result_undoes_and_three_in_a_row_give_up(conn: Connection) -> None:
    """Those added wait again, those removed too; in the end they are listed."""
    platform = Platform(conn)
    for person in (1, 2):
        platform.want(person)
    for failures in range(1, 4):
        platform.fill(10)
        batch = platform.open()
        assert batch is not None
        b.note_taken(conn, batch, request="r", received=None, invalid=0, detail=None, now=NOW, poll_at=NOW)
        while b.settle_some(conn, batch.id, 10, NOW, awaited=True):
            pass
        results.fail_batch(conn, batch, detail="no", next_at=NOW)
        [again] = b.open_batches(conn, "meta")
        assert again.state == (b.FAILED if failures < 3 else b.GIVEN_UP)
        while results.let_go_some(conn, batch.id, 10, NOW, undone=True, refused=None if failures < 3 else "failed_by_platform"):
            pass
        results.end_batch(conn, batch.id)
    [view] = read_audiences(conn)
    assert (view.wanted, view.acknowledged, view.pending, view.refused) == (2, 0, 0, {"failed_by_platform": 2})


@pytest.mark.parametrize("channel", ["email", "*"])
def test_whoever_is_suppressed_meanwhile_is_seen_by_the_watch(conn: Connection, channel: str) -> None:
    """Nobody raises the guard of those who are not being written to just then."""
    platform = Platform(conn)
    for person in (1, 2):
        platform.want(person)
    platform.drain()
    conn.execute(s.suppression.insert().values(hash=platform.hash(2), channel=channel, scope="marketing", reason="complained", at=NOW))
    platform.drain()
    assert platform.holds == platform.wanted() == {platform.hash(1)}


def test_a_series_goes_on_until_its_last_batch_and_for_eighty_minutes(conn: Connection) -> None:
    """Meta counts the batches of a session, and forgets it after ninety minutes."""
    platform = Platform(conn)

    def begin(session: int, at: int) -> tuple[int, int]:
        number = b.make_batch(conn, platform.audience, 1, session=session, total=5, now=at)
        row = conn.execute(text("SELECT session, sequence FROM audience_batch WHERE id = :i"), {"i": number}).one()
        return row.session, row.sequence

    assert begin(7, NOW) == (7, 1)
    assert begin(8, NOW + 60_000_000) == (7, 2)
    assert begin(9, NOW + 81 * 60_000_000) == (9, 1)
    conn.execute(text("UPDATE audience_batch SET last = 1"))
    assert begin(10, NOW + 82 * 60_000_000) == (10, 1)


def test_two_campaigns_with_one_name_have_two_sets_at_the_platform(conn: Connection) -> None:
    """Else the one would take out whom the other put in."""
    conn.execute(s.campaign.insert().values(id=2, name="cart", status="active", version=1))
    platform = Platform(conn)
    other = a.open_audience(conn, 2, "meta", "x", origin=a.WALK, description="", now=NOW)
    platform.want(1)
    a.put_members(conn, [a.Want(other, 2, None)], topic=None, rule="implied", now=NOW)
    names = []
    for _ in range(2):
        waiting = b.next_audience(conn, "meta", NOW, busy=dict.fromkeys((0, 1), names and [platform.audience]), kinds=(0, 1))
        assert waiting is not None
        names.append(waiting.name)
    assert names == ["x", "x (cart)"]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (b._WAITING, "audience_member_pending"), (b._NEXT, "audience_member_pending"), (b._COUNT, "audience_member_pending"),
        (b._ABOARD, "audience_member_batch"), (b._TAKEN, "audience_member_batch"), (results._HELD, "audience_member_batch"),
        (b._UNWANTED, "audience_member_batch"),
        (a._WHERE_IN, "audience_member_person"),
    ],
)
def test_hot_statements_use_their_index(conn: Connection, statement: Any, index: str) -> None:
    """A million members are never walked for a batch."""
    compiled = statement.compile(dialect=conn.dialect, compile_kwargs={"render_postcompile": True})
    bound = tuple("[1]" if name == "persons" else 1 for name in compiled.positiontup)  # bound, as they are in truth: a partial index must hold
    plan = " ".join(str(row[3]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", bound))
    assert index in plan, plan


async def test_a_claim_knows_the_stays_and_counts_no_act_of_putting_in(world: World) -> None:
    """Days in an audience count by the members' rows; the delivery that put somebody there is no touch beside them."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])

    def stay(conn: Connection) -> None:
        audience = a.open_audience(conn, 1, "meta", "x", origin=a.DOOR, description="", now=NOW)
        a.put_members(conn, [a.Want(audience, 7, None)], topic=None, rule="implied", now=NOW - 5)
        for channel in ("audience", "email"):
            conn.execute(s.touch.insert().values(person=7, at=NOW - 9, delivery=len(channel), channel=channel, campaign=1))

    await world.store.write(Lane.BULK, stay)
    await world.claim()
    known = world.seen_known[7]
    assert known.stays == [(NOW - 5, None, "c1")]
    assert [touch.channel for touch in known.touches] == ["email"]
    await world.store.write(Lane.BULK, a.leave_audiences, [7], "converted", NOW)
    [(left,)] = await world.sql("SELECT left_at FROM audience_member")
    assert left == NOW


async def test_a_cancelled_job_takes_its_people_out_again(world: World) -> None:
    """Whom it put in, before it was cancelled or just after; not whom a later job, or a walk, wants in."""
    for number, person in ((1, 7), (2, 8)):
        await world.store.write(Lane.BULK, add_job, number, people=[person], first_id=number)
    await world.store.write(Lane.BULK, add_job, 3, people=[9], first_id=3)

    def put(conn: Connection) -> int:
        audience = a.open_audience(conn, 0, "meta", "x", origin=a.DOOR, description="", now=NOW)
        for person, job in ((7, 1), (8, 1), (8, 2), (9, 0)):
            a.put_members(conn, [a.Want(audience, person, NOW + 99, job)], topic=None, rule="implied", now=NOW)
        return audience

    audience = await world.store.write(Lane.BULK, put)
    assert await world.store.read(a.find_strays, audience, -1, 100, NOW) == []
    await world.store.write(Lane.EXIT, cancel_job, "job-1")
    strays = await world.store.read(a.find_strays, audience, -1, 100, NOW)
    assert strays == [7]
    judge = {"topic": None, "rule": "implied", "ended": (), "now": NOW}
    assert await world.store.write(Lane.BULK, a.judge_strays, audience, [7, 8, 9], **judge) == 1
    assert await world.sql("SELECT person, reason FROM audience_member WHERE want = 0") == [(7, "operator")]
    await world.sql("UPDATE job SET state = 'finished', finished_at = 1 WHERE id = 2")
    with pytest.raises(GuardRefusedError):
        await world.store.write(Lane.EXIT, cancel_job, "job-2")  # it sent mail
    await world.sql("UPDATE wave SET channel = 'audience' WHERE campaign = 2")
    await world.store.write(Lane.EXIT, cancel_job, "job-2")
    assert await world.store.read(a.find_strays, audience, -1, 100, NOW) == [8]
    await world.store.write(Lane.BULK, a.judge_strays, audience, [8], **judge)
    assert await world.store.read(a.find_strays, audience, -1, 100, NOW) == []
