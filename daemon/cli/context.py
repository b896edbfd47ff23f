"""What every command has: where the config is, whether the answer shall be JSON, and the way to say it.

`--config` and `--json` may stand before or after the command's name. The config is read when a command asks for it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli import screen
from daemon.errors import IntakeError, UsageError

if TYPE_CHECKING:
    from daemon.config import Config

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Cli:
    """The state of one call of `homing`."""

    config_path: Path = Path("config.toml")
    json: bool = False
    _config: Config | None = field(default=None, repr=False)

    @property
    def config(self) -> Config:
        """The checked config, without secrets that cannot be read here. ConfigError with all its problems."""
        if self._config is None:
            from daemon.config import load_for_client

            self._config = load_for_client(self.config_path, os.environ)
        return self._config

    def state_dir_alone(self) -> Path | None:
        """Where the state folder is, whatever else in the config is wrong; None if it does not say."""
        import tomllib

        try:
            table = tomllib.loads(self.config_path.read_text(encoding="utf-8-sig"))["homing"]
            named = os.environ.get("HOMING__HOMING__STATE_DIR", table.get("state_dir", "var"))
            return (self.config_path.resolve().parent / str(named)).resolve()
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return None

    def answer(self, value: Any, show: Callable[[], None]) -> None:
        """The answer: `value` as JSON, or what `show` prints for eyes."""
        if self.json:
            screen.say(screen.dump(value))
        else:
            show()


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            setattr(context.ensure_object(Cli), name, value)

    return remember


def everywhere(function: F) -> F:
    """The two options that every command takes; they end in `Cli`, not in the command's arguments."""
    function = click.option(
        "--json", is_flag=True, expose_value=False, callback=_remember("json"), help="Answer with JSON on standard output."
    )(function)  # fmt: skip
    return click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=_remember("config_path"),
        help="The config file (default: ./config.toml).",
    )(function)


def command(name: str | None = None, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """A command whose function gets the `Cli` as its first argument. What is wrong with its FILE is told with the file's name."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                function(click.get_current_context().ensure_object(Cli), *args, **kwargs)
            except (IntakeError, UsageError) as error:
                if name := getattr(kwargs.get("file"), "name", None):
                    error.args = (f"{screen.clean(str(name))}: {error}",)
                raise

        made: Callable[[Callable[..., Any]], click.Command] = click.command(name, **settings)
        return made(everywhere(run))

    return decorate


def group(name: str, help: str, *commands: click.Command) -> click.Group:
    """A group of commands; `--config` and `--json` may stand before the sub-command too."""

    def nothing() -> None:
        """The options alone do nothing."""

    callback = everywhere(nothing)
    options: list[click.Parameter] = sorted(getattr(nothing, "__click_params__", []), key=lambda option: option.name)
    return click.Group(name, help=help, callback=callback, params=options, commands=list(commands))

