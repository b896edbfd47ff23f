"""A process that expands what is in a state folder and kills itself (SIGKILL) at a drawn step: `python -m tests.stages.intake_process FOLDER STEP`.

A step is the moment before or after something is done to the disk, or before, within and after a transaction, in whatever thread that
happens; STEP 0 = it lives. So the progress at the kill does not depend on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from daemon.audience import expand, planning
from daemon.disk import SystemDisk, SystemFile
from daemon.store.writer import Store
from tests.stages.intake_world import IntakeWorld


class Death:
    """Counts steps, and kills the process at the drawn one."""

    def __init__(self, at: int) -> None:
        self._left, self._lock = at, threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: type, *names: str) -> None:
        """A step before and one after each of these methods."""
        for name in names:
            setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, method: Any) -> Any:
        def around(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = method(*args, **kwargs)
            self.step()
            return result

        return around

    def within(self, transact: Any) -> Any:
        """`Store._transact`, with a step between each act and its commit."""

        def around(store: Store, calls: list[Any]) -> Any:
            for call in calls:
                call.act = self._around(call.act)
            return transact(store, calls)

        return self._around(around)


async def main(folder: Path, at: int) -> None:
    planning.READ_ROWS, planning.RUN_ROWS, planning.PLAN_ROWS, expand.RELEASE_ROWS = 50, 300, 40, 60
    death = Death(at)
    death.watch(SystemDisk, "create", "append", "write_atomic", "rename", "remove")
    death.watch(SystemFile, "write", "sync")
    Store._transact = death.within(Store._transact)  # type: ignore[method-assign]
    world = await IntakeWorld.open(folder)
    world.spool.configure(world.config)
    while (folder / "spool" / "lapsed-45" / "new" / "night.ndjson").exists():
        await world.spool.look()
        await world.settle()
    await world.settle()  # a kill may have come after the file was moved, in the middle of the release
    await world.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
