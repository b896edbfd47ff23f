"""The operators' desk: what it refuses because it would do harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.desk import Desk, Hooks
from daemon.app.opening import NOT_BEGUN, Opened, accept_store
from daemon.clock import SystemClock
from daemon.config.load import load_config
from daemon.disk import SystemDisk
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal
from daemon.errors import GuardRefusedError
from daemon.ids import SystemIds
from daemon.model.delivery import Reason
from daemon.room import Room
from daemon.store.engine import StateLock
from daemon.store.enrolling import open_standing
from daemon.store.flight import Kind, Step
from daemon.store.writer import Lane, Store
from tests.stages.intake_world import CONFIG
from tests.store.conftest import NOW, World, add_job, begin, outcome


@pytest.mark.promise("P2", "P11")
@pytest.mark.parametrize("held", [False, True])
async def test_only_a_store_that_is_held_as_restored_is_accepted_as_one(tmp_path: Path, held: bool) -> None:
    """The journal of a store that is no copy names what it has in hand or has settled itself: none of that may come to be in doubt."""
    journal, gate = Journal(tmp_path / "journal"), Gate(tmp_path / "stop", {Reason.RESTORED.value: "a copy"} if held else {})
    store = Store.open(tmp_path / "homing.db", after_join=journal.append)
    began = await store.write(Lane.EXIT, begin, NOW, "node", "nonce")
    journal.open(began.nonce, began.commit)
    opened = Opened(
        lock=StateLock(tmp_path), store=store, journal=journal, gate=gate, began=NOT_BEGUN, room=Room(SystemDisk(), (tmp_path,))
    )  # fmt: skip

    async def accept() -> None:
        await accept_store(opened, SystemIds(), SystemClock())

    (tmp_path / "config.toml").write_text(CONFIG.format(state=tmp_path))
    config = load_config(tmp_path / "config.toml", {})
    desk = Desk(store=store, clock=SystemClock(), gate=gate, disk=SystemDisk(), config=lambda: config, hooks=Hooks(accept_restore=accept))
    world = World(store)
    await store.write(Lane.BULK, add_job, 1, people=[7, 8])
    first, second = (await world.claim()).claimed
    await store.join(Lane.HANDOVER, world.flights.step, Step(grants=[(c.row.delivery, c.epoch) for c in (first, second)]))
    await world.step(outcomes=[outcome(first, Kind.DEFERRED, again_at=NOW), outcome(second, Kind.DEFERRED, again_at=NOW)])
    if held:
        await desk.start_all(expect=2, accept_clock=False, accept_restore=True)
        assert await world.tally() == {("in_doubt", ""): 2}
    else:
        with pytest.raises(GuardRefusedError, match="not held as restored"):
            await desk.start_all(expect=2, accept_clock=False, accept_restore=True)
        assert await world.tally() == {("due", ""): 2}
    await opened.close()


async def test_queues_are_those_of_the_config_and_where_something_lies(tmp_path: Path) -> None:
    """What the walks of a campaign belong to is no queue as long as nothing of it was planned, and no job that somebody dropped."""
    store = Store.open(tmp_path / "homing.db")
    await store.write(Lane.EXIT, begin, NOW, "node", "nonce")
    await store.write(Lane.BULK, add_job, 1, people=[7])
    (tmp_path / "config.toml").write_text(CONFIG.format(state=tmp_path))
    config = load_config(tmp_path / "config.toml", {})
    desk = Desk(store=store, clock=SystemClock(), gate=Gate(tmp_path / "stop", {}), disk=SystemDisk(), config=lambda: config)
    there = {each["queue"]: each["jobs"] for each in await desk.list_queues()}
    name = await store.read(lambda conn: conn.exec_driver_sql("SELECT name FROM campaign").scalar())
    await store.write(Lane.BULK, open_standing, [(name, "season", 50)], NOW)
    assert {each["queue"]: each["jobs"] for each in await desk.list_queues()} == there
    await desk.pause_queue("season")
    assert {each["queue"]: each["jobs"] for each in await desk.list_queues()} == there | {"season": 0}
    await store.close()
