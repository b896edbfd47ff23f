"""FLOOR 7, simulate: one life of a simulated daemon, from its start to its end or its sudden death.

A crash is not a cancel: whatever `finally` blocks the dying code has, they must not reach the world any more. So a process that is
killed loses its ports first (each use raises `Killed`), then its tasks are cancelled until none is left. Which tasks are its own is
told by a context variable, which every task hands down to those that it makes.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, cast

from daemon.disk import Disk
from daemon.simulate.disk import SimDisk
from daemon.simulate.loop import SimLoop, SimTask

ROUNDS = 200


class Killed(asyncio.CancelledError):
    """The process is dead: nothing it does has an effect. As a cancellation it passes through what catches errors."""


class Process:
    """`run` starts its main task; `kill` ends it between two steps of the loop. `died`: called at its death, before anything else."""

    def __init__(self, loop: SimLoop, number: int) -> None:
        self.number, self.alive = number, True
        self.died: list[Callable[[], object]] = []
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(loop.owner.set, self)
        self.tasks: list[SimTask[Any]] = []

    def check(self) -> None:
        """Killed when it is dead."""
        if not self.alive:
            raise Killed(f"process {self.number} is dead")

    def run(self, work: Coroutine[Any, Any, Any], name: str) -> SimTask[Any]:
        """Work of this process, as a task."""
        return self._context.run(lambda: self._loop.create_task(work, name=f"{name}/{self.number}"))

    def strike(self) -> None:
        """From here on nothing that it does reaches the world. May be called from within one of its own steps."""
        if self.alive:
            self.alive = False
            for then in self.died:
                then()

    async def bury(self) -> None:
        """Let what is left of it unwind. RuntimeError when a task does not end whatever is done."""
        self.strike()
        for _ in range(ROUNDS):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        raise RuntimeError(f"tasks of a dead process do not end: {', '.join(task.get_name() for task in left)}")

    def adopt(self, task: SimTask[Any]) -> None:
        """The loop tells of each task made by this process."""
        if len(self.tasks) > 400:
            self.tasks = [each for each in self.tasks if not each.done()]
        self.tasks.append(task)


class ProcessDisk:
    """The disk as one process has it: gone when the process is dead."""

    def __init__(self, process: Process, disk: SimDisk) -> None:
        self._process, self._disk = process, disk

    def __getattr__(self, name: str) -> Any:
        process, act = self._process, getattr(self._disk, name)

        def checked(*args: Any, **kwargs: Any) -> Any:
            process.check()
            return act(*args, **kwargs)

        if not callable(act):
            process.check()
            return act
        setattr(self, name, checked)  # found at once the next time
        return checked


def disk_of(process: Process, disk: SimDisk) -> Disk:
    """The port."""
    return cast("Disk", ProcessDisk(process, disk))
