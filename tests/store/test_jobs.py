"""Jobs as rows: taken in once, controlled by one row, finished when nothing is left (contract §3; design §4.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daemon.errors import GuardRefusedError, IntakeError, NotFoundError
from daemon.model.delivery import Decision, Reason, Verdict
from daemon.model.job import JobState
from daemon.store.campaigns import Loaded, register
from daemon.store.care import check_rows
from daemon.store.expansion_end import fail_job
from daemon.store.flight import Kind
from daemon.store.jobs import NewJob, accept_job, any_ended, cancel_job, finish_jobs, list_jobs, pause_job, read_job, resume_job
from daemon.store.release import find_work, sweep_some
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job, outcome


def new_job(key: str = "j", **more: Any) -> NewJob:
    values = {
        "key": key, "queue": "q", "campaign": "winback", "digest": "sha256:1", "source": "http", "received_at": NOW, "head": "{}",
        "format": "json", "body": "b", "offset": 5, "line": 0, "expected": None, "priority": 50, **more,
    }  # fmt: skip
    return NewJob(**values)


async def load(world: World, status: str = "active") -> None:
    loaded = Loaded(name="winback", digest=status, body="{}", status=status)
    await world.store.write(Lane.INTAKE, register, [loaded], {"winback": "draft"}, NOW)


async def act(world: World, what: Callable[..., Any], *args: Any) -> Any:
    return await world.store.write(Lane.INTAKE, what, *args)


@pytest.mark.promise("B34")
async def test_one_of_many_at_once_makes_the_job(world: World) -> None:
    """The same job through several doors at the same moment: one row, one receipt for all."""
    await load(world)
    done = await asyncio.gather(*(act(world, accept_job, new_job(), NOW + i) for i in range(5)))
    assert [item.fresh for item in done].count(True) == 1
    assert len({item.receipt for item in done}) == 1
    assert await world.sql("SELECT count(*) FROM job") == [(1,)]


@pytest.mark.promise("B34")
@pytest.mark.parametrize("other", [{"digest": "sha256:2"}, {"head": '{"priority":5}'}])
async def test_an_id_is_taken_once(world: World, other: dict[str, Any]) -> None:
    """Other content or another head under it is `job-conflict`."""
    await load(world)
    await act(world, accept_job, new_job(), NOW)
    with pytest.raises(IntakeError) as caught:
        await act(world, accept_job, new_job(**other), NOW)
    assert caught.value.type == "job-conflict"


async def test_the_id_of_a_failed_job_is_free_for_the_mended_body(world: World) -> None:
    """The same body again is the same failure; another one is a new job, and the failed one stays to be seen beside it."""
    await load(world)
    await act(world, accept_job, new_job(), NOW)
    await act(world, fail_job, 1, "cut_off", "the body breaks off in its last line", 4)
    again = await act(world, accept_job, new_job(), NOW)
    assert (again.fresh, again.receipt.state) == (False, JobState.FAILED)
    mended = await act(world, accept_job, new_job(digest="sha256:2"), NOW)
    assert (mended.fresh, mended.receipt.state) == (True, JobState.RECEIVING)
    assert await world.sql("SELECT id, key, state FROM job ORDER BY id") == [(1, "j#1", "failed"), (2, "j", "receiving")]


async def test_the_id_of_a_failed_job_is_not_free_while_something_of_it_is_planned(world: World) -> None:
    """Its people would count as enrolled already."""
    await load(world)
    await act(world, accept_job, new_job(), NOW)
    await act(world, fail_job, 1, "body_lost", "the body is gone", None)
    await world.sql("INSERT INTO tally (job, state, reason, n) VALUES (1, 'planned', '', 3)")
    with pytest.raises(IntakeError) as caught:
        await act(world, accept_job, new_job(digest="sha256:2"), NOW)
    assert caught.value.type == "not-ready"


async def test_a_refused_job_leaves_no_row(world: World) -> None:
    """Unknown and archived campaigns; an inline campaign is rolled back with its job."""
    with pytest.raises(IntakeError) as caught:
        await act(world, accept_job, new_job(), NOW)
    assert caught.value.type == "unknown-campaign"
    await load(world, "archived")
    with pytest.raises(IntakeError, match="archived"):
        await act(world, accept_job, new_job(), NOW)
    inline = Loaded(name="job:j", digest="d", body="{}", status="active")
    await act(world, accept_job, new_job(campaign="job:j", inline=inline), NOW)
    with pytest.raises(IntakeError):
        await act(world, accept_job, new_job(campaign="job:j", inline=inline, digest="sha256:2"), NOW)
    assert await world.sql("SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM campaign_version)") == [(1, 2)]


async def test_a_paused_job_is_not_claimed_and_what_is_claimed_is_not_handed_over(world: World) -> None:
    """One row with a raised guard; resumed, it goes on. Each a second time changes nothing."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    [first, _] = (await world.claim()).claimed
    await act(world, pause_job, "job-1", NOW)
    assert (await act(world, pause_job, "job-1", NOW)).state is JobState.PAUSED
    assert await world.step(grants=[first]) == frozenset()
    assert (await world.claim()).taken == 0
    await act(world, resume_job, "job-1", NOW)
    assert (await act(world, resume_job, "job-1", NOW)).state is JobState.ACCEPTED
    assert len((await world.claim()).claimed) == 1
    assert await world.store.read(check_rows) == []


async def test_a_cancelled_job_ends_all_that_was_not_handed_over(world: World) -> None:
    """Due, held and claimed rows end as cancelled; what is handed over ends by its outcome; then the job has finished."""
    await world.store.write(Lane.BULK, add_job, 1, people=[6, 7, 8, 9])
    await world.sql("UPDATE job SET first_id = 1, last_id = 4, release_cursor = 4")
    world.decide = lambda row: Decision(verdict=Verdict.HOLD, reason=Reason.RENDER_ERROR) if row.delivery == 4 else Decision(verdict=Verdict.SEND, closes=NOW * 2)
    claimed = {c.row.delivery: c for c in (await world.claim(4)).claimed}
    assert await world.step(grants=[claimed[1]]) == {1}
    await act(world, cancel_job, "job-1")
    assert await world.step(grants=[claimed[2]]) == frozenset()
    [job] = (await world.store.read(find_work)).sweep
    while (swept := await act(world, sweep_some, job, 0, NOW, 1)).ended:
        job = job._replace(first_id=max(job.first_id, swept.cursor))
    assert await world.tally() == {("cancelled", "operator"): 2, ("claimed", ""): 2}
    assert not await world.store.read(any_ended)
    await world.step(outcomes=[outcome(claimed[1], Kind.ACCEPTED)])
    assert await world.step(grants=[claimed[3]]) == frozenset()
    await act(world, sweep_some, job, 0, NOW, 10)
    assert await world.tally() == {("cancelled", "operator"): 3, ("accepted", ""): 1}
    assert await act(world, finish_jobs, NOW) == []
    assert await world.sql("SELECT state, finished_at, (SELECT count(*) FROM lane) FROM job") == [("cancelled", NOW, 0)]
    assert await world.store.read(check_rows) == []


async def test_a_job_finishes_when_nothing_is_left_to_be_sent(world: World) -> None:
    """A doubt is not left to be sent, but keeps the job's lane: an operator may still make it due again."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    await world.sql("UPDATE job SET first_id = 1, last_id = 2, release_cursor = 2")
    one, other = (await world.claim()).claimed
    await world.step(grants=[one, other])
    await world.step(outcomes=[outcome(one, Kind.ACCEPTED)])
    assert not await world.store.read(any_ended)
    await world.step(outcomes=[outcome(other, Kind.UNKNOWN)])
    assert await world.store.read(any_ended)
    assert await act(world, finish_jobs, NOW + 5) == ["job-1"]
    view = await world.store.read(read_job, "job-1")
    assert view is not None
    assert (view.receipt.state, view.finished_at, view.deliveries) == (JobState.FINISHED, NOW + 5, {"accepted": 1, "in_doubt": 1})
    assert await world.sql("SELECT count(*) FROM lane") == [(1,)]


async def test_a_job_that_is_not_all_released_is_not_finished(world: World) -> None:
    """Whatever the tallies of the moment say."""
    await world.store.write(Lane.BULK, add_job, 1, people=[])
    await world.sql("UPDATE job SET first_id = 1, last_id = 2, release_cursor = 1")
    assert not await world.store.read(any_ended)
    await world.sql("UPDATE job SET release_cursor = 2, expanded = 0")
    assert not await world.store.read(any_ended)


async def test_what_cannot_be_done_to_a_job_is_said(world: World) -> None:
    """Unknown ids, held and ended jobs."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    for what in (pause_job, resume_job, cancel_job):
        with pytest.raises(NotFoundError):
            await act(world, what, "nothing", *([] if what is cancel_job else [NOW]))
    await world.sql("UPDATE job SET state = 'held', reason = 'count_mismatch'")
    for what in (pause_job, resume_job):
        with pytest.raises(GuardRefusedError, match="count_mismatch"):
            await act(world, what, "job-1", *([] if what is cancel_job else [NOW]))
    await world.sql("UPDATE job SET state = 'finished'")
    for what in (pause_job, resume_job, cancel_job):
        with pytest.raises(GuardRefusedError, match="finished"):
            await act(world, what, "job-1", *([] if what is cancel_job else [NOW]))


async def test_jobs_are_listed_newest_first_in_pages(world: World) -> None:
    """By queue, by state, from a position on."""
    for number in range(1, 6):
        await world.store.write(Lane.BULK, add_job, number, people=[], queue="a" if number % 2 else "b")
    page, position = await world.store.read(list_jobs, queue="a", limit=2)
    assert [view.receipt.job for view in page] == ["job-5", "job-3"]
    page, position = await world.store.read(list_jobs, queue="a", before=position, limit=2)
    assert ([view.receipt.job for view in page], position) == (["job-1"], None)
    assert (await world.store.read(list_jobs, state="held"))[0] == []


async def test_hot_statements_use_their_indexes(world: World) -> None:
    """No scan of a table that grows, in what runs once a chunk."""
    from daemon.store import enrolling, recipients, release

    values = {"ids": "[1]", "waves": "[1]", "persons": "[1]", "job": 1, "after": 0, "last": 9, "n": 5, "lane": 1}
    statements = (recipients.KNOWN, recipients._ZONE_HOLDS, enrolling._BEFORE, release._PLANNED, release._UNDUE, release._DUE_OF_JOB)

    def plans(conn: Any) -> list[str]:
        texts: list[str] = []
        raw = conn.connection.driver_connection
        raw.set_trace_callback(texts.append)
        for statement in statements:
            conn.execute(statement, values)
        raw.set_trace_callback(None)
        assert len(texts) == len(statements)
        rows = [row[3] for line in texts for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {line}")]
        return [row for row in rows if row.startswith("SCAN") and "VIRTUAL TABLE" not in row]

    assert await world.store.read(plans) == []
