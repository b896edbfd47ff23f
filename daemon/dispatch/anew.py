"""What was decided under another setup is decided anew: what the rules of before let go, what nobody could send.

Asked at a start and at a reload, while nothing is claimed. A store that cannot take it must keep the daemon neither from starting nor from
going on.
"""

from __future__ import annotations

from daemon.clock import Clock
from daemon.errors import StoreUnavailableError
from daemon.model.delivery import Reason
from daemon.store.held import HeldWhere, release_some_held
from daemon.store.recover import decide_anew
from daemon.store.writer import Lane, Writes
from plugins.contract import Log


async def judge_anew(store: Writes, log: Log) -> None:
    """Other rules are in force: what is claimed by the former ones is refused at its handover, so that a window that was narrowed, a
    consent or a cap that was added hold from the reload on."""
    try:
        await store.write(Lane.EXIT, decide_anew)
    except StoreUnavailableError as error:  # a full disk takes no handover either
        log.error("claims_not_judged_anew", error=str(error))


async def release_unserved(store: Writes, clock: Clock, log: Log) -> None:
    """A provider may serve the channel now; else they are held again."""
    where = HeldWhere(reason=Reason.CHANNEL_UNAVAILABLE.value)
    try:
        while await store.write(Lane.BULK, release_some_held, where, clock.instant()):
            pass
    except StoreUnavailableError as error:
        log.error("held_not_released", reason=Reason.CHANNEL_UNAVAILABLE.value, error=str(error))
