"""Retention: once a night what is older than `[retention]` says goes, a stretch at a time with a rest between.

What may go at all is the store's to say (`store.retention`). The hours are those of `default_zone` in which hardly anybody is written to; a
daemon that never runs then does it when two days have passed. Whatever is cut off begins anew at the next bell: a row that has gone is
gone, and the others are found again.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.app.sending import World
from daemon.config import Config
from daemon.dispatch.gate import Gate
from daemon.model.delivery import DAY, HOUR, Instant
from daemon.policy.tz import local_hour
from daemon.store.retention import note_pruned, prune, pruned_at
from daemon.store.writer import Lane

QUIET = range(2, 6)
"""Local hours."""
REST_SECONDS = 0.05
"""Between two stretches of some milliseconds: sending is not to feel it."""


def is_due(now: Instant, last: Instant | None, zone: str) -> bool:
    """Once a night; at any hour when two days have passed since the last."""
    if last is not None and now - last >= 2 * DAY:
        return True
    return local_hour(now, zone) in QUIET and (last is None or now - last >= 20 * HOUR)


class Forgetting:
    """`config()`: the one in force."""

    def __init__(self, world: World, gate: Gate, config: Callable[[], Config]) -> None:
        self._world, self._gate, self._config = world, gate, config

    async def round(self) -> None:
        """Everything, if it is due. StoreUnavailableError: at the next bell then."""
        store, clock = self._world.store, self._world.clock
        config = self._config()
        if not is_due(clock.instant(), await store.read(pruned_at), config.homing.default_zone):
            return
        for name, days in config.retention.model_dump().items():
            cursor, more = None, days > 0
            while more:
                if self._gate.latched():  # an untrusted clock forgets nothing, nor does a store that may be a copy
                    return
                cursor = await store.write(Lane.BULK, prune, name, clock.instant(), days * DAY, cursor)
                more = cursor is not None
                await clock.sleep(REST_SECONDS)
        await store.write(Lane.BULK, note_pruned, clock.instant())
        self._world.log.info("retention_done")
