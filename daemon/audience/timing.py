"""AUDIENCE, timing: when each planned delivery of a job first falls due, by the same rules that will decide it.

In: planned rows of one job, its campaign, the rules in force. Out: an instant and an end for each, or the reason why there is
none. Pure; runs beside the loop.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from daemon.audience.entering import entry_of
from daemon.clock import to_instant
from daemon.content.version import CampaignVersion
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Campaign, Mode, Purpose, Step
from daemon.model.delivery import Instant, Reason
from daemon.policy.channels import in_order
from daemon.policy.hours import WindowError, WindowRule, parse_quiet_hours, parse_window
from daemon.policy.prefer import parse_prefer, ranks
from daemon.policy.rules import Rules
from daemon.policy.spread import Stretch, due_stretch
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH
from daemon.policy.zones import explicit_zone
from daemon.store.plan import Target, Work
from daemon.store.release import Planned, Timed
from daemon.store.unsubscribe import ADDRESS_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What of a campaign version planning rests on: its one step."""

    campaign: Campaign
    step: Step
    window: WindowRule | None
    prefer: tuple[WindowRule, ...] = ()
    """Hours that are best inside the window. The recipients' own ones are looked for in walks only."""

    @classmethod
    def of(cls, body: str) -> Outline:
        """From the JSON text that the store keeps of a version."""
        campaign = CampaignVersion.from_json(body).campaign
        step = campaign.steps[0]
        window = parse_window(campaign.window) if campaign.window else None
        return cls(campaign=campaign, step=step, window=window, prefer=ranks(parse_prefer(tuple(campaign.prefer))))

    @property
    def one_per_address(self) -> str | None:
        """The kind of address of which two rows of a job may not share one: marketing writes to a mailbox once (B12). Of several
        channels, the step's first counts."""
        channels = [channel for step in self.campaign.steps for channel in step.channels]
        return ADDRESS_KINDS.get(channels[0]) if channels and self.campaign.purpose is Purpose.MARKETING else None

    @property
    def chooses(self) -> bool:
        """Each recipient's channel is chosen when its delivery falls due."""
        return len(self.step.channels) > 1 and self.step.mode is Mode.FIRST

    def target(self, work: Work, now: Instant, everywhere: float = 0.0, decided: Mapping[tuple[str, str], str] | None = None) -> Target:
        """For `store.plan`. The end is a first guess: release sets it by the instant at which each falls due. `everywhere`: the share
        of people who are held out of all campaigns; `decided`: experiments that have a winner."""
        ends = work.expires_at if work.expires_at is not None else max(now, work.not_before or 0) + self.step.valid
        entry = entry_of(work.campaign, work.version, self.campaign, everywhere, decided) if self.campaign.has_walks else None
        return Target(step=self.step.name, channels=self.step.planned, again=self.campaign.again, expires_at=ends, entry=entry)


def time_rows(rows: Sequence[Planned], work: Work, outline: Outline, rules: Rules, now: Instant) -> list[Timed]:
    """When each row falls due if it is released at `now`, and over which channel if the recipient has a choice."""
    candidate = _candidate(work, outline, now)
    if len(outline.step.channels) > 1:
        return _time_several(rows, candidate, outline, rules, now)
    return _time_over(rows, candidate, outline, rules, now)


def _time_several(rows: Sequence[Planned], candidate: Candidate, outline: Outline, rules: Rules, now: Instant) -> list[Timed]:
    """Each channel has its own windows."""
    by_channel: dict[str, list[Planned]] = defaultdict(list)
    for row in rows:
        channel = choose(outline.step.channels, row.email, row.phone, row.traits) if outline.chooses else row.channel
        by_channel[channel].append(row)
    timed: list[Timed] = []
    for channel, mine in by_channel.items():
        moved = [row.channel != channel for row in mine]
        over = _time_over(mine, candidate._replace(channel=channel, ignore_window=_ignores(outline, channel)), outline, rules, now)
        timed += [item._replace(channel=channel) if move else item for item, move in zip(over, moved, strict=True)]
    return timed


def choose(channels: Sequence[str], email: str | None, phone: str | None, traits: str | None) -> str:
    """The one that the recipient likes best of those for which there may be an address; the claim sees to the rest."""
    addresses = {"email": email, "phone": phone}
    order = in_order(channels, traits)
    return next((channel for channel in order if addresses.get(ADDRESS_KINDS.get(channel, ""), "?")), order[0])


def _time_over(rows: Sequence[Planned], candidate: Candidate, outline: Outline, rules: Rules, now: Instant) -> list[Timed]:
    """The rows of one channel."""
    valid = outline.step.valid
    by_country = bool(rules.country_windows)
    stretches: dict[tuple[object, ...], Stretch] = {}
    timed: list[Timed] = []
    for row in rows:
        delivery, lane, person, _, zone, phone, country, traits = row[:8]
        settled = zone is not None and explicit_zone(zone) is not None and not (by_country and country is None)
        where = zone, None if settled else phone, country, traits
        stretch = stretches.get(where)
        if stretch is None:
            stretch = stretches[where] = due_stretch(candidate, _facts(row), rules, now, outline.prefer, valid)
        limit = stretch.limit
        first = stretch.first(person, candidate.campaign)
        if first is None:
            timed.append(Timed(delivery, lane, None, limit, why_never(candidate, limit, now).value))
        else:
            timed.append(Timed(delivery, lane, first, min(limit, first + valid)))
    return timed


def _facts(row: Planned) -> PersonFacts:
    return PersonFacts(
        id=row.person, key=row.key, zone=row.zone, phone=row.phone, country=row.country,
        quiet_hours=quiet_hours_of(row.traits) if row.traits else None,
    )  # fmt: skip


def _candidate(work: Work, outline: Outline, now: Instant) -> Candidate:
    """The job as a candidate; who it goes to is the person's part."""
    campaign = outline.campaign
    not_before = max(now, work.not_before or 0)
    ends = work.expires_at if work.expires_at is not None else not_before + SEARCH
    return Candidate(
        id=0, person=0, campaign=campaign.name, step=outline.step.name, channel=outline.step.channels[0], purpose=campaign.purpose,
        topic=campaign.topic, priority=work.priority, not_before=not_before, expires_at=ends, campaign_window=outline.window,
        job_window=_job_window(work.window) if work.window else None, ignore_window=_ignores(outline, outline.step.channels[0]),
        starts=moment_of(campaign.starts), ends=moment_of(campaign.ends),
    )  # fmt: skip


def _ignores(outline: Outline, channel: str) -> bool:
    """A stay in an audience is no message: nobody is disturbed at night."""
    return outline.campaign.ignore_window or channel == AUDIENCE


def why_never(candidate: Candidate, limit: Instant, now: Instant) -> Reason:
    if limit > now:
        return Reason.WINDOW_NEVER_OPENS
    return Reason.LATE if limit == candidate.expires_at else Reason.CAMPAIGN_ENDED


def moment_of(value: date | datetime | None) -> date | Instant | None:
    return to_instant(value) if isinstance(value, datetime) else value


@functools.lru_cache(maxsize=256)
def _job_window(text: str) -> WindowRule:
    return parse_window(json.loads(text))


def quiet_hours_of(traits: str) -> WindowRule | None:
    """The recipient's own; what is no quiet hours (a trait set in other ways) does not move the instant: the claim will hold it."""
    if '"quiet_hours"' not in traits:
        return None
    quiet = json.loads(traits).get("quiet_hours")
    if not quiet or not isinstance(quiet, str | list):
        return None
    try:
        return _quiet_rule((quiet,) if isinstance(quiet, str) else tuple(quiet))
    except (WindowError, TypeError):
        return None


@functools.lru_cache(maxsize=4096)
def _quiet_rule(texts: tuple[str, ...]) -> WindowRule:
    return parse_quiet_hours(texts)
