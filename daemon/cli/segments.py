"""`homing segments`: what there is, who is in one, evaluate now, import a list."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from daemon.cli import screen
from daemon.cli.churn import churn
from daemon.cli.client import Api, call, segment, with_api
from daemon.cli.context import Cli, command, group
from daemon.cli.importing import LINES, is_csv, opened
from daemon.cli.jobs import Progress
from daemon.errors import UsageError

PIECE = 1000
SHOWN = 20
LONG_SECONDS = 3600.0


@command("list", short_help="All segments, as last evaluated.")
def list_segments(cli: Cli) -> None:
    """All segments of the file, and imported lists: how many were in them at the last evaluation, and when the next one is."""
    items = call(cli, "GET", "/v1/segments")["items"]
    headers = ("segment", "members", "evaluated", "next", "every", "where")
    rows = [
        (i["segment"], i["members"], _moment(i["evaluated_at"]), _moment(i["next_at"]), i["every"] or "imported", _where(i)) for i in items
    ]
    cli.answer(items, lambda: screen.table(headers, rows, empty="no segments; [homing] segments names their file"))


def _moment(at: str | None) -> str:
    return screen.moment(at) if at else ""


def _where(item: dict[str, Any]) -> str:
    where = " ".join((item["where"] or "").split())
    without = f" - {', '.join(item['exclude'])}" if item["exclude"] else ""
    return (where if len(where) <= 60 else where[:59] + "…") + without


@command("count", short_help="How many match now.")
@click.argument("name")
def count(cli: Cli, name: str) -> None:
    """How many recipients match the condition of segment NAME now, whatever was last evaluated."""
    found = call(cli, "GET", f"/v1/segments/{segment(name)}/preview", query={"limit": 0}, seconds=LONG_SECONDS)
    answer = {key: found[key] for key in ("segment", "at", "matching", "members", "evaluated_at")}
    cli.answer(answer, lambda: screen.say(str(found["matching"])))


@command("preview", short_help="Some of those who match now.")
@click.argument("name")
@click.option("--limit", type=click.IntRange(0, 100), default=10, show_default=True, help="How many to show.")
def preview(cli: Cli, name: str, limit: int) -> None:
    """How many recipients match segment NAME now, and some of them. Changes nothing."""
    found = call(cli, "GET", f"/v1/segments/{segment(name)}/preview", query={"limit": limit}, seconds=LONG_SECONDS)
    cli.answer(found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    evaluated = f"{found['members']} in it as of {screen.moment(found['evaluated_at'])}" if found["evaluated_at"] else "never evaluated"
    screen.say(screen.clean(f"{found['segment']}: {found['matching']} match now; {evaluated}"))
    if found["where"]:
        screen.say(screen.clean(f"where {' '.join(found['where'].split())}"))
    keys = ("recipient", "tier", "band", "orders", "value", "days_since_order", "score_30d", "country")
    if found["sample"]:
        screen.table(keys, [[row[key] for key in keys] for row in found["sample"]])


@command("evaluate", short_help="Evaluate now, whatever the schedules say.")
@click.argument("names", nargs=-1)
def evaluate(cli: Cli, names: tuple[str, ...]) -> None:
    """Evaluate segments NAMES (default: all) now: people enter and leave, each with its event."""
    body = {"segments": list(names)} if names else {}
    found = call(cli, "POST", "/v1/segments/evaluate", body=body, seconds=LONG_SECONDS)["members"]
    cli.answer(found, lambda: screen.table(("segment", "members"), sorted(found.items()), empty="no segments"))


@command("import", short_help="Put recipients into a fixed list.")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Whoever is not in FILE leaves the list.")
def import_segment(cli: Cli, name: str, file: BinaryIO, replace: bool) -> None:
    """Put the recipients of FILE into the list NAME: an id a line, CSV with a column `id`, or JSON lines; "-" reads the standard input.

    Ids that no recipient has are named, and are in no list; then the exit code is 1.
    """
    total: dict[str, Any] = {"segment": name, "rows": 0, "kept": 0, "known": 0, "left": 0, "unknown": 0, "unknown_ids": []}

    async def work(api: Api, keys: Iterator[list[str]], progress: Progress) -> None:
        since: int | None = None
        piece = next(keys, [])
        while True:
            following = next(keys, None)
            query = {"since": since, "last": str(following is None).lower(), "replace": str(replace).lower()}
            data = "\n".join(json.dumps(key, ensure_ascii=False) for key in piece).encode()
            found = await api.call("POST", f"/v1/segments/{segment(name)}/import", query=query, data=data, media=LINES)
            since = found["since"]
            for key in ("rows", "kept", "known", "left"):
                total[key] += found[key]
            total["unknown"] += len(found["unknown"])
            total["unknown_ids"] += found["unknown"][: SHOWN - len(total["unknown_ids"])]
            progress.advance(len(data))
            if following is None:
                return
            piece = following

    with opened(file) as whole, Progress(cli, "importing", None) as progress:
        keys = _pieces(_csv_keys(whole) if is_csv(getattr(file, "name", "-"), whole) and _has_head(whole) else _keys(whole))
        with_api(cli, lambda api: work(api, keys, progress), seconds=LONG_SECONDS)
    cli.answer(total, lambda: _show_total(total))
    if total["unknown"]:
        raise click.exceptions.Exit(1)


def _show_total(total: dict[str, Any]) -> None:
    screen.say(f"{total['rows']} ids: {total['kept']} entered, {total['known']} were in it, {total['left']} left")
    for key in total["unknown_ids"]:
        screen.say(screen.clean(f"  no recipient {key}"))
    if total["unknown"] > len(total["unknown_ids"]):
        screen.say(f"  and {total['unknown'] - len(total['unknown_ids'])} more")


def _has_head(file: BinaryIO) -> bool:
    first = file.readline(65536).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    file.seek(0)
    return "id" in [cell.strip() for cell in next(csv.reader([first]), [])]


def _csv_keys(file: BinaryIO) -> Iterator[str]:
    rows = csv.DictReader(_decoded(line, number) for number, line in enumerate(file, 1))
    rows.fieldnames = [name.strip() for name in rows.fieldnames or []]
    for row in rows:
        if key := (row.get("id") or "").strip():
            yield key


def _keys(file: BinaryIO) -> Iterator[str]:
    """An id a line, in quotes or not, or an object with one."""
    for number, raw in enumerate(file, 1):
        line = _decoded(raw, number).strip()
        if line.startswith(("{", '"')):
            try:
                value = json.loads(line)
            except ValueError as error:
                raise UsageError(f"line {number}: not JSON: {error}; mend it and import the file again") from None
            line = _key_of(value, number)
        if line:
            yield line


def _decoded(raw: bytes, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"line {number}: not UTF-8; mend it and import the file again") from None


def _key_of(value: Any, number: int) -> str:
    """The id that a line of JSON names."""
    key = value.get("id") if isinstance(value, dict) else value
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        raise UsageError(f'line {number}: names no id: write {{"id": ".."}}; mend it and import the file again')
    return str(key)


def _pieces(keys: Iterator[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for key in keys:
        piece.append(key)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


segments = group(
    "segments", "List, count, preview, evaluate and import segments.", list_segments, count, preview, evaluate, import_segment, churn
)  # fmt: skip
