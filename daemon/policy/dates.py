"""POLICY, a campaign's dates: from when and until when its messages may start, for one recipient.

A local date is 00:00 in the recipient's zone; where several zones are possible, the last of them to begin and the first to
end. Pure.
"""

from __future__ import annotations

from datetime import date

from daemon.model.delivery import Instant
from daemon.policy import tz
from daemon.policy.subject import Candidate
from daemon.policy.zones import ZoneGuess

SOMEWHERE = ("Etc/GMT+12", "Etc/GMT-14")
"""The last and the first zone to reach a date: for a recipient whose zone is unknown."""


def campaign_life(candidate: Candidate, guess: ZoneGuess, now: Instant) -> tuple[Instant, Instant]:
    """[from, to): the later of `now` and the campaign's start, the nearer of the delivery's and the campaign's end."""
    starts, limit = now, candidate.expires_at
    if candidate.starts is not None:
        starts = max(now, _boundary(candidate.starts, guess, last=True))
    if candidate.ends is not None:
        limit = min(limit, _boundary(candidate.ends, guess, last=False))
    return starts, limit


def shown(moment: date | Instant | None) -> str | None:
    """A date or an instant as text for the facts."""
    if moment is None:
        return None
    return tz.utc_text(moment) if isinstance(moment, int) else moment.isoformat()


def _boundary(moment: date | Instant, guess: ZoneGuess, *, last: bool) -> Instant:
    if isinstance(moment, int):
        return moment
    instants = [tz.first_instant_of(moment, zone) for zone in guess.names or SOMEWHERE]
    return max(instants) if last else min(instants)
