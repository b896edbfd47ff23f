"""POLICY, deadlines: until when an offer holds, on the recipient's wall clock. Pure.

What is printed is kept: an end is never earlier than any honest way of printing it says. A duration of whole days ("48h", "7d") ends with
the recipient's day, for a message may print the date alone; any other ends with the hour. A local date is 00:00 where the recipient
is, as all dates of a campaign are; an instant is one for all.
"""

from __future__ import annotations

from datetime import date, datetime

from daemon.model.delivery import DAY, HOUR, MINUTE, Instant
from daemon.model.journey import Offer
from daemon.policy import tz

UTC_NAME = "UTC"
"""The clock of whoever's zone is not known."""


def end_of(offer: Offer, accepted_at: Instant, zone: str | None) -> Instant | None:
    """When an offer ends whose message is accepted at an instant; None: it has no end. `zone`: the one that its end is printed in."""
    if offer.ends is not None:
        return fixed_end(offer.ends, (zone or UTC_NAME,))
    return None if offer.valid is None else round_up(accepted_at, offer.valid, zone)


def round_up(start: Instant, valid: int, zone: str | None) -> Instant:
    """The end of the local day, or of the hour, in which `valid` microseconds from `start` are over."""
    name = zone or UTC_NAME
    end = start + valid
    if valid % DAY == 0:
        day = tz.local_day(name, end - 1)
        midnight = tz.first_instant_of(tz.day_date(day + 1), name)
        return midnight if midnight >= end else tz.first_instant_of(tz.day_date(day + 2), name)
    offset = tz.zone_table(name).offset(end)
    return -(-(end + offset) // HOUR) * HOUR - offset


def fixed_end(ends: date | datetime, zones: tuple[str, ...]) -> Instant:
    """The instant of a fixed end; of several possible zones the first to get there."""
    if isinstance(ends, datetime):
        return tz.instant_of(ends)
    return min(tz.first_instant_of(ends, zone) for zone in zones or (UTC_NAME,))


def shown_end(ends_at: Instant, zone: str | None) -> Instant:
    """The instant to print. An end at 00:00 is printed as 23:59 of the day before: the new day is not part of it."""
    offset = tz.zone_table(zone or UTC_NAME).offset(ends_at - 1)
    return ends_at - MINUTE if (ends_at + offset) % DAY == 0 else ends_at
