"""What stands between a campaign and its start: the check that `campaigns start` makes, with what the config and the store say now.

Pure arithmetic over rules, rates and counts; `homing plan` rehearses beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.app.setup import Setup
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign
from daemon.model.delivery import Instant
from daemon.policy.feasible import Infeasible, Load, Situation, infeasible
from daemon.policy.hours import parse_window


def serving(setup: Setup) -> dict[str, Load]:
    """Channel -> its first provider with the rate of the config."""
    found: dict[str, Load] = {}
    for loaded in setup.loading.channels:
        table = setup.config.providers.get(loaded.provider)
        rate = table.rate.per_second if table is not None and table.rate else None
        found.setdefault(loaded.channel, Load(loaded.provider, rate))
    return found


def situation(setup: Setup, waiting: Mapping[tuple[str, str], int], now: Instant) -> Situation:
    return Situation(now, setup.config.homing.default_zone, serving(setup), waiting)


def stands_against(setup: Setup, version: CampaignVersion, waiting: Mapping[tuple[str, str], int], now: Instant) -> list[Infeasible]:
    """Why the campaign could not go as it is. `waiting`: (step, channel) -> messages."""
    campaign = version.campaign
    window = parse_window(campaign.window) if campaign.window else None
    return infeasible(campaign, setup.rules, window, situation(setup, waiting, now))


def first_messages(campaign: Campaign) -> list[tuple[str, str]]:
    """(step, channel) of what somebody who is enrolled gets first."""
    return [(step.name, channel) for step in campaign.steps[:1] for channel in step.planned]


def refusal(name: str, found: list[Infeasible]) -> str:
    """In words for whoever wanted to start it."""
    where = [f"step {each.step} ({each.channel}): " if each.step else "" for each in found]
    lines = "; ".join(f"{place}{each.text}" for place, each in zip(where, found, strict=True))
    return f'campaign "{name}" cannot go as it is: {lines}; `homing plan {name}` says more'
