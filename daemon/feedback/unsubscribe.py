"""Feedback: an unsubscribe from a link of a message. Comes from `daemon/web` with a verified delivery id, ends as rows.

In force when `apply` returns. A failing store is raised, never answered as done: the recipient (or the mail provider, which
tries again) must not be told that it worked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daemon.clock import Clock
from daemon.config.schema import TopicTable
from daemon.ids import encode_id
from daemon.metrics import Metrics
from daemon.store.preferences import Preferences, Wish, read_preferences, set_preferences
from daemon.store.unsubscribe import Subscription, Unsubscribed, find_subscription, unsubscribe
from daemon.store.writer import Lane, Writes
from plugins.contract import Log


class Unsubscribing:
    """The door for unsubscribes and preferences. `woken` is called when waiting deliveries became due (the claim loop's bell)."""

    def __init__(
        self, *, store: Writes, clock: Clock, log: Log, metrics: Metrics, woken: Callable[[], None] = lambda: None,
        topics: Callable[[], Mapping[str, TopicTable]] = dict,
    ) -> None:  # fmt: skip
        """`topics()`: what a person can opt out of, by name."""
        self.topics = topics
        self._store, self._clock, self._log, self._metrics, self._woken = store, clock, log, metrics, woken

    async def preferences(self, delivery: int) -> Preferences | None:
        """What the page of preferences shows; changes nothing."""
        return await self._store.read(read_preferences, delivery)

    async def prefer(self, delivery: int, wish: Wish) -> Preferences | None:
        """Do as the delivery's recipient wishes; committed when it returns. As it is then; None: there is nobody to ask."""
        woken = await self._store.write(Lane.EXIT, set_preferences, delivery, wish, self._clock.instant())
        if woken is None:
            return None
        self._log.info("preferences_set", delivery=encode_id(delivery), stop=wish.stop, woken=woken)
        if woken:
            self._woken()
        return await self.preferences(delivery)

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
