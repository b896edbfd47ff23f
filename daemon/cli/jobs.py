"""`homing enqueue` and `homing queue`: jobs in, and the lines that they wait in."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

import click

from daemon.cli import screen
from daemon.cli.client import Api, call, segment, with_api
from daemon.cli.context import Cli, command, group

BLOCK = 256 * 1024
GZIP = b"\x1f\x8b"
MEDIA = {".json": "application/json", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson", ".csv": "text/csv"}
LOOK_SECONDS = 0.25


@command("enqueue", short_help="Drop a job into a queue.")
@click.argument("queue")
@click.argument("file", type=click.File("rb"))
@click.option("--id", "job_id", metavar="ID", help="The job's id, where the file has none (CSV).")
@click.option("--campaign", metavar="NAME", help="Its campaign, where the file names none (default: the queue's).")
@click.option("--expected-count", type=click.IntRange(min=0), metavar="N", help="How many rows there must be.")
@click.option("--priority", type=click.IntRange(0, 100), metavar="N", help="0 to 100 (default: the campaign's).")
@click.option("--not-before", metavar="TIME", help="Send nothing of it before this instant (RFC 3339).")
@click.option("--expires-at", metavar="TIME", help="Send nothing of it from this instant on (RFC 3339).")
@click.option("--format", "form", type=click.Choice(["json", "ndjson", "csv"]), help="What FILE is (default: by its name or beginning).")
@click.option("--no-wait", is_flag=True, help="Answer when the job is safely taken in, before its rows are read.")
def enqueue(cli: Cli, queue: str, file: BinaryIO, job_id: str | None, form: str | None, no_wait: bool, **head: Any) -> None:
    """Drop the job in FILE (JSON, NDJSON or CSV, packed with gzip or not; - = standard input) into QUEUE and print its receipt.

    Bad rows are named and never stop good ones. The same job again is a no-op that prints the first receipt; other content
    under the same id is refused. With --json the last line is the receipt. Exit code 1 if nothing of it could be taken.
    """
    name = str(getattr(file, "name", ""))
    start = _start(file)
    packed = start.startswith(GZIP)
    path = Path(name.removesuffix(".gz") if packed else name)
    media = MEDIA.get(f".{form}" if form else path.suffix.lower()) or _sniff(start)
    fields: dict[str, Any] = {"queue": queue, "id": job_id, **head}
    if media == "text/csv" and job_id is None and name and name not in ("-", "<stdin>"):
        fields["id"], fields["expected_count"] = _csv_name(path, head["expected_count"])

    async def work(api: Api) -> dict[str, Any]:
        size = file_size(file)
        with Progress(cli, "sending", size) as progress:
            receipt = await api.call("POST", "/v1/jobs", query=fields, data=_pieces(file, progress), media=media, packed=packed)
        return receipt if no_wait else await _expanded(cli, api, receipt)

    receipt = with_api(cli, work)
    cli.answer(receipt, lambda: show_receipt(receipt))
    taken = receipt["accepted"] or receipt["duplicate"]
    if receipt["state"] == "failed" or (receipt["rejected"] and not taken):
        raise click.exceptions.Exit(1)


def _start(file: BinaryIO) -> bytes:
    """Its first bytes, peeked at: they are still to be read, from standard input too."""
    peek = getattr(file, "peek", None)
    return peek(BLOCK)[:BLOCK] if peek is not None else b""


def _sniff(start: bytes) -> str:
    """By the first byte that says something."""
    if start.startswith(GZIP):
        with contextlib.suppress(zlib.error):  # what is broken is told by the intake
            start = zlib.decompressobj(wbits=31).decompress(start, BLOCK)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"{"):
        return MEDIA[".csv"]
    first, newline, _ = text.partition(b"\n")
    return MEDIA[".ndjson"] if newline and first.rstrip().endswith(b"}") and b'"recipients"' not in first else MEDIA[".json"]


def _csv_name(path: Path, expected: int | None) -> tuple[str, int | None]:
    """`ID.EXPECTED.csv` or `ID.csv`."""
    stem, _, count = path.stem.rpartition(".")
    return (stem, int(count) if expected is None else expected) if stem and count.isascii() and count.isdigit() else (path.stem, expected)


def file_size(file: IO[bytes]) -> int | None:
    """Bytes, for a bar; None where nobody knows."""
    try:
        return Path(f"/proc/self/fd/{file.fileno()}").stat().st_size or None
    except OSError:
        return None


async def _pieces(file: BinaryIO, progress: Progress) -> AsyncIterator[bytes]:
    while piece := file.read(BLOCK):
        progress.advance(len(piece))
        yield piece


async def _expanded(cli: Cli, api: Api, receipt: dict[str, Any]) -> dict[str, Any]:
    """The receipt with all its rows read."""
    from daemon.clock import SystemClock

    clock = SystemClock()
    path = f"/v1/jobs/{segment(receipt['job'])}"
    with Progress(cli, "reading rows", receipt.get("expected")) as progress:
        while True:
            job: dict[str, Any] = await api.call("GET", path)
            progress.reach(job["rows"])
            if job["state"] != "receiving":
                return {key: job[key] for key in receipt}
            await clock.sleep(LOOK_SECONDS)


class Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, cli: Cli, what: str, total: int | None) -> None:
        self._bar: Any = None
        self._stop: Callable[[], None] = lambda: None
        if sys.stderr.isatty() and not cli.json:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            self._task = bar.add_task(what, total=total)
            self._bar = bar

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def reach(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=count)


def show_receipt(receipt: dict[str, Any]) -> None:
    """For eyes: what was taken, and each bad row."""
    screen.say(f"Job {receipt['job']} in {receipt['queue']} for {receipt['campaign']}: {receipt['state']}")
    rows = screen.number(receipt["rows"], "row")
    screen.say(f"{rows}: {receipt['accepted']} accepted, {receipt['duplicate']} duplicate, {receipt['rejected']} rejected")
    if receipt["reason"]:
        from daemon.model.delivery import REASONS, Reason

        known = receipt["reason"] in set(Reason)
        screen.say(f"{receipt['reason']}: {REASONS[Reason(receipt['reason'])].remedy}" if known else receipt["reason"])
    for error in receipt["errors"]:
        where = f"line {error['line']}" if error["line"] else "job"
        who = f" ({error['recipient']})" if error["recipient"] else ""
        field = f"{error['field']}: " if error["field"] else ""
        screen.say(screen.clean(f"  {where}{who}: {field}{error['detail']} [{error['code']}]"))
    if receipt["errors_omitted"]:
        screen.say(f"  and {receipt['errors_omitted']} more")


@command("list", short_help="All queues with what waits in them.")
def list_queues(cli: Cli) -> None:
    """All queues with what waits in them."""
    from daemon.cli.status import show_queues

    items = call(cli, "GET", "/v1/queues")["items"]
    cli.answer(items, lambda: show_queues(items))


def _word(word: str, text: str) -> click.Command:
    @command(word, short_help=text, help=text)
    @click.argument("queue")
    def act(cli: Cli, queue: str) -> None:
        found = call(cli, "POST", f"/v1/queues/{segment(queue)}/{word}")
        state = "paused" if found["paused"] else "open"
        cli.answer(found, lambda: screen.say(f"{found['queue']} is {state}; {screen.counts(found['deliveries'])}"))

    return act


pause = _word("pause", "Send nothing of it until it is resumed.")
resume = _word("resume", "Let it go on.")


@command("cancel", short_help="Cancel its open jobs.")
@click.argument("queue")
@click.option("--expect", type=click.IntRange(min=0), metavar="N", help="How many deliveries you mean; another number is refused.")
def cancel(cli: Cli, queue: str, expect: int | None) -> None:
    """Cancel the open jobs of QUEUE: what has not been handed over never will be, and the walks that they began end.

    Walks that triggers, segments or jobs of before began go on: they belong to their campaigns. The answer counts them.
    """
    found = call(cli, "POST", f"/v1/queues/{segment(queue)}/cancel", body={} if expect is None else {"expect": expect})
    cli.answer(found, lambda: _show_cancelled(found))


def _show_cancelled(found: dict[str, Any]) -> None:
    screen.say(f"{found['cancelled']} jobs cancelled, with {found['deliveries']} deliveries")
    for campaign, walks in found["walks_left"].items():
        screen.say(f"{walks} walks of {campaign} go on; `homing campaigns pause {campaign}` holds them")


queue = group("queue", "List, pause, resume and cancel queues.", list_queues, pause, resume, cancel)
