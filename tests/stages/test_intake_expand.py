"""Expansion and release: every row accounted for, once, whatever happens on the way (design §4.1; B4, B12, B14, B15, F41)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from daemon.audience import expand, planning
from daemon.clock import iso, to_datetime
from daemon.intake.body import BodyRows
from daemon.intake.parse import Format
from daemon.model.campaign import Purpose
from daemon.model.delivery import DAY, HOUR, MINUTE
from daemon.model.job import JobState
from daemon.store.held import HeldWhere, release_held_jobs
from daemon.store.jobs import cancel_job, pause_job, resume_job
from daemon.store.recipients import person_id
from daemon.store.writer import Lane
from tests.stages.intake_world import NOW, IntakeWorld, job, people, version

JOB = "lapsed-45-2026-11-22"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IntakeWorld]:
    opened = await IntakeWorld.open(tmp_path / "state")
    yield opened
    await opened.check()
    await opened.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny runs, batches and turns, so that a few rows go through everything."""
    for module, name, value in (
        (planning, "READ_ROWS", 3), (planning, "PIECE_ROWS", 1), (planning, "RUN_ROWS", 7), (planning, "PLAN_ROWS", 4),
        (expand, "RELEASE_ROWS", 5), (expand, "SWEEP_ROWS", 3), (expand, "TURN", 2),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


MESSY: list[Any] = [
    *people(10),
    {"id": "c-3", "email": "user3@example.com"},
    {"id": "c-90", "email": "a@b@c"},
    {"id": "c-91", "zone": "Mars/Base", "email": "x"},
    {"email": "nobody@example.com"},
    *people(10, first=20),
    {"id": "c-3"},
    {"id": "c-92", "email": "USER20@Example.com"},
]
"""24 rows and 2 more: 20 good, 3 doubles (two of c-3, one of user20's address), 3 bad with 4 errors."""


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("format", [Format.JSON, Format.NDJSON])
async def test_every_row_is_accounted_for(world: IntakeWorld, format: Format) -> None:
    """accepted + duplicate + rejected = rows; each bad row is named with its line, in the receipt and in the errors file."""
    head = {"id": JOB, "queue": "lapsed-45", "expected_count": len(MESSY)}
    body = json.dumps({**head, "recipients": MESSY}) if format is Format.JSON else "\n".join(map(json.dumps, [head, *MESSY])) + "\n"
    await world.drop(body, format=format)
    await world.settle()
    view = await world.job(JOB)
    receipt = view.receipt
    assert (receipt.state, receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected) == (JobState.ACCEPTED, 26, 20, 3, 3)
    assert view.deliveries == {"due": 20}
    start = 0 if format is Format.JSON else 1
    assert {(error.line, error.recipient, error.field, error.code) for error in receipt.errors} == {
        (start + 11, "c-3", "id", "duplicate_in_file"),
        (start + 12, "c-90", "email", "address_invalid"),
        (start + 13, "c-91", "email", "address_invalid"),
        (start + 13, "c-91", "zone", "zone"),
        (start + 14, None, "id", "id"),
        (start + 25, "c-3", "id", "duplicate_in_file"),
        (start + 26, "c-92", "email", "duplicate_in_file"),
    }
    lines = (world.folder / "jobs" / f"{JOB}.errors.ndjson").read_text().splitlines()
    assert sorted(json.loads(line)["line"] for line in lines) == sorted(error.line for error in receipt.errors if error.line)
    assert sorted(path.name for path in (world.folder / "jobs").iterdir() if path.is_file()) == [f"{JOB}.errors.ndjson"]
    assert list((world.folder / "jobs" / "runs").iterdir()) == []


@pytest.mark.promise("P1")
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("crash_at", range(1, 30))
async def test_after_a_crash_expansion_goes_on_where_it_was(tmp_path: Path, crash_at: int) -> None:
    """The process ends after any commit: nothing is lost, doubled or counted twice (P1)."""
    first = await IntakeWorld.open(tmp_path / "state")
    head = {"id": JOB, "queue": "lapsed-45", "expected_count": len(MESSY)}
    await first.drop("\n".join(map(json.dumps, [head, *MESSY])) + "\n", format=Format.NDJSON)
    start = first.store.commits
    plain_write = first.store.write

    class Crash(BaseException):
        pass

    async def write(*args: Any, **kwargs: Any) -> Any:
        if first.store.commits - start >= crash_at:
            raise Crash
        return await plain_write(*args, **kwargs)

    first.store.write = write  # type: ignore[method-assign]
    ended = True
    try:
        await first.settle()
    except Crash:
        ended = False
        with (tmp_path / "state" / "jobs" / f"{JOB}.errors.ndjson").open("a") as file:
            file.write('{"line": 999, "uncommitted": true}\n{"half')
    first.store.write = plain_write  # type: ignore[method-assign]
    await first.close()
    second = await IntakeWorld.open(tmp_path / "state")
    await second.settle()
    view = await second.job(JOB)
    receipt = view.receipt
    assert (receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected, receipt.state) == (26, 20, 3, 3, JobState.ACCEPTED)
    assert view.deliveries == {"due": 20}
    assert len(receipt.errors) == 7
    assert await second.sql("SELECT count(*), count(DISTINCT delivery) FROM due") == [(20, 20)]
    lines = (tmp_path / "state" / "jobs" / f"{JOB}.errors.ndjson").read_text().splitlines()
    if not ended and await second.sql("SELECT 1 FROM job WHERE expanded = 1") and len(lines) == 9:
        lines = lines[:7]  # it was all expanded before the crash: nothing opens the file again
    assert len([json.loads(line) for line in lines]) == 7
    await second.check()
    await second.close()


@pytest.mark.promise("P1", "F25")
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("cut_at", range(1, 30))
async def test_a_power_cut_takes_only_what_is_done_again(tmp_path: Path, cut_at: int) -> None:
    """Of the store's log stays what the last synced commit took along, of the files all: they must never be behind it. Nothing that was
    acknowledged, counted or ended is gone, and what is done again comes out the same."""
    first = await IntakeWorld.open(tmp_path / "state")
    head = {"id": JOB, "queue": "lapsed-45", "expected_count": len(MESSY)}
    await first.drop("\n".join(map(json.dumps, [head, *MESSY])) + "\n", format=Format.NDJSON)
    start, plain_write, synced = first.store.commits, first.store.write, first.store.wal_bytes()

    class PowerCut(BaseException):
        pass

    async def write(lane: Lane, act: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal synced
        if first.store.commits - start >= cut_at:
            raise PowerCut
        result = await plain_write(lane, act, *args, **kwargs)
        if not hasattr(act, "redone"):
            synced = first.store.wal_bytes()
        return result

    first.store.write = write  # type: ignore[method-assign]
    try:
        await first.settle()
    except PowerCut:
        pass
    shutil.copytree(tmp_path / "state", tmp_path / "cut", ignore=shutil.ignore_patterns("*-shm"))
    os.truncate(tmp_path / "cut" / "homing.db-wal", min(synced, first.store.wal_bytes()))
    first.store.write = plain_write  # type: ignore[method-assign]
    await first.close()
    second = await IntakeWorld.open(tmp_path / "cut")
    await second.settle()
    view = await second.job(JOB)
    receipt = view.receipt
    assert (receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected, receipt.state) == (26, 20, 3, 3, JobState.ACCEPTED)
    assert view.deliveries == {"due": 20}
    assert len(receipt.errors) == 7
    lines = (tmp_path / "cut" / "jobs" / f"{JOB}.errors.ndjson").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 7
    await second.check()
    await second.close()


@pytest.mark.usefixtures("small")
async def test_scratch_files_that_are_lost_are_made_again(world: IntakeWorld) -> None:
    """The body is read from its beginning; what was planned already stays planned once."""
    head = {"id": JOB, "queue": "lapsed-45", "expected_count": len(MESSY)}
    await world.drop("\n".join(map(json.dumps, [head, *MESSY])) + "\n", format=Format.NDJSON)
    while not await world.sql("SELECT 1 FROM job WHERE accepted > 0"):
        await world.expansion.round()
    for number in list(world.expansion._open):
        world.expansion._close(number)
    for path in (world.folder / "jobs" / "runs").iterdir():
        path.unlink()
    await world.settle()
    view = await world.job(JOB)
    assert view.deliveries == {"due": 20}
    receipt = view.receipt
    assert (receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected, len(receipt.errors)) == (26, 20, 3, 3, 7)


async def test_reading_gives_way_every_few_rows(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else wants the writer is not kept waiting until a thousand rows are read."""
    gave: list[int] = []
    monkeypatch.setattr(planning, "PIECE_ROWS", 4)
    monkeypatch.setattr(world.expansion, "_give_way", lambda: gave.append(1))
    await world.drop(job(10))
    await world.settle()
    assert (await world.job(JOB)).deliveries == {"due": 10}
    assert len(gave) == 3


@pytest.mark.usefixtures("small")
async def test_rows_are_planned_in_the_order_of_persons(world: IntakeWorld) -> None:
    """Across all chunks: what is claimed together lies together (facts: spikes §2)."""
    await world.drop(job(40))
    await world.settle()
    persons = [row[0] for row in await world.sql("SELECT person FROM delivery ORDER BY id")]
    assert persons == sorted(persons)
    assert sorted(persons) == sorted(person_id(f"c-{i}") for i in range(1, 41))


@pytest.mark.promise("B4")
async def test_b4_a_job_without_rows_is_accepted_and_finished(world: IntakeWorld) -> None:
    """Zero bytes from a folder, a header alone, an empty array."""
    await world.drop(b"", format=Format.CSV, head={"id": "a"}, queue="lapsed-45")
    await world.drop("id,email\n", format=Format.CSV, head={"id": "b"}, queue="lapsed-45")
    await world.drop({"id": "c", "queue": "lapsed-45", "recipients": []})
    await world.settle()
    for key in "abc":
        view = await world.job(key)
        assert (view.receipt.state, view.receipt.rows, view.finished_at) == (JobState.FINISHED, 0, NOW)


@pytest.mark.promise("B14", "P8")
@pytest.mark.parametrize("expected", [9, 11])
async def test_b14_a_count_that_differs_holds_the_job(world: IntakeWorld, expected: int) -> None:
    """Nothing is released until an operator says so; then everything is."""
    await world.drop(job(10, expected_count=expected))
    await world.settle()
    view = await world.job(JOB)
    assert (view.receipt.state, view.receipt.reason, view.deliveries) == (JobState.HELD, "count_mismatch", {"planned": 10})
    assert await world.sql("SELECT count(*) FROM due") == [(0,)]
    await world.store.write(Lane.INTAKE, release_held_jobs, HeldWhere(job=JOB))
    await world.settle()
    assert (await world.job(JOB)).deliveries == {"due": 10}


async def test_expected_count_counts_bad_and_duplicate_rows_too(world: IntakeWorld) -> None:
    """It counts rows, not people (contract §3)."""
    rows = [*people(3), {"id": "c-1"}, {"id": "c-9", "email": "no"}]
    await world.drop({"id": JOB, "queue": "lapsed-45", "expected_count": 5, "recipients": rows})
    await world.settle()
    assert (await world.job(JOB)).receipt.state is JobState.ACCEPTED


@pytest.mark.promise("B15", "P8")
async def test_b15_more_rows_than_the_queue_allows_hold_the_job(world: IntakeWorld) -> None:
    """`ceiling_exceeded` on [queues.small] max_recipients = 5."""
    await world.drop(job(5, id="fits", queue="small", expected_count=5))
    await world.drop(job(6, id="over", queue="small", expected_count=6))
    await world.settle()
    assert (await world.job("fits")).receipt.state is JobState.ACCEPTED
    assert ((await world.job("over")).receipt.state, (await world.job("over")).receipt.reason) == (JobState.HELD, "ceiling_exceeded")


@pytest.mark.promise("B15", "P8")
async def test_b15_a_large_job_without_expected_count_is_held(world: IntakeWorld) -> None:
    """More than [intake] unexpected_max rows that nobody announced."""
    await world.drop(job(1000, id="fits"))
    await world.drop(job(1001, id="over"))
    await world.settle()
    assert (await world.job("fits")).receipt.state is JobState.ACCEPTED
    assert ((await world.job("over")).receipt.state, (await world.job("over")).receipt.reason) == (JobState.HELD, "ceiling_exceeded")


@pytest.mark.promise("F41")
@pytest.mark.usefixtures("small")
async def test_f41_a_body_that_breaks_off_fails_the_job_and_releases_nothing(world: IntakeWorld) -> None:
    """What was planned is forgotten, so that the mended file can enrol the same people."""
    lines = [json.dumps({"id": JOB, "queue": "lapsed-45"}), *map(json.dumps, people(20)), '{"id": "c-21", "ema']
    await world.drop("\n".join(lines), format=Format.NDJSON)
    await world.settle()
    view = await world.job(JOB)
    assert (view.receipt.state, view.receipt.reason, view.deliveries) == (JobState.FAILED, "cut_off", {})
    assert (view.receipt.errors[0].code, view.receipt.errors[0].line) == ("cut_off", 22)
    assert await world.sql("SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM delivery)") == [(0, 0)]
    await world.drop(job(20, id="mended"))
    await world.settle()
    assert (await world.job("mended")).deliveries == {"due": 20}
    assert (await world.job(JOB)).finished_at is not None


@pytest.mark.usefixtures("small")
async def test_a_body_that_is_gone_fails_its_job_only(world: IntakeWorld) -> None:
    """Other jobs go on."""
    await world.drop(job(5, id="a"))
    await world.drop({"id": "b", "queue": "other", "campaign": "winback", "recipients": people(5, first=50)})
    next((world.folder / "jobs").glob("a.*.body")).unlink()
    await world.settle()
    assert ((await world.job("a")).receipt.state, (await world.job("a")).receipt.reason) == (JobState.FAILED, "body_lost")
    assert (await world.job("b")).deliveries == {"due": 5}


@pytest.mark.promise("B11")
@pytest.mark.parametrize(("owner", "name"), [(BodyRows, "read"), (expand, "plan_chunk")])
async def test_an_error_of_ours_over_a_row_fails_its_job_only(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """A bug that one row brings to light must not stop everybody's sending, at this start and at each one after it."""
    real = getattr(owner, name)

    def broken(*args: Any) -> Any:
        done = real(*args)
        rows = done.rows if name == "read" else args[2].rows
        if rows and rows[0].key.startswith("c-"):
            raise ValueError("what nobody thought of")
        return done

    monkeypatch.setattr(owner, name, broken)
    await world.drop(job(5, id="a"))
    await world.drop({"id": "b", "queue": "other", "campaign": "winback", "recipients": [{"id": "d", "email": "d@example.com", "zone": "UTC"}]})
    await world.settle()
    failed = (await world.job("a")).receipt
    assert (failed.state, failed.reason) == (JobState.FAILED, "internal")
    assert "what nobody" not in failed.errors[0].detail
    assert (await world.job("b")).deliveries == {"due": 1}
    assert [event for event, _ in world.log.events if event == "expansion_failed"] == ["expansion_failed"]
    assert await world.sql("SELECT count(*) FROM delivery") == [(1,)]


@pytest.mark.promise("B12")
async def test_b12_two_customers_at_one_address_get_one_marketing_mail(world: IntakeWorld) -> None:
    """Case and IDN spellings are one address; the first line counts. Transactional messages go to each."""
    rows = [
        {"id": "a", "email": "info@bücher.example"}, {"id": "b", "email": "INFO@xn--bcher-kva.example"}, {"id": "c", "email": "in.fo@bücher.example"},
    ]  # fmt: skip
    await world.drop({"id": JOB, "queue": "lapsed-45", "recipients": rows})
    await world.load(version("receipts", purpose=Purpose.TRANSACTIONAL))
    await world.drop({"id": "t", "queue": "lapsed-45", "campaign": "receipts", "recipients": rows})
    await world.settle()
    receipt = (await world.job(JOB)).receipt
    assert (receipt.accepted, receipt.duplicate) == (2, 1)
    assert [(error.recipient, error.detail) for error in receipt.errors] == [("b", "the same address as in line 1")]
    assert (await world.job("t")).receipt.accepted == 3


async def test_deliveries_fall_due_at_their_first_window_instant_and_spread(world: IntakeWorld) -> None:
    """11:40 in Jakarta is inside: now. 23:40 in New York is not: from 09:00 there, over 30 minutes, in the order of persons."""
    rows = [*people(5), *people(200, first=100, zone="America/New_York"), {"id": "lost", "email": "lost@example.com"}]
    await world.drop({"id": JOB, "queue": "lapsed-45", "recipients": rows})
    await world.settle()
    found = await world.sql("SELECT r.zone, d.not_before, d.expires_at, due.not_before FROM delivery d JOIN recipient r ON r.id = person JOIN due ON due.delivery = d.id")
    assert {row[1] for row in found if row[0] == "Asia/Jakarta"} == {NOW}
    york = [row[1] for row in found if row[0] == "America/New_York"]
    assert iso(min(york)) >= "2026-11-22T14:00:00.000Z"
    assert iso(max(york)) < "2026-11-22T14:30:00.000Z"
    assert max(york) - min(york) > 25 * MINUTE
    assert [row[1] for row in found if row[0] is None] == [NOW]  # the claim holds it: zone_unknown
    assert all(row[1] == row[3] and row[2] == row[1] + 72 * HOUR for row in found)


@pytest.mark.promise("F35")
async def test_what_can_never_be_sent_expires_at_once(world: IntakeWorld) -> None:
    """Its window does not open before `expires_at`; the reason says so (design §4, retries)."""
    await world.drop(job(2, expires_at=iso(NOW + HOUR), window={"hours": ["mon 09:00-12:00"]}))
    await world.settle()
    view = await world.job(JOB)
    assert (view.deliveries, view.reasons) == ({"expired": 2}, {"window_never_opens": 2})
    assert view.receipt.state is JobState.FINISHED


async def test_a_job_that_waits_for_its_instant(world: IntakeWorld) -> None:
    """`not_before` and `expires_at` of the job bound each delivery."""
    await world.drop(job(1, not_before=iso(NOW + 2 * DAY), expires_at=iso(NOW + 3 * DAY)))
    await world.settle()
    view = await world.job(JOB)
    assert view.next_due is not None
    assert view.next_due >= NOW + 2 * DAY
    assert await world.sql("SELECT expires_at FROM delivery") == [(NOW + 3 * DAY,)]


@pytest.mark.usefixtures("small")
async def test_a_paused_job_is_read_but_not_released(world: IntakeWorld) -> None:
    """Resumed, it goes on; its receipt was final before."""
    await world.drop(job(12))
    await world.store.write(Lane.INTAKE, pause_job, JOB, NOW)
    await world.settle()
    view = await world.job(JOB)
    assert (view.receipt.state, view.expanded, view.deliveries) == (JobState.PAUSED, True, {"planned": 12})
    await world.store.write(Lane.INTAKE, resume_job, JOB, NOW)
    await world.settle()
    assert (await world.job(JOB)).deliveries == {"due": 12}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("rounds", [0, 1, 2, 4, 7, 20])
async def test_a_cancelled_job_ends_wherever_it_is(world: IntakeWorld, rounds: int) -> None:
    """While it is read, planned, released or due: nothing is left to be sent, and the same people can be enrolled anew."""
    await world.drop(job(23))
    for _ in range(rounds):
        await world.expansion.round()
    await world.store.write(Lane.INTAKE, cancel_job, JOB)
    for _ in range(30):
        await world.expansion.round()
    view = await world.job(JOB)
    assert view.receipt.state is JobState.CANCELLED
    assert set(view.deliveries) <= {"cancelled"}
    assert view.finished_at == NOW
    assert await world.sql("SELECT count(*) FROM due") == [(0,)]
    assert await world.sql("SELECT count(*) FROM lane") == [(0,)]
    await world.drop(job(23, id="again"))
    await world.settle()
    assert (await world.job("again")).deliveries == {"due": 23}


async def test_a_small_job_is_not_stuck_behind_a_large_one(world: IntakeWorld, small: None) -> None:
    """Open jobs have turns."""
    await world.drop(job(300, id="large"))
    await world.drop({"id": "small", "queue": "other", "campaign": "winback", "recipients": people(2, first=900)})
    for _ in range(8):
        await world.expansion.round()
    assert (await world.job("small")).deliveries == {"due": 2}
    assert not (await world.job("large")).expanded


@pytest.mark.promise("B10")
async def test_b10_a_recipient_s_row_updates_only_what_it_names(world: IntakeWorld) -> None:
    """Traits stay unless named, null clears, `vars` stay with the job."""
    await world.drop({"id": "1", "queue": "lapsed-45", "recipients": [
        {"id": "c", "email": "c@example.com", "locale": "id", "traits": {"first_name": "Ana", "nps": 9}, "vars": {"x": 1}}]})  # fmt: skip
    await world.settle()
    await world.drop({"id": "2", "queue": "lapsed-45", "recipients": [{"id": "c", "zone": "Asia/Jakarta", "traits": {"nps": None, "tier": "high"}}]})
    await world.settle()
    assert await world.sql("SELECT email, locale, zone, traits FROM recipient") == [
        ("c@example.com", "id", "Asia/Jakarta", '{"first_name":"Ana","tier":"high"}')
    ]
    assert await world.sql("SELECT vars FROM delivery") == [('{"x":1}',)]


@pytest.mark.parametrize(
    ("dates", "state", "reason"),
    [
        ({"ends": date(2026, 11, 22)}, "expired", "campaign_ended"),
        ({"ends": to_datetime(NOW - HOUR)}, "expired", "campaign_ended"),
        ({"starts": date(2026, 11, 25), "ends": date(2026, 11, 25)}, "expired", "window_never_opens"),
        ({"starts": date(2026, 11, 25)}, "due", None),
        ({"ends": date(2026, 11, 23)}, "due", None),
    ],
)
async def test_a_campaign_s_dates_bound_its_deliveries(world: IntakeWorld, dates: dict[str, Any], state: str, reason: str | None) -> None:
    """Local dates begin at 00:00 in the recipient's zone; an end that has passed is said at once."""
    await world.load(version("dated", **dates))
    await world.drop(job(2, campaign="dated"))
    await world.settle()
    assert await world.sql("SELECT DISTINCT state, reason FROM delivery") == [(state, reason)]
    if dates == {"starts": date(2026, 11, 25)}:
        assert iso(min(row[0] for row in await world.sql("SELECT not_before FROM due"))) >= "2026-11-25T02:00:00.000Z"
    if dates == {"ends": date(2026, 11, 23)}:
        assert {iso(row[0]) for row in await world.sql("SELECT expires_at FROM delivery")} == {"2026-11-22T17:00:00.000Z"}


async def test_a_second_walk_begins_after_again(world: IntakeWorld) -> None:
    """`again` = 7 days after the last walk's end; before that, and while one is open, people are enrolled already."""
    await world.load(version("monthly", again=7 * DAY))
    ended = {"n": 0}

    async def enrol(days: int) -> tuple[int, int]:
        world.clock.wall = NOW + days * DAY
        ended["n"] += 1
        await world.drop(job(2, id=f"j{ended['n']}", campaign="monthly"))
        await world.settle()
        receipt = (await world.job(f"j{ended['n']}")).receipt
        return receipt.accepted, receipt.duplicate

    assert await enrol(0) == (2, 0)
    assert await enrol(1) == (0, 2)
    await world.do("DELETE FROM due")
    await world.do("UPDATE delivery SET state = 'accepted', ended_at = :at", at=NOW + DAY)
    await world.do("UPDATE tally SET state = 'accepted' WHERE n > 0")
    assert await enrol(7) == (0, 2)
    assert await enrol(8) == (2, 0)
    assert await world.sql("SELECT occurrence, count(*) FROM delivery JOIN wave ON wave.id = wave GROUP BY 1") == [(1, 2), (2, 2)]


@pytest.mark.promise("F22")
async def test_f22_a_full_disk_puts_expansion_off_and_says_so_once(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is planned, nothing is lost; it goes on when there is room."""
    await world.drop(job(3))
    monkeypatch.setattr(expand, "RESERVE_BYTES", 1 << 62)
    assert not await world.expansion._try_round()
    assert not await world.expansion._try_round()
    assert [event for event, _ in world.log.events].count("expansion_put_off") == 1
    assert (await world.job(JOB)).receipt.rows == 0
    monkeypatch.undo()
    while await world.expansion._try_round():
        pass
    assert (await world.job(JOB)).deliveries == {"due": 3}


async def test_the_service_works_by_itself_when_poked(world: IntakeWorld) -> None:
    """Started, poked by the door, stopped: no sleep in between."""
    world.intake._accepted = world.expansion.poke
    await world.expansion.start()
    await world.expansion.ready()
    await world.drop(job(3))
    assert (await world.signals.wait("job_expanded"))["state"] == "accepted"
    await world.signals.wait("job_released", job=JOB)
    await world.expansion.stop()
    assert (await world.job(JOB)).deliveries == {"due": 3}


async def test_lane_of_a_job_with_one_recipient_knows_the_person(world: IntakeWorld) -> None:
    """So that thousands of such jobs need not be searched for what else a person has waiting; a larger job's lane holds anybody."""
    await world.drop({"id": "one", "queue": "lapsed-45", "campaign": "winback", "recipients": [{"id": "c-1", "email": "a@example.com"}]})
    two = [{"id": "c-2", "email": "b@example.com"}, {"id": "c-3", "email": "c@example.com"}]
    await world.drop({"id": "two", "queue": "lapsed-45", "campaign": "winback", "recipients": two})
    await world.settle()
    alone = "SELECT lane.person = recipient.id FROM lane JOIN job ON job.id = lane.job JOIN recipient ON recipient.key = 'c-1' WHERE job.key = "
    assert await world.sql(f"{alone}'one'") == [(1,)]
    assert await world.sql(f"{alone}'two'") == [(None,)]
