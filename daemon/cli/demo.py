"""`homing demo`: the whole of it on sample data: jobs in by three doors, the real daemon, local providers, and what came of it.

What is printed of the daemon comes from its own store and API; whether it did right is judged by the providers' logs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command
from daemon.errors import UsageError

if TYPE_CHECKING:
    from daemon.cli.demo_report import Outcome


@command("demo", short_help="The whole of it on sample data; see --days.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Work in the new folder DIR and leave it.")
@click.option("--at", metavar="TIME", help="Set the demo's clock to this instant (RFC 3339), to see another hour of the day.")
@click.option("--days", type=click.IntRange(0, 400), default=0, help="First live so many days of the playbook ahead (120: a minute).")
@click.option("--stay", is_flag=True, help="Leave daemon and inbox running until ^C.")
def demo(cli: Cli, keep: Path | None, at: str | None, days: int, stay: bool) -> None:
    """Run the real daemon on the shipped sample against local providers of mail, SMS, web push and advertising audiences, and show what
    was sent, what waits until when, and what was dropped, and why.

    2,000 people in Jakarta, Kuala Lumpur, Tehran and unknown zones get mail, 222 of the best customers a push or an SMS; five jobs
    through spool, command line and HTTP. Needs no config and no network, and takes about a minute. Exit code 1 if a provider's log
    shows a message that should not have come.
    """
    offset = _offset(at)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise UsageError(f"{keep} is not empty; --keep wants a new folder")
    folder = keep or Path(tempfile.mkdtemp(prefix="homing-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if days:
            from daemon.cli.demo_ahead import look_ahead

            ahead = look_ahead(cli, folder.resolve(), days, offset)
            if cli.json:
                screen.say(screen.dump({"ahead": ahead}))
        outcome = asyncio.run(_play(cli, folder.resolve(), offset, stay=stay, kept=keep is not None))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if outcome.judgement.findings or outcome.strangers:
        raise click.exceptions.Exit(1)


def _offset(at: str | None) -> int:
    """Seconds from the machine's clock to the wanted instant."""
    if at is None:
        return 0
    from daemon.clock import SystemClock

    try:
        wanted = datetime.fromisoformat(at)
    except ValueError:
        raise UsageError(f'--at "{at}" is no instant; write it as 2026-11-24T03:00Z') from None
    if wanted.tzinfo is None:
        raise UsageError(f'--at "{at}" has no offset; write it as 2026-11-24T03:00Z')
    if not datetime(2020, 2, 1, tzinfo=UTC) <= wanted <= datetime(2037, 1, 1, tzinfo=UTC):
        raise UsageError("--at lies between 2020-02-01 and 2037")
    return round((wanted - SystemClock().now()).total_seconds())


async def _play(cli: Cli, folder: Path, offset: int, *, stay: bool, kept: bool) -> Outcome:
    from daemon.cli.demo_report import collect, report
    from daemon.sandbox.stage import Stage
    from daemon.sandbox.vips import CAMPAIGN, make_vip_job, make_vips
    from daemon.sandbox.world import make_jobs, make_news, make_people, write_people

    people, best = make_people(), make_vips()
    write_people([*people, *best], folder / "people.csv")
    stage = Stage(folder, offset_seconds=offset)
    now, began = stage.clock.now(), stage.clock.monotonic()
    jobs = make_jobs(people, now.date().isoformat())
    news, vip = make_news(people, now.date().isoformat()), make_vip_job(best, now.date().isoformat())
    say = screen.note if cli.json else screen.say
    say(f"Homing demo in {folder}" + ("" if kept else " (removed at the end)"))
    if offset:
        say(f"THE CLOCK IS SHIFTED by {offset:+,} s: for daemon and providers it is {now:%Y-%m-%d %H:%M} UTC.")
    async with stage.running():
        say("The daemon runs; mail server, Twilio, push service and ad platforms are a sandbox on this machine: nothing is delivered.")
        listed = await stage.suppress(people)
        say(f"Suppression list imported: {listed['added']} addresses.")
        await stage.enqueue(news)
        say(f"{news.id}: {len(news.lines)} people get news from another campaign first, by `homing enqueue`.")
        await asyncio.gather(stage.spool(jobs[0]), stage.enqueue(jobs[1]), stage.post(jobs[2]))
        doors = (f"{jobs[0].id} through the spool folder", f"{jobs[1].id} by `homing enqueue`", f"{jobs[2].id} over HTTP")
        say(f"Win-back jobs dropped: {', '.join(doors)}.")
        await stage.command("campaigns", "start", CAMPAIGN)
        browsers = await stage.subscribe(best)
        await stage.post(vip)
        say(f"{vip.id}: {len(best)} of the best customers, {browsers} of them with a browser: a push, or else an SMS.")
        await stage.settled([news, *jobs, vip])
        await stage.audiences_settled()
        outcome = await collect(stage, [*people, *best], [news, *jobs, vip])
        report(cli, outcome)
        say(f"\nTook {stage.clock.monotonic() - began:.0f} s.")
        if stay:
            await _wait(stage.sandbox.inbox.url, stage.config)
    return outcome


async def _wait(inbox: str, config: Path) -> None:
    import signal

    over = asyncio.Event()
    end = over.set
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    screen.note(f"\nStill running, until ^C. Inbox: {inbox}\nTry: homing --config {config} status")
    with contextlib.suppress(asyncio.CancelledError):
        await over.wait()
