"""A process that expands what is in a state folder and is killed by its test at any moment: `python -m tests.stages.intake_process FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from daemon.audience import expand, planning
from tests.stages.intake_world import IntakeWorld


async def main(folder: Path) -> None:
    planning.READ_ROWS, planning.RUN_ROWS, planning.PLAN_ROWS, expand.RELEASE_ROWS = 50, 300, 40, 60
    world = await IntakeWorld.open(folder)
    world.spool.configure(world.config)
    print("ready", flush=True)
    while (folder / "spool" / "lapsed-45" / "new" / "night.ndjson").exists():
        await world.spool.look()
        await world.settle()
    await world.settle()  # a kill may have come after the file was moved, in the middle of the release
    await world.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
