"""Feedback: an unsubscribe from a link of a message. Comes from `daemon/web` with a verified delivery id, ends as rows.

In force when `apply` returns. A failing store is raised, never answered as done: the recipient (or the mail provider, which
tries again) must not be told that it worked.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.clock import Clock
from daemon.ids import encode_id
from daemon.metrics import Metrics
from daemon.store.unsubscribe import Subscription, Unsubscribed, find_subscription, unsubscribe
from daemon.store.writer import Lane, Writes
from plugins.contract import Log


class Unsubscribing:
    """The door for unsubscribes. `woken` is called when waiting deliveries became due (the claim loop's bell)."""

    def __init__(self, *, store: Writes, clock: Clock, log: Log, metrics: Metrics, woken: Callable[[], None] = lambda: None) -> None:
        self._store, self._clock, self._log, self._metrics, self._woken = store, clock, log, metrics, woken

    async def find(self, delivery: int) -> Subscription | None:
        """What the link's page shows; changes nothing."""
        return await self._store.read(find_subscription, delivery)

    async def apply(self, delivery: int, *, how: str) -> Unsubscribed | None:
        """Unsubscribe the delivery's person from its channel; committed when it returns. None: there is no such delivery."""
        done = await self._store.write(Lane.EXIT, unsubscribe, delivery, now=self._clock.instant(), how=how)
        if done is None:
            self._log.warning("unsubscribe_unknown_delivery", delivery=encode_id(delivery), how=how)
            return None
        if done.changed:
            self._metrics.unsubscribed(done.channel, how)
            self._log.info("unsubscribed", delivery=encode_id(delivery), channel=done.channel, how=how, woken=done.woken)
        if done.woken:
            self._woken()
        return done
