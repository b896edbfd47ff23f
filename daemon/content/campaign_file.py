"""CONTENT: `campaign.toml` read and wholly checked: a `Campaign`, or all that is wrong with it at once, each with its line.

Pure: the text and the folder's name in. Keys of the contract that belong to later releases are known and refused as such;
an unknown key gets the nearest known one. Window tables are checked by the policy's parser, which the caller hands in.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from email.utils import parseaddr
from typing import Any, TypeVar

from daemon.config.locate import Path as KeyPath
from daemon.config.locate import find_line, locate_keys, syntax_error
from daemon.config.values import BadValue, kind, one_of, parse_duration, parse_name, text
from daemon.content.audience_name import VARIABLES, fault_of_name
from daemon.content.template_file import fault_of_head
from daemon.errors import Problem, nearest
from daemon.model.audience import AUDIENCE, STAY, AudienceRule
from daemon.model.campaign import REACTIONS, Campaign, CampaignStatus, Escalation, Mode, Purpose, Step

NAME = "campaign.toml"
NOT_YET = "not supported yet"

LATER = frozenset({"goal", "exit", "holdout", "offers", "after"})
LATER_ENROL = frozenset({"segment", "trigger", "anchor", "late", "min_gap"})
LATER_ESCALATE = frozenset({"where"})
LATER_STEP = frozenset({"day", "delay", "offer", "experiment", "set", "call", "task", "subject", "hours"})
UTM_KEYS = ("source", "medium", "campaign", "term", "content", "id")

WindowChecker = Callable[[Mapping[str, Any]], object]
"""The policy's `parse_window`: raises a ValueError with `key`, `what` and `suggestion`."""

T = TypeVar("T")
_STEP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST = 400 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a campaign is checked against. `topics`: those of the config; none declared = any is good."""

    check_window: WindowChecker | None = None
    topics: Collection[str] = ()


@dataclass(slots=True)
class _Table:
    """One table being read: each key is taken once; what is left over is unknown."""

    table: Mapping[str, Any]
    path: KeyPath
    report: Report
    later: Collection[str] = ()
    taken: set[str] = field(default_factory=set)

    def take(self, key: str, parse: Callable[[Any], T], default: T) -> T:
        self.taken.add(key)
        if key not in self.table:
            return default
        try:
            return parse(self.table[key])
        except BadValue as error:
            self.report.add((*self.path, key), error.what, error.suggestion)
            return default

    def inner(self, key: str, later: Collection[str] = ()) -> _Table | None:
        """A table in this one; None if there is none."""
        self.taken.add(key)
        if key not in self.table:
            return None
        if not isinstance(self.table[key], dict):
            self.report.add((*self.path, key), f"must be a table, not {kind(self.table[key])}")
            return None
        return _Table(self.table[key], (*self.path, key), self.report, later)

    def close(self) -> None:
        """Report the keys that nobody took."""
        for key in self.table:
            if key in self.later:
                self.report.add((*self.path, key), NOT_YET)
            elif key not in self.taken:
                near = nearest(key, [*self.taken, *self.later])
                self.report.add((*self.path, key), "unknown key", near)


@dataclass(slots=True)
class Report:
    """Where the keys of one file stand, and what is wrong with them."""

    file: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, what: str, suggestion: str | None = None) -> None:
        self.problems.append(
            Problem(where=f"{self.file}:{find_line(self.lines, path)}", key=".".join(_words(path)), what=what, suggestion=suggestion)
        )


def read_campaign(name: str, content: str, around: Surroundings) -> tuple[Campaign | None, list[Problem]]:
    """The campaign of a file's text. Problems are at `campaign.toml:LINE`; with any of them the campaign may be None."""
    report = Report(NAME)
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        line, what = syntax_error(error, content)
        return None, [Problem(where=f"{NAME}:{line}", key="", what=what)]
    report.lines = locate_keys(content)
    campaign = _campaign(name, document, report, around)
    return campaign, report.problems


def _campaign(name: str, document: Mapping[str, Any], report: Report, around: Surroundings) -> Campaign:
    top = _Table(document, (), report, LATER)
    purpose = Purpose(top.take("purpose", lambda value: one_of(value, Purpose), "marketing"))
    transactional = purpose is Purpose.TRANSACTIONAL
    campaign = Campaign(
        name=name,
        purpose=purpose,
        status=CampaignStatus(top.take("status", lambda value: one_of(value, CampaignStatus), "draft")),
        topic=top.take("topic", lambda value: _topic(value, around.topics), None),
        starts=top.take("starts", _moment, None),
        ends=top.take("ends", _moment, None),
        priority=top.take("priority", _priority, 50),
        sender=top.take("from", _mailbox, None),
        reply_to=top.take("reply_to", _mailbox, None),
        utm=_utm(top.inner("utm")),
        window=_window(top.inner("window"), around.check_window),
        ignore_window=top.take("ignore_window", lambda value: _transactional_only(_flag(value), transactional), False),
        on_doubt=top.take("on_doubt", lambda value: _on_doubt(value, transactional), "hold"),
        again=_enrol(top.inner("enrol", LATER_ENROL), report),
        steps=_steps(top),
        audiences=_audiences(top),
    )
    top.close()
    _check_audiences(campaign, report)
    if campaign.starts and campaign.ends and _as_date(campaign.ends) < _as_date(campaign.starts):
        report.add(("ends",), f"lies before starts ({campaign.starts.isoformat()})")
    return campaign


def _steps(top: _Table) -> tuple[Step, ...]:
    top.taken.add("step")
    tables = top.table.get("step")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        top.report.add(("step",), "missing: a campaign has one [[step]]" if tables is None else "must be a table: [[step]]")
        return ()
    if len(tables) > 1:
        top.report.add(("step", 1), f"sequences are {NOT_YET}: a campaign has exactly one [[step]]")
    return tuple(step for index, table in enumerate(tables) if (step := _step(_Table(table, ("step", index), top.report, LATER_STEP))))


def _step(table: _Table) -> Step | None:
    for key in ("name", "channels"):
        if key not in table.table:
            table.report.add((*table.path, key), "missing; it has no default")
    name = table.take("name", _step_name, "")
    nowhere: tuple[str, ...] = ()
    channels = table.take("channels", _channels, nowhere)
    valid = table.take("valid", _life, STAY if channels == (AUDIENCE,) else Step(name="", channels=()).valid)
    mode = table.take("mode", lambda value: _mode(value, channels), Mode.FIRST)
    escalate = _escalation(table.inner("escalate", LATER_ESCALATE), channels, mode)
    table.close()
    return Step(name=name, channels=channels, valid=valid, mode=mode, escalate=escalate) if name and channels else None


def _escalation(table: _Table | None, channels: Sequence[str], mode: Mode) -> Escalation | None:
    if table is None:
        return None
    nowhere: tuple[str, ...] = ()
    if "to" not in table.table:
        table.report.add((*table.path, "to"), "missing; it has no default")
    to = table.take("to", lambda value: _other_channels(value, channels, mode), nowhere)
    after = table.take("after", _life, Escalation(to=()).after)
    unless = table.take("unless", _reactions, Escalation(to=()).unless)
    table.close()
    return Escalation(to=to, after=after, unless=unless) if to else None


def _audiences(top: _Table) -> tuple[AudienceRule, ...]:
    top.taken.add("audience")
    tables = top.table.get("audience", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        top.report.add(("audience",), "must be a table: [[audience]]")
        return ()
    return tuple(_audience(_Table(table, ("audience", index), top.report)) for index, table in enumerate(tables))


def _audience(table: _Table) -> AudienceRule:
    for key in ("providers", "name"):
        if key not in table.table:
            table.report.add((*table.path, key), "missing; it has no default")
    none: tuple[str, ...] = ()
    rule = AudienceRule(
        providers=table.take("providers", _providers, none),
        name=table.take("name", _audience_name, ""),
        from_step=table.take("from", _step_name, None),
        stay=table.take("valid", _life, STAY),
        description=table.take("description", _short_text, ""),
    )
    table.close()
    return rule


def _check_audiences(campaign: Campaign, report: Report) -> None:
    steps = [step.name for step in campaign.steps]
    for index, rule in enumerate(campaign.audiences):
        if rule.from_step is not None and rule.from_step not in steps:
            report.add(("audience", index, "from"), f'no step "{rule.from_step}"', nearest(rule.from_step, steps))
    if any(AUDIENCE in step.every_channel for step in campaign.steps) and len(campaign.audiences) != 1:
        what = f"a step over the channel {AUDIENCE} needs exactly one [[audience]]: it puts its people there"
        report.add(("audience",), what if not campaign.audiences else f"{what} (there are {len(campaign.audiences)})")


def _providers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of providers such as ["meta", "google"]')
    names = tuple(parse_name(item) for item in value)
    if len(set(names)) < len(names):
        raise BadValue("names a provider twice")
    return names


def _audience_name(value: Any) -> str:
    name = text(value)
    if fault := fault_of_name(name):
        raise BadValue(fault[0], nearest(fault[1], VARIABLES) if fault[1] else None)
    return name


def _enrol(table: _Table | None, report: Report) -> int | None:
    """How long after a walk's end the next may begin; None = never. Jobs are the only door yet."""
    if table is None:
        report.add(("enrol",), "missing: [enrol] with jobs = true")
        return None
    jobs = table.take("jobs", _flag, False)
    again = table.take("again", lambda value: None if value == "never" else _life(value), None)
    others = [key for key in ("segment", "trigger") if key in table.table]
    if others and jobs:
        report.add(("enrol",), f"exactly one of segment, trigger and jobs = true (there are jobs and {' and '.join(others)})")
    elif not others and not jobs:
        report.add(("enrol", "jobs"), "missing: jobs = true is the only way to enrol yet")
    table.close()
    return again


def _utm(table: _Table | None) -> Mapping[str, str]:
    if table is None:
        return {}
    values = {key: table.take(key, _short_text, "") for key in UTM_KEYS}
    table.close()
    return {key: value for key, value in values.items() if value}


def _window(table: _Table | None, check: WindowChecker | None) -> Mapping[str, Any] | None:
    if table is None:
        return None
    window = {key: _plain(value) for key, value in table.table.items()}
    try:
        if check is not None:
            check(window)
    except ValueError as error:
        key = getattr(error, "key", None)
        path = (*table.path, key) if isinstance(key, str) and key in window else table.path
        table.report.add(path, getattr(error, "what", str(error)), getattr(error, "suggestion", None))
    return window


def _plain(value: Any) -> Any:
    """TOML's own dates and times as text: the window's parser reads that too, and a version is JSON."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


def _topic(value: Any, topics: Collection[str]) -> str | None:
    name = parse_name(value)
    if topics and name not in topics:
        raise BadValue(f"no [topics.{name}] in the config (it has {', '.join(sorted(topics))})", nearest(name, topics))
    return name


def _moment(value: Any) -> date | datetime | None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadValue("a date and time needs an offset (2026-11-22T09:00:00+07:00), or give the date alone")
        return value
    if isinstance(value, date):
        return value
    raise BadValue(f"must be a date such as 2026-11-22 without quotes, not {kind(value)}")


def _as_date(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise BadValue(f"must be an integer from 0 to 100 (got {value if isinstance(value, int) else kind(value)})")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(f"must be true or false, not {kind(value)}")
    return value


def _transactional_only(value: bool, transactional: bool) -> bool:
    if value and not transactional:
        raise BadValue('only for purpose = "transactional"')
    return value


def _on_doubt(value: Any, transactional: bool) -> str:
    word = one_of(value, ("hold", "resend_once"))
    _transactional_only(word != "hold", transactional)
    return word


def _life(value: Any) -> int:
    duration = parse_duration(value)
    if not 0 < duration <= _LONGEST:
        raise BadValue(f'must be more than 0 and at most 400d (got "{value}")')
    return duration


def _step_name(value: Any) -> str:
    name = text(value)
    if not _STEP.fullmatch(name):
        raise BadValue(f'a step\'s name has small letters, digits, "_" and "-" (got "{name}")')
    return name


def _channels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue('must be a list of channels such as ["email"]')
    channels = tuple(_step_name(item) for item in value)
    if len(set(channels)) < len(channels):
        raise BadValue("names a channel twice")
    return channels


def _mode(value: Any, channels: Sequence[str]) -> Mode:
    mode = Mode(one_of(value, Mode))
    if len(channels) == 1:
        raise BadValue("is for a step of several channels; this one has one")
    return mode


def _other_channels(value: Any, channels: Sequence[str], mode: Mode) -> tuple[str, ...]:
    """Where an escalation may go: not to where the step's message has been anyway."""
    to = _channels(value)
    there = [channel for channel in to if channel in channels and (mode is Mode.ALL or len(channels) == 1)]
    if there:
        raise BadValue(f'has "{there[0]}", over which the step goes already')
    return to


def _reactions(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadValue('must be a list such as ["opened", "clicked"]')
    return tuple(dict.fromkeys(one_of(item, REACTIONS) for item in value))


def _short_text(value: Any) -> str:
    word = text(value)
    if not word or len(word) > 200 or fault_of_head(word):
        raise BadValue("must be a text of 1 to 200 characters on one line")
    return word


def _mailbox(value: Any) -> str | None:
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


def _words(path: KeyPath) -> Iterator[str]:
    for index, part in enumerate(path):
        if isinstance(part, str):
            number = path[index + 1] if index + 1 < len(path) else None
            yield f"{part}[{number + 1}]" if isinstance(number, int) else part
