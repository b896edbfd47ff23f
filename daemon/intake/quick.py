"""INTAKE, the quick way for plain rows: from the bytes of a JSON object straight to what the store takes.

It answers only where the thorough way (`parse`, `rows`, `body.plan_row`) would give the very same row, and None for everything
else: what is wrong or unusual is looked at there, with its words. A test compares the two on any row. Pure but for the zone and
number tables. The thorough way costs three times as much a row, and nearly all rows are plain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from daemon.config.values import countries
from daemon.intake.addresses import EMAIL, PHONE, AddressError, hasher
from daemon.intake.emails import parse_email
from daemon.intake.parse import MAX_NUMBER_LENGTH, refuse_constant
from daemon.intake.phones import parse_phone
from daemon.intake.rows import FIELDS, MAX_DEPTH, MAX_ID, MAX_KEYS, clean, plain_locale
from daemon.policy.zones import zone_names
from daemon.store.recipients import NAMED, PlanRow, person_id

MOST_BYTES = 16_000
"""Longer rows go the thorough way: below this no text can be over its limit."""
_SHAPES = 1000
_SAFE = 10**15
_FLOAT = 1 << 32
_LONG_NUMBER = re.compile(rf"[0-9.eE+-]{{{MAX_NUMBER_LENGTH + 1}}}")
_UNUSUAL = -1

_decode = json.JSONDecoder(parse_constant=refuse_constant).raw_decode


class _Unusual(Exception):
    """Not for the quick way."""


class QuickRows:
    """Call from one thread at a time. `pepper`: the secret of the address hashes."""

    def __init__(self, pepper: bytes) -> None:
        self._email_hash, self._phone_hash = hasher(pepper, EMAIL), hasher(pepper, PHONE)
        self._shapes: dict[tuple[str, ...], int] = {}
        self._locales: dict[str, str] = {}
        self._zones, self._countries = zone_names(), frozenset(countries())
        self._spell = quick_encoder()

    def of_json(self, line: int, raw: bytes) -> PlanRow | None:
        """A row as it stands in the body; with or without its line break."""
        if len(raw) > MOST_BYTES:
            return None
        try:
            text = raw.decode()
            value, end = _decode(text)
            if value.__class__ is not dict or text[end:] not in ("\n", "", "\r\n"):
                return None
            if "\\" in text or (not (raw.isascii() and "\x7f" not in text) and not text[:end].isprintable()):
                clean(value)
            keys = len(value) + _count(value.values(), 0)
        except (ValueError, RecursionError, _Unusual):
            return None
        if keys >= _FLOAT:
            if _LONG_NUMBER.search(text):
                return None
            keys %= _FLOAT
        if text.count(":") != keys and not _single(text, keys):
            return None
        return self.of_value(line, value)

    def of_cells(self, line: int, value: dict[str, Any]) -> PlanRow | None:
        """A row of a table, all texts, none with a control character."""
        for name in ("traits", "vars"):
            if name in value and any(len(text) > MOST_BYTES for text in value[name].values()):
                return None
        return self.of_value(line, value)

    def of_value(self, line: int, value: dict[str, Any]) -> PlanRow | None:
        """A row as read: strict JSON within its limits, without a control character."""
        names = tuple(value)
        named = self._shapes.get(names)
        if named is None:
            named = self._shape(names)
        if named == _UNUSUAL:
            return None
        get = value.get
        key, email, phone, zone, locale, country = value["id"], get("email"), get("phone"), get("zone"), get("locale"), get("country")
        traits, own = get("traits"), get("vars")
        if key.__class__ is int:
            key = str(key)
        elif key.__class__ is not str or not key:
            return None
        if len(key) > MAX_ID or key[0] == " " or key[-1] == " ":
            return None
        try:
            if (zone is not None and zone not in self._zones) or (country is not None and country not in self._countries):
                return None
            email = _text(email, parse_email) if email is not None else None
            phone = _text(phone, parse_phone, country) if phone is not None else None
            locale = self._locale(locale) if locale is not None else None
        except (AddressError, _Unusual, TypeError):
            return None
        if traits and (traits.__class__ is not dict or "quiet_hours" in traits or "preferred_channels" in traits):
            return None
        if own and own.__class__ is not dict:
            return None
        return PlanRow(
            person_id(key), line, key, email, phone, zone, locale, country, named, self._spell(traits) if traits else None,
            self._email_hash(email) if email is not None else None, self._phone_hash(phone) if phone is not None else None,
            self._spell(own) if own else None, None,
        )  # fmt: skip

    def _shape(self, names: tuple[str, ...]) -> int:
        """Which of the recipient's own fields rows of these names set; kept, for a body has few shapes."""
        known = "id" in names and "consent" not in names and set(names) <= set(FIELDS)
        if len(self._shapes) >= _SHAPES:
            self._shapes.clear()
        self._shapes[names] = sum(NAMED.get(name, 0) for name in names) if known else _UNUSUAL
        return self._shapes[names]

    def _locale(self, value: Any) -> str:
        kept = self._locales.get(value) if value.__class__ is str else None
        if kept is None:
            kept = _text(value, plain_locale)
            if len(self._locales) >= _SHAPES:
                self._locales.clear()
            self._locales[value] = kept
        return kept


def _text(value: Any, parse: Callable[..., str | None], *args: Any) -> str:
    """A field that is a text and not empty, parsed."""
    kept = parse(value, *args) if value.__class__ is str and value else None
    if kept is None:
        raise _Unusual
    return kept


def _count(values: Collection[Any], depth: int) -> int:
    """The keys of all objects in a tree, plus _FLOAT for each number with a fraction. _Unusual for what may be over a limit."""
    found = 0
    for value in values:
        kind = value.__class__
        if kind is str:
            continue
        if kind is dict or kind is list:
            if depth >= MAX_DEPTH or len(value) > MAX_KEYS:
                raise _Unusual
            found += len(value) + _count(value.values(), depth + 1) if kind is dict else _count(value, depth + 1)
        elif kind is float and not math.isinf(value):
            found += _FLOAT
        elif kind is float or (kind is int and not -_SAFE < value < _SAFE):
            raise _Unusual
    return found


def _single(text: str, keys: int) -> bool:
    """Does no key stand twice in its object, although there are colons in texts? Every key is followed by `":` if none has a space
    before its colon; so as many of those as there are keys means that no key was lost."""
    return text.count('":') == keys and "\\" not in text and not any(f"{space}:" in text for space in " \t\r\n")


def quick_encoder() -> Callable[[Mapping[str, Any]], str]:
    """Compact JSON as `json.JSONEncoder.encode` writes it, by an encoder that is made once: 0.4 µs for 1.3.

    The class of the C encoder is not in the library's documentation; where it is not as we know it, the documented way is taken.
    """
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    sample = {"a": [1, 2.5, None, True, "\u20ac\\\n"], "b": {"c": ""}}
    try:
        make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        encode = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
        if "".join(encode(sample, 0)) == plain.encode(sample):
            return lambda value: "".join(encode(value, 0))
    except (AttributeError, TypeError):
        pass
    return plain.encode
