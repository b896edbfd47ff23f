"""GROUND: logs. One structlog event per unit of work, as a line of JSON (on a terminal: for eyes), to stderr.

No personal data and no secret leaves here: fields that hold addresses, names and recipients, and whatever looks like an e-mail
address or a phone number in any text (tracebacks too), become a keyed hash `h:1f2e..`, so that one person's lines can still be
found together; fields that hold secrets become `***`. What other libraries log through `logging` goes the same way.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from typing import Any, TextIO, cast

from daemon.clock import Clock, iso
from daemon.lean import without
from plugins.contract import Log, Secret

with without("rich"):  # structlog would load it for the tracebacks of its console: 40 ms of each start
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

PERSONAL = frozenset(
    {
        "address",
        "addresses",
        "birthday",
        "display_name",
        "email",
        "emails",
        "endpoint",
        "first_name",
        "full_name",
        "from_address",
        "last_name",
        "mail_from",
        "mailbox",
        "mobile",
        "person",
        "phone",
        "phones",
        "push",
        "rcpt",
        "rcpt_to",
        "recipient",
        "recipients",
        "sender_address",
        "subscription",
        "to",
        "traits",
        "vars",
    }
)
"""Fields whose values are about a person, whatever they look like."""
SECRET_WORDS = ("password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "apikey", "private_key", "credential")
"""A field with one of these in its name never shows its value."""

HIDDEN = "***"
_EMAIL = re.compile(r"[^\s<>\"'(),:;=/\\@|{}\[\]]+(?:@|%40)[^\s<>\"'(),:;=/\\@|{}\[\]?&#]+", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+])\+\d[\d ().-]{5,18}\d(?!\w)")
_COUNTED = frozenset({"addresses", "emails", "phones", "recipients"})
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}


def person_hash(key: bytes, value: object) -> str:
    """`h:` and 64 bits of HMAC-SHA256 of the value in small letters: the same person, the same hash, within one key."""
    normal = str(value).strip().casefold()
    return "h:" + hmac.new(key, normal.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


class HidePersons:
    """The processor that lets nothing personal or secret through, at any depth."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {str(key): self._field(str(key), value) for key, value in event.items()}

    def text(self, text: str) -> str:
        """A text with each address and phone number in it replaced by its hash."""
        if "@" in text or "%40" in text:
            text = _EMAIL.sub(lambda found: person_hash(self._key, found[0].replace("%40", "@").rstrip(".")), text)
        if "+" in text:
            text = _PHONE.sub(lambda found: person_hash(self._key, re.sub(r"[^\d+]", "", found[0])), text)
        return text

    def _field(self, name: str, value: Any) -> Any:
        small = name.casefold()
        if any(word in small for word in SECRET_WORDS) and not isinstance(value, bool | int | float | None):
            return HIDDEN
        if small in PERSONAL and not (small in _COUNTED and isinstance(value, int)):
            return self._person(value)
        return self._value(value)

    def _person(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._person(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._person(inner) for inner in value]
        return HIDDEN if isinstance(value, Secret) else person_hash(self._key, value)

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Secret):
            return HIDDEN
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(inner) for inner in value]
        return self.text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def configure(*, stream: TextIO, clock: Clock, key: bytes, level: str = "info", environ: Mapping[str, str] | None = None) -> None:
    """Set up all logging of this process. A terminal gets text, journald lines with a syslog priority, the rest plain JSON.

    `key`: of the hashes; keep it as long as lines are to be compared. `level`: debug, info, warning, error.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    sturdy = Sturdy(stream)
    context: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _stamp(clock)]
    finish: list[Processor] = [structlog.processors.format_exc_info, HidePersons(key), _renderer(stream)]
    if environ and environ.get("JOURNAL_STREAM"):
        finish.append(_prefix)
    structlog.configure(
        processors=[*context, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", sturdy)),
        cache_logger_on_first_use=False,
    )
    handler = _Foreign(cast("TextIO", sturdy))
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*context, structlog.stdlib.add_logger_name], processors=[meta, *finish])
    )
    root = logging.getLogger()
    root.handlers = [old for old in root.handlers if not isinstance(old, _Foreign)]
    root.addHandler(handler)
    root.setLevel(max(number, logging.INFO))


class Sturdy:
    """The stream of the log, without its failures: a full log volume must not stop what is logged about (F23). `lost`: lines."""

    __slots__ = ("__weakref__", "_stream", "lost")  # structlog keeps a lock for each stream, weakly

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self.lost += 1

    def isatty(self) -> bool:
        return self._stream.isatty()


class _Foreign(logging.StreamHandler[TextIO]):
    """Ours among the root's handlers: what other libraries log."""


def get_log(**fields: Any) -> Log:
    """The daemon's log with these fields bound: `get_log(stage="dispatch")`."""
    return cast("Log", structlog.get_logger(**fields))


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _stamp(clock: Clock) -> Processor:
    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["at"] = iso(clock.instant())
        return event

    return stamp


def _prefix(_logger: WrappedLogger, method: str, event: Any) -> str:
    return f"<{_PRIORITIES.get(method, 6)}>{event}"
