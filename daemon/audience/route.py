"""AUDIENCE, route: a campaign version as its walks go through it: what the next move of one is, and when its messages fall due. Pure.

In: walks with what is known of their people (`store.walking`), the rules in force, `now`. Out: moves for the store to write. The moves
themselves are decided by `journey.sequence`; the instants by the very rules that will decide each message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.audience.timing import choose, moment_of, quiet_hours_of, why_never
from daemon.content.expression import parse_expression
from daemon.content.version import CampaignVersion
from daemon.journey import sequence
from daemon.journey.sequence import End, Facts, Look, Plan, Standing
from daemon.journey.timing import best_hour, recent
from daemon.journey.worth import Prices, below_cost
from daemon.model.audience import AUDIENCE
from daemon.model.campaign import Campaign, Mode, Step
from daemon.model.delivery import DAY, Decision, Instant, Reason, Verdict
from daemon.model.expression import Expression
from daemon.model.journey import ACT_CHANNELS, Variant, WalkState
from daemon.policy.dates import campaign_life
from daemon.policy.hours import WindowRule, parse_window
from daemon.policy.prefer import Preference, local_hours, parse_prefer, ranks
from daemon.policy.rules import Rules
from daemon.policy.seasons import season_starts
from daemon.policy.spread import due_stretch
from daemon.policy.subject import Candidate, PersonFacts
from daemon.policy.window import SEARCH
from daemon.policy.zones import phone_country, zone_country
from daemon.store.claim import decision_json
from daemon.store.walking import Due, Moved, Walking

HORIZON = 30 * DAY
"""Of a campaign without a goal: so long late events may still change how a walk ended."""
GRACE = 3 * DAY
"""And so long after its end in any case."""


def _unasked(step: Step) -> bool:
    return step.where is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one person beside the walk. `inside`: the exit segments that he is in; `awaited`: step -> how soon somebody asks
    whether it was reacted to."""

    matches: Callable[[Step], bool] = _unasked
    inside: Sequence[str] = ()
    reacted: bool = False
    awaited: Mapping[str, int] = field(default_factory=dict)
    habit: Sequence[tuple[Instant, float]] = ()
    """When he reacted to messages, and what that weighs; asked for where the campaign prefers everybody's own hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A campaign version, ready for its walks."""

    campaign: Campaign
    window: WindowRule | None
    preference: Preference
    acts: frozenset[str] = frozenset()
    """Its steps that are no messages."""
    conditions: Mapping[str, Expression] = field(default_factory=dict)
    """Its steps' `where`, by their text."""

    @classmethod
    def of(cls, body: str) -> Route:
        """From the JSON text that the store keeps of a version."""
        campaign = CampaignVersion.from_json(body).campaign
        window = parse_window(campaign.window) if campaign.window else None
        conditions = {step.where: parse_expression(step.where) for step in campaign.steps if step.where is not None}
        acts = frozenset(step.name for step in campaign.steps if step.act is not None)
        preference = parse_prefer(tuple(campaign.prefer))
        return cls(campaign=campaign, window=window, preference=preference, acts=acts, conditions=conditions)

    def move(self, walk: Walking, known: Known, rules: Rules, now: Instant, prices: Prices | None = None) -> Moved:
        """What becomes of an open walk. `prices`: by which its messages have to be worth their cost."""
        if known.inside:
            return Moved(walk, None, state=WalkState.EXITED, reason=f"segment {known.inside[0]}")
        if walk.last.accepted_at is not None and walk.step in self.acts:  # no contact: no gap counts from it
            walk = walk._replace(last=Standing(open_until=walk.last.open_until, ended_at=walk.last.accepted_at))
        arms = json.loads(walk.arms) if walk.arms else {}
        facts = self._facts(walk, known, rules, now)
        here = sequence.Walk(
            entered_at=walk.entered_at, since_at=walk.since_at, anchor_at=walk.anchor_at, shift=walk.shift, step=walk.step,
            step_at=walk.step_at, touched_at=walk.touched_at, arms=arms,
        )  # fmt: skip
        asks = walk.last.accepted_at is not None and walk.step in known.awaited and walk.asked != walk.step
        move = sequence.next_move(here, self.campaign, facts, now)
        passed = move.passed[-1] if move.passed else None
        match move:
            case Look(at=at):
                return Moved(walk, at, step=passed, asks=asks)
            case End(reason=reason, state=state):
                return Moved(walk, None, step=passed, state=state, reason=reason, asks=asks)
            case Plan(step=step, variant=variant):
                due = self._due(walk, step, variant, self._ranks(walk, known, rules, now), rules, now)
                due = [self._worth_it(walk, step, variant, one, rules, prices) for one in due] if prices is not None else due
                until = max((one.expires_at if one.not_before is not None else now for one in due), default=now)
                at = sequence.look_after(here, self.campaign, step, until, facts, now)
                name = variant.name if variant is not None else None
                sets = (step.act.tags, step.act.traits) if step.act is not None and step.act.kind == "set" and not walk.held_out else None
                return Moved(walk, at, step=step.name, variant=name, due=due, asks=asks, sets=sets)

    def _facts(self, walk: Walking, known: Known, rules: Rules, now: Instant) -> Facts:
        person = _person(walk)
        zones = rules.guess_zones(person)
        starts_at, limit = campaign_life(self._candidate(None, AUDIENCE, now), zones, now)
        names = [step.season.name for step in self.campaign.steps if step.season is not None]
        seasons: Mapping[str, Sequence[Instant]] = {}
        if names and zones.names:
            country = walk.country or (phone_country(walk.phone) if walk.phone else None) or zone_country(zones.names[0])
            seasons = season_starts(names, country, zones.names[0], now)
        return Facts(
            last=walk.last, starts_at=starts_at if starts_at > now else None, ends_at=limit if limit < now + SEARCH else None,
            matches=known.matches, seasons=seasons, awaited=known.awaited,
            reacted=known.reacted or bool(walk.held_out),  # who was sent nothing is not let go for his silence
        )  # fmt: skip

    def _ranks(self, walk: Walking, known: Known, rules: Rules, now: Instant) -> tuple[WindowRule, ...]:
        """The hours that are best for him, in order."""
        zones = rules.guess_zones(_person(walk)).names if self.preference.own and known.habit else ()
        if not zones:
            return ranks(self.preference)
        seen = recent(known.habit, now)
        hours = local_hours([at for at, _ in seen], zones[0])
        return ranks(self.preference, best_hour((hour, weight) for hour, (_, weight) in zip(hours, seen, strict=True)))

    def _due(
        self, walk: Walking, step: Step, variant: Variant | None, prefer: Sequence[WindowRule], rules: Rules, now: Instant
    ) -> list[Due]:
        """The step's deliveries: one, or one on each of its channels."""
        act = step.act
        channels = sequence.channels_of(step, variant) if act is None else (ACT_CHANNELS[act.kind],) if act.kind in ACT_CHANNELS else ()
        if not channels:
            return []
        chosen = channels if step.mode is Mode.ALL else (choose(channels, walk.email, walk.phone, walk.traits),)
        hours = sequence.hours_of(step, variant)
        narrowed = parse_window({"hours": list(hours)}) if hours else None
        found = []
        for channel in chosen:
            candidate = self._candidate(step, channel, now)._replace(job_window=narrowed)
            stretch = due_stretch(candidate, _person(walk), rules, now, prefer, step.valid)
            first = stretch.first(walk.person, self.campaign.name)
            if first is None:
                found.append(Due(channel, None, min(stretch.limit, now + step.valid), why_never(candidate, stretch.limit, now).value))
            else:
                by = act.provider if act is not None else None
                found.append(Due(channel, first, min(stretch.limit, first + step.valid), provider=by))
        return found

    def _worth_it(self, walk: Walking, step: Step, variant: Variant | None, due: Due, rules: Rules, prices: Prices) -> Due:
        """What brings less than it costs ends now, with the numbers."""
        facts = below_cost(self.campaign, step, variant, due.channel, {"orders": walk.orders, "value": walk.value}, prices)
        if facts is None or due.not_before is None:
            return due
        decision = Decision(
            verdict=Verdict.DROP, reason=Reason.BELOW_COST, rule=("value", rules.version), facts=facts, checks=(("value", Verdict.DROP),)
        )
        return due._replace(not_before=None, reason=Reason.BELOW_COST.value, decision=decision_json(decision))

    def _candidate(self, step: Step | None, channel: str, now: Instant) -> Candidate:
        """A message of this campaign, whoever it goes to."""
        campaign = self.campaign
        quiet = channel == AUDIENCE or (step is not None and step.act is not None)
        return Candidate(
            id=0, person=0, campaign=campaign.name, step=step.name if step is not None else "", channel=channel, purpose=campaign.purpose,
            topic=campaign.topic, priority=campaign.priority, not_before=now, expires_at=now + SEARCH, campaign_window=self.window,
            ignore_window=campaign.ignore_window or quiet, starts=moment_of(campaign.starts), ends=moment_of(campaign.ends),
            trigger=campaign.enrol.trigger is not None,
        )  # fmt: skip

    def watched_until(self, walk: Walking) -> Instant:
        """Until when events still concern a walk that has ended."""
        touched = min((at for at in (walk.first_touch_at, walk.last.accepted_at) if at is not None), default=walk.entered_at)
        horizon = self.campaign.goal.horizon if self.campaign.goal is not None else HORIZON
        return max(touched + horizon, (walk.ended_at or 0) + GRACE)


def _person(walk: Walking) -> PersonFacts:
    return PersonFacts(
        id=walk.person, key=walk.key, zone=walk.zone, phone=walk.phone, country=walk.country,
        quiet_hours=quiet_hours_of(walk.traits) if walk.traits else None,
    )  # fmt: skip


