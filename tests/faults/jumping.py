"""`python -m tests.faults.jumping CONFIG`: the daemon as `homing run` makes it, but for its clock port.

SIGUSR1 sets the wall clock three hours on, SIGUSR2 three hours back; the monotonic clock goes on as it does. Exit codes as `homing`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

from daemon.app.main import run
from daemon.clock import SystemClock
from daemon.errors import HomingError

JUMP = 3 * 3600


class JumpingClock(SystemClock):
    """The machine's clocks; the wall clock with an offset that signals change."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.offset)

    def instant(self) -> int:
        return super().instant() + self.offset * 1_000_000


def main() -> int:
    clock = JumpingClock()

    def jump(number: int, _frame: object) -> None:
        clock.offset += JUMP if number == signal.SIGUSR1 else -JUMP

    signal.signal(signal.SIGUSR1, jump)
    signal.signal(signal.SIGUSR2, jump)
    try:
        asyncio.run(run(Path(sys.argv[1]), os.environ, clock=clock))
    except HomingError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
