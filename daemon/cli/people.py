"""`homing recipients`, `homing events`, `homing erase`: people come in by files, are looked at, and are erased."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import click

from daemon.cli import screen
from daemon.cli.client import call, segment
from daemon.cli.context import Cli, command, group
from daemon.cli.importing import Row, bad_row, import_rows, is_csv, opened, read_lines, read_rows, rows_of, show_total
from daemon.cli.jobs import file_size
from daemon.errors import UsageError, nearest

SHORT = {"recipient": "userId", "event": "event", "at": "timestamp", "id": "messageId", "properties": "properties"}
"""The fields of an event's row, and what they are in Segment's format, which may be used too."""
_FORM = click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), help="What FILE is (default: by its name or beginning).")


@command("import", short_help="Set the recipients of a file.")
@click.argument("file", type=click.File("rb"))
@_FORM
def import_recipients(cli: Cli, file: BinaryIO, form: str | None) -> None:
    """Set the recipients in FILE (CSV or NDJSON with the fields of a job's row but vars; packed with gzip or not; - = standard input).

    Only what a row names is changed. Bad rows are named with line and field and never stop good ones; then the exit code is 1.
    """
    with opened(file) as laid:
        rows = _recipients(laid, csv_file=form == "csv" if form else is_csv(file.name, laid))
        _finish(cli, import_rows(cli, rows, file_size(laid), "/v1/recipients", batch=False))


@command("import", short_help="Take in the events of a file.")
@click.argument("file", type=click.File("rb"))
@_FORM
def import_events(cli: Cli, file: BinaryIO, form: str | None) -> None:
    """Take in the events in FILE (NDJSON or CSV, packed with gzip or not; - = standard input).

    A row has recipient, event, at, id and properties (in CSV properties.X); NDJSON may also be in Segment's format. The same id again
    changes nothing, nor does the order of the rows. Bad rows are named and never stop good ones; then the exit code is 1.
    """
    with opened(file) as laid:
        rows = read_rows(laid, _csv_event, _message, _check_columns, csv_file=form == "csv" if form else is_csv(file.name, laid))
        _finish(cli, import_rows(cli, rows, file_size(laid), "/v1/import", batch=True))


def _finish(cli: Cli, total: dict[str, Any]) -> None:
    cli.answer(total, lambda: show_total(total))
    if total["rejected"]:
        raise click.exceptions.Exit(1)


def _recipients(file: BinaryIO, *, csv_file: bool) -> Iterator[Row]:
    from daemon.intake.parse import BodyError
    from daemon.intake.parse_csv import CsvReader, read_csv_head

    if not csv_file:
        yield from read_lines(file, _recipient)
        return
    try:
        head = read_csv_head(file)
    except BodyError as error:
        raise UsageError(f"line {error.line}: {error} ({error.code})") from None
    if head is not None:
        yield from rows_of(CsvReader(file, head, head.offset, head.line), _recipient)


def _recipient(line: int, offset: int, value: dict[str, Any]) -> Row:
    return Row(line, json.dumps(value, separators=(",", ":")), offset)


def _message(line: int, offset: int, value: dict[str, Any]) -> Row:
    """A row as a message; one that has a type is one already."""
    if "type" not in value:
        known = {**SHORT, **{name: name for name in SHORT.values()}}
        for name in value:
            if name not in known:
                hint = nearest(name, SHORT)
                more = f'did you mean "{hint}"?' if hint else "a value of your own goes into properties"
                detail = f"is no field of an event; {more}"
                return bad_row(line, offset, "unknown_field", detail, screen.clean(name)[:60])
        value = {"type": "track", **{known[name]: inner for name, inner in value.items()}}
    return Row(line, json.dumps(value, separators=(",", ":")), offset)


def _check_columns(head: Sequence[str]) -> None:
    for name in head:
        if name not in SHORT and not name.startswith("properties."):
            hint = nearest(name, SHORT)
            what = f'did you mean "{hint}"?' if hint else f"for a value of your own write properties.{screen.clean(name)}"
            raise UsageError(f'unknown column "{screen.clean(name)}"; {what}')
    if head and (missing := [name for name in ("recipient", "event") if name not in head]):
        raise UsageError(f"no column {' and no column '.join(missing)}")


def _csv_event(line: int, offset: int, said: dict[str, Any]) -> Row:
    properties = {name.partition(".")[2]: said.pop(name) for name in list(said) if name.startswith("properties.")}
    return _message(line, offset, {**said, "properties": properties})


@command("show", short_help="What is known of one.")
@click.argument("recipient")
def show(cli: Cli, recipient: str) -> None:
    """Show RECIPIENT: addresses, traits, consents, what is suppressed, and what the recipient's events add up to."""
    found = call(cli, "GET", f"/v1/recipients/{segment(recipient)}")
    cli.answer(found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    screen.say(screen.clean(found["recipient"]) + (" (erased)" if found["erased"] else ""))
    own = [(name, found[name]) for name in ("email", "phone", "zone", "locale", "country") if found[name] is not None]
    own += [(f"traits.{name}", value if isinstance(value, str) else screen.dump(value)) for name, value in found["traits"].items()]
    for one in found["consents"]:
        topic = "" if one["topic"] == "*" else f" ({one['topic']})"
        own.append((f"consent {one['channel']}{topic}", f"{one['state']} {screen.moment(one['at'])} {one['source'] or ''}"))
    own += [(f"suppressed {one['channel']}", f"{one['scope']}: {one['reason']}") for one in found["suppressions"]]
    for name, value in (found["profile"] or {}).items():
        if value not in (None, 0, False):
            shown = screen.moment(value) if name.endswith("_at") else screen.dump(value) if isinstance(value, dict) else value
            own.append((name, str(shown)))
    screen.table(("what", "is"), own, empty="nothing more is known")


@command("erase", short_help="Erase a recipient.")
@click.argument("recipient")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(cli: Cli, recipient: str, yes: bool) -> None:
    """Erase RECIPIENT: addresses, traits and events go, what waits is dropped, all audiences are left.

    The addresses stay suppressed by their hashes, so that no later list brings the person back. This cannot be undone.
    """
    if not yes and not cli.json:
        click.confirm(f"Erase {screen.clean(recipient)} for good?", abort=True, err=True)
    done = call(cli, "DELETE", f"/v1/recipients/{segment(recipient)}")
    cli.answer(done, lambda: _show_erased(done))


def _show_erased(done: dict[str, Any]) -> None:
    if not done["fresh"]:
        screen.say("was erased before")
        return
    screen.say(
        f"erased; {done['suppressed']} addresses suppressed, {done['browsers']} browsers and {done['audiences']} audiences left, "
        f"{done['dropped'] + done['woken']} waiting deliveries dropped"
    )


recipients = group("recipients", "Import recipients, and look at one.", import_recipients, show)
events = group("events", "Import events.", import_events)
