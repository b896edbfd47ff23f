"""Events: kept once, and a person's profile is what the set of them says, in whatever order and however often they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, HOUR
from daemon.store import schema as s
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.events import MOST_NAMES, Taken, forget_events, take_events
from daemon.store.profiles import age_scores, read_profile, revalue, valued_for
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job

SHOP = Shop("USD", {"IDR": 0.0001})


def empty(conn: Connection) -> None:
    for table in ("event", "event_name", "profile", "recipient", "alias", "due", "delivery", "lane", "wave", "job", "campaign", "meta"):
        conn.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
def store(conn: Connection) -> Iterator[Connection]:
    with conn.begin():
        empty(conn)
        yield conn


def row(name: str, message: str, at: int = NOW - DAY, key: str = "c-1", **said: Any) -> EventRow:
    return EventRow(person_id(key), key, name, event_id(message), at, json.dumps(said) if said else None)


def take(conn: Connection, *rows: EventRow, now: int = NOW) -> Taken:
    return take_events(conn, rows, SHOP, now)


def profile(conn: Connection, key: str = "c-1", now: int = NOW) -> dict[str, Any]:
    found = read_profile(conn, person_id(key), now)
    assert found is not None
    return found


NAMES = (
    "Order Completed", "Order Refunded", "Order Cancelled", "Product Viewed", "Page Viewed", "Subscription Started", "Subscription Renewed",
    "Subscription Cancelled", "Support Ticket Opened", "Support Ticket Closed", "Survey Answered", "Email Opened", "Email Link Clicked", "Wished",
)  # fmt: skip
SAID = st.fixed_dictionaries({}, optional={
    "order_id": st.sampled_from(["o-1", "o-2", 3]),
    "revenue": st.sampled_from([10, "19.90", 250000, -1, None]),
    "currency": st.sampled_from(["USD", "IDR", "XXX"]),
    "discount": st.sampled_from([0, 5]),
    "products": st.just([{"product_id": "p", "name": "shoes"}]),
    "subscription_id": st.sampled_from(["s-1", "s-2"]),
    "ends_at": st.sampled_from(["2027-01-01", "2026-01-01T00:00:00Z", "soon"]),
    "ticket_id": st.sampled_from(["t-1", "t-2"]),
    "nps": st.integers(-1, 11),
    "reason": st.sampled_from(["price", "moved"]),
})  # fmt: skip
EVENTS = st.lists(
    st.builds(
        lambda name, message, at, key, said: row(name, message, NOW - at * 6 * HOUR, key, **said),
        st.sampled_from(NAMES), st.uuids().map(str), st.integers(-2, 160), st.sampled_from(["c-1", "c-2"]), SAID,
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(events=EVENTS, data=st.data())
def test_any_order_and_repetition_of_events_ends_in_the_same_profile(conn: Connection, events: list[EventRow], data: st.DataObject) -> None:
    """One at a time or many at once, repeated or not: the same rows."""
    again = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=6) if events else st.just([]))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(again)), max_size=4)))
    pieces = [again[start:end] for start, end in zip([0, *cuts], [*cuts, len(again)], strict=True)]

    def state(batches: Sequence[Sequence[EventRow]]) -> tuple[Any, Any]:
        with conn.begin():
            empty(conn)
            for batch in batches:
                take(conn, *batch)
            kept = select(s.event.c.person, s.event_name.c.name, s.event.c.id, s.event.c.at, s.event.c.properties)
            events = conn.execute(kept.join(s.event_name, s.event_name.c.id == s.event.c.name)).all()
            return sorted(map(tuple, conn.execute(select(s.profile)))), sorted(tuple(map(str, row)) for row in events)

    assert state([events]) == state(pieces)


def test_an_order_counts_once_however_often_it_is_told(store: Connection) -> None:
    """By the page and by the server: two messages of one order."""
    first = row("Order Completed", "m1", NOW - 3 * DAY, order_id="o-1", revenue=30)
    assert take(store, first, row("Order Completed", "m2", NOW - 2 * DAY, order_id="o-1", revenue=31)).how == ["kept", "kept"]
    assert take(store, first).how == ["known"]
    found = profile(store)
    assert (found["orders"], found["value"], found["last_order_at"]) == (1, 30_000_000, NOW - 3 * DAY)


@pytest.mark.parametrize("name", ["Page Viewed", "Email Opened", "Email Link Clicked"])
def test_what_comes_late_moves_no_last_sight_back(store: Connection, name: str) -> None:
    """Told in the wrong order, one after the other: the later instant stands."""
    take(store, row(name, "new", NOW - DAY))
    before = profile(store)
    take(store, row(name, "old", NOW - 3 * DAY))
    sights = ("last_visit_at", "last_open_at", "last_click_at", "last_seen_at")
    assert [profile(store)[sight] for sight in sights] == [before[sight] for sight in sights]
    assert NOW - DAY in [before[sight] for sight in sights]


def test_an_order_without_a_rate_counts_as_an_order_and_not_as_value(store: Connection) -> None:
    """Two that can be valued, one that cannot."""
    take(
        store, row("Order Completed", "a", NOW - 9 * DAY, revenue=100000, currency="idr"), row("Order Completed", "b", NOW - 5 * DAY, total="5.5"),
        row("Order Completed", "c", NOW - 2 * DAY, revenue=7, currency="EUR"),
    )  # fmt: skip
    found = profile(store)
    assert (found["orders"], found["unvalued"], found["value"]) == (3, 1, 15_500_000)
    assert (found["first_order_at"], found["previous_order_at"], found["last_order_at"]) == (NOW - 9 * DAY, NOW - 5 * DAY, NOW - 2 * DAY)


def test_the_score_is_exact_at_every_instant(store: Connection) -> None:
    """3 an order, 2 a click, 1 an open, over the last 30 days to the microsecond; asked later, it has aged."""
    take(store, row("Order Completed", "a", NOW - 29 * DAY), row("Email Opened", "b", NOW - 10 * DAY), row("Email Link Clicked", "c", NOW))
    assert (profile(store)["score"], profile(store)["score_until"]) == (6, NOW + DAY)
    assert profile(store, now=NOW + DAY - 1)["score"] == 6
    assert profile(store, now=NOW + DAY)["score"] == 3
    assert profile(store, now=NOW + 30 * DAY)["score"] == 0
    assert [age_scores(store, NOW + DAY, 10) for _ in range(2)] == [1, 0]
    assert store.execute(select(s.profile.c.score)).scalar_one() == 3


@pytest.mark.promise("P6")
def test_a_purchase_refuses_what_is_claimed_and_wakes_what_waits(store: Connection) -> None:
    """The guard rises once, by the new event alone; a page view raises nothing."""
    key = "p-5"
    add_job(store, 1, people=[person_id(key)])
    store.execute(s.recipient.update().values(key=key))
    store.execute(text("UPDATE due SET not_before = :at"), {"at": NOW + DAY})
    store.execute(text("UPDATE delivery SET not_before = :at, reason = 'cap_reached'"), {"at": NOW + DAY})
    store.execute(text("UPDATE lane SET head = :at"), {"at": NOW + DAY})
    guard = select(s.recipient.c.guard)
    take(store, row("Page Viewed", "v", key=key))
    assert store.execute(guard).scalar_one() == 0
    bought = row("Order Completed", "o", key=key)
    assert take(store, bought).woken == 1
    assert take(store, bought).woken == 0
    assert store.execute(guard).scalar_one() == 1
    assert store.execute(select(s.due.c.not_before)).scalars().all() == [NOW]


@pytest.mark.promise("P6")
async def test_a_purchase_that_was_committed_first_refuses_the_handover(world: World) -> None:
    """What is claimed for the buyer is not sent but decided anew; the other one goes."""
    keys = {5: "p-5", 6: "p-6"}
    persons = [person_id(key) for key in keys.values()]
    await world.store.write(Lane.BULK, add_job, 1, people=persons)
    for number, key in zip(persons, keys.values(), strict=True):
        await world.sql("UPDATE recipient SET key = :key WHERE id = :id", key=key, id=number)
    claimed = (await world.claim()).claimed
    bought = row("Order Completed", "o", key="p-5")
    await world.store.write(Lane.EVENTS, take_events, [bought], SHOP, world.now)
    granted = await world.step(grants=claimed)
    assert [c.row.person for c in claimed if c.row.delivery in granted] == [person_id("p-6")]


@pytest.mark.promise("P6")
async def test_who_is_erased_gets_nothing_of_what_is_claimed(world: World) -> None:
    """At its commit; the other one goes."""
    persons = [person_id("p-5"), person_id("p-6")]
    await world.store.write(Lane.BULK, add_job, 1, people=persons)
    for number, key in zip(persons, ("p-5", "p-6"), strict=True):
        await world.sql("UPDATE recipient SET key = :key, email_hash = NULL WHERE id = :id", key=key, id=number)
    claimed = (await world.claim()).claimed
    erased = await world.store.write(Lane.EXIT, erase_recipient, "p-5", now=world.now, source="test")
    assert erased is not None
    assert erased.fresh
    granted = await world.step(grants=claimed)
    assert [c.row.person for c in claimed if c.row.delivery in granted] == [person_id("p-6")]


def test_an_event_from_the_future_happened_when_it_came(store: Connection) -> None:
    """A wrong clock keeps nobody active for years."""
    take(store, row("Application Opened", "x", NOW + 900 * DAY))
    assert profile(store)["last_visit_at"] == profile(store)["last_seen_at"] == NOW


def test_nothing_is_kept_of_who_was_erased(store: Connection) -> None:
    """What was known goes; what comes later is refused."""
    take(store, row("Order Completed", "a"))
    store.execute(s.recipient.update().values(erased=1))
    forget_events(store, [person_id("c-1")])
    assert take(store, row("Order Completed", "b")).how == ["erased"]
    assert store.execute(select(s.event)).all() == []


def test_another_recipient_of_the_same_number_gets_nothing(store: Connection) -> None:
    """63 bits may meet; the key tells."""
    store.execute(insert(s.recipient).values(id=person_id("c-1"), key="other", created_at=NOW, updated_at=NOW))
    assert take(store, row("Order Completed", "a")).how == ["collision"]


def test_names_made_of_data_do_not_fill_the_store(store: Connection) -> None:
    """Beyond so many, only known names are kept."""
    store.execute(insert(s.event_name), [{"id": n, "name": f"n{n}"} for n in range(1, MOST_NAMES)])
    rows = [row("aa", "1"), row("bb", "2"), row("n7", "3")]
    assert take(store, *rows).how == ["kept", "names", "kept"]


def test_a_new_rate_makes_all_values_anew(store: Connection) -> None:
    """A stretch at a time; what is made for these rates is remembered at the end only."""
    buyers = [row("Order Completed", f"m{n}", key=f"c-{n}", revenue=10, currency="EUR") for n in range(5)]
    take(store, *buyers, row("Page Viewed", "v", key="c-9"))
    shop = Shop("USD", {"EUR": 1.5})
    assert not valued_for(store, shop)
    after, done = revalue(store, 0, 3, shop, NOW)
    assert (after is not None, done, valued_for(store, shop)) == (True, 3, False)
    assert revalue(store, after or 0, 3, shop, NOW) == (None, 2)
    assert valued_for(store, shop)
    assert {(value, unvalued) for value, unvalued in store.execute(select(s.profile.c.value, s.profile.c.unvalued))} == {(15_000_000, 0), (0, 0)}
