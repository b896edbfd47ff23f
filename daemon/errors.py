"""GROUND: the one tree of errors that a user may meet. Each knows the exit code that the command line answers with.

A message says what happened, where, and what to do. Outcomes of sending are never errors (they are returned); an error
here ends a command, a start or one request. Raised everywhere, printed by `daemon/cli`, mapped to problems by `daemon/web`.

    HomingError                 1    something failed
    ├── UsageError              2    the command was called wrongly
    ├── NotFoundError           1    a name or id that does not exist
    ├── StoreBrokenError       74    the store's file or its disk failed: it is checked before anything is sent again
    ├── StateHeldError         75    another daemon holds the state folder
    ├── StoreUnavailableError  75    the store cannot be opened or written
    ├── GuardRefusedError      77    a guard rail says no (counts, --expect, holds)
    ├── ConfigError            78    config, campaigns or segments are wrong; holds all problems at once
    │   └── PluginError        78    a plugin cannot be loaded or its settings are wrong
    └── IntakeError             1    a job is refused; `type` is the problem type of the HTTP contract
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class HomingError(Exception):
    """Something failed. Root of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(HomingError):
    """The command was called wrongly."""

    exit_code = 2


class NotFoundError(HomingError):
    """A name or id that does not exist."""


class StoreBrokenError(HomingError):
    """The store's file or its disk failed (I/O error, damage, a file that was replaced): nothing more is sent or written."""

    exit_code = 74


class StateHeldError(HomingError):
    """Another daemon holds the state folder."""

    exit_code = 75


class StoreUnavailableError(HomingError):
    """The store cannot be opened or written now. A later try may succeed."""

    exit_code = 75


class GuardRefusedError(HomingError):
    """A guard rail says no. The message names the command and number that would allow it."""

    exit_code = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file: printed as `file:line: key: what; did you mean "x"?`.

    `where` is `file:line`, or `environment:NAME`; `line` is not kept apart so that a value from the environment fits too.
    """

    where: str
    key: str
    what: str
    suggestion: str | None = None

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        hint = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        return f"{self.where}: {key}{self.what}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadSecret(Problem):
    """A secret that this process cannot read. No matter to a command that only asks the running daemon, which has it."""


class ConfigError(HomingError):
    """The config, a campaign or a plugin is wrong. Holds all problems at once; `str()` has one a line."""

    exit_code = 78

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems: Sequence[Problem] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, self.problems)))


class PluginError(ConfigError):
    """A plugin cannot be loaded, or the settings given to it are wrong."""


class IntakeError(HomingError):
    """A job is refused as a whole. `type` is the contract's problem type, e.g. `invalid-job`, `job-conflict`, `too-large`."""

    def __init__(self, type: str, detail: str, errors: Sequence[object] = ()) -> None:
        super().__init__(detail)
        self.type = type
        self.detail = detail
        self.errors = tuple(errors)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
