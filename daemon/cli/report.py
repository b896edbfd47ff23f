"""`homing report`: the numbers, as a table, as CSV, or whole as JSON."""

from __future__ import annotations

import csv
import sys
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.client import call, segment
from daemon.cli.context import Cli, command


@command("report", short_help="Reports by name.")
@click.argument("name", required=False)
@click.option("--campaign", metavar="NAME", help="Only this campaign.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="How to write it (default: table).")
def report(cli: Cli, name: str | None, campaign: str | None, form: str) -> None:
    """Print the report NAME; without a name, list the reports that there are."""
    cli.json = cli.json or form == "json"
    if name is None:
        known = call(cli, "GET", "/v1/reports")
        cli.answer(known, lambda: screen.table(("report", "what it says"), [(one["name"], one["about"]) for one in known["reports"]]))
        return
    found = call(cli, "GET", f"/v1/reports/{segment(name)}", query={"campaign": campaign} if campaign else None)
    cli.answer(found, lambda: _write_csv(found) if form == "csv" else _show(found))


def _cells(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in found["columns"]) for row in found["rows"]]


def _show(found: dict[str, Any]) -> None:
    screen.table(found["columns"], _cells(found), empty="nothing to report yet")
    for each in found["details"]:
        for alarm in each.get("body", {}).get("alarms", ()):
            screen.say(screen.clean(f"{each['campaign']}, {each['step']}: {alarm}"))


def _write_csv(found: dict[str, Any]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found["columns"])
    writer.writerows([screen.cell(cell) for cell in row] for row in _cells(found))
