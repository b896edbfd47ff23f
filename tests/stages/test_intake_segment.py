"""A job for a segment goes to whoever is in it when the job arrives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.audience import segment_desk
from daemon.audience.segment_desk import SegmentDesk
from daemon.audience.segmenting import Segmenting
from daemon.content.segment_file import read_segments
from daemon.errors import IntakeError
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY
from daemon.model.job import JobState
from daemon.store.events import take_events
from daemon.store.writer import Lane
from tests.stages.intake_world import NOW, IntakeWorld, people
from tests.store.test_events import row

SHOP = Shop()
FILE = '[lapsed]\nwhere = "days_since_order >= 30"\nevery = "demand"\n[daily]\nwhere = "orders >= 1"\n'


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IntakeWorld]:
    monkeypatch.setattr(segment_desk, "PORTION", 2)
    opened = await IntakeWorld.open(tmp_path / "state")
    segments, _ = read_segments(FILE, "segments.toml")
    segmenting = Segmenting(store=opened.store, clock=opened.clock, log=opened.log, segments=segments, shop=lambda: SHOP, zone=lambda: "UTC")
    desk = SegmentDesk(store=opened.store, clock=opened.clock, segmenting=segmenting, shop=lambda: SHOP, zone=lambda: "UTC")
    opened.intake._members = desk.members
    rows = [row("Order Completed", f"m-{n}", NOW - 40 * DAY, f"c-{n}", revenue=10) for n in range(5)]
    await opened.store.write(Lane.EVENTS, take_events, rows, SHOP, NOW)
    yield opened
    await opened.check()
    await opened.close()


async def drop(world: IntakeWorld, **more: Any) -> Any:
    return await world.drop(json.dumps({"id": "j-1", "queue": "lapsed-45", "segment": "lapsed", **more}))


async def test_members_are_its_recipients(world: IntakeWorld) -> None:
    """Of a segment on demand as of now; the same body again is the same job."""
    receipt = await drop(world, expected_count=5)
    await world.settle()
    view = await world.job("j-1")
    assert (view.receipt.state, view.receipt.rows, view.receipt.accepted) == (JobState.ACCEPTED, 5, 5)
    assert (await drop(world, expected_count=5)).received_at == receipt.received_at
    with pytest.raises(IntakeError, match="j-1") as found:
        await drop(world)
    assert found.value.type == "job-conflict"


async def test_a_segment_never_looked_at_is_evaluated_for_the_job(world: IntakeWorld) -> None:
    """Later jobs take who was in at the last evaluation."""
    await drop(world, segment="daily")
    await world.store.write(Lane.EVENTS, take_events, [row("Order Completed", "m-9", NOW, "c-9", revenue=1)], SHOP, NOW)
    await drop(world, segment="daily", id="j-2")
    await world.settle()
    assert [(await world.job(key)).receipt.rows for key in ("j-1", "j-2")] == [5, 5]


@pytest.mark.parametrize(
    ("more", "what"),
    [({"segment": "lapsd"}, 'no segment "lapsd"; did you mean "lapsed"'), ({"recipients": people(1)}, "recipients or a segment, not both"), ({"segment": 3}, "no name of a segment")],
)  # fmt: skip
async def test_refused(world: IntakeWorld, more: dict[str, Any], what: str) -> None:
    """Nothing is left behind."""
    with pytest.raises(IntakeError, match=what):
        await drop(world, **more)
    assert [path.name for path in (world.folder / "jobs").rglob("*") if path.is_file()] == []

