"""Channels that accept everything at once, in the place of the configured ones: same provider, channel, kind of address and prices.

Each is a class of its own, made for one provider of one rehearsal, since the daemon makes its channels from classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from daemon.clock import to_instant
from daemon.dispatch.door import AudienceDoor
from daemon.model.delivery import Instant
from plugins.contract import Accepted, Capabilities, Channel, Context, Message, Session
from plugins.feedback import Price, Prices
from plugins.loader import LoadedChannel

BATCH = 4000


class Sent(NamedTuple):
    """A message that a channel took. `delivery`: its public id; `price` in `currency`, for `parts` that the provider bills. The last four
    are told to a crowd only: the occurrence of the walk, and the offer that it carries."""

    delivery: str
    recipient: str
    campaign: str
    step: str
    variant: str | None
    channel: str
    provider: str
    at: Instant
    parts: int = 1
    price: float = 0.0
    currency: str = ""
    occurrence: int = 1
    offer: str | None = None
    code: str | None = None
    offer_ends: Instant | None = None


def silent(loaded: LoadedChannel, took: Callable[[Sent], object]) -> LoadedChannel:
    """The same provider with a channel that takes everything. The door to audiences stays what it is: its acts are rows of the store."""
    if issubclass(loaded.channel_class, AudienceDoor):
        return loaded
    return replace(loaded, channel_class=_make(loaded, took))


def _make(loaded: LoadedChannel, took: Callable[[Sent], object]) -> type[Channel]:
    real = loaded.channel_class
    spend = getattr(loaded.settings, "daily_spend", None)
    longest = getattr(getattr(real, "capabilities", None), "max_text", None)

    class Silent:
        name, channel, settings_type = real.name, loaded.channel, real.settings_type
        address = ""  # no destination is slow, or needs to be known
        capabilities = Capabilities(concurrency=1, batch=BATCH, unit=BATCH, max_text=longest, daily_spend=spend)

        def __init__(self) -> None:
            self.pricing = _pricing(loaded)

        async def start(self, context: Context[Any]) -> None:
            self.clock = context.clock

        async def send(self, batch: Sequence[Message], session: Session) -> None:
            granted = await session.handover([message.id for message in batch])
            at = to_instant(self.clock.now())
            accepted = Accepted()
            for message in batch:
                if message.id in granted:
                    session.report(message.id, accepted)
                    price = self.pricing(message) if self.pricing else None
                    took(Sent(
                        message.id, message.recipient, message.campaign, message.step, message.variant, loaded.channel, loaded.provider,
                        at, *((price.parts, price.amount, price.currency) if price else ()),
                    ))  # fmt: skip

        async def stop(self) -> None:
            """There is nothing to end."""

    if spend is None or not hasattr(real, "price"):
        return cast("type[Channel]", Silent)

    class Priced(Silent):
        def price(self, message: Message) -> Price:
            return self.pricing(message) if self.pricing else Price()

    return cast("type[Channel]", Priced)


def _pricing(loaded: LoadedChannel) -> Callable[[Message], Price] | None:
    """The real channel's prices, which are a pure function of its settings; nothing of it is started."""
    real: Any = loaded.make() if hasattr(loaded.channel_class, "price") else None
    if not isinstance(real, Prices):
        return None
    cast("Any", real).settings = loaded.settings
    return real.price
