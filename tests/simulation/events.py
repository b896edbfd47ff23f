"""What is noted of a simulated world. Instants are true ones, microseconds of UTC, whatever the daemon's clock says.

The relays note what they took and what they left in doubt; those who bring jobs and words note what was acknowledged; at the end
the published states are read. The checker gets nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Intent = tuple[str, str]
"""(job, recipient): one message that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipient as the job names it. `zone`, `country`: as written; neither = unknown."""

    recipient: str
    email: str
    zone: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """A job that was acknowledged: by a receipt, or by lying durably in the spool."""

    at: int
    job: str
    queue: str
    campaign: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Content with its final dot at a relay. `began`: its first byte; `answer`: 2xx, 4xx, 5xx, or "" = none that counts.

    `taken`: the relay delivers it. Without a proper answer the sender cannot know."""

    began: int
    at: int
    relay: str
    job: str
    recipient: str
    copy: bool
    taken: bool
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A relay got a RCPT."""

    at: int
    relay: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something was broken. `kind`: its class; `connections`: how many were open to relays, where the daemon died of it."""

    at: int
    kind: str
    connections: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """An unsubscribe or a suppression was answered: in force from here on. `all`: for every kind of message."""

    at: int
    recipient: str
    all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An operator's word was answered. `what`: kill, queue:NAME, campaign:NAME or job:KEY; `on`: it forbids from here on."""

    at: int
    what: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A purchase was answered, of somebody who walked through the campaigns of these jobs before it was told."""

    at: int
    recipient: str
    jobs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A job's final receipt."""

    job: str
    state: str
    rows: int
    accepted: int
    duplicate: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The published states at an instant: (job, recipient) -> state."""

    at: int
    states: Mapping[Intent, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An operator closed a doubt by what the relay's log says."""

    at: int
    job: str
    recipient: str
    sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The world has ended. `states`: (job, recipient) -> (state, reason); `errors`: what was raised where nobody awaited it."""

    at: int
    states: Mapping[Intent, tuple[str, str]]
    errors: tuple[str, ...] = ()


Event = Acked | Bought | Received | Asked | Fault | Suppressed | Switch | Counted | Seen | Resolved | End
