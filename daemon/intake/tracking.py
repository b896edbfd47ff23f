"""INTAKE, tracking: messages in the format of Segment's HTTP API, from JSON to what the store takes, or to what is wrong with them.

userId = the recipient's id. Pure. A bad message never stops a good one; of a person's traits the bad ones are named and the good ones
kept. https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from daemon.clock import to_instant
from daemon.intake.body import plan_row
from daemon.intake.dates import FIRST_YEAR, LAST_YEAR
from daemon.intake.parse import Item, show
from daemon.intake.rows import MAX_ID, Fields, RowChecker
from daemon.journey.events import PAGE, SCREEN, content_id, event_id
from daemon.model.delivery import MINUTE, Instant
from daemon.model.job import RowError
from daemon.store.event_row import EventRow
from daemon.store.recipients import person_id
from daemon.store.tracking import Link, Message

TYPES = ("identify", "track", "page", "screen", "group", "alias")
MOST_BYTES = 32 * 1024
"""Of one message, as Segment's."""
MOST_NAME = 200
SKEW = MINUTE
"""A sender whose clock differs by more is set right, by its `sentAt`."""
_COLUMNS = {"email": "email", "phone": "phone", "zone": "zone", "timezone": "zone", "locale": "locale", "country": "country"}
_TRAITS = {"firstName": "first_name", "lastName": "last_name", "createdAt": "created_at", "preferredChannels": "preferred_channels"}


class Parsed(NamedTuple):
    """`messages`: none for a type that means nothing here. `errors`: what was wrong; with messages, what was left out of them."""

    messages: Sequence[Message] = ()
    errors: Sequence[RowError] = ()


class _Wrong(ValueError):
    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.code, self.detail = field, code, detail


class Reading:
    """Reads the messages of one request. `sent`: its own `sentAt`; `historical`: instants are taken as they stand."""

    def __init__(self, *, now: Instant, pepper: bytes, sent: Any = None, historical: bool = False) -> None:
        self._now, self._pepper, self._historical = now, pepper, historical
        self._sent = _instant(sent)

    def read(self, number: int, value: Any, kind: str | None = None) -> Parsed:
        """One message, the `number`th. `kind`: what it is by its path, where it does not say so."""
        try:
            return self._read(number, value, kind)
        except _Wrong as wrong:
            who = value.get("userId") if isinstance(value, dict) else None
            recipient = show(who)[1:-1] if isinstance(who, str) else None
            return Parsed((), [RowError(line=number, recipient=recipient, field=wrong.field, code=wrong.code, detail=wrong.detail)])

    def _read(self, number: int, value: Any, kind: str | None) -> Parsed:
        if not isinstance(value, dict):
            raise _Wrong("", "type", "a message is a JSON object")
        kind = kind or value.get("type")
        if kind not in TYPES:
            return Parsed()
        user, anonymous = _name(value, "userId"), _name(value, "anonymousId")
        if user is None and (anonymous is None or kind in ("alias", "group")):
            raise _Wrong("userId", "id", "is missing: it is the recipient's id")
        match kind:
            case "identify":
                return self._identify(number, value, user, anonymous)
            case "group":
                return self._group(number, value, str(user))
            case "alias":
                return self._alias(value, str(user))
            case _:
                return self._event(value, kind, user, anonymous)

    def _identify(self, number: int, value: Mapping[str, Any], user: str | None, anonymous: str | None) -> Parsed:
        if user is None:
            return Parsed()  # traits of nobody that is known
        traits = _object(value, "traits")
        row = _row_of(user, traits, _object(value, "context"))
        found = self._person(number, row)
        if anonymous is None or anonymous == user or not found.messages:
            return found
        return found._replace(messages=[self._link(anonymous, user), *found.messages])

    def _group(self, number: int, value: Mapping[str, Any], user: str) -> Parsed:
        group = _name(value, "groupId")
        if group is None:
            raise _Wrong("groupId", "id", "is missing")
        return self._person(number, {"id": user, "traits": {"group_id": group}})

    def _alias(self, value: Mapping[str, Any], user: str) -> Parsed:
        previous = _name(value, "previousId")
        if previous is None or previous == user:
            raise _Wrong("previousId", "id", "is missing, or the same as userId")
        link = self._link(previous, user)
        return Parsed([link._replace(link=Link(previous, person_id(user), merges=True))])

    def _link(self, previous: str, user: str) -> Message:
        """With a row that says nothing, so that there is a recipient to be linked to."""
        fields = RowChecker(self._now).fields(Item(0, {"id": user}, True))
        if not isinstance(fields, Fields):
            raise _Wrong("userId", fields[0].code, fields[0].detail)
        return Message(link=Link(previous, person_id(user)), trait=plan_row(0, fields, self._pepper))

    def _person(self, number: int, row: dict[str, Any]) -> Parsed:
        """What is right of it; what is not is named."""
        checker, errors = RowChecker(self._now), []
        found = checker.fields(Item(number, row, True))
        if not isinstance(found, Fields):
            errors = found
            found = checker.fields(Item(number, _without(row, errors), True))
        if not isinstance(found, Fields):
            return Parsed((), errors)
        return Parsed([Message(trait=plan_row(number, found, self._pepper))], errors)

    def _event(self, value: Mapping[str, Any], kind: str, user: str | None, anonymous: str | None) -> Parsed:
        said = dict(_object(value, "properties"))
        name = {"page": PAGE, "screen": SCREEN}.get(kind) or _name(value, "event", MOST_NAME)
        if name is None:
            raise _Wrong("event", "missing", "is missing: the event's name")
        if kind != "track":
            said |= {key: value[key] for key in ("name", "category") if isinstance(value.get(key), str) and key not in said}
        at = self._at(value)
        message = _name(value, "messageId", 1000)
        number = event_id(message) if message is not None else content_id(name, at, said)
        context = value.get("context")
        active = not (isinstance(context, dict) and context.get("active") is False)
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else None
        key = user or ""
        row = EventRow(person_id(key) if user else 0, key, name, number, at, text, active)
        return Parsed([Message(event=row, anonymous=None if user else anonymous)])

    def _at(self, value: Mapping[str, Any]) -> Instant:
        """When it happened, by our clock: a sender's wrong one is set right."""
        given = value.get("timestamp", value.get("originalTimestamp"))
        if given is None:
            return self._now
        at = _instant(given)
        if at is None:
            raise _Wrong("timestamp", "timestamp", "must be a date and time such as 2026-11-22T09:00:00Z")
        sent = _instant(value.get("sentAt")) or self._sent
        if sent is None or self._historical or abs(self._now - sent) <= SKEW:
            return at
        return at + self._now - sent


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _Wrong(name, "type", "must be an object")
    return found


def _name(value: Mapping[str, Any], name: str, most: int = MAX_ID) -> str | None:
    found = value.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise _Wrong(name, "type", "must be text")
    if not found.isprintable():
        raise _Wrong(name, "control_char", "holds a control or other character that is no text")
    if found != found.strip():
        raise _Wrong(name, "id", "begins or ends with a space")
    if len(found) > most:
        raise _Wrong(name, "too_long", f"is longer than {most} characters")
    return found


def _instant(value: Any) -> Instant | None:
    """An ISO 8601 date and time; without an offset it is UTC, as Segment's libraries write it."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        return None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        return None
    return to_instant(found if found.tzinfo else found.replace(tzinfo=UTC))


def _row_of(user: str, traits: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """A recipient's row from traits: what has a column goes there, the rest stays a trait. The context fills zone and locale."""
    row: dict[str, Any] = {"id": user}
    own: dict[str, Any] = {}
    for name, value in traits.items():
        if name in _COLUMNS:
            row.setdefault(_COLUMNS[name], value)
        elif name == "consent":
            row["consent"] = value
        elif name != "id":
            own[_TRAITS.get(name, name)] = value
    address = traits.get("address")
    if isinstance(address, dict) and isinstance(address.get("country"), str) and len(address["country"]) == 2:
        row.setdefault("country", address["country"])
    for name, column in (("timezone", "zone"), ("locale", "locale")):
        if isinstance(context.get(name), str) and context[name]:
            row.setdefault(column, context[name])
    if own:
        row["traits"] = own
    return row


def _without(row: Mapping[str, Any], errors: Sequence[RowError]) -> dict[str, Any]:
    """The row without what is wrong in it."""
    left = dict(row)
    for error in errors:
        field, _, inner = (error.field or "").partition(".")
        if field in ("traits", "consent") and inner and isinstance(left.get(field), dict):
            part = inner if field == "traits" else inner.partition(".")[0]
            left[field] = {name: value for name, value in left[field].items() if name != part}
        elif field != "id":
            left.pop(field, None)
    return left
