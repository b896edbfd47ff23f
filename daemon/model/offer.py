"""An offer that somebody has: what the store keeps of it, as rules and reports see it."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from daemon.model.delivery import Instant


class IssueState(StrEnum):
    RESERVED = "reserved"
    """Set aside for a message that is on its way, or waits to go again."""
    OPEN = "open"
    """The message that carries it was accepted, or may have been."""
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REPLACED = "replaced"
    """A better one was accepted while it was open: it is worth nothing any more."""
    RETURNED = "returned"
    """No message ever carried it to its recipient: its code is free again."""


class Apart(IntEnum):
    """What an offer has to do with the others of its person."""

    LADDER = 0
    """It is the one that the person has: a better one takes its place, and others wait for its end."""
    REFERRAL = 1
    """Its code is for others, any number of them; its owner has no offer by it."""
    EARNED = 2
    """A reward: beside all others, as often as it is earned."""


GIVEN = frozenset({IssueState.OPEN, IssueState.REDEEMED, IssueState.EXPIRED, IssueState.REPLACED})
"""Those whose message was accepted."""


class Issue(NamedTuple):
    """One offer of one person. `rank`: its place on its campaign's ladder; `walk`, `step`: of the message that first carried it.
    `accepted_at`: when that was accepted, or may have been; `ends_at` None: it has no end. `apart`: an `Apart`."""

    id: int
    walk: int
    step: str
    campaign: str
    offer: str
    rank: int
    state: IssueState
    code: str | None = None
    accepted_at: Instant | None = None
    ends_at: Instant | None = None
    apart: int = 0

    def open_at(self, now: Instant) -> bool:
        """May it be redeemed now, or may its message still arrive?"""
        if self.state is IssueState.RESERVED:
            return True
        return self.state is IssueState.OPEN and (self.ends_at is None or now < self.ends_at)
