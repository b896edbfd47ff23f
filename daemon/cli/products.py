"""`homing products`: the catalogue comes in by files, so that messages can recommend what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command, group
from daemon.cli.importing import Row, import_rows, is_csv, opened, read_rows, show_total
from daemon.cli.jobs import file_size
from daemon.errors import UsageError, nearest


@command("import", short_help="Set the products of a file.")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), help="What FILE is (default: by its name or beginning).")
def import_products(cli: Cli, file: BinaryIO, form: str | None) -> None:
    """Set the products in FILE (CSV or NDJSON, packed with gzip or not; - = standard input).

    A row says the whole product: product_id (or sku) and name, and url, image_url, category, price, currency (default: the shop's) and
    in_stock (default: true). Products that the file does not name stay as they are; one that is no more sold is said with in_stock false.
    Bad rows are named with line and field and never stop good ones; then the exit code is 1.
    """
    with opened(file) as laid:
        rows = read_rows(laid, _row, _row, _check_columns, csv_file=form == "csv" if form else is_csv(file.name, laid))
        total = import_rows(cli, rows, file_size(laid), "/v1/products", batch=False)
    cli.answer(total, lambda: show_total(total))
    if total["rejected"]:
        raise click.exceptions.Exit(1)


def _row(line: int, offset: int, said: dict[str, Any]) -> Row:
    return Row(line, json.dumps(said, separators=(",", ":")), offset)


def _check_columns(head: Sequence[str]) -> None:
    from daemon.intake.catalogue import FIELDS

    for name in head:
        if name not in FIELDS:
            hint = nearest(name, FIELDS)
            more = f'; did you mean "{hint}"?' if hint else f" (a product has {', '.join(FIELDS)})"
            raise UsageError(f'unknown column "{screen.clean(name)}"{more}')
    if not {"product_id", "sku"} & set(head):
        raise UsageError("no column product_id")


products = group("products", "The catalogue of the shop.", import_products)
