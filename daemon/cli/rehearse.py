"""`homing rehearse`: the coming days of this installation, lived ahead on a copy of its store: a calendar, and counts by reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command

if TYPE_CHECKING:
    from daemon.simulate.rehearsal import Calendar, Crowd, Day, Sent

MOST_DAYS = 400
FIRST_YEAR, LAST_YEAR = 1970, 2200


@command("rehearse")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), required=True, help="How many days.")
@click.option("--start", metavar="DATE", help="The day it begins (2026-12-01, or an instant with its offset); default: now.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of what is left to chance.")
@click.option("--campaign", metavar="NAME", help="Count only what is of it, and start it there if it does not run.")
@click.option("--world", type=click.Path(path_type=Path, file_okay=False), help="A folder of `world generate`: its people act and answer.")
@click.option("--exact", is_flag=True, help="To the second; slower. Otherwise what falls due within a minute goes together.")
@click.option("--quick", is_flag=True, help="Render nothing; a template that holds its message back is not seen.")
@click.option("--bounces", type=click.FloatRange(0, 1), default=0.0, metavar="SHARE", help="Of all addresses: dead (0.02 = 2 %).")
@click.option("--refusals", type=click.FloatRange(0, 1), default=0.0, metavar="SHARE", help="Of all attempts: refused for now.")
@click.option("--messages", type=click.File("w", encoding="utf-8"), help="Write each message as a line of JSON.")
def rehearse(
    cli: Cli, days: int, start: str | None, seed: int, campaign: str | None, world: Path | None, exact: bool, quick: bool,
    bounces: float, refusals: float, messages: IO[str] | None,
) -> None:  # fmt: skip
    """Live the coming days ahead: the daemon's own stages over a copy of the store, with channels that let nothing out.

    Nothing is sent, no socket is opened, and nothing of the original is written to; a daemon may run meanwhile. The same seed over the same
    store gives the same answer.
    """
    from daemon.app.setup import read_setup
    from daemon.simulate.rehearsal import Wish, rehearse
    from daemon.simulate.rehearsal.run import GRAIN_SECONDS

    setup = read_setup(cli.config_path, os.environ)
    began = beginning(start, setup.config.homing.default_zone)
    wish = Wish(
        days=days, start=began, seed=seed, campaign=campaign, grain=0.05 if exact else GRAIN_SECONDS, words=not quick,
        bounces=bounces, refusals=refusals,
        crowd=None if world is None else crowd_of(world, setup.catalogue.versions, began + timedelta(days=days)), took=writer(messages),
    )  # fmt: skip
    calendar = rehearse(setup, wish)
    cli.answer({"start": began.isoformat(), "seed": seed, **calendar.as_json()}, lambda: show(calendar))


def beginning(text: str | None, zone: str) -> datetime:
    """The instant that `--start` names. UsageError."""
    from daemon.clock import SystemClock
    from daemon.errors import UsageError

    if text is None:
        return SystemClock().now().replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'--start "{text}" is no date or instant; write it as 2026-12-01 or 2026-12-01T09:00+07:00') from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise UsageError(f'--start "{text}" must lie between the years {FIRST_YEAR} and {LAST_YEAR}')
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def crowd_of(folder: Path, versions: Any, end: datetime) -> Crowd:
    """The people of a generated world, who act until `end`. What they did since its own end is told at the beginning."""
    from daemon.sandbox.shop import open_world
    from daemon.sandbox.shop.crowd import ShopCrowd

    shop = open_world(folder)
    days = math.ceil((end.timestamp() - shop.until) / 86_400)
    return ShopCrowd(shop, {name: version.campaign for name, version in versions.items()}, max(days, 0))


def writer(file: IO[str] | None) -> Callable[[Sent], object] | None:
    """Writes what went out as lines of JSON; None: nobody asks for it."""
    if file is None:
        return None
    from daemon.clock import iso

    return lambda sent: file.write(json.dumps({**sent._asdict(), "at": iso(sent.at)}) + "\n")


def show(calendar: Calendar) -> None:
    """For eyes: a line a day on which something happens, then what it all came to."""
    from daemon.model.delivery import State

    days = [day for day in calendar.days if not day.empty]
    channels = sorted({channel for day in days for channel in day.sent})
    refused = sorted({what for day in days for what in day.refused})
    heads = ("day", "planned", *channels, *refused, "capped", "held", "dropped", "expired", "waiting")
    screen.table(heads, [_line(day, channels, refused) for day in days], empty="nothing happens on these days")
    if any(sum(day.reasons(State.HELD).values()) < 0 for day in days):
        screen.say("held below 0: on that day more were let go than came to be held")
    _show_totals(calendar)
    _show_audiences(calendar)
    for note in calendar.notes:
        screen.say(f"Note: {note}")


def _line(day: Day, channels: Sequence[str], refused: Sequence[str]) -> Sequence[screen.Cell]:
    from daemon.model.delivery import State

    ended = [sum(day.reasons(state).values()) for state in (State.HELD, State.DROPPED, State.EXPIRED)]
    named = _day(day.date)
    went = *(day.sent[channel] for channel in channels), *(day.refused[what] for what in refused)
    return (named, day.planned, *went, day.capped, *ended, day.waiting)


def _day(day: date) -> str:
    return f"{day:%a %d %b %Y}"


def _show_audiences(calendar: Calendar) -> None:
    """Who would be told to the advertising platforms, on each day on which somebody moves."""
    rows = [
        (_day(day.date), key.name, key.provider, moved.added, moved.removed, moved.expired, moved.members)
        for day in calendar.days
        for key, moved in sorted(day.audiences.items())
    ]
    if rows:
        screen.say()
        screen.table(("day", "audience", "provider", "added", "removed", "expired", "members"), rows)


def _show_totals(calendar: Calendar) -> None:
    from daemon.model.delivery import REASONS, Reason

    total = calendar.totals()
    screen.say()
    screen.say(f"{calendar.people:,} recipients, {sum(total.sent.values()):,} messages, {calendar.decided:,} decisions")
    if calendar.sent:
        screen.table(("campaign", "step", "channel", "sent"), [(*key, n) for key, n in sorted(calendar.sent.items())])
    rows = [(state, reason or "-", n) for (state, reason), n in sorted(total.ended.items()) if n]
    rows += [("put off", reason, n) for reason, n in sorted(total.deferred.items())]
    known = {reason.value for reason in Reason}
    if rows:
        screen.say()
        explained = [(what, why, n, REASONS[Reason(why)].remedy if why in known else "") for what, why, n in rows]
        screen.table(("what", "why", "count", "what ends it"), explained)
    for (channel, currency), amount in sorted(calendar.cost.items()):
        screen.say(f"{channel}: {calendar.parts[channel]:,} parts, {amount:,.2f} {currency}")
    if total.events:
        screen.say("What people did: " + ", ".join(f"{name} {n:,}" for name, n in sorted(total.events.items())))
