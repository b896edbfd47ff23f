"""Channels that answer at once, in the place of the configured ones: same provider, channel, kind of address and prices. They accept
everything but what the rehearsal's `Fates` refuse.

Each is a class of its own, made for one provider of one rehearsal, since the daemon makes its channels from classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, cast

from daemon.clock import to_instant
from daemon.dispatch.at_once import Said
from daemon.dispatch.door import AudienceDoor
from daemon.model.delivery import Instant
from daemon.simulate.rehearsal.fates import Fates
from daemon.store.claim import Claimed
from plugins.contract import Accepted, Capabilities, Channel, Context, Message, Rejected, Session
from plugins.feedback import Price, Prices
from plugins.loader import LoadedChannel

BATCH = 4000
BOUNCED, REFUSED = "bounced", "refused"
Counted = Callable[[tuple[str, str, str], int], object]
"""(campaign, step, channel), and how many messages of it."""


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


class Wire(NamedTuple):
    """Whom a channel tells, and what it refuses. `took`: of each message; `counted`: messages are not read, and only counted;
    `refused(campaign, BOUNCED or REFUSED)`."""

    took: Callable[[Sent], object]
    refused: Callable[[str, str], object]
    fates: Fates
    counted: Counted | None = None


def silent(loaded: LoadedChannel, wire: Wire) -> LoadedChannel:
    """The same provider with a channel that lets nothing out. The door to audiences stays what it is: its acts are rows of the store."""
    if issubclass(loaded.channel_class, AudienceDoor):
        return loaded
    return replace(loaded, channel_class=_make(loaded, wire))


def _make(loaded: LoadedChannel, wire: Wire) -> type[Channel]:
    real = loaded.channel_class
    spend = getattr(loaded.settings, "daily_spend", None)
    longest = getattr(getattr(real, "capabilities", None), "max_text", None)
    of_class = {
        "name": real.name, "channel": loaded.channel, "address": loaded.address, "settings_type": real.settings_type,
        "capabilities": Capabilities(concurrency=1, batch=BATCH, unit=BATCH, max_text=longest, daily_spend=spend),
        "loaded": loaded, "wire": wire,
    }  # fmt: skip
    base = _Priced if spend is not None and hasattr(real, "price") else _Silent
    return cast("type[Channel]", type("Silent", (base,), of_class))


class _Silent:
    """Answers at once (`dispatch.at_once`). `_make` gives it the provider's own names and limits, and in whose place it stands."""

    loaded: ClassVar[LoadedChannel]
    wire: ClassVar[Wire]

    def __init__(self) -> None:
        self.pricing = _pricing(self.loaded)
        self.reads = self.wire.counted is None or self.pricing is not None
        self.refuses = bool(self.wire.fates)

    async def start(self, context: Context[Any]) -> None:
        self.clock = context.clock

    def answer(self, claimed: Claimed) -> Said:
        row, kind = claimed.row, self.loaded.address
        if kind == "push":
            addresses = [address.text for address in claimed.push]
        else:
            addresses = [address for address in ({"email": row.email, "phone": row.phone}.get(kind),) if address]
        name = _named(row.recipient, row.campaign_name, row.step, row.channel)
        return self.wire.fates.of(name, addresses, row.attempts + 1, each=kind == "push")

    def took(self, claimed: Sequence[Claimed], messages: Sequence[Message], at: Instant) -> None:
        if not self.reads and self.wire.counted is not None:
            for (campaign, step), n in Counter([(one.row.campaign_name, one.row.step) for one in claimed]).items():
                self.wire.counted((campaign, step, self.loaded.channel), n)
        for message in messages:
            self.wire.took(self._sent(message, at))

    def refused(self, refused: Sequence[tuple[Claimed, Said]]) -> None:
        for one, said in refused:
            self._tell(one.row.campaign_name, said)

    def _tell(self, campaign: str, said: Said) -> None:
        self.wire.refused(campaign, BOUNCED if isinstance(said, Rejected) else REFUSED)

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        """The way of any channel, for whoever does not ask at once."""
        granted = await session.handover([message.id for message in batch])
        at, each = to_instant(self.clock.now()), self.loaded.address == "push"
        for message in batch:
            if message.id not in granted:
                continue
            addresses = message.addresses if self.loaded.address in ("email", "phone", "push") else ()
            name = _named(message.recipient, message.campaign, message.step, message.channel)
            said = self.wire.fates.of(name, addresses, message.attempt, each=each)
            session.report(message.id, said)
            if isinstance(said, Accepted):
                self.wire.took(self._sent(message, at))
            else:
                self._tell(message.campaign, said)

    def _sent(self, message: Message, at: Instant) -> Sent:
        price, loaded = self.pricing(message) if self.pricing else None, self.loaded
        return Sent(
            message.id, message.recipient, message.campaign, message.step, message.variant, loaded.channel, loaded.provider, at,
            *((price.parts, price.amount, price.currency) if price else ()),
        )  # fmt: skip

    async def stop(self) -> None:
        """There is nothing to end."""


def _named(recipient: str, campaign: str, step: str, channel: str) -> str:
    """A message by what does not hang on when it was planned, as its id does."""
    return f"{recipient} {campaign} {step} {channel}"


class _Priced(_Silent):
    """Of a provider whose spending is limited."""

    def price(self, message: Message) -> Price:
        return self.pricing(message) if self.pricing else Price()


def _pricing(loaded: LoadedChannel) -> Callable[[Message], Price] | None:
    """The real channel's prices, which are a pure function of its settings; nothing of it is started."""
    real: Any = loaded.make() if hasattr(loaded.channel_class, "price") else None
    if not isinstance(real, Prices):
        return None
    cast("Any", real).settings = loaded.settings
    return real.price
