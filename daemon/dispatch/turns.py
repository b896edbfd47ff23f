"""Turns at slow destinations: what a row that waits for one is told, and what becomes of those that an ended daemon had put off.

The decision names the rule `slow.PROVIDER.DOMAIN`. By it a new daemon finds the rows that nobody remembers any more and makes them due:
a destination that is slow still puts them off again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from daemon.clock import Clock
from daemon.model.delivery import SECOND, Decision, Instant, Reason, Verdict
from daemon.pacing.destinations import LONGEST_SECONDS
from daemon.store.due import DueKey, bring_forward
from daemon.store.turns import SLOW, find_turns, lanes_until
from daemon.store.writer import Lane, Writes
from plugins.contract import Log

AHEAD = 2 * int(LONGEST_SECONDS) * SECOND
"""No turn is further away."""
LAST = 2**63 - 1
"""Behind all deliveries of an instant."""
REST_SECONDS = 0.005
"""After each stretch, so that a queue of millions is read beside everything else."""


def waits_for_turn(
    provider: str, domain: str, seconds: float, until: Instant, version: str, checks: tuple[tuple[str, str], ...] = ()
) -> Decision:  # fmt: skip
    """Put off until its turn at a destination whose last message took so long. `version`: of the rules in force."""
    return Decision(
        verdict=Verdict.DEFER, reason=Reason.RATE_LIMITED, until=until, rule=(f"{SLOW}{provider}.{domain}", version),
        facts={"domain": domain, "seconds": round(seconds, 1)}, checks=(*checks, ("rate", "defer")),
    )  # fmt: skip


async def let_go(*, store: Writes, clock: Clock, channels: Collection[str], log: Log, wake: Callable[[], None]) -> None:
    """All rows of these channels that waited for such a turn when the daemon started are due now. A store that cannot take it: they
    come at their turns."""
    now = clock.instant()
    freed = 0
    try:
        for lane in await store.read(lanes_until, channels, now + AHEAD):
            after: tuple[Instant, int] | None = (now, LAST)
            while after is not None:
                found: list[DueKey]
                found, after = await store.read(find_turns, lane, after, now + AHEAD)
                if found:
                    freed += await store.write(Lane.BULK, bring_forward, found, clock.instant())
                    wake()
                if after is not None:
                    await clock.sleep(REST_SECONDS)
    except Exception as error:  # noqa: BLE001 - supervision: they come at their turns all the same
        log.error("turns_not_freed", error=f"{type(error).__name__}: {error}")
    if freed:
        log.info("turns_freed", deliveries=freed)
