"""Offers and their codes: set aside in the claim, opened with the outcome, given back when nothing went, redeemed by orders; the books."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, text

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, HOUR, Decision, Reason, Verdict
from daemon.store import schema as s
from daemon.store.codes import NewCode, add_codes, key_of, list_pools, pools_that_differ, wake_for_codes
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.facts import DueRow
from daemon.store.flight import Kind
from daemon.store.issues import Wanted, expire, forget_issues, issues_of, settle, to_settle
from daemon.store.recipients import person_id
from daemon.store.redemptions import books, strange_uses, unbalanced
from daemon.store.writer import Lane
from tests.store.conftest import LATER, NOW, World, add_job, outcome

CODES = ("WB-1", "wb-2", "WB-3")


def pooled(walk: int, **more: Any) -> Wanted:
    return Wanted(walk=walk, step="s", person=walk, campaign=1, offer="back15", rank=0, pool="winter", printed=NOW + 8 * DAY, valid=7 * DAY, zone="Asia/Jakarta")._replace(**more)


def generated(walk: int, **more: Any) -> Wanted:
    return pooled(walk, pool=None, pattern="WB-########", **more)


async def setting(world: World, people: int = 3, codes: tuple[str, ...] = CODES) -> None:
    """People 1.. with a due delivery and a walk each (of the same number), and a pool."""

    def fill(conn: Connection) -> None:
        add_job(conn, 1, people=range(1, people + 1))
        for person in range(1, people + 1):
            conn.execute(insert(s.walk).values(
                id=person, campaign=1, person=person, occurrence=1, version=1, state="open", entered_at=NOW, since_at=NOW, anchor_at=NOW,
            ))  # fmt: skip
        if codes:
            add_codes(conn, "winter", [NewCode(line, code.upper(), code) for line, code in enumerate(codes, 1)], NOW)

    await world.store.write(Lane.BULK, fill)


async def pool(world: World) -> tuple[int, int]:
    [found] = [each for each in await world.store.read(list_pools) if each.name == "winter"]
    assert not await world.store.read(pools_that_differ)
    return found.total, found.free


async def issue(world: World, walk: int) -> tuple[Any, ...]:
    rows = await world.sql("SELECT state, code, accepted_at, ends_at FROM issue WHERE walk = :w", w=walk)
    return rows[0] if rows else ()


async def test_a_claim_sets_codes_aside_in_the_order_of_the_import(world: World) -> None:
    """Two of three people: two codes, as they were written; the third is left."""
    await setting(world)
    world.offers = {1: pooled(1), 2: pooled(2)}
    claimed = (await world.claim()).claimed
    assert [(each.offer.code, each.offer.ends_at) if each.offer else None for each in claimed] == [("WB-1", NOW + 8 * DAY), ("wb-2", NOW + 8 * DAY), None]
    assert await pool(world) == (3, 1)
    assert (await issue(world, 1))[0] == "reserved"
    assert len({code for (code,) in await world.sql("SELECT code FROM issue")}) == 2


async def test_a_refused_handover_finds_the_same_code_again(world: World) -> None:
    """The gate is shut: the delivery is due again, and keeps its code; no second one is taken, whatever is offered meanwhile."""
    await setting(world)
    world.offers = {1: pooled(1)}
    first = (await world.claim(1)).claimed[0]
    world.shut = True
    assert await world.step(grants=[first]) == frozenset()
    world.shut = False
    [known] = (await world.store.read(issues_of, [1]))[1]
    world.offers = {1: pooled(1, again=known.id, printed=NOW + 9 * DAY)}
    again = (await world.claim(1)).claimed[0]
    assert again.offer is not None and first.offer is not None
    assert (again.offer.issue, again.offer.code, again.offer.ends_at) == (first.offer.issue, "WB-1", NOW + 9 * DAY)
    assert await pool(world) == (3, 2)


async def test_the_end_counts_from_the_acceptance(world: World) -> None:
    """Accepted two hours after the claim: open, until the end of the day seven days later where the recipient is, never before what was
    printed."""
    await setting(world)
    world.offers = {1: pooled(1, printed=NOW + 7 * DAY), 2: pooled(2, printed=NOW + 30 * DAY), 3: pooled(3, valid=None, printed=NOW + 3 * DAY)}
    claimed = (await world.claim()).claimed
    world.now = NOW + 2 * HOUR
    granted = await world.step(grants=claimed)
    assert len(granted) == 3
    await world.step(outcomes=[outcome(each, Kind.ACCEPTED) for each in claimed])
    at = (await issue(world, 1))[2]
    assert NOW + 2 * HOUR <= at < NOW + 3 * HOUR
    ends = [(await issue(world, walk))[3] for walk in (1, 2, 3)]
    assert at + 7 * DAY <= ends[0] <= at + 8 * DAY and (ends[0] + 7 * HOUR) % DAY == 0
    assert ends[1:] == [NOW + 30 * DAY, NOW + 3 * DAY]
    assert {(await issue(world, walk))[0] for walk in (1, 2, 3)} == {"open"}


@pytest.mark.parametrize(("kind", "state"), [(Kind.UNKNOWN, "open"), (Kind.REJECTED, "reserved"), (Kind.DEFERRED, "reserved")])
async def test_a_doubt_may_have_brought_the_offer(world: World, kind: Kind, state: str) -> None:
    """In doubt: open, for its reader may use it. A sure failure opens nothing."""
    await setting(world)
    world.offers = {1: pooled(1)}
    [claimed] = (await world.claim(1)).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, kind)])
    assert (await issue(world, 1))[0] == state


async def test_what_reached_nobody_is_given_back(world: World) -> None:
    """Rejected for good: the code is free, and the next one gets it. What waits to go again keeps its own."""
    await setting(world)
    world.offers = {1: pooled(1), 2: pooled(2), 3: generated(3)}
    one, two, three = (await world.claim()).claimed
    await world.step(grants=[one, two, three])
    await world.step(outcomes=[outcome(one, Kind.REJECTED), outcome(two, Kind.DEFERRED, again_at=NOW + HOUR), outcome(three, Kind.REJECTED)])
    done = await world.store.write(Lane.BULK, settle, 0, NOW + 1)
    assert done == (2, 0, 0, None)
    assert [(await issue(world, walk))[:2] for walk in (1, 2, 3)] == [("returned", None), ("reserved", "WB-2"), ("returned", None)]
    assert await pool(world) == (3, 2)
    assert await world.store.write(Lane.BULK, settle, 0, NOW + 2) == (0, 0, 0, None)
    assert await world.store.read(to_settle, NOW + 2), "one is set aside still"


async def test_offers_of_the_erased_are_not_taken_for_one_persons(world: World) -> None:
    """Nobody's any more, they stay as they are: what is accepted for one of them replaces no other's."""
    await setting(world)
    world.offers = {1: pooled(1), 2: pooled(2)}
    one, other, _ = (await world.claim()).claimed
    await world.step(grants=[one])
    await world.step(outcomes=[outcome(one, Kind.ACCEPTED)], grants=[other])
    await world.store.write(Lane.EXIT, lambda conn: forget_issues(conn, [1, 2]))
    await world.step(outcomes=[outcome(other, Kind.ACCEPTED)])
    assert [(await issue(world, number))[0] for number in (1, 2)] == ["open", "open"]


async def test_a_returned_offer_may_be_issued_once_more(world: World) -> None:
    """Another channel of the step: the same row, a code of the pool."""
    await setting(world)
    world.offers = {1: pooled(1)}
    [one] = (await world.claim(1)).claimed
    await world.step(grants=[one])
    await world.step(outcomes=[outcome(one, Kind.REJECTED)])
    await world.store.write(Lane.BULK, settle, 0, NOW + 1)
    world.offers = {2: pooled(1)}
    [two] = (await world.claim(1)).claimed
    assert two.offer is not None and one.offer is not None and two.offer.issue == one.offer.issue and two.offer.code == "WB-1"
    assert (await issue(world, 1))[0] == "reserved"


async def test_two_deliveries_of_a_step_share_the_offer(world: World) -> None:
    """Several channels at once: one issue, one code."""
    await setting(world)
    world.offers = {1: pooled(1), 2: pooled(1)}
    one, two, _ = (await world.claim()).claimed
    assert one.offer == two.offer
    assert await pool(world) == (3, 2)


async def test_a_crash_after_the_handover_opens_the_offer(world: World) -> None:
    """Nobody recorded the outcome: the sweep finds the doubt, and the end counts from the handover."""
    await setting(world)
    world.offers = {1: pooled(1)}
    [one] = (await world.claim(1)).claimed
    await world.step(grants=[one])
    await world.sql("UPDATE delivery SET state = 'in_doubt', handed_over_at = :at WHERE id = 1", at=NOW + 5)
    done = await world.store.write(Lane.BULK, settle, 0, NOW + DAY)
    assert done == (0, 1, 0, None)
    assert not await world.store.read(to_settle, NOW) and await world.store.read(to_settle, NOW + 30 * DAY)
    assert (await issue(world, 1))[:3] == ("open", "WB-1", NOW + 5)


async def test_a_better_offer_replaces_the_open_one(world: World) -> None:
    await setting(world)
    world.offers = {1: pooled(1)}
    [one] = (await world.claim(1)).claimed
    await world.step(grants=[one])
    await world.step(outcomes=[outcome(one, Kind.ACCEPTED)])
    world.offers = {2: generated(1, step="t", offer="back30", rank=1)}
    [two] = (await world.claim(1)).claimed
    assert two.offer is not None and two.offer.code == "WB-00010000"
    assert [state for (state,) in await world.sql("SELECT state FROM issue ORDER BY id")] == ["open", "reserved"]
    await world.step(grants=[two])
    await world.step(outcomes=[outcome(two, Kind.ACCEPTED)])
    assert [state for (state,) in await world.sql("SELECT state FROM issue ORDER BY id")] == ["replaced", "open"]


async def test_generated_codes_are_unique_whatever_is_made(world: World) -> None:
    """The code that would be made is in a pool, the next one was named in an order: the third."""
    await setting(world, codes=("WB-00010000",))
    await world.sql("INSERT INTO redemption (code, order_key, person, at) VALUES ('WB-00010001', '=o', 9, 1)")
    world.offers = {1: generated(1)}
    [one] = (await world.claim(1)).claimed
    assert one.offer is not None and one.offer.code == "WB-00010002"
    assert not await world.store.read(pools_that_differ)


async def test_an_import_wakes_what_waits_for_its_pool(world: World) -> None:
    """Held for want of a code: as many as there are new codes become due; those of another pool stay."""
    await setting(world, people=4, codes=())

    def none(row: DueRow) -> Decision:
        name = "other" if row.person == 4 else "winter"
        return Decision(verdict=Verdict.HOLD, reason=Reason.NO_CODE, key=key_of(name))

    world.decide = none
    await world.claim()
    assert await world.tally() == {("held", "no_code"): 4}
    added = await world.store.write(Lane.INTAKE, add_codes, "winter", [NewCode(1, "A-1", "A-1"), NewCode(2, "A-2", "A-2")], NOW)
    assert added == (2, [])
    assert await world.store.write(Lane.INTAKE, wake_for_codes, "winter", 0, NOW) == (2, None)
    assert await world.tally() == {("held", "no_code"): 2, ("due", ""): 2}
    assert [await world.state(delivery) for delivery in (1, 3, 4)] == [("due", None), ("held", "no_code"), ("held", "no_code")]
    world.decide = lambda row: Decision(verdict=Verdict.SEND, closes=LATER)
    world.offers = {1: pooled(1), 2: pooled(2)}
    assert [each.offer.code for each in (await world.claim()).claimed if each.offer] == ["A-1", "A-2"]


async def test_codes_that_are_there_are_named(world: World) -> None:
    await setting(world)
    await world.sql("INSERT INTO redemption (code, order_key, person, at) VALUES ('USED', '=o', 9, 1)")
    rows = [NewCode(1, "WB-1", "WB-1"), NewCode(2, "NEW", "new"), NewCode(3, "USED", "used")]
    added = await world.store.write(Lane.INTAKE, add_codes, "spring", rows, NOW)
    assert added.added == 1
    assert added.known == [(1, "is in the pool winter already"), (3, "was used in an order already")]
    assert (await world.store.write(Lane.INTAKE, add_codes, "winter", rows[:1], NOW)).known == [(1, "is in this pool already")]


# --- orders -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(conn: Connection) -> Iterator[Connection]:
    with conn.begin():
        lay_out(conn)
        yield conn


ANNA, BERT = person_id("anna"), person_id("bert")


def lay_out(conn: Connection) -> None:
    """Anna has the open code A-1 (until NOW + 7 d), Bert B-1; C-1 lies free in the pool."""
    for table in ("event", "event_name", "profile", "recipient", "issue", "code", "code_pool", "redemption", "campaign"):
        conn.execute(text(f"DELETE FROM {table}"))
    conn.execute(insert(s.campaign).values(id=1, name="winback", status="active", version=1))
    add_codes(conn, "winter", [NewCode(n, code, code) for n, code in enumerate(("A-1", "B-1", "C-1"), 1)], NOW)
    for number, person, code in ((1, ANNA, "A-1"), (2, BERT, "B-1")):
        conn.execute(insert(s.issue).values(
            id=number, walk=number, step="s", person=person, campaign=1, offer="back15", rank=0, pool="winter", code=code, state="open",
            valid=7 * DAY, reserved_at=NOW - HOUR, accepted_at=NOW, ends_at=NOW + 7 * DAY,
        ))  # fmt: skip
        conn.execute(text("UPDATE code SET issue = :i WHERE code = :c"), {"i": number, "c": code})
    conn.execute(text("UPDATE code_pool SET free = 1"))


def told(name: str, message: str, days: float, order: str | None = "o-1", key: str = "anna", **said: Any) -> EventRow:
    properties = {**({"order_id": order} if order else {}), **said}
    return EventRow(person_id(key), key, name, event_id(message), NOW + int(days * DAY), json.dumps(properties))


def take(conn: Connection, *rows: EventRow, days: float = 20) -> None:
    take_events(conn, rows, Shop(), NOW + int(days * DAY))


def states(conn: Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in conn.execute(text("SELECT state, redeemed_at, order_key FROM issue ORDER BY id"))]


def bought(days: float = 1, message: str = "m-1", **more: Any) -> EventRow:
    return told("Order Completed", message, days, **{"coupon": " a-1 ", "revenue": 100, **more})


def test_an_order_redeems_its_code(shop: Connection) -> None:
    """Whatever the case; told twice it is one order."""
    take(shop, bought(), bought(message="again"))
    assert states(shop) == [("redeemed", NOW + DAY, "=o-1"), ("open", None, None)]
    assert list(strange_uses(shop, ("", ""), 10)) == []


def test_a_late_order_redeems_what_had_expired(shop: Connection) -> None:
    """It happened on day 6, and was told on day 20: its own time counts."""
    assert expire(shop, NOW + 8 * DAY) == 2
    assert states(shop)[0][0] == "expired"
    take(shop, bought(6))
    assert states(shop)[0] == ("redeemed", NOW + 6 * DAY, "=o-1")
    assert expire(shop, NOW + 30 * DAY) == 0


def test_a_cancelled_order_gives_the_offer_back_and_a_refund_does_not(shop: Connection) -> None:
    take(shop, bought(), days=2)
    take(shop, told("Order Cancelled", "c", 2), days=2)
    assert states(shop)[0] == ("open", None, None)
    take(shop, bought(3, "m-2", order="o-2", coupon="A-1,B-1"), told("Order Refunded", "r", 4, order="o-2"), days=5)
    assert [row[0] for row in states(shop)] == ["redeemed", "redeemed"]
    assert [tuple(row) for row in shop.execute(text("SELECT refunded, cancelled FROM redemption WHERE order_key = '=o-2' AND code = 'A-1'"))] == [(1, 0)]


def test_a_cancelled_order_brings_nothing_back_beside_a_later_offer(shop: Connection) -> None:
    """Redeemed, then given another one, then the order was cancelled: the first one is replaced, not open beside it."""
    take(shop, bought(), days=1)
    shop.execute(insert(s.issue).values(
        id=3, walk=3, step="t", person=ANNA, campaign=1, offer="back30", rank=1, state="open", reserved_at=NOW, accepted_at=NOW + 2 * DAY,
        ends_at=NOW + 9 * DAY,
    ))  # fmt: skip
    take(shop, told("Order Cancelled", "c", 3), days=3)
    assert [row[0] for row in states(shop)] == ["replaced", "open", "open"]
    assert shop.execute(text("SELECT ended_at FROM issue WHERE id = 1")).scalar() == NOW + 2 * DAY


def test_uses_that_the_books_do_not_explain_are_listed(shop: Connection) -> None:
    """Unknown, never issued, of another person, twice, late; a code that was used before it was given is given to nobody."""
    take(
        shop, told("Order Completed", "1", 1, order="u", coupon="SUMMER"), told("Order Completed", "2", 1, order="n", coupon="C-1"),
        told("Order Completed", "3", 1, order="x", coupon="B-1"), told("Order Completed", "4", 9, order="l", coupon="A-1"),
    )  # fmt: skip
    assert [(use.what, use.code, use.order, use.recipient) for use in strange_uses(shop, ("", ""), 10)] == [
        ("late", "A-1", "l", "anna"), ("another", "B-1", "x", "anna"), ("not_issued", "C-1", "n", "anna"), ("unknown", "SUMMER", "u", "anna"),
    ]  # fmt: skip
    assert [use.code for use in strange_uses(shop, ("B-1", "=x"), 1)] == ["C-1"], "by pages"
    assert list_pools(shop)[0].free == 0 and not pools_that_differ(shop)
    take(shop, told("Order Completed", "5", 2, order="again", coupon="A-1"))
    assert {use.what for use in strange_uses(shop, ("", ""), 10) if use.code == "A-1"} == {"twice"}


def test_books_balance(shop: Connection) -> None:
    take(shop, bought())
    [line] = books(shop)
    assert line == ("winback", "back15", 2, 0, 1, 1, 0, 0, 0)
    assert unbalanced([line]) == {} and books(shop, "other") == []
    assert unbalanced([line._replace(issued=3)]) == {("winback", "back15"): 1}


def test_an_erased_recipients_codes_stay_in_the_books(shop: Connection) -> None:
    take(shop, bought())
    erase_recipient(shop, "anna", now=NOW, source="x")
    assert books(shop)[0].redeemed == 1
    assert shop.execute(text("SELECT count(*) FROM issue WHERE person = :p"), {"p": ANNA}).scalar() == 0
    assert shop.execute(text("SELECT count(*) FROM redemption WHERE person = :p"), {"p": ANNA}).scalar() == 0


EVENTS = [
    bought(), bought(message="m-1b"), bought(3, "m-2", order="o-2"), bought(8, "m-3", order="o-3"), bought(2, "m-4", order=None),
    told("Order Cancelled", "c-1", 4), told("Order Cancelled", "c-2", 5, order="o-2"), told("Order Refunded", "r-1", 6, order="o-3"),
    told("Order Completed", "m-5", 2, order="o-5", coupon="B-1", key="bert"), told("Order Completed", "m-6", 2, order="o-6", coupon=["C-1", "X"]),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(picked=st.lists(st.sampled_from(range(len(EVENTS))), max_size=14), seed=st.integers(0, 999), cut=st.integers(1, 5))
def test_the_order_and_repetition_of_what_is_told_does_not_matter(conn: Connection, picked: list[int], seed: int, cut: int) -> None:
    """The same set of events, once in order and once shuffled, repeated and cut into batches: the same rows."""
    ends = []
    shuffled = picked + picked[::2]
    random.Random(seed).shuffle(shuffled)
    for numbers, size in ((sorted(set(picked)), 100), (shuffled, cut)):
        with conn.begin():
            lay_out(conn)
            for start in range(0, len(numbers), size):
                take(conn, *[EVENTS[number] for number in numbers[start : start + size]])
                if start % 2:
                    expire(conn, NOW + 20 * DAY)
            expire(conn, NOW + 20 * DAY)
            rows = [tuple(row) for table in ("issue", "redemption", "code", "code_pool") for row in conn.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))]
            ends.append(rows)
            assert not pools_that_differ(conn) and not unbalanced(books(conn))
    assert ends[0] == ends[1]
