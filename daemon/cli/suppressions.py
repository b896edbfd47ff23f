"""`homing suppressions`: addresses that get nothing. Homing keeps keyed hashes of them, never the addresses."""

from __future__ import annotations

from typing import IO, Any, BinaryIO

import click

from daemon.cli import screen
from daemon.cli.client import call, every, with_api
from daemon.cli.context import Cli, command, group

_CHANNEL = click.option("--channel", metavar="CHANNEL", help="email, sms ..; * = all (default: email for e-mail addresses, else all).")
_SCOPE = click.option("--scope", type=click.Choice(["marketing", "all"]), help="marketing, or all messages (default).")
_REASON = click.option("--reason", type=click.Choice(["suppressed", "bounced", "complained"]), help="Why (default: suppressed).")


def _send(cli: Cli, data: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    async def work(api: Any) -> dict[str, Any]:
        found: dict[str, Any] = await api.call("POST", "/v1/suppressions", query=defaults, data=data, media="application/x-ndjson")
        return found

    answer = with_api(cli, work)
    cli.answer(answer, lambda: _show(answer))
    return answer


def _show(answer: dict[str, Any]) -> None:
    screen.say(f"{answer['added']} added, {answer['known']} were there, {answer['rejected']} rejected")
    for error in answer["errors"]:
        screen.say(screen.clean(f"  line {error['line']}: {error['detail']} [{error['code']}]"))


@command("import", short_help="Suppress the addresses of a file.")
@click.argument("file", type=click.File("rb"))
@_CHANNEL
@_SCOPE
@_REASON
@click.option("--source", metavar="TEXT", help="Where the list comes from.")
def import_list(cli: Cli, file: BinaryIO, **defaults: str | None) -> None:
    """Suppress the addresses of FILE (- = standard input): one a line, plain or as {"address", "channel", "scope", "reason"}.

    Bad lines are named and never stop good ones; then the exit code is 1. The same list again changes nothing.
    """
    if _send(cli, file, defaults)["rejected"]:
        raise click.exceptions.Exit(1)


@command("export", short_help="Write the list, as hashes.")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=False), default="-")
def export(cli: Cli, file: IO[str]) -> None:
    """Write the list to FILE (default: standard output), a JSON object a line. Only hashes are kept, so only they can be written."""
    count = 0
    for item in every(cli, "/v1/suppressions", {"limit": 1000}):
        count += 1
        file.write(screen.dump(item) + "\n")
    if file.name != "<stdout>":
        cli.answer({"exported": count}, lambda: screen.say(f"{count} written"))


@command("add", short_help="Suppress one address.")
@click.argument("address")
@_CHANNEL
@_SCOPE
@_REASON
def add(cli: Cli, address: str, **defaults: str | None) -> None:
    """Send nothing to ADDRESS (an e-mail address or phone number) from now on; what is on its way is stopped at its handover."""
    if _send(cli, screen.dump({"address": address}).encode(), {**defaults, "source": "operator"})["rejected"]:
        raise click.exceptions.Exit(1)


@command("remove", short_help="Lift the suppression of an address.")
@click.argument("address")
@click.option("--channel", metavar="CHANNEL", help="Only for this channel.")
def remove(cli: Cli, address: str, channel: str | None) -> None:
    """Lift the suppression of ADDRESS. Do it only when its owner asked for it: consent is not brought back by this."""
    body = {key: value for key, value in {"address": address, "channel": channel}.items() if value is not None}
    answer = call(cli, "POST", "/v1/suppressions/remove", body=body)
    cli.answer(answer, lambda: screen.say(f"{len(answer['removed'])} lifted"))


suppressions = group("suppressions", "The list of addresses that get nothing.", import_list, export, add, remove)
