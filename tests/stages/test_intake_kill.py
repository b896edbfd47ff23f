"""kill -9 while a spool file is taken in, expanded and released: every row accounted for, once (promise P1)."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.stages.intake_world import NOW, IntakeWorld, people

ROWS = 4000
KILLS = 10
MOST_STEPS = 160
"""All of it takes more than KILLS * MOST_STEPS steps, so every run is killed."""


async def expand(state: Path, *, kill_at: int) -> int:
    """Run the process to its end, or to that step; its exit status."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.stages.intake_process", str(state), str(kill_at))
    async with asyncio.timeout(120):
        return await process.wait()


@pytest.mark.promise("P1")
@pytest.mark.slow
async def test_a_job_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    """Killed again and again at drawn moments; the last run ends with the whole job due, and one receipt."""
    state = tmp_path / "state"
    world = await IntakeWorld.open(state)
    world.spool.configure(world.config)
    folder = state / "spool" / "lapsed-45"
    rows = [*people(ROWS), *({"id": f"bad-{i}", "email": "a@b@c"} for i in range(50)), *people(30)]
    lines = [json.dumps(line) for line in [{"queue": "lapsed-45", "expected_count": len(rows)}, *rows]]
    (folder / "new" / "night.ndjson").write_text("\n".join(lines) + "\n")
    await world.close()
    rng = random.Random(20261122)
    for _ in range(KILLS):
        assert await expand(state, kill_at=rng.randint(1, MOST_STEPS)) == -signal.SIGKILL
    assert await expand(state, kill_at=0) == 0
    world = await IntakeWorld.open(state)
    view = await world.job("night")
    receipt = view.receipt
    assert (receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected) == (ROWS + 80, ROWS, 30, 50)
    assert view.deliveries == {"due": ROWS}
    assert await world.sql("SELECT count(DISTINCT person), count(*), (SELECT count(*) FROM due) FROM delivery") == [(ROWS, ROWS, ROWS)]
    await world.check()
    told = json.loads((folder / "done" / "night.ndjson.receipt.json").read_text())
    assert (told["accepted"], told["received_at"]) == (ROWS, "2026-11-22T04:40:11.120Z")
    errors = [json.loads(line) for line in (folder / "done" / "night.ndjson.errors.ndjson").read_text().splitlines()]
    assert len(errors) == 80
    assert receipt.received_at == NOW
    await world.close()
