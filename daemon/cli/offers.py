"""`homing offers`: codes for offers come in, and the books of what became of those that were issued."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

import click

from daemon.cli import screen
from daemon.cli.client import call, every, segment, with_api
from daemon.cli.context import Cli, command, group

COLUMNS = ("code", "state", "campaign", "offer", "recipient", "issued_at", "ends_at", "pool")
STATES = ("issued", "reserved", "open", "redeemed", "expired", "replaced", "returned")
SHOWN = 3
"""Uses of one code with one flaw that are shown: a shop's own code for all stands in each order that named it."""
_WORDS = {
    "unknown": "is no code of ours",
    "not_issued": "was given to nobody",
    "another": "belongs to another recipient",
    "twice": "was used by more than one order",
    "late": "was used after its end",
    "replaced": "was used after a better offer took its place",
}


@command("import", short_help="Put the codes of a file into a pool.")
@click.argument("pool")
@click.argument("file", type=click.File("rb"))
def import_codes(cli: Cli, pool: str, file: BinaryIO) -> None:
    """Put the codes of FILE (- = standard input) into POOL: one a line, or CSV with a column `code`.

    Bad lines and codes that are there already are named and never stop good ones; bad lines make the exit code 1. The same list again
    changes nothing. What was held for want of a code goes on at once.
    """

    async def work(api: Any) -> dict[str, Any]:
        found: dict[str, Any] = await api.call("POST", f"/v1/offers/pools/{segment(pool)}", data=file, media="text/plain")
        return found

    answer = with_api(cli, work)
    cli.answer(answer, lambda: _show_import(answer))
    if answer["rejected"]:
        raise click.exceptions.Exit(1)


def _show_import(answer: dict[str, Any]) -> None:
    known = f", {answer['known']} were there" if answer["known"] else ""
    screen.say(f"{answer['pool']}: {answer['added']} added{known}, {answer['rejected']} rejected; {answer['free']} left")
    for error in answer["errors"]:
        screen.say(screen.clean(f"  line {error['line']}: {error['detail']} [{error['code']}]"))
    if answer["woken"]:
        screen.say(f"{answer['woken']} deliveries that waited for a code go on")


@command("list", short_help="Issued, open, redeemed, expired; what pools have left.")
@click.option("--campaign", metavar="NAME", help="Only this campaign's.")
@click.option("--reconcile", is_flag=True, help="Check the books, and list the uses of codes that they do not explain.")
@click.option("--codes", is_flag=True, help="The codes themselves: those that a shop must accept, unless --state says others.")
@click.option("--offer", metavar="NAME", help="With --codes: only this offer's.")
@click.option("--state", type=click.Choice([*STATES[1:], "all"]), help="With --codes: only in this state (default: reserved or open).")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="With --codes: how to write them.")
def list_offers(
    cli: Cli, campaign: str | None, reconcile: bool, codes: bool, offer: str | None, state: str | None, form: str
) -> None:  # fmt: skip
    """What became of the offers that were issued, and what the pools have left.

    With --reconcile the counts are checked (issued = reserved + open + redeemed + expired + replaced + returned, and each pool against
    its codes), and codes are listed that orders used and that are unknown, nobody's, another's, used twice or late. Counts that do not add
    up make the exit code 1.

    With --codes the codes are listed in the order in which they were given out, with what a shop needs to accept them: `--format csv` has a
    line each under a header, `--format json` (or --json) an object a line. They are written as they come, however many there are.
    """
    if codes and reconcile:
        raise click.UsageError("--codes and --reconcile are two lists: ask for one of them")
    if not codes and (offer or state or form != "table"):
        raise click.UsageError("--offer, --state and --format are for --codes")
    if codes:
        _list_codes(cli, {"campaign": campaign, "offer": offer, "state": state}, "json" if cli.json else form)
        return
    books = call(cli, "GET", "/v1/offers", query={"campaign": campaign} if campaign else None)
    if reconcile:
        books["uses"] = every(cli, "/v1/offers/uses", {"limit": 1000})
    cli.answer(books, lambda: _show(books, reconcile=reconcile))
    if reconcile and books["wrong"]:
        raise click.exceptions.Exit(1)


def _show(books: dict[str, Any], *, reconcile: bool) -> None:
    rows = [(line["campaign"], line["offer"], *(line[state] for state in STATES)) for line in books["offers"]]
    screen.table(("campaign", "offer", *STATES), rows, empty="no offer was issued yet")
    pools = [(pool["name"] or "(made here)", pool["total"], pool["free"] if pool["name"] else "") for pool in books["pools"]]
    if pools:
        screen.say()
        screen.table(("pool", "codes", "left"), pools)
    if not reconcile:
        return
    screen.say()
    for wrong in books["wrong"]:
        screen.say(screen.clean(f"does not add up: {wrong}"))
    if not books["wrong"]:
        screen.say("the counts add up")
    alike: Counter[tuple[str, str]] = Counter()
    for use in books["uses"]:
        alike[use["code"], use["what"]] += 1
        if alike[use["code"], use["what"]] > SHOWN:
            continue
        who = f" of {use['recipient']}" if use["recipient"] else ""
        screen.say(screen.clean(f"{use['code']} {_WORDS[use['what']]}: order {use['order']}{who}, {screen.moment(use['at'])}"))
    for (code, what), times in alike.items():
        if times > SHOWN:
            screen.say(screen.clean(f"{code} {_WORDS[what]}: {times - SHOWN:,} more orders; --json has them all"))


def _list_codes(cli: Cli, only: dict[str, str | None], form: str) -> None:
    """Page by page, so that a million of them take no room."""
    query = {"limit": 1000, **{key: value for key, value in only.items() if value is not None}}

    async def work(api: Any) -> None:
        items: AsyncIterator[dict[str, Any]] = api.pages("/v1/offers/codes", query)
        if form == "table":
            rows = [[screen.moment(item[key]) if key.endswith("_at") else item[key] for key in COLUMNS] async for item in items]
            screen.table([key.replace("_at", "") for key in COLUMNS], rows, empty="no codes")
            return
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if form == "csv":
            writer.writerow(COLUMNS)
        async for item in items:
            if form == "csv":
                writer.writerow(screen.cell(item[key]) for key in COLUMNS)
            else:
                sys.stdout.write(screen.dump(item) + "\n")

    with_api(cli, work)


offers = group("offers", "Offers and their codes.", import_codes, list_offers)
