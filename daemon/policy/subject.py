"""POLICY, what a decision is about: a due delivery (`Candidate`) and what is known of its person (`PersonFacts`).

Plain facts, read by the store under the person's lock (or by explain and the simulation) and judged by `decide`. Nothing
is looked up here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

from daemon.model.campaign import Purpose
from daemon.model.delivery import Instant, Reason
from daemon.policy.caps import Touch
from daemon.policy.hours import WindowRule

ANY = "*"
"""All topics of a channel, or all channels."""


NOTHING: Mapping[Any, Any] = MappingProxyType({})


class OfferFacts(NamedTuple):
    """The offer that a delivery carries, as far as it says whether it may go. `ends_at`: its end, where that does not follow from the
    acceptance; `pool`, `left`: it needs a code of this pool, which has so many (None: no matter). `over`: what became of it, where it is
    over; `waits_until`: the offer `open`, of the campaign `of`, stands in its way until then."""

    name: str
    ends_at: Instant | None = None
    min_left: int = 0
    pool: str | None = None
    left: int | None = None
    over: str | None = None
    waits_until: Instant | None = None
    open: str | None = None
    of: str | None = None


class Candidate(NamedTuple):
    """One delivery that is due. `starts`, `ends`: a date (00:00 in the recipient's zones) or an instant.

    `held_by` is what stops the campaign, job or queue as a whole (paused, killed..), with the key that frees it. Made once a
    decision, as `PersonFacts` is: a tuple costs a third of a frozen dataclass.
    """

    id: int
    person: int
    campaign: str
    step: str
    channel: str
    expires_at: Instant
    purpose: Purpose = Purpose.MARKETING
    topic: str | None = None
    priority: int = 50
    not_before: Instant = 0
    campaign_window: WindowRule | None = None
    job_window: WindowRule | None = None
    ignore_window: bool = False
    starts: date | Instant | None = None
    ends: date | Instant | None = None
    held_by: Reason | None = None
    held_key: str | None = None
    attempt: int = 1
    trigger: bool = False
    ended: tuple[Reason, Instant | None, str] | None = None
    """Its walk is over: exited or converted, when, and by what."""
    act: bool = False
    """It is no message but something that is done elsewhere: no consent, window or cap speaks of it."""
    held_out: bool = False
    """Its person gets nothing of this campaign, to measure by."""
    offer: OfferFacts | None = None
    undecided: bool = False
    """It waits for the winner of its step's experiment."""

    @property
    def transactional(self) -> bool:
        return self.purpose == Purpose.TRANSACTIONAL


class PersonFacts(NamedTuple):
    """What the rules may look at of one person.

    address: channel -> address · suppressed: channel (or "*") -> why marketing may not use it · blocked: the same for
    everything, transactional too · consents: (channel, topic or "*") -> granted | withdrawn | pending, absent = unknown ·
    touches: all that may still count, in flight and in doubt ones too, in any order.
    """

    id: int
    key: str
    zone: str | None = None
    device_zone: str | None = None
    phone: str | None = None
    address_zone: str | None = None
    country: str | None = None
    quiet_hours: WindowRule | None = None
    erased: bool = False
    merged: bool = False
    """With `erased`: there is nobody of this id any more because it became another one."""
    address: Mapping[str, str | None] = NOTHING
    suppressed: Mapping[str, Reason] = NOTHING
    blocked: Mapping[str, Reason] = NOTHING
    consents: Mapping[tuple[str, str], str] = NOTHING
    touches: Sequence[Touch] = ()
    paused_until: Instant | None = None
    """No marketing before, as the person asked."""
    weekly: bool = False
    """No more than one message in seven days, as the person asked."""
