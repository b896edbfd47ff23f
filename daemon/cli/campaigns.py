"""`homing campaigns`: what there is, and the operator's word about it."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import screen
from daemon.cli.client import call, segment
from daemon.cli.context import Cli, command, group
from daemon.cli.marketing import lint, preview
from daemon.errors import GuardRefusedError, UsageError


@command("list", short_help="All campaigns with what waits in them.")
def list_campaigns(cli: Cli) -> None:
    """All campaigns. A job's own message is no campaign of this list."""
    items = call(cli, "GET", "/v1/campaigns")["items"]
    rows = [(c["campaign"], c["status"], c["version"], c["purpose"], c["topic"], c["jobs"], screen.counts(c["deliveries"])) for c in items]
    headers = ("campaign", "status", "version", "purpose", "topic", "open jobs", "deliveries")
    cli.answer(items, lambda: screen.table(headers, rows, empty="no campaign; [homing] campaigns names their folder"))


@command("show", short_help="One campaign in full.")
@click.argument("campaign")
def show(cli: Cli, campaign: str) -> None:
    """One campaign: status, version, steps, languages, window, files."""
    found = call(cli, "GET", f"/v1/campaigns/{segment(campaign)}")
    cli.answer(found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    steps = "; ".join(map(_step, found["steps"]))
    lines = (
        ("campaign", found["campaign"]),
        ("status", found["status"]),
        ("version", f"{found['version']} ({found['digest']})"),
        ("purpose", found["purpose"]),
        ("topic", found["topic"]),
        ("runs", f"{found['starts'] or 'from now'} to {found['ends'] or 'no end'}"),
        ("enrols", found["enrols"]),
        ("goal", found["goal"] or "none"),
        ("exits", ", ".join(found["exits"]) or "none"),
        ("holdout", f"{found['holdout']:.0%}"),
        ("steps", steps),
        ("languages", ", ".join(locale or "default" for locale in found["locales"])),
        ("window", screen.dump(found["window"]) if found["window"] else "that of the config"),
        ("files", ", ".join(found["files"])),
        ("open jobs", found["jobs"]),
        ("deliveries", screen.counts(found["deliveries"])),
    )
    for name, value in lines:
        screen.say(f"{name:<11}{screen.clean(value)}")


def _step(step: dict[str, Any]) -> str:
    """`offer (day 60, email, else sms, 72 h; push after 72 h unless opened or clicked)`"""
    channels = (" and " if step.get("mode") == "all" else ", else ").join(step["channels"]) or step.get("act", "")
    when = f"day {step['day']}, " if "day" in step else f"{_span(step['delay_seconds'])} later, " if "delay_seconds" in step else ""
    offer = f", offer {' or '.join(dict.fromkeys(step['offer'].values()))}" if "offer" in step else ""
    more = step.get("escalate")
    unless = f" unless {' or '.join(more['unless'])}" if more and more["unless"] else ""
    then = f"; {', else '.join(more['to'])} after {more['after_seconds'] // 3600} h{unless}" if more else ""
    life = f", {step['valid_seconds'] // 3600} h" if step["channels"] else ""
    return f"{step['step']} ({when}{channels}{life}{offer}{then})"


def _span(seconds: int) -> str:
    return f"{seconds // 86_400} d" if seconds >= 172_800 else f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"


def _word(word: str, short: str, text: str) -> click.Command:
    @command(word, short_help=short, help=text)
    @click.argument("campaign")
    def act(cli: Cli, campaign: str) -> None:
        found = call(cli, "POST", f"/v1/campaigns/{segment(campaign)}/{word}")
        cli.answer(found, lambda: screen.say(f"{found['campaign']} is {found['status']}; {screen.counts(found['deliveries'])}"))

    return act


start = _word("start", "Let a draft or paused campaign send.", "Let a draft or paused CAMPAIGN send.")
pause = _word("pause", "Send nothing of it until it is resumed.", "Send nothing of CAMPAIGN until it is resumed. Nothing is dropped.")
resume = _word("resume", "Let a paused campaign go on.", "Let a paused CAMPAIGN go on.")

archive = _word(
    "archive", "End a draft or paused campaign for good.",
    "End a draft or paused CAMPAIGN for good: nothing of it is sent, and no job gets in.",
)  # fmt: skip


@command("move", short_help="Let open walks go on by the newest version.")
@click.argument("campaign")
@click.option("--to-latest", is_flag=True, help="To the newest loaded version.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
def move(cli: Cli, campaign: str, to_latest: bool, dry_run: bool) -> None:
    """Let the open walks of CAMPAIGN go on by its newest version, with what of theirs is not sent yet.

    Says first what differs. What was sent stays as it was; who stands at a step that is gone goes on behind the one before it.
    """
    if not to_latest:
        raise UsageError(f"to which version? `homing campaigns move {campaign} --to-latest`, with --dry-run to look first")
    path = f"/v1/campaigns/{segment(campaign)}/move"
    looked = call(cli, "POST", path, body={"dry_run": True})
    done = looked if dry_run else call(cli, "POST", path, body={})
    cli.answer({**done, "from": looked["from"]}, lambda: _show_move(looked, done, dry_run=dry_run))


def _show_move(looked: dict[str, Any], done: dict[str, Any], *, dry_run: bool) -> None:
    for each in looked["from"]:
        screen.say(f"{each['walks']} open walks of version {each['version']}; to version {looked['to']}:")
        for line in each["changes"] or ["nothing that counts differs"]:
            screen.say(screen.clean(f"  {line}"))
    if not looked["from"]:
        screen.say(f"all open walks of {looked['campaign']} go by its newest version ({looked['to']}) already")
    elif dry_run:
        screen.say("nothing was moved: a dry run")
    else:
        screen.say(f"{done['moved']} walks moved")


@command("test", short_help="Send its messages to test addresses.")
@click.argument("campaign")
@click.option("--to", "to", multiple=True, metavar="ADDRESS", help="One of [homing] test_addresses (default: all); may be repeated.")
@click.option("--locale", metavar="LOCALE", help="In this language.")
@click.option("--recipient", metavar="ID", help="With this recipient's data.")
def test(cli: Cli, campaign: str, to: tuple[str, ...], locale: str | None, recipient: str | None) -> None:
    """Send each step of CAMPAIGN once, now, to test addresses, and to nobody else. Needs the running daemon.

    Exit code 1 if not every message was accepted.
    """
    addresses = list(to) or list(cli.config.homing.test_addresses)
    if not addresses:
        raise GuardRefusedError("[homing] test_addresses names no address: test sends go nowhere else")
    body = {key: value for key, value in {"to": addresses, "locale": locale, "recipient": recipient}.items() if value is not None}
    answer = call(cli, "POST", f"/v1/campaigns/{segment(campaign)}/test", body=body)
    cli.answer(answer, lambda: _show_sent(answer["sent"]))
    if any(each["outcome"] != "accepted" for each in answer["sent"]):
        raise click.exceptions.Exit(1)


def _show_sent(sent: list[dict[str, Any]]) -> None:
    keys = ("step", "channel", "to", "outcome", "detail")
    rows = [[each.get(key) for key in keys] for each in sent]
    screen.table(keys, rows, empty="nothing was sent: no test address suits a channel of the campaign")


campaigns = group(
    "campaigns", "List, show, look over, start, pause, resume, archive, preview and test campaigns.",
    list_campaigns, show, lint, start, pause, resume, archive, move, preview, test,
)  # fmt: skip
