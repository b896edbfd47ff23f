"""A process that evaluates the segments of a store and kills itself (SIGKILL) at a drawn step: `python -m tests.stages.segment_process DB STEP NOW`.

A step is the moment before, within and after a transaction, as in `intake_process`; STEP 0 = it lives.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from daemon.audience import segmenting as stage
from daemon.audience.segmenting import Segmenting
from daemon.content.segment_file import read_segments
from daemon.journey.profile import Shop
from daemon.store.writer import Store
from tests.stages.intake_process import Death
from tests.stages.intake_world import NoLog, SetClock

FILE = """
[buyers]
where = "orders >= 1"
[lapsed]
where = "in_segment('buyers') and days_since_order >= 30"
exclude = ["many"]
[many]
where = "orders >= 3"
"""


async def main(database: Path, at: int, now: int) -> None:
    death = Death(at)
    Store._transact = death.within(Store._transact)  # type: ignore[method-assign]
    stage.PAGE = 100
    store = Store.open(database)
    segments, _ = read_segments(FILE, "segments.toml")
    clock = SetClock(now)
    service = Segmenting(store=store, clock=clock, log=NoLog(), segments=segments, shop=Shop, zone=lambda: "UTC")
    service._quiet._rows = service._moving._rows = 10.0  # many transactions
    await service.evaluate([])
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
