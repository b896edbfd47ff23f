"""What could break a promise long after the fact: touches forgotten, evidence lost, rows that no job owns, a clock set right."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from daemon.dispatch.gate import Gate
from daemon.model.delivery import DAY, HOUR, SECOND, Reason, State
from daemon.store.campaigns import Loaded, newest_bodies, register
from daemon.store.doubts import resolve_doubt
from daemon.store.flight import Flights, Kind, Step
from daemon.store.jobs import cancel_job, finish_jobs
from daemon.store.recover import accept_clock, begin, mark_journaled, prune_touches
from daemon.store.release import find_work, sweep_some
from daemon.store.writer import Lane
from tests.store.conftest import NOW, World, add_job, outcome


async def test_a_doubt_of_a_cancelled_job_that_was_not_sent_ends_as_cancelled(world: World) -> None:
    """The operator's word comes after the job has ended: the delivery must not lie in the due queue for ever."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.UNKNOWN)])
    await world.store.write(Lane.EXIT, cancel_job, "job-1")
    await world.store.write(Lane.BULK, finish_jobs, NOW)
    await world.sql("UPDATE job SET first_id = 1, last_id = 1")
    await world.store.write(Lane.EXIT, resolve_doubt, 1, NOW, sent=False)
    assert await world.claim() is not None
    for job in (await world.store.read(find_work)).sweep:
        await world.store.write(Lane.BULK, sweep_some, job, 0, NOW, 10)
    await world.store.write(Lane.BULK, finish_jobs, NOW)
    assert await world.state(1) == ("cancelled", "operator")
    assert await world.sql("SELECT state, finished_at FROM job") == [("cancelled", NOW)]
    assert await world.sql("SELECT * FROM due") == []


@pytest.mark.promise("P3", "F4")
async def test_each_doubt_of_a_crash_has_its_evidence(world: World) -> None:
    """Also after tries that used up no attempt (a throttle answer)."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.step(outcomes=[outcome(claimed, Kind.DEFERRED, scope="provider", code="421", burnt=False)])
    world.now += 1
    [again] = (await world.claim()).claimed
    await world.step(grants=[again])
    await world.store.write(Lane.BULK, begin, NOW + SECOND, "node", "nonce")
    assert await world.state(1) == ("in_doubt", None)
    assert await world.sql("SELECT n, outcome, code FROM attempt ORDER BY n") == [(1, "deferred", "421"), (2, "unknown", "crash")]


@pytest.mark.promise("P11", "F40")
async def test_a_handover_found_in_the_journal_has_its_evidence_and_counts_for_its_topic(world: World) -> None:
    """A cap over a topic counts what the restored copy did not know."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    await world.sql("INSERT INTO campaign_version VALUES (1, 1, 'd', :body, 1)", body='{"campaign": {"topic": "winback"}}')
    await world.sql("INSERT INTO attempt (delivery, n, at, provider, outcome) VALUES (1, 1, 1, 'relay', 'deferred')")
    assert await world.store.write(Lane.EXIT, mark_journaled, {1: NOW + 5}, NOW + HOUR) == 1
    assert await world.sql("SELECT person, at, topic FROM touch") == [(7, NOW + 5, "winback")]
    assert await world.sql("SELECT n, code FROM attempt ORDER BY n") == [(1, None), (2, "journal")]


@pytest.mark.promise("P4", "F43")
@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.UNKNOWN])
async def test_what_a_plugin_sent_without_leave_counts_all_the_same(world: World, kind: Kind) -> None:
    """It broke its contract, but the person was contacted, or may have been."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(outcomes=[outcome(claimed, kind)])
    assert await world.sql("SELECT person, delivery FROM touch") == [(7, 1)]
    if kind is Kind.UNKNOWN:
        await world.store.write(Lane.EXIT, resolve_doubt, 1, NOW + 9, sent=False)
        assert await world.sql("SELECT * FROM touch") == []


@pytest.mark.promise("P4", "F33")
async def test_touches_are_never_pruned_beyond_what_was_committed(world: World) -> None:
    """A clock that has jumped ahead does not make the store forget whom it contacted."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    [claimed] = (await world.claim()).claimed
    await world.step(grants=[claimed])
    await world.store.write(Lane.BULK, prune_touches, NOW + 400 * DAY, 60 * DAY, -1)
    assert await world.sql("SELECT count(*) FROM touch") == [(1,)]
    await world.sql("UPDATE meta SET value = :value WHERE key = 'commit'", value=f"9 {NOW + 61 * DAY}")
    await world.store.write(Lane.BULK, prune_touches, NOW + 61 * DAY, 60 * DAY, -1)
    assert await world.sql("SELECT count(*) FROM touch") == [(0,)]


@pytest.mark.promise("F33")
async def test_a_clock_that_the_operator_accepts_may_send_again(world: World, tmp_path: Path) -> None:
    """The clock was three hours ahead for a moment and is right again: accepted, it grants, at true instants."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7, 8])
    first, second = (await world.claim()).claimed
    gate = Gate(tmp_path / "stop")
    flights = Flights(lambda: world.now, gate.shut)

    async def ask(claimed: object) -> int:
        grants = [(claimed.row.delivery, claimed.epoch)]  # type: ignore[attr-defined]
        return len((await world.store.join(Lane.HANDOVER, flights.step, Step(grants=grants))).granted)

    world.now = NOW + 3 * HOUR
    assert await ask(first) == 1
    world.now = NOW + 60 * SECOND
    assert await ask(second) == 0
    assert Reason.CLOCK_UNTRUSTED.value in gate.latched()
    await world.store.write(Lane.EXIT, accept_clock, world.now)
    gate.open(Reason.CLOCK_UNTRUSTED)
    [second] = (await world.claim()).claimed
    assert await ask(second) == 1
    assert not gate.latched()
    assert await world.sql("SELECT at FROM touch WHERE delivery = 2") == [(world.now + 1,)]


async def test_an_error_of_the_store_names_no_address(world: World) -> None:
    """Its text goes to the log: the statement, never the values."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    with pytest.raises(IntegrityError) as caught:
        await world.sql("INSERT INTO recipient (id, key, email, created_at, updated_at) VALUES (7, 'p', :e, 1, 1)", e="aiko@example.com")
    assert "aiko" not in str(caught.value)


async def test_a_start_reads_only_the_campaigns_that_the_folder_has(world: World) -> None:
    """Inline jobs leave a campaign each: their bodies are not read again at every start."""
    loaded = [Loaded(name=name, digest="d", body="{}", status="active") for name in ("winback", "job:1", "job:2")]
    await world.store.write(Lane.EXIT, register, loaded, {}, NOW)
    assert set(await world.store.read(newest_bodies, ["winback", "other"])) == {"winback"}


async def test_a_rival_in_a_paused_queue_takes_no_slot(world: World) -> None:
    """It would not be sent now, so nobody yields to it."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7], priority=10)
    await world.store.write(Lane.BULK, add_job, 2, people=[7], priority=90, first_id=100, queue="other")
    await world.store.write(Lane.BULK, add_job, 3, people=[8], first_id=200, campaign=2)
    await world.sql("INSERT INTO queue (name, paused, guard) VALUES ('other', 1, 1)")
    await world.claim(share=lambda lanes: [(1, 10)])
    assert world.rivals == frozenset()
    assert State((await world.state(100))[0]) is State.DUE


@pytest.mark.promise("P11", "P2")
@pytest.mark.parametrize("state", ["due", "held", "planned"])
async def test_whatever_waits_in_a_restored_copy_and_was_sent_since_is_in_doubt(world: World, state: str) -> None:
    """Held or still planned in the copy, freed and sent after it was made: freed again it would go a second time."""
    await world.store.write(Lane.BULK, add_job, 1, people=[7])
    if state != "due":
        reason = "zone_unknown" if state == "held" else None
        await world.sql("DELETE FROM due")
        await world.sql("UPDATE lane SET head = NULL")
        await world.sql("UPDATE delivery SET state = :state, reason = :reason", state=state, reason=reason)
        await world.sql("UPDATE tally SET state = :state, reason = :reason", state=state, reason=reason or "")
    assert await world.store.write(Lane.EXIT, mark_journaled, {1: NOW + 5}, NOW + HOUR) == 1
    assert await world.state(1) == ("in_doubt", None)
    assert await world.tally() == {("in_doubt", ""): 1}
    assert await world.sql("SELECT person, at FROM touch") == [(7, NOW + 5)]
    assert (await world.claim()).taken == 0
