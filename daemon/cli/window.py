"""`homing window check`: is a window open at an instant, and when is it next. Rows in, rows out; no config, no daemon."""

from __future__ import annotations

import json
from typing import IO

import click

from daemon.cli.context import Cli, command, group


@command("check", short_help="Answer rows of NDJSON.")
@click.argument("rows", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
def check(_cli: Cli, rows: IO[str]) -> None:
    """Read a row of JSON a line, print an answer a line.

    A row: {"zone" | "phone" | "country", "start", "end", "days", "hours", "closed", "at"}. The answer: {"open": true | false,
    "next_open": "2026-11-22T02:00:00Z"}; `at` itself when open, null when it does not open within 400 days. A row that cannot be
    answered gives {"error": ..} in its place, and exit code 1 at the end.
    """
    from daemon.policy.check import RowProblem, check_row

    bad = 0
    for line in rows:
        if not line.strip():
            continue
        try:
            answer = check_row(json.loads(line))
        except RowProblem as problem:
            bad, answer = bad + 1, problem.as_row()
        except (ValueError, RecursionError) as error:
            bad, answer = bad + 1, {"error": {"field": "", "code": "row_invalid", "detail": f"not JSON: {error}"}}
        click.echo(json.dumps(answer, separators=(", ", ": ")))
    if bad:
        raise click.exceptions.Exit(1)


window = group("window", "Questions about send windows.", check)
