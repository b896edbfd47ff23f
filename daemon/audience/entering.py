"""AUDIENCE, entering: how a walk through a campaign begins, bound for the store's one act of enrolment. Pure.

Arms and holdout are drawn here, once, by a salted hash of the person (`journey.arms`); where the days stand is `journey.sequence.begin`.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.journey.arms import draw_arms, held_out
from daemon.journey.sequence import begin
from daemon.model.campaign import Campaign, Purpose
from daemon.model.delivery import Instant
from daemon.model.segment import ENTERED
from daemon.store.enrolling import Begun, Entry
from daemon.store.exits import Kind, Use

EVERYWHERE = "*"
"""The holdout of all campaigns is drawn as that of a campaign of this name: whom it holds out, it holds out of all."""


def entry_of(
    number: int, version: int, campaign: Campaign, everywhere: float = 0.0, decided: Mapping[tuple[str, str], str] | None = None
) -> Entry:
    """The way into a version of a campaign. `everywhere`: the share of people who are held out of all campaigns; `decided`: experiments
    that have a winner, which whoever begins now gets."""

    def begins(person: int, anchor: Instant | None, now: Instant) -> Begun | None:
        arms = draw_arms(campaign, person, decided)
        start = begin(campaign, anchor, now, arms)
        if start is None:
            return None
        out = held_out(EVERYWHERE, person, everywhere) or held_out(campaign.name, person, campaign.holdout)
        out = out and campaign.purpose is not Purpose.TRANSACTIONAL
        return Begun(start, arms, out)

    return Entry(campaign=number, version=version, again=campaign.again, anchor=campaign.enrol.anchor, begin=begins)


def uses_of(campaign: Campaign) -> list[Use]:
    """What the campaign makes of events."""
    uses = [Use(event, Kind.EXIT) for event in campaign.exit.events]
    if campaign.exit.segments and ENTERED not in campaign.exit.events:
        names = ", ".join("'" + name.replace("'", "''") + "'" for name in campaign.exit.segments)
        uses.append(Use(ENTERED, Kind.EXIT, f"segment in ({names})"))
    if campaign.goal is not None:
        uses.append(Use(campaign.goal.event, Kind.GOAL, campaign.goal.where))
    if (trigger := campaign.enrol.trigger) is not None and trigger.event is not None:
        uses.append(Use(trigger.event, Kind.TRIGGER, trigger.where))
    return uses
