"""`homing plan`: who would get what of a campaign, when, over which channel, what would not go and why, and what it costs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command

if TYPE_CHECKING:
    from daemon.simulate.rehearsal.plan import Plan


@command("plan")
@click.argument("campaign")
@click.option("--days", type=click.IntRange(1, 400), help="Look so far ahead (default: as long as a walk through it takes, at most 120).")
@click.option("--start", metavar="DATE", help="As if it were started then; default: now.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of what is left to chance.")
@click.option("--no-words", is_flag=True, help="Do not make the texts: quicker, and what a template would hold back is not seen.")
def plan(cli: Cli, campaign: str, days: int | None, start: str | None, seed: int, no_words: bool) -> None:
    """Plan CAMPAIGN as if it were started, on a copy of the store: nothing is sent, and nothing of the original is written to.

    Exit code 77 for a campaign that could not go as it is: a window too short for its people and the provider's rate, a cap that its own
    steps use up, a channel that no provider serves, an end before its steps fall due. `campaigns start` refuses the same.
    """
    from daemon.app.planning import refusal
    from daemon.app.setup import read_setup
    from daemon.cli.rehearse import beginning
    from daemon.errors import GuardRefusedError
    from daemon.simulate.rehearsal import Wish
    from daemon.simulate.rehearsal.plan import make_plan

    setup = read_setup(cli.config_path, os.environ)
    began = beginning(start, setup.config.homing.default_zone)
    made = make_plan(setup, campaign, Wish(days=days or 0, start=began, seed=seed, words=not no_words))
    if made.infeasible:
        cli.answer(made.as_json(), lambda: _show_needs(made))
        raise GuardRefusedError(refusal(campaign, list(made.infeasible)))
    cli.answer(made.as_json(), lambda: _show(made))


def _show(made: Plan) -> None:
    from daemon.cli.rehearse import show

    who = f"{made.audience:,} in segment {made.segment} as last evaluated" if made.segment else f"{made.audience:,} messages wait"
    screen.say(f"{made.campaign} ({made.status}): {who}; the next {made.days} days")
    if made.first is not None and made.finish is not None:
        screen.say(f"  first message {_moment(made.first)}, last {_moment(made.finish)}")
    screen.say()
    if made.calendar is not None:
        show(made.calendar)
    _show_needs(made)
    if made.cost:
        screen.say(f"Cost of all messages: {made.cost:,.2f} {made.currency}")
    if made.cheaper_from is not None:
        dear = f"{made.cac:,.2f} {made.currency}"
        screen.say(f"  from {made.cheaper_from:,} that come back on, each costs no more than a new customer ({dear})")
    if len(made.spending) > 1 or any(each.budget is not None for each in made.spending):
        rows = [
            (s.channel, f"{s.cost:,.2f}", f"{s.share:.0%}", "-" if s.budget is None else f"{s.budget:.0%}{', over' if s.over else ''}")
            for s in made.spending
        ]
        screen.table(("channel", "cost", "of all", "at most"), rows)
    if made.margins:
        screen.say()
        heads = ("tier", "people", "an order", "its margin", "with the offer", "messages each", "pays from")
        screen.table(heads, [
            (m.tier, m.people, f"{m.order:,.2f}", f"{m.plain:,.2f}", f"{m.offered:,.2f}", f"{m.cost:,.4f}",
             "never" if m.pays_from is None else f"{m.pays_from:.3%} reactivated")
            for m in made.margins
        ])  # fmt: skip


def _show_needs(made: Plan) -> None:
    from daemon.policy.feasible import spell_rate

    if made.needs:
        screen.say()
        rows = [
            (n.step, n.channel, n.messages, f"{n.open_seconds / 3600:,.1f}", spell_rate(n.rate),
             spell_rate(n.provider_rate) if n.provider_rate else "-", _moment(n.finish))
            for n in made.needs
        ]  # fmt: skip
        screen.table(("step", "channel", "messages", "open hours", "needs", "provider", "done by"), rows)


def _moment(at: int | None) -> str:
    from daemon.clock import iso

    return screen.moment(None if at is None else iso(at))
