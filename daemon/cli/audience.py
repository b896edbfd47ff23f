"""`homing audience`: what the retargeting audiences hold, what the platforms took, and bringing both together now."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import screen
from daemon.cli.client import call
from daemon.cli.context import Cli, command, group

NOTHING = "no audience yet; a campaign's [[audience]] or a job over the channel audience makes one"
_PROVIDER = click.option("--provider", metavar="NAME", help="Only the audiences of this provider.")


@command("status", short_help="Who is wanted, acknowledged, pending and refused; drift.")
@_PROVIDER
def status(cli: Cli, provider: str | None) -> None:
    """Each audience: members that should be in, that the platform acknowledged, that wait, and that it did not take, by reason.

    Drift is how far the platform's own count is from what it acknowledged; it may be a day behind, and counts only people it knows.
    """
    found = call(cli, "GET", "/v1/audiences", query={"provider": provider})
    nothing = f'no audience at "{provider}"; `homing plugins list` names the providers' if provider is not None else NOTHING
    cli.answer(found, lambda: _show(found, nothing))


@command("sync", short_help="Bring them up to date now.")
@_PROVIDER
def sync(cli: Cli, provider: str | None) -> None:
    """Look at once for who should be in, try what was put off, blocked or refused again, and ask the platforms for their sizes.

    Needs the running daemon. Returns at once; `homing audience status` shows how far it is.
    """
    found = call(cli, "POST", "/v1/audiences/sync", body={} if provider is None else {"provider": provider})
    cli.answer(found, lambda: _show(found))


def _show(found: dict[str, Any], nothing: str = NOTHING) -> None:
    headers = ("audience", "provider", "wanted", "acknowledged", "to add", "to remove", "failed", "last sync", "platform")
    rows = [
        (
            each["name"], each["provider"], each["wanted"], each["acknowledged"], each["pending"]["add"], each["pending"]["remove"],
            sum(each["failed"].values()), screen.moment(each["last_sync"]), _size(each["platform"]),
        )
        for each in found["audiences"]
    ]  # fmt: skip
    screen.table(headers, rows, empty=nothing)
    for each in found["audiences"]:
        where = f"{each['name']} at {each['provider']}"
        for reason, n in sorted(each["failed"].items()):
            screen.say(screen.clean(f"{where}: {n} not taken, {reason}"))
        if each["blocked"]:
            screen.say(screen.clean(f"{where} is blocked: {each['blocked']}; mend it there, then `homing audience sync`"))
        elif each["trouble"]:
            screen.say(screen.clean(f"{where}: {each['trouble']}"))
        if each["platform"]["drift"]:
            screen.say(screen.clean(f"{where}: the platform counts {abs(each['platform']['drift'])} {_more(each['platform']['drift'])}"))
    for provider in found["providers"]:
        if provider["state"] != "ready":
            wait = f", goes on in {provider['rests_seconds']} s" if provider["rests_seconds"] else ""
            screen.say(screen.clean(f"{provider['provider']} is {provider['state']}{wait}: {provider['detail'] or 'it asked for that'}"))


def _size(platform: dict[str, Any]) -> str:
    size = platform["size"]
    if size is None:
        return ""
    return str(size["least"]) if size["least"] == size["most"] else f"{size['least']}-{size['most']}"


def _more(drift: int) -> str:
    return "more than it acknowledged" if drift > 0 else "fewer than it acknowledged"


audience = group("audience", "Retargeting audiences: what they hold, and sync.", status, sync)
