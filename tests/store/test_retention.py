"""What goes by its age, and what never does."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.config.retention import RetentionTable
from daemon.model.delivery import DAY, SECOND
from daemon.store.flight import last_commit
from daemon.store.retention import PASSING, SHELVES, STRETCH, note_pruned, prune, pruned_at
from daemon.store.writer import Lane
from plugins.feedback import FeedbackKind
from tests.store.conftest import NOW, World, add_job

KEPT = 100 * DAY
OLD, NEW = NOW - 101 * DAY, NOW - 99 * DAY


async def go(world: World, name: str, now: int = NOW + 1) -> int:
    """Prune a whole table; how many transactions it took."""
    cursor, turns = None, 0
    while True:
        cursor = await world.store.write(Lane.BULK, prune, name, now, KEPT, cursor)
        turns += 1
        if cursor is None:
            return turns


@pytest.fixture
async def sent(world: World) -> World:
    """Four deliveries: ended long ago, ended lately, in doubt, waiting."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8, 9, 10])
    await world.sql("UPDATE meta SET value = :value WHERE key = 'commit'", value=f"9 {NOW}")
    for number, state, ended in ((1, "accepted", OLD), (2, "rejected", NEW), (3, "in_doubt", None), (4, "due", None)):
        await world.sql(
            "UPDATE delivery SET state = :state, ended_at = :ended, vars = '{}', decision = '{}' WHERE id = :id", state=state, ended=ended, id=number
        )
    return world


def test_each_key_of_the_config_has_its_table() -> None:
    """And the other way round."""
    assert set(SHELVES) == set(RetentionTable.model_fields)
    kinds: Any = FeedbackKind
    assert set(PASSING) < set(kinds.__args__)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("attempt", "INSERT INTO attempt (delivery, n, at, provider, outcome) VALUES (:id, 1, 1, 'relay', 'deferred')"),
        ("reason_history", "INSERT INTO reason_history VALUES (:id, 'window_closed', 1, 1, 1)"),
        ("provider_ref", "INSERT INTO provider_ref VALUES ('relay', 'SM' || :id, :id)"),
    ],
)
async def test_what_belongs_to_a_delivery_goes_only_when_it_has_ended_long_ago(sent: World, name: str, rows: str) -> None:
    """In doubt, its rows are the evidence, however old they are."""
    for number in (1, 2, 3, 4):
        await sent.sql(rows, id=number)
    await go(sent, name)
    assert await sent.sql(f"SELECT delivery FROM {name} ORDER BY delivery") == [(2,), (3,), (4,)]


async def test_a_delivery_keeps_its_row_and_loses_its_words(sent: World) -> None:
    """Links in sent mail name it, and nobody gets it twice."""
    await go(sent, "delivery")
    assert await sent.sql("SELECT id, state, vars, decision FROM delivery ORDER BY id") == [
        (1, "accepted", None, None), (2, "rejected", "{}", "{}"), (3, "in_doubt", "{}", "{}"), (4, "due", "{}", "{}"),
    ]  # fmt: skip


async def test_wishes_stay_whatever_their_age(sent: World) -> None:
    """A STOP, what lifts it, a complaint, a bounce; a reply is a person's words. Of a doubt everything stays."""
    kinds: Any = FeedbackKind
    for kind in kinds.__args__:
        for person, delivery, at in ((7, 1, OLD), (8, 2, NEW), (9, 3, OLD), (0, 0, OLD)):
            await sent.sql(
                "INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at) VALUES (:p, :d, :h, :k, 'sms', '', 1, 'sms', :at)",
                p=person, d=delivery, h=b"h" if not person else b"", k=kind, at=at,
            )  # fmt: skip
    await go(sent, "feedback")
    for person in (7, 0):
        left = {kind for (kind,) in await sent.sql("SELECT kind FROM feedback WHERE person = :p", p=person)}
        assert left == {"bounced", "complained", "replied", "unsubscribed", "resubscribed"}
    for person in (8, 9):
        assert await sent.sql("SELECT count(*) FROM feedback WHERE person = :p", p=person) == [(len(kinds.__args__),)]


@pytest.mark.parametrize(("ended", "goes"), [(None, False), (NEW, False), (OLD, True)])
async def test_what_an_open_walk_may_ask_for_stays(sent: World, ended: int | None, goes: bool) -> None:
    """Whether anybody reacted to an early step decides at its end, months later, whether its person is left in peace."""
    values = {"id": 3, "campaign": 1, "person": 7, "occurrence": 1, "version": 1, "state": "open" if ended is None else "finished", "at": OLD, "ended": ended}
    await sent.sql(
        "INSERT INTO walk (id, campaign, person, occurrence, version, state, entered_at, since_at, anchor_at, ended_at)"
        " VALUES (:id, :campaign, :person, :occurrence, :version, :state, :at, :at, :at, :ended)", **values,
    )  # fmt: skip
    await sent.sql("UPDATE delivery SET walk = 3 WHERE id = 1")
    await sent.sql("INSERT INTO feedback (person, delivery, hash, kind, provider, event, human, channel, at) VALUES (7, 1, x'', 'opened', 'r', '', 1, 'email', :at)", at=OLD)
    await go(sent, "feedback")
    await go(sent, "delivery")
    assert await sent.sql("SELECT count(*) FROM feedback") == [(0 if goes else 1,)]
    assert await sent.sql("SELECT vars FROM delivery WHERE id = 1") == [(None if goes else "{}",)]


async def test_events_that_make_a_profile_stay(sent: World) -> None:
    """Visits go; an order, however old, is part of what its person is worth."""
    names = {1: "Page Viewed", 2: "Order Completed", 3: "Support Ticket Opened", 4: "Anything"}
    for number, name in names.items():
        await sent.sql("INSERT INTO event_name VALUES (:n, :name)", n=number, name=name)
        for at, received in ((OLD, OLD), (OLD, NEW), (NEW, NEW)):
            await sent.sql("INSERT INTO event VALUES (7, :n, :id, :at, :received, NULL)", n=number, id=at + received, at=at, received=received)
    await go(sent, "event")
    assert await sent.sql("SELECT name, count(*) FROM event GROUP BY name") == [(1, 2), (2, 3), (3, 3), (4, 2)]


async def test_a_finished_job_loses_the_list_of_its_bad_rows_and_stays(sent: World) -> None:
    """The same id is answered with the first receipt; that rows were refused is still in it."""
    await sent.store.write(Lane.BULK, add_job, 2, people=[20], first_id=20)
    await sent.sql("UPDATE job SET errors = '[]', rejected = 3, finished_at = CASE id WHEN 1 THEN :old END", old=OLD)
    await go(sent, "job")
    assert await sent.sql("SELECT errors, errors_omitted, rejected FROM job ORDER BY id") == [(None, 3, 3), ("[]", 0, 3)]


async def test_the_days_spend_is_never_forgotten(sent: World) -> None:
    """A ceiling counts the day that it is."""
    today = NOW // DAY
    for day in (today - 102, today - 100, today):
        await sent.sql("INSERT INTO spend VALUES ('sms', :day, 'USD', 1, 1)", day=day)
    await go(sent, "spend")
    assert await sent.sql("SELECT day FROM spend ORDER BY day") == [(today - 100,), (today,)]


async def test_a_clock_that_is_ahead_forgets_nothing(sent: World) -> None:
    """Age is counted to what was committed."""
    await sent.sql("INSERT INTO reason_history VALUES (2, 'window_closed', 1, 1, 1)")
    await go(sent, "reason_history", NOW + 1000 * DAY)
    assert await sent.sql("SELECT count(*) FROM reason_history") == [(1,)]
    assert await sent.store.read(last_commit) == (9, NOW)


async def test_a_long_table_goes_a_stretch_a_transaction(sent: World) -> None:
    """The cursor passes over what stays, also where one person has more than a stretch, and finds all that goes."""
    await sent.sql("INSERT INTO event_name VALUES (1, 'Page Viewed'), (2, 'Order Completed')")
    for person, count in ((7, STRETCH + 10), (8, 3)):
        for name in (1, 2):
            await sent.sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
                " INSERT INTO event SELECT :person, :name, i, :old, :old, NULL FROM n",
                count=count, person=person, name=name, old=OLD - SECOND,
            )  # fmt: skip
    assert await go(sent, "event") == 3
    assert await sent.sql("SELECT name, count(*) FROM event GROUP BY name") == [(2, STRETCH + 13)]


@pytest.mark.parametrize("name", sorted(SHELVES))
async def test_each_stretch_is_read_along_the_key(sent: World, name: str) -> None:
    """Never the whole table, never sorted."""
    statements: list[str] = []

    def traced(conn: Any) -> list[str]:
        raw = conn.connection.driver_connection
        raw.set_trace_callback(statements.append)
        try:
            prune(conn, name, NOW, KEPT, None)
        finally:
            raw.set_trace_callback(None)
        look = next(text for text in statements if f"FROM {name}" in text)
        return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {look}").fetchall()]

    plan = await sent.store.write(Lane.BULK, traced)
    assert not any("TEMP B-TREE" in line for line in plan), plan
    assert any(line.startswith(f"SEARCH {name} USING") for line in plan), plan


async def test_when_it_was_done_last_is_remembered(sent: World) -> None:
    """So that a daemon that starts anew does not begin again the same night."""
    assert await sent.store.read(pruned_at) is None
    await sent.store.write(Lane.BULK, note_pruned, NOW)
    assert await sent.store.read(pruned_at) == NOW
