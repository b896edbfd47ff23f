"""What is learned after an outcome: feedback that a provider posts to `/hooks/NAME`, and the settling of doubts.

A channel that takes feedback has `parse_feedback(request)`: pure, it checks the provider's signature and says in our words what
the request means. A channel that can look up what became of a message has `async reconcile(doubts)`. Both are optional; the
daemon calls them, writes the rows, and answers the provider. Nothing here imports `daemon`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from plugins.contract import Accepted, Deferred, Message, Rejected

FeedbackKind = Literal[
    "accepted", "delivered", "failed", "bounced", "complained", "opened", "clicked", "replied", "unsubscribed", "resubscribed"
]
"""accepted: the provider has it (settles a doubt) · delivered: it reached the person · failed: it surely never will, the address
may live on · bounced: nor will any other, the address is dead · complained: reported as spam · unsubscribed, resubscribed: STOP
and START, or their like."""


class BadSignature(Exception):
    """Raise it in `parse_feedback` for a request that the provider did not sign: answered with 403, nothing of it is believed."""


class ProbeFailed(Exception):
    """Raise it in `probe` with what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """One request to `/hooks/NAME`, whole. `url`: the public address with its query, as the provider was given it, not what a
    proxy made of it. `headers`: names in lower case. `delivery`: the delivery id of the token that `Context.sign` put into the
    address, verified; None if there was no token, or a bad one."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delivery: str | None = None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thing learned about a message or an address.

    Names its delivery by `delivery` (our id) or `provider_id` (theirs, as `Accepted` gave it), or the `address` alone (an
    inbound STOP). `id`: the provider's own id of this event, if it has one: twice the same is once. `at`: when it happened,
    None = when it came in. `human` False: an open or click that a machine made.
    """

    kind: FeedbackKind
    delivery: str | None = None
    provider_id: str | None = None
    address: str | None = None
    at: datetime | None = None
    id: str | None = None
    code: str | None = None
    detail: str | None = None
    human: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A message whose fate is unknown. `message` is rendered anew with the words and the instant of then; None, and `address` "", if
    that cannot be done any more: the recipient has changed since, and what was sent may have been another text to another address.
    `handed_over_at`: the provider can have it from then on."""

    id: str
    address: str
    handed_over_at: datetime
    message: Message | None = None


Settled = Accepted | Rejected | Deferred
"""What a look-up may say. Accepted: the provider has it. Rejected: it surely will not reach anyone, neither this one nor another try: the
delivery ends. Deferred: the provider surely never took it, and a new try may succeed: due again, the rules decide. Say nothing of
one that you merely did not find: a list may be late."""


@runtime_checkable
class TakesFeedback(Protocol):
    def parse_feedback(self, request: WebhookRequest) -> Sequence[Feedback]:
        """What the request says; empty if nothing that concerns us. `BadSignature` if it is forged, ValueError if it cannot be
        read (answered with 400). No I/O: it runs in the web server's turn."""
        ...


@runtime_checkable
class Reconciles(Protocol):
    async def reconcile(self, doubts: Sequence[Doubt]) -> Mapping[str, Settled]:
        """By id, what became of some of them; those that it does not mention stay in doubt. May be asked again, hours later."""
        ...


@runtime_checkable
class Probes(Protocol):
    """A channel or a platform of audiences that can be asked whether it would take us: `homing check --probe`."""

    async def probe(self) -> str:
        """What was seen, in a few words ("signed in at mail.example.com:587"); ProbeFailed with what is wrong. After `start`;
        sends nothing to anybody and changes nothing at the provider. Has 15 seconds."""
        ...


@runtime_checkable
class TakesSubscriptions(Protocol):
    """A channel whose addresses come from the recipients' browsers (`address = "push"`), by way of Homing's public door."""

    @property
    def public_key(self) -> str:
        """The application server key that a browser subscribes under, base64url."""
        ...

    @property
    def origins(self) -> Sequence[str]:
        """Web sites whose pages may register subscriptions from the browser, e.g. "https://shop.example.com"."""
        ...

    def check_subscription(self, subscription: Mapping[str, Any]) -> tuple[str, str]:
        """What `PushSubscription.toJSON()` gave, as (its endpoint, by which it is known again; the address text that messages will carry).
        ValueError with what is wrong, in words for the shop's engineers that go on after "the subscription ". No I/O."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a message will cost: `parts` that the provider bills (SMS segments), `amount` of `currency` for all of them."""

    parts: int = 1
    amount: float = 0.0
    currency: str = field(default="USD")


@runtime_checkable
class Prices(Protocol):
    def price(self, message: Message) -> Price:
        """Before it is sent; pure. With `Capabilities.daily_spend` the daemon sends no more than that in a day."""
        ...
