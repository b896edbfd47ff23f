"""INTAKE, the head of a job: everything but its recipients, checked whole before anything is stored.

In: the head as written, merged with what is known from outside (folder, file name, URL). Out: a `JobHead`, or an IntakeError
that names every field that is wrong. Pure; the window's rules and the clock's reading are given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.clock import to_instant
from daemon.config.values import format_duration
from daemon.content.audience_name import fault_of_name
from daemon.errors import IntakeError, nearest
from daemon.intake.dates import DateError, parse_moment
from daemon.intake.parse import plain, show
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import DAY, Instant
from daemon.model.job import InlineMessage, JobHead, RowError
from daemon.policy.window import WindowError, parse_window

KEYS = (
    "id", "queue", "campaign", "message", "expected_count", "recipients", "segment", "priority", "not_before", "expires_at", "window",
)  # fmt: skip
MESSAGE_KEYS = ("channel", "purpose", "topic", "subject", "text", "html")
PURPOSES = ("marketing", "transactional")
MAX_PRIORITY = 100
MAX_COUNT = 10**12
MAX_AHEAD = 5 * 366 * DAY
MAX_JOB_ID = 128
MAX_DEPTH = 8

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""A message has line breaks; what else is not text can neither be kept nor sent."""
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@+=-]{0,127}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRules:
    """What a head is judged by. `sent_at`: when the job was dropped (a spool file may have waited for a daemon that was down);
    `late_grace`: how much earlier than that a `not_before` may lie, in microseconds; `channels`: those that are served."""

    sent_at: Instant
    late_grace: int
    channels: Collection[str]


def job_id_problem(value: object) -> str | None:
    """Why this is no job id; None if it is one. It names files, links and metrics, so it is plain."""
    if not isinstance(value, str):
        return "must be text"
    if not _JOB_ID.fullmatch(value):
        return f"{show(value)} is no job id: letters, digits and . _ ~ : @ + = -, the first a letter or digit, at most {MAX_JOB_ID}"
    return None


def check_values(head: Mapping[str, Any]) -> None:
    """Refuse what cannot be kept whatever field it stands in: characters that are no text, deep nesting. IntakeError."""
    errors = _Errors()
    for key, value in head.items():
        if odd := _odd(key, value):
            errors.add(show(key)[1:-1], *odd)
    errors.refuse()


def _odd(key: str, value: Any) -> tuple[str, str] | None:
    """(code, detail) of the first such thing, without recursion."""
    waiting: list[tuple[Any, int]] = [(key, 0), (value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            if found := _CONTROL.search(item):
                return "control_char", f"holds U+{ord(found[0]):04X}, a control character or half a pair"
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                return "json_depth", f"is nested more than {MAX_DEPTH} deep"
            inner = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            waiting += [(one, depth + 1) for one in inner]
    return None


def canonical(head: Mapping[str, Any]) -> str:
    """The head as kept beside the job and compared when the id comes again."""
    kept = {key: value for key, value in head.items() if key != "recipients" and value is not None}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_key(head: Mapping[str, Any]) -> tuple[str, str]:
    """(id, queue): what decides whether the job came before. IntakeError `invalid-job`."""
    errors = _Errors()
    for key in ("id", "queue"):
        if head.get(key) is None:
            errors.add(key, "missing", "is missing; every job has one")
    if head.get("id") is not None and (problem := job_id_problem(head["id"])):
        errors.add("id", "job_id", problem)
    queue = head.get("queue")
    if queue is not None and not (isinstance(queue, str) and _NAME.fullmatch(queue)):
        errors.add("queue", "name", f"{show(queue)} is no name of a queue")
    errors.refuse()
    return head["id"], head["queue"]


def parse_head(head: Mapping[str, Any], rules: HeadRules) -> JobHead:
    """The head, checked. IntakeError `invalid-job` with all that is wrong."""
    errors = _Errors()
    for key in head:
        if key not in KEYS:
            hint = nearest(key, KEYS)
            errors.add(show(key)[1:-1], "unknown_field", "is no field of a job" + (f'; did you mean "{hint}"?' if hint else ""))
    if head.get("recipients") is not None:
        errors.add("recipients", "type", "must be an array of recipients")
    take = errors.take
    not_before = take(head, "not_before", lambda value: _moment(value, rules))
    expires_at = take(head, "expires_at", lambda value: _moment(value, rules))
    if not_before is not None and not_before < rules.sent_at - rules.late_grace:
        errors.add("not_before", "past", f"lies more than {format_duration(rules.late_grace)} back; leave it out to send from now on")
    if expires_at is not None and expires_at <= max(rules.sent_at, not_before or 0):
        errors.add("expires_at", "past", "lies in the past, or is not after not_before: nothing could be sent")
    campaign = take(head, "campaign", _name)
    segment = take(head, "segment", _segment)
    message = take(head, "message", lambda value: _message(value, rules.channels, errors))
    if campaign is not None and message is not None:
        errors.add("message", "both", "a job has a campaign or a message of its own, not both")
    priority = take(head, "priority", lambda value: _whole(value, MAX_PRIORITY))
    expected = take(head, "expected_count", lambda value: _whole(value, MAX_COUNT))
    window = take(head, "window", _window)
    errors.refuse()
    return JobHead(
        id=head["id"], queue=head["queue"], campaign=campaign, message=message, segment=segment, expected_count=expected,
        priority=priority, not_before=not_before, expires_at=expires_at, window=window,
    )  # fmt: skip


class _Wrong(ValueError):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class _Errors:
    """All that is wrong with a head."""

    def __init__(self) -> None:
        self.found: list[RowError] = []

    def add(self, field: str, code: str, detail: str) -> None:
        self.found.append(RowError(line=None, field=field, code=code, detail=detail))

    def take(self, head: Mapping[str, Any], key: str, parse: Callable[[Any], Any]) -> Any:
        value = head.get(key)
        if value is None:
            return None
        try:
            return parse(value)
        except _Wrong as error:
            self.add(key, error.code, error.detail)
            return None

    def refuse(self) -> None:
        if self.found:
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            first = self.found[0]
            raise IntakeError("invalid-job", f"{first.field}: {first.detail}{more}", self.found)


def _moment(value: Any, rules: HeadRules) -> Instant:
    try:
        moment = to_instant(parse_moment(value))
    except DateError as error:
        raise _Wrong("instant", str(error)) from None
    if moment > rules.sent_at + MAX_AHEAD:
        raise _Wrong("instant", "lies more than five years ahead")
    return moment


def _whole(value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _Wrong("number", f"must be a whole number from 0 to {most}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _Wrong("name", f"{show(value)} is no name of a campaign")
    return value


def _segment(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _Wrong("name", f"{show(value)} is no name of a segment")
    return value


def _window(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("type", 'must be an object such as {"hours": ["mon-fri 09:00-12:00"]}')
    try:
        parse_window(value)
    except WindowError as error:
        raise _Wrong("window", plain(str(error), 200)) from None
    return value


def _message(value: Any, channels: Collection[str], errors: _Errors) -> InlineMessage | None:
    """The job's own message; every wrong field of it is added to `errors`."""
    if not isinstance(value, dict):
        raise _Wrong("type", 'must be an object: {"channel", "purpose", "subject", "text", "html"}')
    before = len(errors.found)
    for key in value:
        if key not in MESSAGE_KEYS:
            hint = nearest(key, MESSAGE_KEYS)
            what = "is no field of a message" + (f'; did you mean "{hint}"?' if hint else "")
            errors.add(f"message/{show(key)[1:-1]}", "unknown_field", what)
        elif value[key] is not None and not isinstance(value[key], str):
            errors.add(f"message/{key}", "type", "must be text")
    _one_of(value, "channel", sorted(channels), errors)
    _one_of(value, "purpose", PURPOSES, errors)
    if value.get("channel") == AUDIENCE:
        if fault := fault_of_name(subject if isinstance(subject := value.get("subject"), str) else ""):
            errors.add("message/subject", "missing" if not value.get("subject") else "name", f"the audience's name {fault[0]}")
    elif not value.get("text") and not value.get("html"):
        errors.add("message/text", "missing", "a message has a text or an html part")
    if value.get("channel") == "email" and not value.get("subject"):
        errors.add("message/subject", "missing", "an e-mail has a subject")
    if len(errors.found) > before:
        return None
    return InlineMessage(
        channel=value["channel"], purpose=value["purpose"], topic=value.get("topic"), subject=value.get("subject") or "",
        text=value.get("text") or "", html=value.get("html") or "",
    )  # fmt: skip


def _one_of(value: Mapping[str, Any], key: str, words: Collection[str], errors: _Errors) -> None:
    if value.get(key) not in words:
        errors.add(f"message/{key}", key, f"must be {' or '.join(words) or 'a channel that a provider serves'}, not {show(value.get(key))}")
