"""`homing token`: bearer tokens of the HTTP API. A token's text is shown once."""

from __future__ import annotations

import click

from daemon.cli import screen
from daemon.cli.client import call, segment
from daemon.cli.context import Cli, command, group


@command("create", short_help="A new token; its text is shown this once.")
@click.argument("name")
@click.argument("scopes", nargs=-1, required=True)
def create(cli: Cli, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token named NAME with SCOPES: AREA:read or AREA:write, AREA one of jobs recipients events reports operate admin."""
    made = call(cli, "POST", "/v1/tokens", body={"name": name, "scopes": list(scopes)})
    cli.answer(made, lambda: screen.say(made["token"]))


@command("list", short_help="All tokens, without their text.")
def list_tokens(cli: Cli) -> None:
    """All tokens, without their text."""
    items = call(cli, "GET", "/v1/tokens")["items"]
    rows = [(t["name"], " ".join(t["scopes"]), screen.moment(t["created_at"]), screen.moment(t["revoked_at"])) for t in items]
    cli.answer(items, lambda: screen.table(("name", "scopes", "created", "revoked"), rows, empty="no token"))


@command("revoke", short_help="Refuse a token from now on.")
@click.argument("name")
def revoke(cli: Cli, name: str) -> None:
    """Refuse the token named NAME from now on."""
    found = call(cli, "DELETE", f"/v1/tokens/{segment(name)}")
    cli.answer(found, lambda: screen.say(f"{found['name']} is revoked"))


token = group("token", "Tokens for the HTTP API.", create, list_tokens, revoke)
