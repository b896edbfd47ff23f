"""CONTENT: one table of a campaign file while it is read, the report of what is wrong with it, and the values that only campaigns have.

Pure. Each key is taken once; what nobody took is unknown and gets the nearest known one. Parsers raise `BadValue`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from email.utils import parseaddr
from typing import Any, TypeVar

from daemon.config.locate import Path as KeyPath
from daemon.config.locate import find_line
from daemon.config.values import DAY, BadValue, kind, parse_duration, parse_name, text
from daemon.content.template_file import fault_of_head
from daemon.errors import Problem, nearest

WindowChecker = Callable[[Mapping[str, Any]], object]
"""The policy's `parse_window`: raises a ValueError with `key`, `what` and `suggestion`."""
WhereChecker = Callable[[str], object]
"""The parser of the language of segments: raises a ValueError, perhaps with `what` and `suggestion`."""

T = TypeVar("T")
M = TypeVar("M", bound=date)
_STEP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST = 400 * DAY
MISSING = "missing; it has no default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a campaign is checked against. None = that is not checked. `topics`: those of the config; none declared = any is good.
    `check_where`: of an expression about a recipient; `check_event`: of one about an event's properties."""

    check_window: WindowChecker | None = None
    topics: Collection[str] = ()
    check_where: WhereChecker | None = None
    check_event: WhereChecker | None = None
    segments: Collection[str] | None = None
    seasons: Collection[str] | None = None
    providers: Mapping[str, str | None] | None = None
    """Those of the config, each with its channel; None = that is not known."""


@dataclass(slots=True)
class Report:
    """Where the keys of one file stand, and what is wrong with them."""

    file: str
    around: Surroundings = field(default_factory=Surroundings)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, what: str, suggestion: str | None = None) -> None:
        self.problems.append(
            Problem(where=f"{self.file}:{find_line(self.lines, path)}", key=".".join(_words(path)), what=what, suggestion=suggestion)
        )


@dataclass(slots=True)
class Table:
    """One table being read: each key is taken once; what is left over is unknown."""

    table: Mapping[str, Any]
    path: KeyPath
    report: Report
    taken: set[str] = field(default_factory=set)

    def take(self, key: str, parse: Callable[[Any], T], default: T) -> T:
        self.taken.add(key)
        if key not in self.table:
            return default
        try:
            return parse(self.table[key])
        except BadValue as error:
            self.fault(key, error.what, error.suggestion)
            return default

    def need(self, *keys: str) -> None:
        """Report those that are not there."""
        for key in keys:
            if key not in self.table:
                self.fault(key, MISSING)

    def fault(self, key: str | None, what: str, suggestion: str | None = None) -> None:
        """Something wrong with a key of this table, or (None) with the table."""
        self.report.add(self.path if key is None else (*self.path, key), what, suggestion)

    def inner(self, key: str) -> Table | None:
        """A table in this one; None if there is none."""
        self.taken.add(key)
        if key not in self.table:
            return None
        if not isinstance(self.table[key], dict):
            self.fault(key, f"must be a table, not {kind(self.table[key])}")
            return None
        return Table(self.table[key], (*self.path, key), self.report)

    def array(self, key: str) -> list[Table] | None:
        """The tables `[[key]]`; None (and reported) if it is something else."""
        self.taken.add(key)
        tables = self.table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fault(key, f"must be a table: [[{'.'.join([word for word in self.path if isinstance(word, str)] + [key])}]]")
            return None
        return [Table(table, (*self.path, key, index), self.report) for index, table in enumerate(tables)]

    def close(self) -> None:
        """Report the keys that nobody took."""
        for key in self.table:
            if key not in self.taken:
                self.fault(key, "unknown key", nearest(key, sorted(self.taken)))

    def take_where(self, key: str = "where", *, event: bool = False) -> str | None:
        """An expression of the language of segments, about a recipient or about an event's properties; its text."""
        check = self.report.around.check_event if event else self.report.around.check_where
        return self.take(key, lambda value: expression(value, check), None)

    def take_hours(self, key: str) -> tuple[str, ...]:
        """Ranges such as `["mon-fri 09:00-21:00"]`, checked as a window's."""
        nothing: tuple[str, ...] = ()
        return self.take(key, lambda value: hours(value, self.report.around.check_window), nothing)


def _words(path: KeyPath) -> Iterator[str]:
    for index, part in enumerate(path):
        if isinstance(part, str):
            number = path[index + 1] if index + 1 < len(path) else None
            yield f"{part}[{number + 1}]" if isinstance(number, int) else part


def expression(value: Any, check: WhereChecker | None) -> str:
    """The text of an expression, as `check` lets it through."""
    written = text(value)
    if not written.strip() or len(written) > 2000:
        raise BadValue("must be an expression of 1 to 2000 characters such as \"tier = 'high'\"")
    if check is not None:
        try:
            check(written)
        except ValueError as error:
            raise BadValue(getattr(error, "what", str(error)), getattr(error, "suggestion", None)) from None
    return written


def hours(value: Any, check: WindowChecker | None) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise BadValue('must be a list of hours such as ["mon-fri 09:00-21:00"]')
    if check is not None:
        try:
            check({"hours": value})
        except ValueError as error:
            raise BadValue(getattr(error, "what", str(error)), getattr(error, "suggestion", None)) from None
    return tuple(value)


def plain(value: Any) -> Any:
    """TOML's own dates and times as text: the window's parser reads that too, and a version is JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


def moment(value: Any) -> date | datetime | None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadValue("a date and time needs an offset (2026-11-22T09:00:00+07:00), or give the date alone")
        return _of_our_time(value)
    if isinstance(value, date):
        return _of_our_time(value)
    raise BadValue(f"must be a date such as 2026-11-22 without quotes, not {kind(value)}")


def _of_our_time(value: M) -> M:
    """Not at an end of the calendar, where a zone's hours or an offer's days lead beyond it."""
    if not 2000 <= value.year <= 2200:
        raise BadValue(f"must lie between the years 2000 and 2200 (got {value.isoformat()})")
    return value


def as_date(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def whole(value: Any, least: int, most: int) -> int:
    """An integer in these bounds, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadValue(f"must be an integer from {least} to {most} (got {value if isinstance(value, int) else kind(value)})")
    return value


def amount(value: Any, *, most: float | None = None) -> float:
    """A number above 0, perhaps with an upper bound."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise BadValue(f"must be a number greater than 0 (got {value if isinstance(value, (int, float)) else kind(value)})")
    if most is not None and value > most:
        raise BadValue(f"must be at most {most:g} (got {value:g})")
    return float(value)


def share(value: Any) -> float:
    """A share of the whole: more than 0, less than 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise BadValue(f"must be a share between 0 and 1 such as 0.1 (got {value if isinstance(value, (int, float)) else kind(value)})")
    return float(value)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(f"must be true or false, not {kind(value)}")
    return value


def life(value: Any) -> int:
    duration = parse_duration(value)
    if not 0 < duration <= _LONGEST:
        raise BadValue(f'must be more than 0 and at most 400d (got "{value}")')
    return duration


def gap(value: Any) -> int:
    """A duration that may be nothing."""
    duration = parse_duration(value)
    if duration > _LONGEST:
        raise BadValue(f'must be at most 400d (got "{value}")')
    return duration


def word(value: Any, of_what: str) -> str:
    """The name of a step, a variant, an offer, a channel."""
    name = text(value)
    if not _STEP.fullmatch(name):
        raise BadValue(f'{of_what} name has small letters, digits, "_" and "-" (got "{name}")')
    return name


def step_name(value: Any) -> str:
    return word(value, "a step's")


def channels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of channels such as ["email"]')
    found = tuple(step_name(item) for item in value)
    if len(set(found)) < len(found):
        raise BadValue("names a channel twice")
    return found


def names(value: Any, example: str) -> tuple[str, ...]:
    """A list of names, each once."""
    if not isinstance(value, list) or not value:
        raise BadValue(f"must be a list such as {example}")
    found = tuple(parse_name(item) for item in value)
    if len(set(found)) < len(found):
        raise BadValue("names one twice")
    return found


def event_name(value: Any) -> str:
    """The name of an event, as the shop sends it."""
    name = text(value)
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise BadValue('must be the name of an event such as "Order Completed"')
    return name


def short_text(value: Any) -> str:
    written = text(value)
    if not written or len(written) > 200 or fault_of_head(written):
        raise BadValue("must be a text of 1 to 200 characters on one line")
    return written


def mailbox(value: Any) -> str | None:
    """`hello@example.com` or `Aiko <hello@example.com>`."""
    import email_validator

    written = text(value)
    if fault := fault_of_head(written):
        raise BadValue(fault)
    name, address = parseaddr(written)
    if not address or not (written.strip() == address or (name and written.rstrip().endswith(f"<{address}>"))):
        raise BadValue(f'must be one address: "hello@example.com" or "Aiko <hello@example.com>" (got "{written}")')
    try:
        email_validator.validate_email(address, check_deliverability=False)
    except email_validator.EmailNotValidError as error:
        raise BadValue(f'"{address}" is no mail address: {error}') from None
    return written
