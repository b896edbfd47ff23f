"""Web: what a request may say besides its path: query parameters and the fields of a small JSON body, declared once.

The declaration checks requests (unknown, repeated, missing or wrong = 422, naming each) and is what `openapi` prints, so the two
cannot differ. Whole jobs have their own door (`intake`), which says what is wrong with each row.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from daemon.ids import Ids, decode_id
from daemon.web.problems import Fault, invalid

DEFAULT_LIMIT = 100
MOST_LIMIT = 1000
MOST_TEXTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """kind: text | integer | boolean | delivery (a public id) | texts (a list of them) | object. `most`: characters or value."""

    name: str
    about: str
    kind: str = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 500

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        match self.kind:
            case "integer":
                return {"type": "integer", "minimum": self.least, "maximum": self.most}
            case "boolean":
                return {"type": "boolean"}
            case "texts":
                return {"type": "array", "items": {"type": "string", "maxLength": self.most}, "minItems": 1, "maxItems": MOST_TEXTS}
            case "object":
                return {"type": "object"}
            case "delivery":
                return {"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{13}$"}
            case _:
                limits = {"enum": list(self.choices)} if self.choices else {"minLength": 1, "maxLength": self.most}
                return {"type": "string", **limits}

    def check(self, value: Any) -> Any:
        """The value as handlers take it. ValueError with words for the caller."""
        if not self._fits(value):
            raise ValueError(f"{self.name} must be {self._words()}")
        if self.kind == "delivery":
            return decode_id(value)
        return tuple(value) if self.kind == "texts" else value

    def _fits(self, value: Any) -> bool:
        match self.kind:
            case "integer":
                return isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most
            case "boolean":
                return isinstance(value, bool)
            case "texts":
                return isinstance(value, list) and 0 < len(value) <= MOST_TEXTS and all(map(self._is_text, value))
            case "object":
                return isinstance(value, dict)
            case "delivery":
                return isinstance(value, str) and decode_id(value) is not None
            case _:
                return self._is_text(value) and (not self.choices or value in self.choices)

    def _is_text(self, value: Any) -> bool:
        return isinstance(value, str) and 0 < len(value) <= self.most

    def _words(self) -> str:
        match self.kind:
            case "integer":
                return f"a whole number from {self.least} to {self.most}"
            case "boolean":
                return "true or false"
            case "texts":
                return f"a list of 1 to {MOST_TEXTS} strings of at most {self.most} characters"
            case "object":
                return "an object"
            case "delivery":
                return "a delivery's id of 13 characters"
            case _:
                return f"one of {', '.join(self.choices)}" if self.choices else f"a string of 1 to {self.most} characters"


LIMIT = Field(name="limit", kind="integer", least=1, most=MOST_LIMIT, about=f"Items on a page; {DEFAULT_LIMIT} if not given.")
CURSOR = Field(name="cursor", about="Where the page before ended: its `next`.", most=1000)
PAGING = (LIMIT, CURSOR)


def check_query(request: web.BaseRequest, fields: Sequence[Field]) -> dict[str, Any]:
    """The parameters that are given, checked."""
    known = {field.name: field for field in fields}
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        field = known.get(name)
        if field is None:
            allowed = f"it may have {', '.join(known)}" if known else "it takes none"
            faults.append(Fault(code="unknown_parameter", detail=f"this path knows no such parameter; {allowed}"))
        elif len(values) > 1:
            faults.append(Fault(code="repeated_parameter", detail=f"{name} is given twice", pointer=name))
        else:
            _take(field, _from_text(field, values[0]), name, found, faults)
    faults += [
        Fault(code="missing", detail=f"{field.name} is required", pointer=field.name)
        for field in fields
        if field.required and field.name not in request.query
    ]
    if faults:
        raise invalid(faults, where="the query")
    return found


def _from_text(field: Field, text: str) -> Any:
    if field.kind == "integer":
        digits = text.removeprefix("-")
        return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else text
    if field.kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def check_fields(value: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The fields of a JSON object, checked; null is as not given."""
    if not isinstance(value, dict):
        raise invalid([Fault(code="type", detail="the body must be an object", pointer="")], where="the body")
    known = {field.name: field for field in fields}
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, item in value.items():
        field = known.get(name)
        if field is None:
            allowed = f"fields are {', '.join(known)}" if known else "it has no fields"
            faults.append(Fault(code="unknown_field", detail=f"there is a field that is not known; {allowed}", pointer=""))
        elif item is not None:
            _take(field, item, f"/{name}", found, faults)
    faults += [
        Fault(code="missing", detail=f"{field.name} is required", pointer=f"/{field.name}")
        for field in fields
        if field.required and value.get(field.name) is None
    ]
    if faults:
        raise invalid(faults, where="the body")
    return found


def _take(field: Field, value: Any, pointer: str, found: dict[str, Any], faults: list[Fault]) -> None:
    try:
        found[field.name] = field.check(value)
    except ValueError as error:
        faults.append(Fault(code="invalid", detail=str(error), pointer=pointer))


class Cursors:
    """Signed positions in lists, good for one list and until the daemon ends."""

    def __init__(self, ids: Ids) -> None:
        self._key = ids.token_bytes(32)

    def write(self, kind: str, position: Sequence[str | int] | None) -> str | None:
        if position is None:
            return None
        text = json.dumps([kind, *position], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(text) + text).rstrip(b"=").decode("ascii")

    def read(self, kind: str, query: Mapping[str, Any]) -> list[Any] | None:
        """The position in the query's `cursor`; None without one. 422 if it was not made here for this list."""
        given = query.get("cursor")
        if given is None:
            return None
        try:
            raw = base64.b64decode(str(given) + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        text = raw[16:]
        if not hmac.compare_digest(raw[:16], self._mac(text)) or (position := json.loads(text))[0] != kind:
            fault = Fault(code="cursor", detail="this cursor is not (or no longer) good here; begin at the first page", pointer="cursor")
            raise invalid([fault], where="the query")
        return list(position[1:])

    def _mac(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")[:16]
