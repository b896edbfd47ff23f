"""`homing sandbox`: a local SMTP server that takes everything, with an inbox page, until ^C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command


@command("sandbox", short_help="A local SMTP server with an inbox page.")
@click.option("--smtp-port", default=1025, show_default=True, help="Port of the SMTP server; 0 takes a free one.")
@click.option("--inbox-port", default=1080, show_default=True, help="Port of the inbox page; 0 takes a free one.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep log and messages in DIR.")
def sandbox(cli: Cli, smtp_port: int, inbox_port: int, keep: Path | None) -> None:
    """Run a local SMTP server with an inbox page until ^C. Nothing is delivered.

    Each message is one line of DIR/log.ndjson and one file of DIR/mail. The part of an address before its first dot may ask for
    trouble: 550-rcpt, 451-rcpt, 550-dot, 451-dot, drop-rcpt, drop-dot, hang-dot, slow-dot (as drop-dot.anna@example.com).
    """
    with contextlib.ExitStack() as stack:
        folder = keep if keep is not None else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homing-sandbox-")))
        asyncio.run(_serve(cli, folder, smtp_port, inbox_port))


async def _serve(cli: Cli, folder: Path, smtp_port: int, inbox_port: int) -> None:
    from daemon.clock import SystemClock
    from daemon.errors import HomingError
    from daemon.sandbox.inbox import Inbox
    from daemon.sandbox.mailbox import LOG, Mailbox
    from daemon.sandbox.smtp import SmtpServer

    clock = SystemClock()
    mailbox = Mailbox(folder, clock)
    smtp, inbox = SmtpServer(mailbox, clock, port=smtp_port), Inbox(mailbox, port=inbox_port)
    over = asyncio.Event()
    end = over.set
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await smtp.start()
        await inbox.start()
    except OSError as error:
        raise HomingError(f"a port cannot be had: {error.strerror}; choose others with --smtp-port and --inbox-port") from None
    else:
        facts = {"smtp": f"127.0.0.1:{smtp.port}", "inbox": inbox.url, "log": str(folder / LOG)}
        cli.answer(facts, lambda: screen.say(f"SMTP   {facts['smtp']}\nInbox  {facts['inbox']}\nLog    {facts['log']}\n^C ends it."))
        sys.stdout.flush()
        await over.wait()
        screen.note(f"{mailbox.total} messages taken")
    finally:
        await inbox.stop()
        await smtp.stop()
        mailbox.close()
