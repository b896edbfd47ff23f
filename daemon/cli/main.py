"""The program `homing`: finds the command, runs it, and turns what went wrong into a message and an exit code.

Exit: 0 ok · 1 failed · 2 usage · 74 store broken · 75 state held by another daemon · 77 refused by a guard · 78 bad config (contract §2).
Modules of commands are imported when they are needed. No traceback is shown unless `HOMING_DEBUG=1`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from daemon.cli.context import Cli, everywhere
from daemon.errors import ConfigError, HomingError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("daemon.cli.run:run", "Run the daemon until SIGTERM."),
    "check": ("daemon.cli.run:check", "Check config, campaigns and plugins; all problems at once."),
    "status": ("daemon.cli.status:status", "What runs, what waits, what stops it."),
    "enqueue": ("daemon.cli.jobs:enqueue", "Drop a job into a queue."),
    "queue": ("daemon.cli.jobs:queue", "List, pause, resume and cancel queues."),
    "held": ("daemon.cli.held:held", "Deliveries and jobs that wait for an operator."),
    "doubt": ("daemon.cli.held:doubt", "Sends whose fate is unknown."),
    "explain": ("daemon.cli.explain:explain", "Why someone was, or was not, written to."),
    "stop": ("daemon.cli.switch:stop", "The kill switch: stop all sending."),
    "start": ("daemon.cli.switch:start", "End the kill switch."),
    "campaigns": ("daemon.cli.campaigns:campaigns", "List, show, look over, start, pause, archive, preview and test campaigns."),
    "recipients": ("daemon.cli.people:recipients", "Import recipients, and look at one."),
    "events": ("daemon.cli.people:events", "Import events."),
    "segments": ("daemon.cli.segments:segments", "Who is who: list, count, preview, evaluate and import segments."),
    "erase": ("daemon.cli.people:erase", "Erase a recipient."),
    "suppressions": ("daemon.cli.suppressions:suppressions", "The list of addresses that get nothing."),
    "report": ("daemon.cli.report:report", "Reports by name."),
    "offers": ("daemon.cli.offers:offers", "Offers and their codes."),
    "products": ("daemon.cli.products:products", "The catalogue: what messages may recommend."),
    "window": ("daemon.cli.window:window", "Questions about send windows."),
    "db": ("daemon.cli.database:db", "Upgrade, back up and check the store."),
    "plugins": ("daemon.cli.plugins:plugins", "List channel plugins, and test one."),
    "audience": ("daemon.cli.audience:audience", "Retargeting audiences: what they hold, and sync."),
    "push": ("daemon.cli.push:push", "Web push: make a key pair."),
    "token": ("daemon.cli.tokens:token", "Tokens for the HTTP API."),
    "plan": ("daemon.cli.plan:plan", "Who gets what of a campaign, when, what does not go, what it costs."),
    "rehearse": ("daemon.cli.rehearse:rehearse", "The coming days, lived ahead on a copy of the store."),
    "world": ("daemon.cli.world:world", "A made-up shop to try things with."),
    "sandbox": ("daemon.cli.sandbox:sandbox", "Local mail, SMS, push and ad providers with an inbox page."),
    "demo": ("daemon.cli.demo:demo", "The whole of it on sample data; see --days."),
}
"""Name -> (where the command is, its one line in `homing --help`)."""


class LazyGroup(click.Group):
    """The commands of `COMMANDS`, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from daemon.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = nearest(args[0], COMMANDS)
            ctx.fail(f'no command "{args[0]}"' + (f'; did you mean "{hint}"?' if hint else "; `homing --help` lists them"))
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@everywhere
@click.version_option(package_name="homing", prog_name="homing", message="%(prog)s %(version)s")
def cli() -> None:
    """Brings lapsed customers home: jobs in, messages out, inside each recipient's window, never over a cap, never twice."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code."""
    code = run(args)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it, or its disk is full: the exit code must still say how it went
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    context = Cli()
    try:
        outcome = cli.main(args=args, prog_name="homing", standalone_mode=False, obj=context)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        return _usage(context, error)
    except click.Abort:
        return _failed(context, "stopped", 130)
    except KeyboardInterrupt:
        return _failed(context, "stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit has somewhere to go
        return 1
    except HomingError as error:
        _debug()
        return _failed(context, str(error), error.exit_code, error)
    except Exception as error:  # noqa: BLE001 - supervision: whatever a command forgot still ends in one line
        _debug()
        if isinstance(error, UnicodeEncodeError) and (odd := _no_text(sys.argv[1:] if args is None else args)):
            return _failed(context, f"this argument is not UTF-8: {odd}", 2)
        what = f"unexpected {type(error).__name__}: {error}"
        return _failed(context, f"{what}\nThis is a bug in Homing; please report it. HOMING_DEBUG=1 shows where it happened.", 1)


def _no_text(args: Sequence[str]) -> str | None:
    """The argument that holds bytes which are no UTF-8 (Python keeps them as half pairs), printable."""
    return next((ascii(word) for word in args if any("\ud800" <= char <= "\udfff" for char in word)), None)


def _debug() -> None:
    if os.environ.get("HOMING_DEBUG") == "1":
        traceback.print_exc()


def _usage(context: Cli, error: click.ClickException) -> int:
    if context.json:
        return _failed(context, error.format_message(), 2)
    error.show()
    return 2


def _failed(context: Cli, text: str, code: int, error: HomingError | None = None) -> int:
    from daemon.cli import screen

    if not context.json:
        screen.note(f"homing:\n{text}" if isinstance(error, ConfigError) and "\n" in text else f"homing: {text}")
        return code
    body: dict[str, Any] = {"error": type(error).__name__ if error else "error", "detail": text, "exit": code}
    if isinstance(error, ConfigError):
        body["problems"] = [{"where": p.where, "key": p.key, "what": p.what, "suggestion": p.suggestion} for p in error.problems]
    screen.note(screen.dump(body))
    return code


if __name__ == "__main__":
    main()
