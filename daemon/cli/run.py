"""`homing run` and `homing check`: the daemon, and whether it could start."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command
from daemon.errors import StoreUnavailableError

if TYPE_CHECKING:
    from daemon.app.setup import Setup
    from plugins.loader import LoadedAudience, LoadedChannel

PROBE_SECONDS = 15.0
KINDS = {"campaigns": "campaign", "queues": "queue", "providers": "provider"}


@command("run", short_help="Run the daemon until SIGTERM.")
@click.option("--clock-offset", type=int, default=0, hidden=True, help="Seconds ahead of the machine's clock; for `homing demo --at`.")
def run(cli: Cli, clock_offset: int) -> None:
    """Run the daemon until SIGTERM or ^C. SIGHUP reads config and campaigns again; a bad one changes nothing.

    Logs go to standard error. Only one daemon may use a state folder: a second one ends with exit code 75.
    """
    gc.disable()  # a thousand modules and no garbage: looking for it took a seventh of the start; `settle_interpreter` turns it on
    from daemon.app.main import run as run_daemon
    from daemon.clock import SystemClock

    if clock_offset:
        screen.note(screen.dump({"event": "clock_shifted", "level": "warning", "seconds": clock_offset}))
    asyncio.run(run_daemon(cli.config_path, os.environ, clock=SystemClock(offset_seconds=clock_offset)))


@command("check", short_help="Check config, campaigns and plugins; all problems at once.")
@click.option("--probe", is_flag=True, help="Also ask each provider whether it would take us: connect, sign in; nothing is sent.")
@click.option("--accept-findings", type=click.IntRange(min=0), metavar="N", help="You have seen the N findings of the audit.")
def check(cli: Cli, probe: bool, accept_findings: int | None) -> None:
    """Read config, campaigns and plugins as `homing run` would, and name every problem with its file and line.

    Also tells what the daemon's audit found when it looked at sent messages again: windows and caps that were not kept. Exit code 1
    until they are accepted; see docs/operations.md.
    """
    from daemon.app.setup import read_setup

    setup = read_setup(cli.config_path, os.environ)
    if accept_findings is not None:
        from daemon.cli.client import call

        call(cli, "POST", "/v1/audit/accept", body={"expect": accept_findings})
    probes = asyncio.run(_probe_all(setup)) if probe else []
    audit, unread = _read_audit(setup.config.homing.database)
    answer = {
        "config": str(cli.config_path),
        "digest": setup.config.digest,
        "campaigns": {name: version.campaign.status.value for name, version in setup.catalogue.versions.items()},
        "queues": sorted(setup.config.queues),
        "providers": {loaded.provider: loaded.channel for loaded in setup.loading.channels if loaded.provider in setup.config.providers}
        | {loaded.provider: "audience" for loaded in setup.loading.audiences},
        "warnings": [*setup.warnings, *unread],
        "probes": probes,
        "audit": audit,
    }
    cli.answer(answer, lambda: _show(answer))
    if any(not outcome["ok"] for outcome in probes) or (audit is not None and audit["open"]):
        raise click.exceptions.Exit(1)


def _read_audit(database: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """What the store says of the audit, and a warning where it cannot be asked."""
    if not database.exists():
        return None, []
    from daemon.store.audit import findings_of

    try:
        return findings_of(database), []
    except StoreUnavailableError as error:
        return None, [f"what the audit found is not known: {error}"]


def _show_audit(audit: dict[str, Any]) -> None:
    for finding in audit["findings"]:
        facts = ", ".join(f"{key} {value}" for key, value in finding["facts"].items())
        screen.say(screen.clean(f"audit: {finding['rule']} was not kept by delivery {finding['delivery']} ({finding['kind']}): {facts}"))
    screen.say(f"Promises that were broken, by the audit: {audit['open']}. See docs/operations.md.")
    screen.say(f"When you have seen to them: homing check --accept-findings {audit['open']}")


def _show(answer: dict[str, Any]) -> None:
    if answer["audit"] is not None and answer["audit"]["open"]:
        _show_audit(answer["audit"])
    for warning in answer["warnings"]:
        screen.say(f"warning: {warning}")
    for outcome in answer["probes"]:
        screen.say(f"provider {outcome['provider']}: {outcome['detail']}")
    counts = ", ".join(screen.number(len(answer[key]), one) for key, one in KINDS.items())
    failed = sum(not outcome["ok"] for outcome in answer["probes"])
    findings = answer["audit"]["open"] if answer["audit"] is not None else 0
    found = f"{failed} of {len(answer['probes'])} providers cannot be reached; else no problem" if failed else "no problem"
    found = f"{found} of its own" if findings else found
    screen.say(f"{answer['config']}: {found} found ({counts})")


def _place(settings: object) -> tuple[str, int] | None:
    """Host and port that settings name, by themselves or in a url."""
    host, port = getattr(settings, "host", None), getattr(settings, "port", None)
    if isinstance(host, str) and isinstance(port, int):
        return host, port
    url = getattr(settings, "url", None)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname:
        return None
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


async def _probe_all(setup: Setup) -> list[dict[str, Any]]:
    channels = [loaded for loaded in setup.loading.channels if loaded.provider in setup.config.providers]
    loaded: list[LoadedChannel | LoadedAudience] = [*channels, *setup.loading.audiences]
    return [await _probe(each) for each in loaded]


async def _probe(loaded: LoadedChannel | LoadedAudience) -> dict[str, Any]:
    """Start the channel, and let it look whether its provider would take us, or open a connection to the host that its settings name.
    Sends nothing."""
    from daemon.clock import SystemClock
    from daemon.dns import SystemDns
    from daemon.ids import SystemIds
    from daemon.log import get_log
    from daemon.net import SystemNet
    from plugins.contract import Context
    from plugins.feedback import Probes
    from plugins.http import open_http

    clock = SystemClock()
    dns = SystemDns(clock)
    net = SystemNet(dns)
    session = open_http(dns=dns, settings=loaded.settings)
    context = Context(
        provider=loaded.provider, settings=loaded.settings, clock=clock, rng=SystemIds().rng(), dns=dns, open_stream=net.open_stream,
        http=session, log=get_log(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            channel = loaded.make()
            await channel.start(context)
            detail = "started"
            try:
                if isinstance(channel, Probes):
                    detail = await channel.probe()
                elif (place := _place(loaded.settings)) is not None:
                    stream = await net.open_stream(*place, timeout=PROBE_SECONDS)
                    stream.close()
                    detail = f"started, and {place[0]}:{place[1]} can be reached"
            finally:
                await channel.stop()
    except Exception as error:  # noqa: BLE001 - plugin isolation: whatever a channel raises is the answer
        return {"provider": loaded.provider, "ok": False, "detail": f"failed: {str(error) or type(error).__name__}"}
    finally:
        await session.close()
    return {"provider": loaded.provider, "ok": True, "detail": detail}
