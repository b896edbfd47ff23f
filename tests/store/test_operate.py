"""The operators' acts: counts before deeds, guards raised, the tally always equal to the rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text, update

from daemon.errors import GuardRefusedError, NotFoundError
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import HOUR, State
from daemon.store import doubts, engine, held, operate
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.held import HeldWhere

NOW = 1_800_000_000_000_000
ALL = HeldWhere()


@pytest.fixture
def store() -> Iterator[Engine]:
    writer = engine.open_writer(None)
    engine.prepare(writer)
    with writer.begin() as conn:
        build(conn)
    yield writer
    writer.dispose()


@pytest.fixture
def conn(store: Engine) -> Iterator[Connection]:
    with store.begin() as connection:
        yield connection


def build(conn: Connection) -> None:
    """Two queues, three jobs: `a` sends (with held and doubtful ones), `b` is held as a whole, `c` is finished."""
    for number, name in enumerate(("winback", "cart", "job:x"), 1):
        conn.execute(insert(s.campaign).values(id=number, name=name, status="active", version=1, guard=5))
        conn.execute(insert(s.campaign_version).values(campaign=number, version=1, digest=f"sha256:{number}", body="{}", loaded_at=NOW))
    conn.execute(insert(s.wave).values(id=1, campaign=1, step="mail", occurrence=1, channel="email"))
    conn.execute(insert(s.wave).values(id=2, campaign=2, step="mail", occurrence=1, channel="email"))
    for number, (key, queue, campaign, state, reason) in enumerate(
        [("a", "q1", 1, "accepted", None), ("b", "q2", 2, "held", "count_mismatch"), ("c", "q1", 1, "finished", None)], 1
    ):
        conn.execute(
            insert(s.job).values(
                id=number, key=key, queue=queue, campaign=campaign, version=1, digest="d", state=state, reason=reason, source="cli",
                received_at=NOW + number, head="{}", format="json", body=key, expanded=1, priority=50,
            )
        )  # fmt: skip
    conn.execute(insert(s.lane).values(id=1, queue="q1", job=1, priority=50, channel="email", campaign=1))
    conn.execute(insert(s.lane).values(id=2, queue="q2", job=2, priority=50, channel="email", campaign=2))
    for person in range(1, 12):
        conn.execute(insert(s.recipient).values(id=person, key=f"r{person}", created_at=NOW, updated_at=NOW))
    rows: list[tuple[int, int, int, str, str | None, int]] = [
        (1, 1, 1, "due", None, 1), (2, 1, 1, "due", "window_closed", 1),
        (3, 1, 1, "held", "render_error", 1), (4, 1, 1, "held", "render_error", 1),
        (5, 1, 1, "held", "zone_unknown", 1), (6, 1, 1, "in_doubt", None, 1), (7, 1, 1, "accepted", None, 1),
        (8, 2, 2, "planned", None, 2), (9, 2, 2, "planned", None, 2),
        (10, 1, 3, "held", "no_code", 9), (11, 1, 3, "dropped", "suppressed", 9),
    ]  # fmt: skip
    for number, wave, job, state, reason, lane in rows:
        due_at = NOW + HOUR if reason == "window_closed" else NOW - HOUR
        conn.execute(
            insert(s.delivery).values(
                id=number, wave=wave, person=number, job=job, version=1, state=state, reason=reason, lane=lane, not_before=due_at,
                expires_at=NOW + 72 * HOUR, decided_at=NOW if number != 5 else None, handed_over_at=NOW - 5 if state == "in_doubt" else None, provider="relay",
            )
        )  # fmt: skip
        if state == "due":
            put_due(conn, [(lane, due_at, number)])
    conn.execute(insert(s.touch).values(person=6, at=NOW - 5, delivery=6, channel="email", campaign=1))
    conn.execute(insert(s.attempt).values(delivery=6, n=1, at=NOW, provider="relay", outcome="unknown", code="drop", detail="lost"))
    recount(conn)


def recount(conn: Connection) -> None:
    conn.execute(s.tally.delete())
    for row in tally_of_rows(conn).items():
        conn.execute(insert(s.tally).values(job=row[0][0], state=row[0][1], reason=row[0][2], n=row[1]))


def tally_of_rows(conn: Connection) -> dict[tuple[int, str, str], int]:
    found: dict[tuple[int, str, str], int] = {}
    for job, state, reason in conn.execute(select(s.delivery.c.job, s.delivery.c.state, s.delivery.c.reason)):
        key = (job, state, "" if state in ("due", "planned") else reason or "")
        found[key] = found.get(key, 0) + 1
    return found


def assert_tally_is_true(conn: Connection) -> None:
    stored = {(job, state, reason): n for job, state, reason, n in conn.execute(select(s.tally)) if n}
    assert stored == tally_of_rows(conn)


def states(conn: Connection) -> dict[int, str]:
    return {row.id: row.state for row in conn.execute(select(s.delivery.c.id, s.delivery.c.state))}


def test_held_list_groups_by_job_and_reason(conn: Connection) -> None:
    """One line a held job, and one a reason and job of held deliveries, each with its count, example and remedy."""
    groups = held.list_held(conn, ALL, None, 10)
    assert [(g.whole, g.job_key, g.reason, g.count) for g in groups] == [
        (False, "a", "render_error", 2), (False, "a", "zone_unknown", 1), (True, "b", "count_mismatch", 2), (False, "c", "no_code", 1),
    ]  # fmt: skip
    assert (groups[0].delivery, groups[0].recipient, groups[0].since) == (3, "r3", NOW)
    assert "mend the template" in groups[0].remedy
    assert groups[1].since == NOW - HOUR


def test_held_list_is_paged_without_gap(conn: Connection) -> None:
    """Page by page gives what one page gives."""
    found, after = [], None
    while page := held.list_held(conn, ALL, after, 1):
        found += page
        after = page[-1].position
    assert found == held.list_held(conn, ALL, None, 10)


@pytest.mark.parametrize(
    ("where", "n"),
    [
        (ALL, 6), (HeldWhere(reason="render_error"), 2), (HeldWhere(campaign="winback"), 4), (HeldWhere(queue="q2"), 2),
        (HeldWhere(job="a"), 3), (HeldWhere(delivery=5), 1), (HeldWhere(delivery=1), 0), (HeldWhere(reason="count_mismatch"), 2),
        (HeldWhere(job="nothing"), 0),
    ],
)  # fmt: skip
def test_held_count_is_of_deliveries(conn: Connection, where: HeldWhere, n: int) -> None:
    """`--expect` counts deliveries: those of held jobs and those held alone; and the list adds up to it."""
    assert held.count_held(conn, where) == n
    assert sum(group.count for group in held.list_held(conn, where, None, 10)) == n


def test_release_makes_held_deliveries_due_now(conn: Connection) -> None:
    """Freed rows lie in the due queue at this instant without a reason; others are untouched."""
    assert held.release_some_held(conn, HeldWhere(reason="render_error"), NOW) == 2
    assert held.release_some_held(conn, HeldWhere(reason="render_error"), NOW) == 0
    row = conn.execute(select(s.delivery).where(s.delivery.c.id == 3)).one()
    assert (row.state, row.reason, row.not_before) == ("due", None, NOW)
    assert conn.execute(select(s.due).where(s.due.c.delivery == 3)).one() == (1, NOW, 3)
    assert states(conn)[5] == "held"
    assert_tally_is_true(conn)


def test_release_goes_on_in_stretches(conn: Connection) -> None:
    """No transaction is longer than its limit."""
    assert [held.release_some_held(conn, ALL, NOW, limit=3) for _ in range(3)] == [3, 1, 0]
    assert_tally_is_true(conn)


def test_release_opens_a_finished_job_and_its_lane_again(conn: Connection) -> None:
    """A delivery held while all else of its job ended can still go: the job counts as open, the lane is there."""
    held.release_some_held(conn, HeldWhere(job="c"), NOW)
    assert conn.execute(select(s.job.c.state, s.job.c.finished_at).where(s.job.c.id == 3)).one() == ("accepted", None)
    lane = conn.execute(select(s.lane).where(s.lane.c.job == 3)).one()
    assert (lane.queue, lane.channel) == ("q1", "email")
    assert conn.execute(select(s.due.c.lane).where(s.due.c.delivery == 10)).scalar() == lane.id
    assert conn.execute(select(s.delivery.c.lane).where(s.delivery.c.id == 10)).scalar() == lane.id


def test_release_of_a_job_lets_it_go_on(conn: Connection) -> None:
    """A held job becomes accepted with a higher guard; its planned rows are released by the cursor, not here."""
    assert held.release_held_jobs(conn, ALL) == 2
    row = conn.execute(select(s.job.c.state, s.job.c.reason, s.job.c.guard).where(s.job.c.key == "b")).one()
    assert row == ("accepted", None, 1)
    assert held.held_job_keys(conn, ALL) == []


def test_release_keeps_the_mark_of_a_doubt(conn: Connection) -> None:
    """A delivery that was once in doubt stays marked after a hold, so that a later refusal cannot hide the doubt."""
    conn.execute(update(s.delivery).where(s.delivery.c.id == 3).values(key="doubt"))
    conn.execute(update(s.delivery).where(s.delivery.c.id == 4).values(key="recipient:r4"))
    held.release_some_held(conn, ALL, NOW)
    rows = conn.execute(select(s.delivery.c.id, s.delivery.c.key).where(s.delivery.c.id.in_((3, 4))).order_by(s.delivery.c.id)).all()
    assert rows == [(3, "doubt"), (4, None)]


def test_cancel_ends_held_deliveries_for_good(conn: Connection) -> None:
    """Cancelled by an operator, with the instant; nothing of it is due."""
    assert held.cancel_some_held(conn, HeldWhere(job="a"), NOW) == 3
    row = conn.execute(select(s.delivery).where(s.delivery.c.id == 5)).one()
    assert (row.state, row.reason, row.ended_at) == ("cancelled", "operator", NOW)
    assert_tally_is_true(conn)


def test_doubt_list_has_the_evidence(conn: Connection) -> None:
    """Who, what, through which provider, when handed over, and how it ended."""
    (doubt,) = doubts.list_doubts(conn, 0, 10)
    assert (doubt.delivery, doubt.recipient, doubt.campaign, doubt.job, doubt.handed_over_at) == (6, "r6", "winback", "a", NOW - 5)
    assert [(a.n, a.outcome, a.code) for a in doubt.attempts] == [(1, "unknown", "drop")]
    assert doubts.list_doubts(conn, 6, 10) == []
    assert doubts.count_doubts(conn) == 1


def test_doubt_resolved_as_sent_keeps_its_touch(conn: Connection) -> None:
    """Sent: accepted, and the cap still counts it."""
    assert doubts.resolve_doubt(conn, 6, NOW, sent=True) is State.ACCEPTED
    assert conn.execute(select(func.count()).select_from(s.touch)).scalar() == 1
    row = conn.execute(select(s.delivery).where(s.delivery.c.id == 6)).one()
    assert (row.state, row.ended_at) == ("accepted", NOW)
    assert doubts.count_doubts(conn) == 0
    assert_tally_is_true(conn)


def test_doubt_resolved_as_unsent_gives_the_touch_back_and_is_due(conn: Connection) -> None:
    """Not sent: the slot is free again, what waited for it is woken, and the evidence says who decided."""
    conn.execute(update(s.wave).where(s.wave.c.id == 2).values(campaign=1, occurrence=2))
    conn.execute(update(s.delivery).where(s.delivery.c.id == 2).values(person=6, wave=2, reason="cap_reached"))
    assert doubts.resolve_doubt(conn, 6, NOW, sent=False) is State.DUE
    assert conn.execute(select(func.count()).select_from(s.touch)).scalar() == 0
    assert conn.execute(select(s.due.c.not_before).where(s.due.c.delivery == 6)).scalar() == NOW
    assert conn.execute(select(s.due.c.not_before).where(s.due.c.delivery == 2)).scalar() == NOW
    outcomes = conn.execute(select(s.attempt.c.n, s.attempt.c.outcome).where(s.attempt.c.delivery == 6).order_by(s.attempt.c.n)).all()
    assert outcomes == [(1, "unknown"), (2, "resolved_unsent")]
    assert_tally_is_true(conn)


def test_only_a_doubt_can_be_resolved(conn: Connection) -> None:
    """An accepted delivery cannot be made due by this door, nor a doubt be resolved twice."""
    with pytest.raises(NotFoundError, match="homing doubt list"):
        doubts.resolve_doubt(conn, 7, NOW, sent=False)
    doubts.resolve_doubt(conn, 6, NOW, sent=True)
    with pytest.raises(NotFoundError):
        doubts.resolve_doubt(conn, 6, NOW, sent=False)


def test_queue_facts_count_and_time(conn: Connection) -> None:
    """Open jobs, deliveries by state, since when the first waits, when the next falls due."""
    facts = operate.queue_facts(conn, NOW)
    assert set(facts) == {"q1", "q2"}
    q1 = facts["q1"]
    assert (q1.paused, q1.jobs, q1.oldest_due, q1.next_due) == (False, 1, NOW - HOUR, NOW + HOUR)
    assert q1.deliveries == {"due": 2, "held": 4, "in_doubt": 1, "accepted": 1, "dropped": 1}
    assert (facts["q2"].jobs, facts["q2"].oldest_due) == (1, None)


def test_pausing_a_queue_raises_its_guard(conn: Connection) -> None:
    """What was claimed before the pause is refused at its handover; a queue without jobs can be paused too."""
    operate.set_queue_paused(conn, "q1", NOW, paused=True)
    operate.set_queue_paused(conn, "empty", NOW, paused=True)
    assert conn.execute(select(s.queue.c.paused, s.queue.c.guard).where(s.queue.c.name == "q1")).one() == (1, 1)
    assert operate.queue_facts(conn, NOW)["empty"].paused
    operate.set_queue_paused(conn, "q1", NOW, paused=False)
    assert conn.execute(select(s.queue.c.paused, s.queue.c.guard).where(s.queue.c.name == "q1")).one() == (0, 2)


def test_waiting_in_queue_names_the_open_jobs(conn: Connection) -> None:
    """What `queue cancel` would end: open jobs only, and what of them has not ended."""
    assert operate.waiting_in_queue(conn, "q1") == (["a"], 5)
    assert operate.waiting_in_queue(conn, "q2") == (["b"], 2)
    assert operate.waiting_in_queue(conn, "none") == ([], 0)


def test_what_is_cancelled_of_a_queue_is_counted_as_it_is_cancelled(conn: Connection) -> None:
    """Not as it was when somebody looked: sending went on meanwhile, and a job may have ended."""
    keys, seen = operate.waiting_in_queue(conn, "q1")
    conn.execute(text("UPDATE tally SET n = n - 1 WHERE job = (SELECT id FROM job WHERE key = 'a') AND state = 'due' AND n > 0"))
    assert (keys, seen) == (["a"], 5)
    assert operate.cancel_waiting(conn, "a") == 4
    assert operate.cancel_waiting(conn, "a") is None
    assert operate.waiting_in_queue(conn, "q1") == ([], 0)


def test_campaigns_are_listed_without_those_of_inline_jobs(conn: Connection) -> None:
    """`job:ID` campaigns are shown by name only."""
    facts = operate.campaign_facts(conn)
    assert [(c.name, c.status, c.jobs) for c in facts] == [("cart", "active", 1), ("winback", "active", 1)]
    assert facts[1].deliveries["held"] == 4
    assert [c.name for c in operate.campaign_facts(conn, "job:x")] == ["job:x"]


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("draft", "active", True), ("paused", "active", True), ("active", "paused", True), ("draft", "archived", True),
        ("archived", "active", False), ("draft", "paused", False), ("active", "archived", False), ("archived", "paused", False),
    ],
)  # fmt: skip
def test_campaign_status_follows_the_table(conn: Connection, old: str, new: str, allowed: bool) -> None:
    """What may follow what; a refusal changes nothing and names the command that would help."""
    conn.execute(update(s.campaign).where(s.campaign.c.id == 1).values(status=old))
    if allowed:
        operate.set_campaign_status(conn, "winback", CampaignStatus(new), NOW)
    else:
        with pytest.raises(GuardRefusedError, match="winback"):
            operate.set_campaign_status(conn, "winback", CampaignStatus(new), NOW)
    status, guard = conn.execute(select(s.campaign.c.status, s.campaign.c.guard).where(s.campaign.c.id == 1)).one()
    assert (status, guard) == ((new, 6) if allowed else (old, 5))


def test_same_status_again_is_no_change(conn: Connection) -> None:
    """Starting what runs is a success that raises no guard."""
    operate.set_campaign_status(conn, "winback", CampaignStatus.ACTIVE, NOW)
    assert conn.execute(select(s.campaign.c.guard).where(s.campaign.c.id == 1)).scalar() == 5
    with pytest.raises(NotFoundError, match="homing campaigns list"):
        operate.set_campaign_status(conn, "nothing", CampaignStatus.ACTIVE, NOW)


def test_backlog_counts_what_waits_in_open_jobs(conn: Connection) -> None:
    """Held ones, those of a held job and ended ones are not let go by `start --all`, so they do not count."""
    assert operate.count_backlog(conn) == 2


def test_totals_and_lines_say_the_same(conn: Connection) -> None:
    """By state and reason over all jobs, from the counts; a line a delivery, from the rows."""
    assert operate.totals(conn)["held"] == {"render_error": 2, "zone_unknown": 1, "no_code": 1}
    lines = operate.delivery_lines(conn)
    assert len(lines) == 11
    assert (lines[1].recipient, lines[1].campaign, lines[1].state, lines[1].reason) == ("r2", "winback", "due", "window_closed")
