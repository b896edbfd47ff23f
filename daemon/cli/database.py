"""`homing db`: upgrade, back up and check the store. Backup and check only read, so the daemon may go on."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command, group


@command("upgrade", short_help="Bring the store to this version's schema.")
def upgrade(cli: Cli) -> None:
    """Bring the store to this version's schema. The daemon must be stopped; make a backup first."""
    from daemon.store.engine import SCHEMA_VERSION, StateLock
    from daemon.store.migrate import upgrade as migrate

    table = cli.config.homing
    lock = StateLock(table.state_dir)
    lock.acquire()
    try:
        before = migrate(table.database)
    finally:
        lock.release()
    said = "nothing to do" if before == SCHEMA_VERSION else f"was {before or 'not there'}"
    cli.answer({"schema": SCHEMA_VERSION, "before": before}, lambda: screen.say(f"schema {SCHEMA_VERSION} ({said})"))


@command("backup", short_help="Copy the store and its keys into a new folder.")
@click.argument("folder", type=click.Path(path_type=Path))
def backup(cli: Cli, folder: Path) -> None:
    """Copy the store, as of one instant, and the keys of links and suppressions into the new FOLDER.

    The daemon may go on. After a restore it starts held, since the send journal knows of later sends: see docs/operations.md.
    """
    from daemon.store.care import back_up, check_file

    table = cli.config.homing
    files = back_up(table.database, table.state_dir, folder)
    problems = check_file(files[0])
    answer = {"folder": str(folder), "files": [path.name for path in files], "problems": problems}
    cli.answer(answer, lambda: screen.say(f"{folder}: {', '.join(path.name for path in files)}"))
    _report(cli, problems)


@command("check", short_help="Check the store: the file, and what its tables must say of each other.")
def check(cli: Cli) -> None:
    """Read the whole store and name all that is not as it must be. The daemon may go on."""
    from daemon.store.care import check_file

    problems = check_file(cli.config.homing.database)
    cli.answer({"problems": problems}, lambda: None if problems else screen.say("all well"))
    _report(cli, problems)


def _report(cli: Cli, problems: list[str]) -> None:
    if not problems:
        return
    if not cli.json:
        for problem in problems:
            screen.note(f"homing: {problem}")
    raise click.exceptions.Exit(1)


db = group("db", "Upgrade, back up and check the store.", upgrade, backup, check)
