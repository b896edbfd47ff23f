"""POLICY, frequency caps: how many touches a person may get, and the exact instant at which a slot frees.

Rolling: touches in (now - period, now]; the slot is free at touch + period exactly. Calendar: touches in the local day, ISO
week or month, in each zone that is possible. Touches come in (accepted, in doubt and in flight alike); a number or an
instant comes out. Counting errs on the side of silence: a touch that lies after `now` (a clock set back) counts, and a
touch belongs to a calendar period by the zone in force now or by the zone that it kept, whichever matches. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from daemon.config.values import format_duration
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import DAY, Instant
from daemon.policy.periods import REACH, Calendar, period_end, period_now, period_of
from daemon.policy.zones import zone_names

UNIT = 1000
"""Weights and limits in units are thousandths, so that sums of 0.2 are exact."""

NEVER: Instant = 1 << 62
"""The slot of a message that weighs more than the whole cap."""


class OnCap(StrEnum):
    DEFER = "defer"
    DROP = "drop"


class Touch(NamedTuple):
    """One counted contact. `zone`: the names of the zones that were possible then, with commas between."""

    at: Instant
    channel: str
    campaign: str
    topic: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `limit` in a period, over the channels, topics and the campaign it names (None = all of them)."""

    name: str
    limit: int
    """Touches, or thousandths of a unit when there are weights."""
    rolling: int | None = None
    calendar: Calendar | None = None
    channels: frozenset[str] | None = None
    topics: frozenset[str] | None = None
    campaign: str | None = None
    weights: Mapping[str, int] | None = None
    """Channel -> thousandths of a unit, for caps that count units; a channel that is not there weighs one."""
    on_cap: OnCap = OnCap.DEFER
    heaviest: int = field(init=False, repr=False)
    """What one touch can take of it at most."""
    _facts: Mapping[str, object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heaviest", 1 if self.weights is None else max(UNIT, *self.weights.values(), UNIT))
        object.__setattr__(self, "_facts", self._own_facts())

    @property
    def rule(self) -> str:
        return f"cap.{self.name}"

    @property
    def reach(self) -> int:
        """How far back a touch can still count, in microseconds: what the store must keep and read."""
        return self.rolling if self.rolling is not None else REACH[self.calendar or Calendar.MONTH]

    @property
    def counts_ads(self) -> bool:
        """A day in an advertising audience counts in units, or where a cap names the channel."""
        return self.weights is not None or self.channels is not None

    def covers(self, channel: str, topic: str | None, campaign: str) -> bool:
        """Does a message or touch of this kind come under it?"""
        return (
            (channel != AUDIENCE or self.counts_ads)
            and (self.channels is None or channel in self.channels)
            and (self.topics is None or topic in self.topics)
            and (self.campaign is None or campaign == self.campaign)
        )

    def weight(self, channel: str) -> int:
        """What one message over a channel takes of it."""
        return 1 if self.weights is None else self.weights.get(channel, UNIT)

    def shown(self, amount: int) -> float:
        """An amount as the config says it: touches, or units."""
        return amount if self.weights is None else amount / UNIT

    def facts(self) -> dict[str, object]:
        """Its own numbers, for the facts of a decision."""
        return dict(self._facts)

    def _own_facts(self) -> dict[str, object]:
        facts: dict[str, object] = {"limit": self.shown(self.limit)}
        if self.rolling is not None:
            facts["rolling"] = format_duration(self.rolling)
        else:
            facts["calendar"] = str(self.calendar)
        for key, values in (("channels", self.channels), ("topics", self.topics)):
            if values is not None:
                facts[key] = sorted(values)
        if self.campaign is not None:
            facts["campaign"] = self.campaign
        if self.weights is not None:
            facts["count"] = "units"
        return facts


OWN = Cap(name="recipient", limit=1, rolling=7 * DAY)
"""What a recipient may ask for on its page of preferences: one message a week, over all channels."""


def fits(cap: Cap, touches: Sequence[Touch], now: Instant, zones: tuple[str, ...], channel: str) -> bool:
    """Is there a slot at `now` for one more message over `channel`, in every zone?"""
    room = cap.limit - cap.weight(channel)
    if len(touches) * cap.heaviest <= room:
        return True  # most people: fewer touches than the limit
    recent = counted(cap, touches, now - cap.reach)
    if sum([weight for _, weight, _ in recent]) <= room:
        return True
    if (calendar := cap.calendar) is None:
        return False
    return all(_used(calendar, recent, zone, now) <= room for zone in zones)


def count(cap: Cap, touches: Sequence[Touch], now: Instant, zones: tuple[str, ...]) -> tuple[int, Instant | None]:
    """What is used of a cap at `now`, in the fullest of the zones, and the oldest touch that counts."""
    if cap.calendar is None:
        return _sum(counted(cap, touches, now - cap.reach))
    recent = counted(cap, touches, now - cap.reach)
    fullest: tuple[int, Instant | None] = 0, None
    for zone in zones if recent else ():
        use = _sum(_in_period(cap.calendar, recent, zone, now))
        if use[0] > fullest[0]:
            fullest = use
    return fullest


def free_from(cap: Cap, touches: Sequence[Touch], now: Instant, zones: tuple[str, ...], channel: str) -> Instant:
    """The first instant from `now` on at which one more message over `channel` fits, if no further touch comes; NEVER if none."""
    room = cap.limit - cap.weight(channel)
    if room < 0:
        return NEVER
    if len(touches) * cap.heaviest <= room:
        return now
    recent = counted(cap, touches, now - cap.reach)
    if cap.rolling is not None:
        return _rolling_free(sorted(recent, key=itemgetter(0)), cap.rolling, now, room)
    return _calendar_free(cap.calendar or Calendar.MONTH, recent, now, zones, room)


Counted = tuple[Instant, int, str | None]
"""A touch as a cap sees it: when, its weight, the zone that it kept."""


def counted(cap: Cap, touches: Iterable[Touch], after: Instant) -> list[Counted]:
    """The touches later than `after` that come under a cap."""
    channels, topics, campaign, weights = cap.channels, cap.topics, cap.campaign, cap.weights
    if not cap.counts_ads:
        touches = (touch for touch in touches if touch[1] != AUDIENCE)
    return [
        (at, 1 if weights is None else weights.get(channel, UNIT), zone)
        for at, channel, of_campaign, topic, zone in touches
        if at > after
        and (channels is None or channel in channels)
        and (topics is None or topic in topics)
        and (campaign is None or of_campaign == campaign)
    ]


def _sum(touches: Sequence[Counted]) -> tuple[int, Instant | None]:
    used, oldest = 0, None
    for at, weight, _ in touches:
        used += weight
        if oldest is None or at < oldest:
            oldest = at
    return used, oldest


def _rolling_free(touches: Sequence[Counted], period: int, now: Instant, room: int) -> Instant:
    """Let the oldest age out one by one until it fits."""
    used = sum([weight for _, weight, _ in touches])
    free = now
    for at, weight, _ in touches:
        if used <= room:
            break
        used -= weight
        free = at + period
    return free


def _calendar_free(calendar: Calendar, touches: Sequence[Counted], now: Instant, zones: tuple[str, ...], room: int) -> Instant:
    """Go from period to period until it fits in every zone. A zone that is full stays full to the end of its period, so each
    step is a lower bound of the answer; it ends because the touches do."""
    at = now
    while True:
        full = [zone for zone in zones if _used(calendar, touches, zone, at) > room]
        if not full:
            return at
        at = max([period_end(calendar, zone, at) for zone in full])


def _used(calendar: Calendar, touches: Sequence[Counted], zone: str, now: Instant) -> int:
    return sum([weight for _, weight, _ in _in_period(calendar, touches, zone, now)])


def _in_period(calendar: Calendar, touches: Sequence[Counted], zone: str, now: Instant) -> list[Counted]:
    """The touches of the period of `now` in `zone`, by the wall clock of `zone` or of a zone that the touch itself kept."""
    period, begin = period_now(calendar, zone, now)
    return [
        touch
        for touch in touches
        if (touch[0] >= begin and period_of(calendar, zone, touch[0]) == period)
        or (touch[2] is not None and touch[2] != zone and _kept(calendar, touch, period))
    ]


def _kept(calendar: Calendar, touch: Counted, period: int) -> bool:
    """By a zone that the touch kept; a name that the zone data no longer has says nothing."""
    return any(period_of(calendar, zone, touch[0]) == period for zone in (touch[2] or "").split(",") if zone in zone_names())


def days_of(stays: Iterable[tuple[Instant, Instant | None, str]], now: Instant, horizon: Instant) -> list[Touch]:
    """Each day that was begun in an audience of a campaign, as a touch over the channel audience, once however many platforms hold it.
    `stays`: (since, until or None, campaign). Only days after `horizon`."""
    days: set[tuple[str, Instant]] = set()
    first: dict[str, Instant] = {}
    for since, until, campaign in sorted(stays, key=itemgetter(0)):
        start = first.setdefault(campaign, since)
        end = now if until is None else min(until, now)
        for day in range(max(since - start, 0) // DAY, (end - start) // DAY + 1):
            at = start + day * DAY
            if horizon < at <= end:
                days.add((campaign, at))
    return [Touch(at, AUDIENCE, campaign) for campaign, at in sorted(days)]


def longest_reach(caps: Iterable[Cap]) -> int:
    """How far back touches are needed for all caps, in microseconds (0 without caps)."""
    return max((cap.reach for cap in caps), default=0)
