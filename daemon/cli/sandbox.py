"""`homing sandbox`: local providers that take everything and deliver nothing, with an inbox page over them, until ^C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command

if TYPE_CHECKING:
    from daemon.sandbox.house import Ports

FREE = "0 takes a free one."
COUNTRIES = ("ID", "MY", "IR", "SG", "TH", "VN", "PH", "IN", "AU", "GB", "US", "CA", "DE")
"""Where the written config lets SMS go."""
LABELS = {"smtp": "SMTP", "sms": "SMS", "ads": "Ads", "push": "Push", "inbox": "Inbox", "log": "Log", "providers": "Config"}


@command("sandbox", short_help="Local mail, SMS, push and ad providers with an inbox page.")
@click.option("--smtp-port", default=1025, show_default=True, help=f"Port of the SMTP server; {FREE}")
@click.option("--sms-port", default=1026, show_default=True, help=f"Port of the local Twilio; {FREE}")
@click.option("--ads-port", default=1027, show_default=True, help=f"Port of the advertising platforms; {FREE}")
@click.option("--push-port", default=1028, show_default=True, help=f"Port of the push service; {FREE}")
@click.option("--inbox-port", default=1080, show_default=True, help=f"Port of the inbox page; {FREE}")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep logs and messages in DIR.")
def sandbox(cli: Cli, smtp_port: int, sms_port: int, ads_port: int, push_port: int, inbox_port: int, keep: Path | None) -> None:
    """Run a local SMTP server, a local Twilio, a push service and Meta's and Google's audiences, with an inbox page over them, until ^C.
    They check what they get as the real ones do. Nothing is delivered.

    DIR gets log.ndjson and mail/ (one file a mail), sms/sms.ndjson, push.ndjson, and providers.toml: tables for a config that lead here.
    The part of a mail address before its first dot may ask for trouble: 550-rcpt, 451-rcpt, 550-dot, 451-dot, drop-rcpt, drop-dot,
    hang-dot, slow-dot (as drop-dot.anna@example.com); so may the last five digits of a phone number: 91610 unsubscribed, 90429 too
    many, 80005 taken and later undelivered, 70500 taken and answered with an error, 70504 taken and never answered.
    """
    from daemon.sandbox.house import Ports

    ports = Ports(smtp=smtp_port, sms=sms_port, ads=ads_port, push=push_port, inbox=inbox_port)
    with contextlib.ExitStack() as stack:
        folder = keep.absolute() if keep is not None else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homing-sandbox-")))
        asyncio.run(_serve(cli, folder, ports))


async def _serve(cli: Cli, folder: Path, ports: Ports) -> None:
    from daemon.clock import SystemClock
    from daemon.errors import HomingError
    from daemon.sandbox.house import Sandbox
    from daemon.sandbox.mailbox import LOG

    house = Sandbox(folder, SystemClock(), ports)
    over = asyncio.Event()
    end = over.set
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await house.start()
    except OSError as error:
        raise HomingError(f"a port cannot be had: {error.strerror}; choose others with --smtp-port, --inbox-port and so on") from None
    else:
        facts = {
            "smtp": f"127.0.0.1:{house.smtp.port}", "sms": house.twilio.base_url, "ads": house.ads.origin, "push": house.push.origin,
            "inbox": house.inbox.url, "log": str(folder / LOG), "providers": str(house.write_providers(COUNTRIES)),
        }  # fmt: skip
        cli.answer(facts, lambda: screen.say("\n".join(f"{LABELS[key]:<9}  {value}" for key, value in facts.items()) + "\n^C ends it."))
        sys.stdout.flush()
        await over.wait()
        counts = f"{len(house.twilio.messages)} SMS and {len(house.push.pushes)} pushes"
        screen.note(f"{house.mailbox.total} messages taken, {counts}")
    finally:
        await house.stop()
