"""Feedback from browsers: they register for pushes, go again, get new endpoints, and say that a push was clicked.

Comes from `daemon/web`, ends as rows. What an address is, only the channel knows: `taker` gives the one that runs now. A browser proves
whose it is by a token (30 to 60 days old at most) that the shop's backend has for it; one that is known, by its old endpoint, which nobody
else has been told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.clock import Clock
from daemon.errors import UsageError
from daemon.ids import encode_id
from daemon.links import JOIN_PERIOD, PUSH_CLICK, Links
from daemon.metrics import Metrics
from daemon.model.delivery import SECOND
from daemon.store.push import (
    Subscribed,
    Subscribing,
    SubscriptionRow,
    leave,
    leave_all,
    read_subscriptions,
    replace_subscription,
    subscribe,
    subscribe_known,
)
from daemon.store.recipients import person_id
from daemon.store.writer import Lane, Writes
from plugins.contract import Log
from plugins.feedback import TakesSubscriptions

FAMILIES = (
    ("edg", "Edge"), ("opr", "Opera"), ("samsungbrowser", "Samsung"), ("firefox", "Firefox"), ("chrom", "Chrome"), ("safari", "Safari"),
)  # fmt: skip
"""In this order: each later one's word stands in the earlier ones' too."""


PROVEN_BY_CLICK = ("delivered", "clicked")
"""What a click of a push says: that its browser had it, too, which settles a doubt."""


@dataclass(frozen=True, slots=True)
class Taker:
    """The provider that takes subscriptions, and the channel that it serves."""

    channel: str
    plugin: TakesSubscriptions


class BadSubscriptionError(UsageError):
    """What a browser gave is no subscription that we could push to."""


class NoPushError(Exception):
    """No provider of the config takes subscriptions, or it does not run."""


def family_of(user_agent: str) -> str | None:
    """The browser's family, for people who look at a list."""
    known = user_agent.lower()
    return next((name for word, name in FAMILIES if word in known), None)


class Pushing:
    """The door for browsers and for the shop's backend. `clicked`: told of each click, with our delivery's number."""

    def __init__(
        self, *, store: Writes, links: Links, clock: Clock, log: Log, metrics: Metrics, taker: Callable[[], Taker | None],
        clicked: Callable[[int], Awaitable[object]] | None = None, woken: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._store, self._links, self._clock, self._log, self._metrics = store, links, clock, log, metrics
        self._taker, self._clicked, self._woken = taker, clicked, woken

    def taker(self) -> Taker:
        """NoPushError if there is none now."""
        found = self._taker()
        if found is None:
            raise NoPushError
        return found

    def public_key(self) -> str:
        return self.taker().plugin.public_key

    def origins(self) -> Sequence[str]:
        """Web sites whose pages may call us; none while no provider runs."""
        found = self._taker()
        return found.plugin.origins if found is not None else ()

    def join_token(self, recipient: str) -> tuple[str, int]:
        """By which a browser is registered for this recipient, and the second of UTC until which it surely is good."""
        now = self._clock.instant() / SECOND
        return self._links.join_token(person_id(recipient), now), (int(now // JOIN_PERIOD) + 2) * JOIN_PERIOD

    async def join(
        self, token: str, subscription: Mapping[str, Any], *, source: str, text: str | None, user_agent: str, again: bool = False
    ) -> Subscribed | None:
        """Register the browser of whom the token names. None: the token is not ours, too old, or its person is gone. `again`: the page
        only tells of a browser that agreed before, nobody was asked (`store.push.Subscribing`)."""
        person = self._links.read_join(token, self._clock.instant() / SECOND)
        if person is None:
            return None
        asked = self._asked(subscription, source, text, user_agent, again=again)
        done = await self._store.write(Lane.EXIT, subscribe, person, asked, now=self._clock.instant())
        return self._told(done, asked)

    async def register(
        self, recipient: str, subscription: Mapping[str, Any], *, source: str, text: str | None, user_agent: str, again: bool = False
    ) -> Subscribed | None:
        """The shop's backend says whose browser it is. None: that recipient was erased. `again`: as for `join`."""
        asked = self._asked(subscription, source, text, user_agent, again=again)
        done = await self._store.write(Lane.EXIT, subscribe_known, recipient, asked, now=self._clock.instant())
        return self._told(done, asked)

    async def replace(self, old: str, subscription: Mapping[str, Any], *, user_agent: str) -> Subscribed | None:
        """The browser's push service gave it a new endpoint. None: nobody knows the old one."""
        asked = self._asked(subscription, "browser", None, user_agent)
        return await self._store.write(Lane.EXIT, replace_subscription, old, asked, now=self._clock.instant())

    async def leave(self, endpoint: str, *, source: str) -> bool:
        """The browser wants no more. False: nobody knows it."""
        now = self._clock.instant()
        gone = await self._store.write(Lane.EXIT, leave, endpoint, channel=self._channel(), now=now, source=source)
        if gone:
            self._metrics.push("left")
            self._woken()
        return gone

    async def leave_all(self, recipient: str, *, source: str) -> int | None:
        """The shop's backend says that a recipient wants no more. None: there is no such recipient."""
        now = self._clock.instant()
        gone = await self._store.write(Lane.EXIT, leave_all, recipient, channel=self._channel(), now=now, source=source)
        if gone:
            self._metrics.push("left", gone)
            self._woken()
        return gone

    async def subscriptions(self, recipient: str) -> list[SubscriptionRow] | None:
        return await self._store.read(read_subscriptions, recipient)

    async def click(self, token: str, action: str | None) -> bool:
        """A push was clicked. False: the token is not ours."""
        delivery = self._links.read(PUSH_CLICK, token)
        if delivery is None:
            return False
        if self._clicked is not None:
            await self._clicked(delivery)
        self._metrics.push("clicked")
        self._log.info("push_clicked", delivery=encode_id(delivery), action=action)
        return True

    def _channel(self) -> str:
        found = self._taker()
        return found.channel if found is not None else "push"

    def _asked(
        self, subscription: Mapping[str, Any], source: str, text: str | None, user_agent: str, *, again: bool = False
    ) -> Subscribing:  # fmt: skip
        taker = self.taker()
        try:
            endpoint, address = taker.plugin.check_subscription(subscription)
        except ValueError as error:
            raise BadSubscriptionError(f"the subscription {error}") from None
        return Subscribing(
            endpoint=endpoint, address=address, channel=taker.channel, family=family_of(user_agent), source=source, text=text,
            again=again,
        )  # fmt: skip

    def _told(self, done: Subscribed | None, asked: Subscribing) -> Subscribed | None:
        if done is not None and done.fresh:
            self._metrics.push("joined")
            self._log.info("push_joined", recipient=done.recipient, source=asked.source, family=asked.family, subscriptions=done.total)
        return done
