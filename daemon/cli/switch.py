"""`homing stop --all` and `homing start --all`: the kill switch. Stopping must work when nothing else does."""

from __future__ import annotations

import asyncio
import getpass
import os
from pathlib import Path
from typing import Any

import click

from daemon.cli import screen
from daemon.cli.context import Cli, command
from daemon.errors import ConfigError, HomingError, UsageError

TOLD_SECONDS = 2.0
"""The daemon's answer is not waited for longer: it looks at the file anyway."""

_ALL = click.option("--all", "everything", is_flag=True, help="All sending of this state folder; there is no smaller switch here.")


@command("stop", short_help="The kill switch: stop all sending.")
@_ALL
def stop(cli: Cli, everything: bool) -> None:
    """Stop all sending within a second, now and after any restart, until `homing start --all`.

    Writes the file STATE/stop before anything else, so it works while the daemon or the store is down. To stop less: `homing queue
    pause QUEUE`, `homing campaigns pause CAMPAIGN`.
    """
    if not everything:
        raise UsageError("say --all: this stops every queue and campaign; for less, `homing queue pause` or `homing campaigns pause`")
    from daemon.clock import SystemClock, iso
    from daemon.disk import SystemDisk
    from daemon.dispatch.stop_file import make_stop_file

    who = getpass.getuser() if "USER" in os.environ or "LOGNAME" in os.environ else f"uid {os.getuid()}"
    detail = f"stopped by {who} at {iso(SystemClock().instant(), digits=0)}"
    state_dir = _state_dir(cli)
    path = make_stop_file(state_dir, detail, SystemDisk())
    answer: dict[str, Any] = {"stopped": True, "file": str(path), "daemon": None}
    try:
        answer["daemon"] = _tell_daemon(state_dir, detail)
    except (HomingError, OSError) as error:
        answer["daemon_error"] = str(error)
    cli.answer(answer, lambda: _show_stopped(answer))


def _state_dir(cli: Cli) -> Path:
    """Where the file goes, even if something else in the config is wrong."""
    try:
        return cli.config.homing.state_dir
    except ConfigError:
        if (found := cli.state_dir_alone()) is None:
            raise HomingError(f"{cli.config_path} does not say where the state folder is; stop by hand: touch STATE/stop") from None
        return found


def _tell_daemon(state_dir: Path, detail: str) -> Any:
    from daemon.cli.client import daemon_runs, tell_daemon

    if not daemon_runs(state_dir):
        return None
    return asyncio.run(tell_daemon(state_dir, "POST", "/v1/gate/stop", {"detail": detail}, TOLD_SECONDS))


def _show_stopped(answer: dict[str, Any]) -> None:
    screen.say(f"All sending is stopped: {answer['file']}")
    gate = answer["daemon"]
    if gate is not None:
        screen.say(f"The daemon says so too; {gate['backlog']} deliveries wait.")
        screen.say(f"To go on: homing start --all --expect {gate['backlog']}")
    elif "daemon_error" in answer:
        screen.say(f"The daemon did not answer ({answer['daemon_error']}), but it looks at the file before every send.")
    else:
        screen.say("No daemon runs. The next one will start stopped.")


@command("start", short_help="End the kill switch.")
@_ALL
@click.option("--expect", type=click.IntRange(min=0), metavar="N", help="How many waiting deliveries you mean to let go.")
@click.option("--accept-clock", is_flag=True, help="The clock is right now, although it jumped.")
@click.option("--accept-restore", is_flag=True, help="This store is the true one, although it is a copy or older than the send journal.")
def start(cli: Cli, everything: bool, expect: int | None, accept_clock: bool, accept_restore: bool) -> None:
    """Let sending go on after `homing stop --all`, a restore, or a clock that was not trusted.

    --expect N is the number of deliveries that wait and would be let go; `homing status` tells it.
    """
    if not everything:
        raise UsageError("say --all; for less, `homing queue resume` or `homing campaigns resume`")
    from daemon.cli.client import call

    if expect is None:
        backlog = call(cli, "GET", "/v1/gate")["backlog"]
        raise UsageError(f"say how many you let go: homing start --all --expect {backlog}")
    body = {"expect": expect, "accept_clock": accept_clock, "accept_restore": accept_restore}
    gate = call(cli, "POST", "/v1/gate/start", body=body)
    cli.answer(gate, lambda: screen.say(f"Nothing holds sending any more; {gate['backlog']} deliveries wait for their turn."))
