"""`homing campaigns lint | preview`: what marketers ask of a folder, with or without a daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command
from daemon.errors import HomingError, UsageError

if TYPE_CHECKING:
    from daemon.app.marketing import Preview


@command("lint", short_help="Find what a campaign's author may not have meant.")
@click.argument("campaigns", nargs=-1)
@click.option("--audience", type=click.IntRange(min=0), metavar="N", help="People whom it concerns, where no segment was counted yet.")
def lint(cli: Cli, campaigns: tuple[str, ...], audience: int | None) -> None:
    """Look over all CAMPAIGNS, or those named: mistakes of the file, and those that a good file may make.

    Each with its place, what is wrong and what to do. Needs no daemon; what the store does not know is not judged.
    Exit code 1 if there is an error; warnings alone are 0.
    """
    from daemon.app.marketing import review

    found = review(cli.config, campaigns, audience=audience)
    rows: list[dict[str, Any]] = [_problem(problem.where, str(problem)) for problem in found.problems]
    rows += [
        {"level": each.level, "rule": each.rule, "file": each.file, "line": each.line, "what": each.what, "text": str(each)}
        for each in found.findings
    ]
    errors = sum(row["level"] == "error" for row in rows)
    cli.answer([{key: value for key, value in row.items() if key != "text"} for row in rows], lambda: _show(rows, errors, found.campaigns))
    if errors:
        raise click.exceptions.Exit(1)


def _problem(where: str, text: str) -> dict[str, Any]:
    file, _, line = where.rpartition(":")
    what = text.removeprefix(f"{where}: ")
    return {"level": "error", "rule": "file", "file": file, "line": int(line or 1), "what": what, "text": f"{where}: error: {what}"}


def _show(rows: list[dict[str, Any]], errors: int, campaigns: Any) -> None:
    for row in rows:
        screen.say(screen.clean(row["text"]))
    found = f"{screen.several(errors, 'error')}, {screen.several(len(rows) - errors, 'warning')}" if rows else "nothing found"
    screen.say(f"{screen.several(len(campaigns), 'campaign')} looked over: {found}")


@command("preview", short_help="Write a step's message as one recipient gets it.")
@click.argument("campaign")
@click.argument("step")
@click.argument("recipient")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", default=Path("preview"),
    help="Where they go (default: ./preview).",
)  # fmt: skip
@click.option("--variant", metavar="NAME", help="Of the step's experiment.")
@click.option("--locale", metavar="LOCALE", help="In this language.")
@click.option("--var", "pairs", multiple=True, metavar="KEY=VALUE", help="Of vars.* and event.properties.*: JSON or text; may be repeated.")
def preview(
    cli: Cli, campaign: str, step: str, recipient: str, out: Path, variant: str | None, locale: str | None, pairs: tuple[str, ...]
) -> None:  # fmt: skip
    """Write STEP of CAMPAIGN, as its folder is now, over each of its channels as RECIPIENT would get it: .html and .txt files.

    Nothing is sent. Links, the code of an offer and its end are made up.
    """
    from daemon.app.marketing import preview as make
    from daemon.clock import SystemClock

    made = make(
        cli.config, campaign, step, recipient, clock=SystemClock(), variant=variant, locale=locale, vars=dict(map(_pair, pairs))
    )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        written = [path for each in made for path in _write(out, campaign, recipient, each)]
    except OSError as error:
        raise HomingError(f"{out}: {error.strerror}; name another folder with --out") from None
    answer = {
        "files": [str(path) for path in written],
        "messages": [{"channel": each.channel, "locale": each.locale, "subject": each.subject, "text": each.text} for each in made],
    }
    cli.answer(answer, lambda: screen.say("\n".join(map(str, written))))


def _pair(word: str) -> tuple[str, Any]:
    key, sign, value = word.partition("=")
    if not sign or not key:
        raise UsageError(f'--var needs KEY=VALUE (got "{word}")')
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _write(folder: Path, campaign: str, recipient: str, made: Preview) -> list[Path]:
    words = [campaign, made.step, made.variant, made.channel, recipient]
    stem = ".".join(re.sub(r"[^\w@+-]", "_", word) for word in words if word)
    head = [f"Subject: {made.subject}"] if made.subject else []
    head += [f"{key}: {value}" for key, value in made.head.items()]
    files = [(folder / f"{stem}.txt", "\n".join([*head, "", made.text]) if head else made.text)]
    if made.html:
        files.append((folder / f"{stem}.html", made.html))
    for path, content in files:
        path.write_text(content, encoding="utf-8")
    return [path for path, _ in files]
