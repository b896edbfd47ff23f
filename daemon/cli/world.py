"""`homing world generate`: a sample shop as files, from a seed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command, group

UNTIL = "2026-11-22"


@command("generate", short_help="Write a sample shop.")
@click.option("--recipients", type=click.IntRange(1, 5_000_000), default=2_000, show_default=True, help="How many customers it has.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=2026, show_default=True, help="Another seed is another shop.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), default=UNTIL, show_default=True, help="The day its history ends.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder for its files.")
def generate(cli: Cli, recipients: int, seed: int, until: datetime, out: Path) -> None:
    """Write made-up customers with years of orders, visits, opens and tickets, for `recipients import`, `events import` and
    `suppressions import`. The truth about them (who has left for good, what an offer does) stands in files of its own.

    Mail addresses end in example.com; phone numbers may be somebody's: never give such a world to a Homing with real providers. The
    same arguments give the same bytes.
    """
    from daemon.cli.jobs import Progress
    from daemon.sandbox.shop import Shop, write_world

    shop = Shop(seed, recipients, until.replace(tzinfo=UTC))
    with Progress(cli, "people", recipients) as progress:
        counts = write_world(shop, out, progress.advance)
    cli.answer({"folder": str(out), **counts}, lambda: _show(out, counts))


def _show(out: Path, counts: dict[str, Any]) -> None:
    screen.say(f"{out}: {counts['recipients']:,} customers, {counts['events']:,} events, {counts['suppressions']:,} unsubscribed")
    screen.say(f"  {counts['alive']:,} will order again without being asked (truth.ndjson)")
    screen.say("Bring it in:")
    for what, name in (("recipients", "recipients.ndjson"), ("events", "events.ndjson"), ("suppressions", "suppressions.txt")):
        screen.say(f"  homing {what} import {out / name}")


world = group("world", "A made-up shop to try things with.", generate)
