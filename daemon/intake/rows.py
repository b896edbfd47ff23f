"""INTAKE, rows: from a row as read to a `RecipientRow`, or to everything that is wrong with it (line, field, code, what to do).

Pure but for the zone and number tables that it asks. A bad field makes a bad row, and a bad row never stops a good one.
Nothing is guessed: what is not an address, a zone or a country in its written form is refused, an empty text is "not named".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from daemon.clock import to_instant
from daemon.config.values import countries, parse_country
from daemon.errors import nearest
from daemon.intake.dates import DateError, parse_moment
from daemon.intake.emails import AddressError, parse_email
from daemon.intake.parse import MAX_FIELD_BYTES, Item, plain, show
from daemon.intake.phones import parse_phone
from daemon.model.delivery import DAY, Instant
from daemon.model.job import RecipientRow, RowError
from daemon.policy.window import WindowError, parse_quiet_hours
from daemon.policy.zones import known_zone, zone_names

FIELDS = ("id", "email", "phone", "zone", "locale", "country", "traits", "vars", "consent")
MAX_ID = 200
MAX_DEPTH = 8
MAX_KEYS = 1000

_FIELDS = frozenset(FIELDS)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_EMPTY: Mapping[str, Any] = {}
_CONSENT_KEYS = ("at", "source", "text", "topic")


class _Bad(ValueError):
    """One field that is wrong."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.code, self.detail = field, code, detail


class Fields(NamedTuple):
    """The fields of a good row (see `RecipientRow`)."""

    id: str
    email: str | None
    phone: str | None
    zone: str | None
    locale: str | None
    country: str | None
    traits: Mapping[str, Any]
    vars: Mapping[str, Any]
    consent: Mapping[str, Mapping[str, Any]]
    named: frozenset[str]


class RowChecker:
    """Checks rows of one job. `now`: consents cannot be given later than this."""

    def __init__(self, now: Instant) -> None:
        self._now = now

    def check(self, item: Item) -> RecipientRow | list[RowError]:
        """The good row, or at least one error."""
        fields = self.fields(item)
        return fields if isinstance(fields, list) else RecipientRow(line=item.line, **fields._asdict())

    def fields(self, item: Item) -> Fields | list[RowError]:
        """The same for the hot path: what a `RecipientRow` is made of, at a third of its price."""
        value = item.value
        if value is None:
            return [RowError(line=item.line, code=item.code, detail=item.detail)]
        try:
            if item.suspect:
                clean(value)
            return self._row(value)
        except _Bad:
            return self._errors(item, value)

    def _row(self, value: dict[str, Any]) -> Fields:
        """The quick way: the first wrong field raises."""
        if not value.keys() <= _FIELDS:
            raise _unknown(value)
        get = value.get
        email, phone, zone, locale, country = get("email"), get("phone"), get("zone"), get("locale"), get("country")
        own, traits, consent = get("vars"), get("traits"), get("consent")
        if country:
            country = _country(country)
        return Fields(
            _id(get("id")),
            _email(email) if email else None,
            _phone(phone, country) if phone else None,
            _zone(zone) if zone else None,
            _locale(locale) if locale else None,
            country or None,
            _traits(traits) if traits else _EMPTY,
            _tree("vars", own) if own else _EMPTY,
            self._consent(consent) if consent else _EMPTY,
            _named(tuple(value) if "" not in (email, phone, zone, locale, country) else tuple(k for k in value if value[k] != "")),
        )

    def _errors(self, item: Item, value: dict[str, Any]) -> list[RowError]:
        """The thorough way: every wrong field, once a row has been found bad."""
        tainted = {error.field: error for error in _control_errors(value)} if item.suspect else {}
        bad: list[_Bad] = [_unknown(value, name) for name in value if name not in _FIELDS and show(name)[1:-1] not in tainted]
        for name, parse in (
            ("id", _id),
            ("email", _email),
            ("zone", _zone),
            ("locale", _locale),
            ("country", _country),
            ("traits", _traits),
            ("vars", functools.partial(_tree, "vars")),
            ("consent", self._consent),
        ):
            if name not in tainted:
                _collect(bad, name, parse, value.get(name))
        country = value.get("country")
        region = country.upper() if isinstance(country, str) and country.upper() in countries() else None
        _collect(bad, "phone", functools.partial(_phone, region=region), value.get("phone"))
        bad += tainted.values()
        key = value.get("id")
        recipient = show(key)[1:-1] if isinstance(key, str) and key else None
        order = {name: position for position, name in enumerate(FIELDS)}
        bad.sort(key=lambda error: order.get(error.field.partition(".")[0], len(order)))
        return [RowError(line=item.line, recipient=recipient, field=error.field, code=error.code, detail=error.detail) for error in bad]

    def _consent(self, value: Any) -> Mapping[str, Mapping[str, Any]]:
        """channel -> {"at": Instant, "source", "text", "topic"}."""
        if not isinstance(value, dict):
            raise _Bad("consent", "type", 'must be an object such as {"sms": {"at": .., "source": .., "text": ..}}')
        return {channel: self._grant(f"consent.{channel}", channel, grant) for channel, grant in value.items()}

    def _grant(self, field: str, channel: str, grant: Any) -> Mapping[str, Any]:
        if not _CHANNEL.fullmatch(channel):
            raise _Bad("consent", "consent", f"{show(channel)} is no channel")
        if not isinstance(grant, dict):
            raise _Bad(field, "type", 'must be an object: {"at": .., "source": .., "text": ..}')
        for key in grant:
            if key not in _CONSENT_KEYS:
                raise _Bad(f"{field}.{show(key)[1:-1]}", "unknown_field", f"a consent has at, source and text{_hint(key, _CONSENT_KEYS)}")
        try:
            at = to_instant(parse_moment(grant.get("at")))
        except DateError as error:
            raise _Bad(f"{field}.at", "consent", f"when it was given: {error}") from None
        if at > self._now + DAY:
            raise _Bad(f"{field}.at", "consent", "lies in the future")
        source = grant.get("source")
        if not isinstance(source, str) or not source:
            raise _Bad(f"{field}.source", "consent", "says where it was given, as text")
        for key in ("text", "topic"):
            if grant.get(key) is not None and not isinstance(grant[key], str):
                raise _Bad(f"{field}.{key}", "type", "must be text")
        _tree(field, grant)
        return {"at": at, "source": source, "text": grant.get("text"), "topic": grant.get("topic") or "*"}


def _collect(bad: list[_Bad], name: str, parse: Any, value: Any) -> None:
    if (value is None or value == "") and name != "id":
        return
    try:
        parse(value)
    except _Bad as error:
        bad.append(error)


@functools.lru_cache(maxsize=256)
def _named(keys: tuple[str, ...]) -> frozenset[str]:
    """Which of the recipient's own fields a row names, to set or to clear them. Called with known keys only."""
    return frozenset(keys) & {"email", "phone", "zone", "locale", "country"}


def _text(field: str, value: Any) -> str:
    if type(value) is not str:
        raise _Bad(field, "type", f"must be text, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "true or false", dict: "an object", list: "an array", str: "text"}.get(type(value), "a number")


def _id(value: Any) -> str:
    if type(value) is int:
        value = str(value)
    if value is None or value == "":
        raise _Bad("id", "id", "is missing; every row needs the recipient's id")
    text = _text("id", value)
    if len(text) > MAX_ID:
        raise _Bad("id", "too_long", f"is longer than {MAX_ID} characters")
    if text[0] == " " or text[-1] == " ":
        raise _Bad("id", "id", "begins or ends with a space")
    return text


def _email(value: Any) -> str:
    try:
        return parse_email(_text("email", value))
    except AddressError as error:
        raise _Bad("email", error.code, error.detail) from None


def _phone(value: Any, region: str | None) -> str:
    try:
        return parse_phone(_text("phone", value), region)
    except AddressError as error:
        raise _Bad("phone", error.code, error.detail) from None


def _zone(value: Any) -> str:
    if type(value) is str and value in zone_names():
        return value
    known = known_zone(_text("zone", value))
    if known is None:
        raise _Bad("zone", "zone", f"{show(value)} is no IANA time zone; write it as Asia/Jakarta")
    return known


def _locale(value: Any) -> str:
    text = _text("locale", value)
    kept = plain_locale(text)
    if kept is None:
        raise _Bad("locale", "locale", f"{show(text)} is no locale; write it as id or fa-IR")
    return kept


def plain_locale(text: str) -> str | None:
    """The form in which a locale is kept; None = it is none."""
    return text.replace("_", "-") if _LOCALE.fullmatch(text) else None


def _country(value: Any) -> str:
    text = _text("country", value)
    if text in countries():
        return text
    if text.upper() in countries():
        return text.upper()
    try:
        return parse_country(text.upper())
    except ValueError as error:
        suggestion = getattr(error, "suggestion", None)
        hint = f'; did you mean "{suggestion}"?' if suggestion else ""
        raise _Bad("country", "country", f"{show(text)} is no country code of two letters{hint}") from None


def _traits(value: Any) -> Mapping[str, Any]:
    traits = _tree("traits", value)
    quiet = traits.get("quiet_hours")
    if quiet is not None:
        texts = [quiet] if isinstance(quiet, str) else quiet
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _Bad("traits.quiet_hours", "type", 'must be ranges such as ["22:00-08:00"]')
        try:
            _check_quiet(tuple(texts))
        except WindowError as error:
            raise _Bad("traits.quiet_hours", "quiet_hours", plain(error.what, 200)) from None
    preferred = traits.get("preferred_channels")
    if preferred is not None and not (isinstance(preferred, list) and all(isinstance(name, str) for name in preferred)):
        raise _Bad("traits.preferred_channels", "type", 'must be channels such as ["sms", "email"]')
    return traits


@functools.lru_cache(maxsize=1024)
def _check_quiet(texts: tuple[str, ...]) -> None:
    parse_quiet_hours(texts)


def _tree(field: str, value: Any) -> dict[str, Any]:
    """An object of the sender's own, within limits."""
    if type(value) is not dict:
        raise _Bad(field, "type", f"must be an object, not {_kind(value)}")
    for key, inner in value.items():
        if type(inner) is str:
            if len(inner) > MAX_FIELD_BYTES // 4 and len(inner.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES:
                raise _Bad(f"{field}.{show(key)[1:-1]}", "too_long", f"is longer than {MAX_FIELD_BYTES} bytes")
        elif inner.__class__ is dict or inner.__class__ is list:
            _walk(f"{field}.{show(key)[1:-1]}", inner, 2)
    if len(value) > MAX_KEYS:
        raise _Bad(field, "too_long", f"has {len(value)} keys; at most {MAX_KEYS}")
    return value


def _walk(field: str, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _Bad(field, "json_depth", f"is nested more than {MAX_DEPTH} deep")
    inner: Sequence[Any] = list(value.values()) if isinstance(value, dict) else value
    if len(inner) > MAX_KEYS:
        raise _Bad(field, "too_long", f"has {len(inner)} items; at most {MAX_KEYS}")
    for item in inner:
        if isinstance(item, str):
            if len(item.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES:
                raise _Bad(field, "too_long", f"is longer than {MAX_FIELD_BYTES} bytes")
        elif isinstance(item, dict | list):
            _walk(field, item, depth + 1)


def _unknown(value: Mapping[str, Any], name: str | None = None) -> _Bad:
    name = name if name is not None else next(key for key in value if key not in _FIELDS)
    hint = _hint(name, FIELDS)
    return _Bad(show(name)[1:-1], "unknown_field", f"is no field of a recipient{hint or '; a value of your own goes into vars or traits'}")


def _hint(name: str, known: Sequence[str]) -> str:
    found = nearest(name, known)
    return f'; did you mean "{found}"?' if found else ""


def clean(value: Mapping[str, Any]) -> None:
    """Raises ValueError when a text of the row has a character that no value may have."""
    for error in _control_errors(value):
        raise error


def _control_errors(value: Mapping[str, Any]) -> list[_Bad]:
    """Fields with a character that no value may have. Addresses have their own, stricter answer."""
    found: list[_Bad] = []
    for name, inner in value.items():
        if name in ("email", "phone") and isinstance(inner, str):
            continue
        character = _first_control(name) or _first_control(inner)
        if character:
            detail = f"holds U+{ord(character):04X}, a control, line-separator or direction character, or half a pair"
            found.append(_Bad(show(name)[1:-1], "control_char", detail))
    return found


def _first_control(value: Any) -> str | None:
    """The first forbidden character in a tree of values and keys, without recursion."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if match := _CONTROL.search(item):
                return match[0]
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
    return None
