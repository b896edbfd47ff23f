"""CONTENT: what is wrong between the parts of a campaign that each are good: offers that are not there, days that fall, steps out of reach.

Pure. Runs on a campaign whose steps were all read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from daemon.config.locate import Path as KeyPath
from daemon.content.campaign_table import Report, as_date
from daemon.errors import nearest
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY
from daemon.model.journey import Late


def check_parts(campaign: Campaign, report: Report) -> None:
    """Add to the report what no single table shows."""
    for check in (_names, _timing, _offers, _ends, _holdout):
        check(campaign, report)


def _names(campaign: Campaign, report: Report) -> None:
    seen: set[str] = set()
    for index, step in enumerate(campaign.steps):
        if step.name in seen:
            report.add(("step", index, "name"), f'there is another step of the name "{step.name}"')
        seen.add(step.name)


def _timing(campaign: Campaign, report: Report) -> None:
    """One of day and delay (the first step may do without: at once), days that rise."""
    former: tuple[str, int] | None = None
    for index, step in enumerate(campaign.steps):
        path: KeyPath = ("step", index)
        if step.day is not None and step.delay is not None:
            report.add((*path, "delay"), "day (from the anchor) and delay (after the former step) are two times of one step: give one")
        elif index and step.day is None and step.delay is None:
            report.add(path, "needs day or delay: when does it follow the former step?")
        for place, day, delay in _variant_times(step, path):
            if day is not None and step.day is None:
                report.add(place, "its step has no day: a variant may only shift what the step has")
            if delay is not None and step.delay is None and (index or step.day is not None):
                report.add(place, "its step has no delay: a variant may only shift what the step has")
        days = _days(step)
        if days and former and min(days) <= former[1]:
            report.add((*path, "day"), f"days must rise: {min(days)} comes after {former[1]} of the step {former[0]}")
        if days:
            former = step.name, max(days)


def _variant_times(step: Step, path: KeyPath) -> Iterator[tuple[KeyPath, int | None, int | None]]:
    for index, variant in enumerate(step.variants):
        place: KeyPath = (*path, "experiment", "variant", index)
        if variant.day is not None:
            yield (*place, "day"), variant.day, None
        if variant.delay is not None:
            yield (*place, "delay"), None, variant.delay


def _days(step: Step) -> list[int]:
    """All days on which it may fall due, by its variants."""
    if step.day is None:
        return []
    return [step.day if variant.day is None else variant.day for variant in step.variants] or [step.day]


def _offers(campaign: Campaign, report: Report) -> None:
    for index, step in enumerate(campaign.steps):
        _offer(step.offer, ("step", index, "offer"), campaign, report)
        for place, variant in enumerate(step.variants):
            _offer(variant.offer or {}, ("step", index, "experiment", "variant", place, "offer"), campaign, report)


def _offer(by_tier: Mapping[str, str], path: KeyPath, campaign: Campaign, report: Report) -> None:
    for tier, name in by_tier.items():
        if name not in campaign.offers:
            report.add(
                path,
                f"no [offers.{name}]{'' if tier == 'default' and len(by_tier) == 1 else f' for the tier {tier}'}",
                nearest(name, campaign.offers),
            )


def _ends(campaign: Campaign, report: Report) -> None:
    """The campaign's two ends, and the steps that lie behind the second for everybody."""
    if not campaign.starts or not campaign.ends:
        return
    length = (as_date(campaign.ends) - as_date(campaign.starts)).days
    if length < 0:
        report.add(("ends",), f"lies before starts ({campaign.starts.isoformat()})")
        return
    if campaign.enrol.late is Late.CURRENT:  # who enters late may begin at any step
        return
    soonest = 0
    for index, step in enumerate(campaign.steps):
        soonest = max(soonest + (step.delay or 0), _since_first(campaign, step))
        if index:
            soonest = max(soonest, index * campaign.enrol.min_gap)
        if soonest > (length + 1) * DAY:
            what = f"is never reached: {soonest // DAY} days after the enrolment at the soonest, and the campaign ends after {length}"
            report.add(("step", index), what)


def _since_first(campaign: Campaign, step: Step) -> int:
    """Microseconds from the first day of the campaign to this step's; 0 if they are not counted in days."""
    first = next((min(_days(each)) for each in campaign.steps if _days(each)), None)
    return (min(_days(step)) - first) * DAY if first is not None and _days(step) else 0


def _holdout(campaign: Campaign, report: Report) -> None:
    if campaign.holdout and campaign.purpose == "transactional":
        report.add(("holdout",), "is for marketing: a transactional message goes to all whom it concerns")
