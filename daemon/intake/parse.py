"""INTAKE, reading: what all three body formats share: strict JSON, limits, and the shape of one row as read.

A reader goes through a file in constant memory and can go on from (`offset`, `line`) after a restart. A row that cannot be
read becomes an `Item` with a code; only a body that breaks off raises. Values are data: nothing is guessed or repaired.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

MAX_ROW_BYTES = 256 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_HEAD_BYTES = 1024 * 1024
MAX_COLUMNS = 1000
MAX_NUMBER_LENGTH = 40


class Format(StrEnum):
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class Item(NamedTuple):
    """One row as read. `line`: of the body, from 1 (for a JSON document the row's number). `suspect`: its texts may hold
    control characters, so that each has to be looked at. Bad rows have no value, but a `code` and a `detail`."""

    line: int
    value: dict[str, Any] | None
    suspect: bool = False
    code: str = ""
    detail: str = ""


Ready = TypeVar("Ready")
Ready_co = TypeVar("Ready_co", covariant=True)
Quick = Callable[[int, bytes], Ready | None]
"""A way past `Item`: the finished row from (line, bytes), or None if it is not plain (see `quick`)."""


def never(line: int, raw: bytes) -> None:
    """No quick way."""


class Reader(Protocol[Ready_co]):
    """Goes through the rows of one body."""

    offset: int
    """Bytes of the body behind the rows that were given out."""
    line: int
    """Lines (for a JSON document: rows) behind them."""

    def read(self, count: int) -> Sequence[Item | Ready_co]:
        """The next rows, at most `count`; fewer = the end. Raises BodyError when the body breaks off."""
        ...


class BodyError(Exception):
    """The body as a whole cannot be read. `code`: `cut_off`, `encoding`, `json`, `columns`, `head`, `too_large`."""

    def __init__(self, code: str, detail: str, line: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.line = line


class RowJsonError(ValueError):
    """A row that is not JSON as we take it."""

    def __init__(self, code: str, detail: str, *, broken: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.broken = broken
        """It is no JSON at all; at the end of a body that means: cut off."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise RowJsonError("duplicate_key", f"the key {show(twice)} stands twice in one object")
    return found


def refuse_constant(name: str) -> Any:
    """NaN and the infinities, which `json` would take."""
    raise RowJsonError("number", f"{name} is not a number that JSON knows")


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise RowJsonError("number", f"a number of {len(text)} digits; at most {MAX_NUMBER_LENGTH}")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value) or len(text) > MAX_NUMBER_LENGTH:
        raise RowJsonError("number", f"the number {text[:20]} is outside what can be kept")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=refuse_constant, parse_int=_integer, parse_float=_float)
_decode = _decoder.raw_decode
_SPACE = " \t\r\n"


def loads(text: str) -> Any:
    """Strict JSON: no NaN, no infinite or endless numbers, no key twice. Raises RowJsonError."""
    text = text.strip(_SPACE)
    try:
        value, end = _decode(text)
    except json.JSONDecodeError as error:
        raise RowJsonError("json", f"not JSON: {error.msg.lower()} at column {error.pos + 1}", broken=True) from None
    except RecursionError:
        raise RowJsonError("json_depth", "nested too deeply") from None
    if end != len(text):
        raise RowJsonError("json", f"not JSON: more text after the value, at column {end + 1}", broken=True)
    return value


def read_object(line: int, raw: bytes) -> Item:
    """One row of JSON. Raises RowJsonError when it is none."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Item(line, None, False, "encoding", f"not UTF-8: byte 0x{raw[error.start]:02x} at {error.start + 1}")
    value = loads(text)
    if type(value) is not dict:
        return Item(line, None, False, "row", "a row is a JSON object")
    return Item(line, value, "\\" in text or not text.rstrip("\r\n").isprintable())


def bad(line: int, error: RowJsonError) -> Item:
    return Item(line, None, False, error.code, error.detail)


def too_long(line: int) -> Item:
    return Item(line, None, False, "too_long", f"a row has at most {MAX_ROW_BYTES} bytes")


def show(value: object, limit: int = 60) -> str:
    """A foreign value in a message: quoted, escaped, short."""
    return '"' + plain(value if isinstance(value, str) else str(value), limit) + '"'


def plain(text: str, limit: int) -> str:
    """Words that quote a foreign value: nothing unprintable as it is, and short."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def skip_bom(file: BinaryIO) -> int:
    """Bytes of a UTF-8 mark at the beginning (the file stands behind it). Raises BodyError for UTF-16 and UTF-32."""
    file.seek(0)
    start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(start) >= 2 and 0 in start):
        raise BodyError("encoding", "the body is UTF-16 or UTF-32, or no text; write it as UTF-8", 1)
    length = 3 if start.startswith(b"\xef\xbb\xbf") else 0
    file.seek(length)
    return length
