"""Two recipients become one: all that either had is the survivor's, nothing more goes to the other, and no order of words changes that."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text

from daemon.journey.events import event_id
from daemon.journey.profile import POINTS, Shop
from daemon.model.audience import MemberState
from daemon.model.delivery import DAY, HOUR
from daemon.model.journey import WalkState
from daemon.store import engine as engines
from daemon.store import schema as s
from daemon.store.erase import erase_recipient
from daemon.store.event_row import EventRow
from daemon.store.exits import Kind as Use
from daemon.store.flight import Kind
from daemon.store.merge import merge
from daemon.store.merged import merged_into, owner_of
from daemon.store.recipients import PlanRow, of_survivors, person_id, read_recipient
from daemon.store.tracking import Link, Message, take_messages
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job, outcome

SHOP = Shop("USD", {})
A, B, C = "ann", "bob", "cat"
EMPTIED = (
    "event", "event_name", "profile", "recipient", "alias", "merged", "consent", "suppression", "due", "delivery", "lane", "wave", "job",
    "campaign", "meta", "touch", "flight", "walk", "campaign_event", "issue", "redemption", "segment", "segment_member", "push_subscription",
    "feedback", "tally", "audience", "audience_member",
)  # fmt: skip


def empty(conn: Connection) -> None:
    for table in EMPTIED:
        conn.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
def store(conn: Connection) -> Iterator[Connection]:
    with conn.begin():
        empty(conn)
        yield conn


def plan(key: str, **fields: Any) -> PlanRow:
    row = PlanRow(person_id(key), 0, key, None, None, None, None, None, 0, None, None, None, None, None)
    return row._replace(**fields)


def alias(previous: str, key: str) -> Message:
    return Message(link=Link(previous, person_id(key), merges=True), trait=plan(key))


def did(key: str, name: str, message: str, at: int = NOW - DAY, **said: Any) -> Message:
    return Message(event=EventRow(person_id(key), key, name, event_id(message), at, json.dumps(said) if said else None))


def tell(conn: Connection, *messages: Message, now: int = NOW) -> Sequence[str]:
    return take_messages(conn, messages, SHOP, now).how


def person(conn: Connection, key: str, **columns: Any) -> int:
    conn.execute(insert(s.recipient).values(id=person_id(key), key=key, created_at=NOW, updated_at=NOW, **columns))
    return person_id(key)


def become(conn: Connection, previous: str, key: str, now: int = NOW) -> Any:
    return merge(conn, previous, person_id(key), SHOP, now)


EVENTS = st.lists(
    st.builds(
        lambda key, name, message, at, order: did(
            key, name, message, NOW - at * 6 * HOUR, order_id=f"{key}-{order}", revenue=10, currency="USD", coupon="WB-1"
        ),
        st.sampled_from([A, B, C]), st.sampled_from(["Order Completed", "Order Refunded", "Page Viewed", "Support Ticket Opened"]),
        st.uuids().map(str), st.integers(0, 120), st.sampled_from(["o-1", "o-2", "o-3"]),
    ),
    max_size=10,
)  # fmt: skip
ALIASES = ([alias(A, B)], [alias(A, B), alias(B, C)], [alias(B, C), alias(A, B)], [alias(A, B), alias(A, B), alias(B, A)], [alias(A, A)])


@settings(max_examples=80, deadline=None)
@given(events=EVENTS, aliases=st.sampled_from(ALIASES), data=st.data())
def test_any_order_of_aliases_and_events_ends_in_the_same_rows(
    conn: Connection, events: list[Message], aliases: list[Message], data: st.DataObject
) -> None:
    """Told before, after, between or together: the same events, profiles, orders and walks, under the same persons."""
    places = sorted(data.draw(st.lists(st.integers(0, len(events)), min_size=len(aliases), max_size=len(aliases))))
    mixed = [*data.draw(st.permutations(events))]
    for offset, (place, one) in enumerate(zip(places, aliases, strict=True)):
        mixed.insert(place + offset, one)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mixed)), max_size=4)))

    def state(batches: Sequence[Sequence[Message]]) -> Any:
        with conn.begin():
            empty(conn)
            conn.execute(insert(s.campaign).values(id=1, name="c1", status="active", version=1))
            conn.execute(insert(s.campaign_event).values(event="Order Completed", kind=Use.GOAL.value, campaign=1))
            for key in (A, B, C):
                person(conn, key)
            for number, key in enumerate((A, B, C), 1):
                walk(conn, number, 1, key)
            for batch in batches:
                tell(conn, *batch)
            joined = select(s.event.c.person, s.event_name.c.name, s.event.c.id, s.event.c.at).join(s.event_name, s.event_name.c.id == s.event.c.name)
            return {
                "events": sorted(map(tuple, conn.execute(joined))),
                "profiles": sorted(tuple(row) for row in conn.execute(select(s.profile))),
                "orders": sorted(map(tuple, conn.execute(select(s.redemption)))),
                "merged": sorted(tuple(row[:2]) for row in conn.execute(select(s.merged))),
                "walks": [tuple(row) for row in conn.execute(select(s.walk.c.person, s.walk.c.state, s.walk.c.ended_at, s.walk.c.goal_at))],
            }

    pieces = [mixed[start:end] for start, end in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    assert state([aliases, events]) == state(pieces)


def walk(conn: Connection, number: int, campaign: int, key: str, **columns: Any) -> None:
    row = {
        "id": number, "campaign": campaign, "person": person_id(key), "occurrence": 1, "version": 1, "state": "open", "entered_at": NOW - 9 * DAY,
        "since_at": NOW - 9 * DAY, "anchor_at": NOW - 9 * DAY, "watched": 1, "next_at": NOW,
    }  # fmt: skip
    conn.execute(insert(s.walk).values(**(row | columns)))


def test_the_survivor_keeps_its_own_and_takes_what_it_lacks(store: Connection) -> None:
    """Addresses go with their hashes, traits by name; the other's row has nothing left but its hashes."""
    person(store, A, email="a@x.example", email_hash=b"a", phone="+1", phone_hash=b"p", zone="Asia/Tokyo", traits='{"name":"Ann","size":4}')
    person(store, B, email="b@x.example", email_hash=b"b", traits='{"name":"Bob"}')
    become(store, A, B)
    view = read_recipient(store, A)
    assert view is not None
    who = view.recipient
    assert (who.key, who.email, who.phone, who.zone, dict(who.traits)) == (B, "b@x.example", "+1", "Asia/Tokyo", {"name": "Bob", "size": 4})
    row = store.execute(select(s.recipient).where(s.recipient.c.id == person_id(A))).one()
    assert (row.email, row.phone, row.traits, row.erased, row.email_hash, row.guard) == (None, None, None, 2, b"a", 1)


def test_the_number_of_statements_does_not_follow_the_number_of_events(store: Connection) -> None:
    """They are moved by the store itself: one who has tens of thousands does not hold the writer for a second."""
    raw: Any = store.connection.dbapi_connection
    counts = []
    for number in (3, 300):
        empty(store)
        for key in (A, B):
            person(store, key)
            tell(store, *(did(key, "Email Opened", f"{key}-{n}", NOW - n * HOUR) for n in range(number)))
        said: list[str] = []
        raw.set_trace_callback(said.append)
        become(store, A, B)
        raw.set_trace_callback(None)
        counts.append(len(said))
        assert store.execute(select(s.event.c.person)).scalars().all() == [person_id(B)] * 2 * number
    assert counts[0] == counts[1]


def test_opens_count_for_the_score_as_long_as_its_period_lasts(store: Connection) -> None:
    """Those before it are not even looked at."""
    person(store, A)
    person(store, B)
    tell(store, *(did(key, "Email Opened", f"{key}-{days}", NOW - days * DAY) for key in (A, B) for days in (1, 29, 31, 400)))
    become(store, A, B)
    row = store.execute(select(s.profile)).one()
    assert (row.person, row.score, row.score_until) == (person_id(B), 4 * POINTS["opened"], NOW + DAY)


@pytest.mark.parametrize(("at", "state"), [(NOW - 10 * DAY, "open"), (NOW - 8 * DAY, "converted")])
def test_what_the_other_did_since_a_walk_began_ends_it(store: Connection, at: int, state: str) -> None:
    """And nothing that was before."""
    store.execute(insert(s.campaign).values(id=1, name="c1", status="active", version=1))
    store.execute(insert(s.campaign_event).values(event="Order Completed", kind=Use.GOAL.value, campaign=1))
    for key in (A, B):
        person(store, key)
    walk(store, 1, 1, B)
    tell(store, did(A, "Order Completed", "m", at, order_id="o"))
    become(store, A, B)
    assert store.execute(select(s.walk.c.state)).scalar() == state


def test_chains_cycles_and_repetition(store: Connection) -> None:
    """All who ever became somebody point at who is left; what would close a circle does nothing, the first word counts."""
    for key in (A, B, C):
        person(store, key)
    assert become(store, A, B) is not None
    assert become(store, A, B) is None
    assert become(store, B, A) is None
    assert become(store, B, C) is not None
    assert become(store, C, A) is None
    assert become(store, A, C) is None
    assert [owner_of(store, person_id(key), key)[1] for key in (A, B, C)] == [C, C, C]
    assert merged_into(store, person_id(C)) == sorted([person_id(A), person_id(B)])


def test_an_id_that_nobody_has_yet_means_the_person_from_now_on(store: Connection) -> None:
    """The alias came before the recipient: there never will be one of that id."""
    tell(store, alias(A, B))
    assert tell(store, did(A, "Page Viewed", "m"), Message(trait=plan(A, traits='{"size":4}'))) == ["kept", "kept"]
    assert [row.key for row in store.execute(select(s.recipient))] == [B]
    assert store.execute(select(s.event.c.person)).scalars().all() == [person_id(B)]


def test_who_shares_a_device_is_not_merged(store: Connection) -> None:
    """identify links an anonymous id; two people who use it stay two."""
    for key in (A, B):
        tell(store, Message(link=Link("cookie", person_id(key)), trait=plan(key)))
    assert not store.execute(select(s.merged)).all()


def test_the_later_word_on_consent_counts_and_the_stricter_of_one_instant(store: Connection) -> None:
    """Per channel and topic."""
    words = [("email", A, "withdrawn", 5), ("email", B, "granted", 4), ("sms", A, "granted", 4), ("sms", B, "withdrawn", 5),
             ("push", A, "withdrawn", 5), ("push", B, "granted", 5), ("call", A, "granted", 1)]  # fmt: skip
    for key in (A, B):
        person(store, key)
    for channel, key, state, at in words:
        store.execute(insert(s.consent).values(person=person_id(key), channel=channel, topic="*", state=state, at=at))
    become(store, A, B)
    found = store.execute(select(s.consent.c.person, s.consent.c.channel, s.consent.c.state).order_by(s.consent.c.channel)).all()
    assert [tuple(row[1:]) for row in found] == [("call", "granted"), ("email", "withdrawn"), ("push", "withdrawn"), ("sms", "withdrawn")]
    assert {row.person for row in found} == {person_id(B)}


def test_who_asked_not_to_be_contacted_is_not_under_the_other_address_either(store: Connection) -> None:
    """A wish is the person's, whoever of the two said it and over whatever channel; that an address is dead says nothing of another one."""
    person(store, A, email="a@x.example", email_hash=b"a", phone="+1", phone_hash=b"p")
    person(store, B, email="b@x.example", email_hash=b"b", phone="+2", phone_hash=b"q")
    said = ((b"a", "email", "suppressed"), (b"p", "sms", "bounced"), (b"a", "push", "bounced"), (b"q", "fax", "suppressed"), (b"q", "*", "complained"))
    for hash, channel, reason in said:
        store.execute(insert(s.suppression).values(hash=hash, channel=channel, scope="marketing", reason=reason, at=1))
    become(store, A, B)
    row = s.suppression.c
    rows = {tuple(row) for row in store.execute(select(row.hash, row.channel, row.reason))}
    assert rows == {
        *said, (b"b", "email", "suppressed"), (b"p", "fax", "suppressed"), *((hash, "*", "complained") for hash in (b"a", b"b", b"p"))
    }  # fmt: skip


@pytest.mark.parametrize(("wider", "where"), [(A, "all"), (B, "all")])
def test_the_wider_of_two_wishes_counts(store: Connection, wider: str, where: str) -> None:
    """No marketing under one address, nothing at all under the other."""
    for key, hash in ((A, b"a"), (B, b"b")):
        person(store, key, email=f"{key}@x.example", email_hash=hash)
        scope = where if key == wider else "marketing"
        store.execute(insert(s.suppression).values(hash=hash, channel="email", scope=scope, reason="suppressed", at=1, source="cli"))
    become(store, A, B)
    assert [tuple(row) for row in store.execute(select(s.suppression.c.hash, s.suppression.c.scope))] == [(b"a", "all"), (b"b", "all")]


STAYS = {
    "alone": ([(A, 1, MemberState.IN, 5, None)], [(B, 1, MemberState.IN, 5, None)]),
    "on its way": ([(A, 1, MemberState.ADDING, 5, None)], [(A, 0, MemberState.ADDING, 5, NOW)]),
    "both in": (
        [(A, 1, MemberState.IN, 5, None), (B, 1, MemberState.IN, 7, None)],
        [(A, 0, MemberState.REMOVE, 5, NOW), (B, 1, MemberState.IN, 5, None)],
    ),
    "the survivor was": (
        [(A, 1, MemberState.IN, 9, None), (B, 0, MemberState.OUT, 5, 8)],
        [(A, 0, MemberState.REMOVE, 9, NOW), (B, 0, MemberState.OUT, 5, NOW)],
    ),
    "the other was": (
        [(A, 0, MemberState.OUT, 5, 8), (B, 1, MemberState.IN, 9, None)],
        [(A, 0, MemberState.OUT, 5, 8), (B, 1, MemberState.IN, 5, None)],
    ),
}  # fmt: skip
"""(who, wanted in, state, since, left at) before and after."""


@pytest.mark.parametrize("case", STAYS)
def test_stays_in_audiences_are_those_of_both(store: Connection, case: str) -> None:
    """One row of the platform for each address that it was given; the days count together."""
    before, after = STAYS[case]
    for key in (A, B):
        person(store, key)
    for key, want, state, since, left in before:
        store.execute(insert(s.audience_member).values(
            audience=1, person=person_id(key), want=want, state=state.value, since=since, left_at=left, changed_at=1, guard=0
        ))  # fmt: skip
    become(store, A, B)
    row = s.audience_member.c
    found = {tuple(row) for row in store.execute(select(row.person, row.want, row.state, row.since, row.left_at))}
    assert found == {(person_id(key), want, state.value, since, left) for key, want, state, since, left in after}


def test_a_merge_is_done_or_not_done(tmp_path: Path) -> None:
    """The files as a kill leaves them: before its commit nothing of it is there, after it all."""
    engine = engines.open_writer(tmp_path / "homing.db")
    engines.prepare(engine)

    def left(name: str) -> list[str]:
        """All rows of what is on the disk now."""
        for end in ("", "-wal"):
            shutil.copyfile(tmp_path / f"homing.db{end}", tmp_path / f"{name}.db{end}")
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as copy:
            return list(copy.iterdump())

    with engine.connect() as conn:
        with conn.begin():
            conn.execute(insert(s.campaign).values(id=1, name="c1", status="active", version=1))
            conn.execute(insert(s.campaign_event).values(event="Order Completed", kind=Use.GOAL.value, campaign=1))
            tell(conn, *(did(key, "Order Completed", f"m-{key}", order_id=f"o-{key}", revenue=5, currency="USD", coupon="X") for key in (A, B)))
            for number, key in enumerate((A, B), 1):
                walk(conn, number, 1, key)
        before = left("before")
        with conn.begin():
            become(conn, A, B)
            assert left("amid") == before
        after = left("after")
        assert after != before
        with conn.begin():
            assert become(conn, A, B) is None
        assert left("again") == after
    engine.dispose()


def test_an_erasure_of_the_survivor_erases_what_came_from_the_other(store: Connection) -> None:
    """Under either id; both ids stay refused, both addresses suppressed."""
    person(store, A, email="a@x.example", email_hash=b"a")
    person(store, B, email="b@x.example", email_hash=b"b")
    tell(store, did(A, "Page Viewed", "m"))
    become(store, A, B)
    done = erase_recipient(store, A, now=NOW, source="test")
    assert done is not None
    assert (done.recipient, done.suppressed) == (B, 2)
    assert not store.execute(select(s.event)).all()
    assert [(row.erased, row.email_hash, row.email) for row in store.execute(select(s.recipient))] == [(1, None, None)] * 2
    assert tell(store, did(A, "Page Viewed", "m2"), alias(C, A), Message(trait=plan(A, traits='{"x":1}'))) == ["erased"] * 3


def test_nobody_is_merged_with_who_was_erased(store: Connection) -> None:
    """In neither direction: nothing comes back."""
    for key in (A, B, C):
        person(store, key)
    erase_recipient(store, A, now=NOW, source="test")
    assert become(store, A, B) is None
    assert become(store, C, A) is None
    assert not store.execute(select(s.merged)).all()


def test_rows_of_a_file_that_mean_one_person_are_one(store: Connection) -> None:
    """The first line stands; the other is named as a double."""
    for key in (A, B):
        person(store, key)
    become(store, A, B)
    rows, doubled = of_survivors(store, [plan(A, line=1), plan(B, line=2), plan(C, line=3)])
    assert sorted((row.key, row.line) for row in rows) == [(B, 1), (C, 3)]
    assert [(row.key, row.line) for row in doubled] == [(B, 2)]


def test_open_walks_of_the_other_end_and_arms_stay_what_they_were(store: Connection) -> None:
    """Its times through a campaign are counted behind the survivor's, so that both arms are seen under one person."""
    for key in (A, B):
        person(store, key)
    walk(store, 1, 1, B, arms='{"s":"x"}')
    walk(store, 2, 1, A, arms='{"s":"y"}')
    walk(store, 3, 2, A)
    become(store, A, B)
    row = s.walk.c
    found = store.execute(select(row.id, row.person, row.occurrence, row.state, row.arms, row.end_reason).order_by(row.id)).all()
    assert [tuple(row) for row in found] == [
        (1, person_id(B), 1, "open", '{"s":"x"}', None),
        (2, person_id(B), 2, WalkState.MERGED.value, '{"s":"y"}', "merged"),
        (3, person_id(B), 1, WalkState.MERGED.value, None, "merged"),
    ]


def test_segments_and_browsers_and_offers_are_those_of_both(store: Connection) -> None:
    """Counted once, of an imported list as it was named last; of two open offers of one campaign the last one given stays open."""
    for key in (A, B):
        person(store, key)
    a, b = person_id(A), person_id(B)
    for number, name, digest, members in ((1, "x", "d", 2), (2, "y", "d", 1), (3, "list", None, 2)):
        store.execute(insert(s.segment).values(id=number, name=name, digest=digest, members=members))
    inside = ((1, a, 5), (1, b, 7), (2, a, 9), (3, a, 7), (3, b, 5))
    store.execute(insert(s.segment_member), [{"segment": n, "person": p, "since": at} for n, p, at in inside])
    store.execute(insert(s.push_subscription).values(hash=b"1", person=a, address="x", created_at=1, last_seen_at=1))
    for number, who, at in ((1, a, 10), (2, b, 20)):
        store.execute(insert(s.issue).values(
            id=number, walk=number, step="s", person=who, campaign=1, offer="o", rank=0, state="open", reserved_at=at, accepted_at=at, code=f"C{number}",
        ))  # fmt: skip
    become(store, A, B)
    assert [tuple(row) for row in store.execute(select(s.segment_member))] == [(1, b, 5), (2, b, 9), (3, b, 7)]
    assert store.execute(select(s.segment.c.members).order_by(s.segment.c.id)).scalars().all() == [1, 1, 1]
    assert store.execute(select(s.push_subscription.c.person)).scalars().all() == [b]
    assert [tuple(row) for row in store.execute(select(s.issue.c.person, s.issue.c.state, s.issue.c.ended_at))] == [(b, "replaced", 20), (b, "open", None)]


async def merge_in(world: World, other: int, person: int) -> Any:
    def act(conn: Connection) -> Any:
        for one in (other, person):  # a person's number is the hash of its key
            conn.execute(s.recipient.update().where(s.recipient.c.id == one).values(key=f"p-{one}"))
        return merge_by_number(conn, other, person)

    return await world.store.write(Lane.EVENTS, act)


def merge_by_number(conn: Connection, other: int, person: int) -> Any:
    return merge(conn, f"p-{other}", person, SHOP, NOW)


@pytest.fixture
def by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small world's keys: p-7 is person 7."""
    number: Callable[[str], int] = lambda key: int(key.removeprefix("p-"))  # noqa: E731
    monkeypatch.setattr("daemon.store.merge.person_id", number)


@pytest.mark.usefixtures("by_number")
async def test_what_waits_for_the_other_is_dropped_and_the_survivors_goes(world: World) -> None:
    """At once, with its reason, and counted so."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    done = await merge_in(world, 7, 8)
    assert done.dropped == 1
    assert await world.state(1) == ("dropped", "merged")
    assert await world.sql("SELECT person FROM delivery WHERE id = 1") == [(8,)]
    claimed = (await world.claim()).claimed
    assert [one.row.delivery for one in claimed] == [2]
    assert await world.tally() == {("dropped", "merged"): 1, ("claimed", ""): 1}


@pytest.mark.usefixtures("by_number")
async def test_what_is_claimed_of_either_loses_its_leave(world: World) -> None:
    """The race with a claim: neither the other's message goes, nor the survivor's as it was judged without the other's contacts."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    claimed = (await world.claim()).claimed
    await merge_in(world, 7, 8)
    assert await world.step(grants=claimed) == frozenset()
    again = (await world.claim()).claimed
    assert {one.row.person: one.row.erased for one in again} == {7: 2, 8: 0}
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]


@pytest.mark.usefixtures("by_number")
@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.REJECTED, Kind.UNKNOWN, Kind.DEFERRED])
async def test_what_is_handed_over_counts_for_the_survivor(world: World, kind: Kind) -> None:
    """Its contact counts from the merge on, until it has surely failed; then it is not tried again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    claimed = (await world.claim()).claimed
    first = [one for one in claimed if one.row.person == 7]
    assert await world.step(grants=first) == {1}
    await merge_in(world, 7, 8)
    again = (await world.claim()).claimed
    assert [one.row.delivery for one in again] == []  # the survivor's own was claimed, and is still in a hand that may not use it
    assert await world.step(grants=[one for one in claimed if one.row.person == 8]) == frozenset()
    await world.claim()
    assert len(world.seen_known[8].touches) == 1
    await world.step(outcomes=[outcome(first[0], kind, again_at=NOW + 1)])
    counted = 0 if kind in (Kind.REJECTED, Kind.DEFERRED) else 1
    assert await world.sql("SELECT count(*) FROM touch WHERE person = 8") == [(counted,)]
    assert await world.sql("SELECT count(*) FROM touch WHERE person = 7") == [(0,)]
    if kind is Kind.DEFERRED:
        assert await world.sql("SELECT person, expires_at <= not_before FROM delivery WHERE id = 1") == [(8, 1)]


@pytest.mark.usefixtures("by_number")
async def test_doubts_and_ghosts_of_the_other_count_for_the_survivor(world: World) -> None:
    """A cap counts what either was sent, or would have been: none is exceeded by a merge."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.store.write(Lane.BULK, add_job, 2, people=[8], first_id=10)
    one = (await world.claim(share=lambda lanes: [(1, 9)])).claimed
    await world.step(grants=one)
    await world.step(outcomes=[outcome(one[0], Kind.UNKNOWN)])
    await world.sql("INSERT INTO touch (person, at, delivery, channel, campaign, ghost) VALUES (7, :at, 99, 'email', 1, 1)", at=NOW - 5)
    await merge_in(world, 7, 8)
    assert await world.state(1) == ("in_doubt", None)
    await world.claim()
    assert len(world.seen_known[8].touches) == 2


@pytest.mark.usefixtures("by_number")
async def test_both_went_through_the_same_campaign(world: World) -> None:
    """No delivery of either is lost: the other's time through it is another one of the survivor's."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    for one in (await world.claim()).claimed:
        await world.step(grants=[one])
        await world.step(outcomes=[outcome(one, Kind.ACCEPTED)])
    await merge_in(world, 7, 8)
    rows = await world.sql("SELECT d.id, d.person, w.occurrence, w.channel, d.state FROM delivery d JOIN wave w ON w.id = d.wave ORDER BY d.id")
    assert rows == [(1, 8, 2, "email", "accepted"), (2, 8, 1, "email", "accepted")]
    assert await world.sql("SELECT count(*) FROM touch WHERE person = 8") == [(2,)]


def test_an_order_of_the_other_ends_the_survivors_walk(store: Connection) -> None:
    """As it would have if it had been known whose it was."""
    store.execute(insert(s.campaign).values(id=1, name="c1", status="active", version=1))
    store.execute(insert(s.campaign_event).values(event="Order Completed", kind=Use.GOAL.value, campaign=1))
    for key in (A, B):
        person(store, key)
    walk(store, 1, 1, B)
    tell(store, did(A, "Order Completed", "m", NOW - DAY, order_id="o", revenue=5, currency="USD"))
    tell(store, alias(A, B))
    assert tuple(store.execute(select(s.walk.c.state, s.walk.c.ended_at)).one()) == ("converted", NOW - DAY)
    assert store.execute(select(s.profile.c.person, s.profile.c.orders)).all() == [(person_id(B), 1)]
