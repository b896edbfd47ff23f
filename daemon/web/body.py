"""Web: reads bodies: no more than is allowed, no slower than is allowed, no type that was not asked for.

A body that stalls ends with 408, one that grows too large with 413 while it is being read, and the connection ends with the
answer. Time that the daemon takes itself (a full disk queue) is not held against the sender.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from daemon.clock import Clock
from daemon.web.connection import Limits
from daemon.web.problems import ProblemError

MOST_DEPTH = 64


def media_type(request: web.BaseRequest, allowed: Sequence[str], *, packed: bool = False) -> str:
    """The body's type if it is one of `allowed` (in UTF-8; compressed only where the caller unpacks it); else 415."""
    found = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    charset = (request.charset or "utf-8").lower().replace("_", "-") if found in allowed else "utf-8"
    if found not in allowed or (encoding != "identity" and not packed) or charset not in ("utf-8", "utf8", "us-ascii"):
        detail = f"send {' or '.join(allowed)} in UTF-8{' or gzip' if packed else ', not compressed'}"
        raise ProblemError("unsupported-media-type", detail, headers={"Accept": ", ".join(allowed)}, close=True)
    return found


async def chunks(request: web.BaseRequest, clock: Clock, limits: Limits, most: int) -> AsyncIterator[bytes]:
    """The body piece by piece. 413 past `most` bytes; 408 when it falls behind `body_rate` by more than `body_start_seconds`."""
    if (request.content_length or 0) > most:
        raise _too_large(most)
    credit = limits.body_start_seconds
    received = 0
    while True:
        asked = clock.monotonic()
        try:
            async with asyncio.timeout(credit):
                piece = await request.content.readany()
        except TimeoutError:
            raise ProblemError(408, "the body came too slowly", close=True) from None
        if not piece:
            return
        received += len(piece)
        if received > most:
            raise _too_large(most)
        credit = min(credit - (clock.monotonic() - asked) + len(piece) / limits.body_rate, limits.body_start_seconds)
        credit = max(credit, 0.001)
        yield piece


def _too_large(most: int) -> ProblemError:
    return ProblemError("too-large", f"a body may have {most} bytes here", close=True)


async def read_body(request: web.BaseRequest, clock: Clock, limits: Limits) -> bytes:
    """The whole of a small body."""
    return b"".join([piece async for piece in chunks(request, clock, limits, limits.body_bytes)])


def parse_json(body: bytes) -> Any:
    """One JSON value as RFC 8259 has it, without what parsers disagree about: repeated keys, NaN, deep nesting."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ProblemError("invalid-json", f"the body is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ProblemError("invalid-json", f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, _Odd) else "a number or the nesting is beyond what can be read"
        raise ProblemError("invalid-json", detail) from None
    if _depth(value) > MOST_DEPTH:
        raise ProblemError("invalid-json", f"nested deeper than {MOST_DEPTH}")
    if _has_half_pair(value):
        raise ProblemError("invalid-json", "half of a surrogate pair is no character")
    return value


class _Odd(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Odd("a key is repeated in an object")
    return found


def _constant(_: str) -> Any:
    raise _Odd("NaN and Infinity are no JSON")


def _has_half_pair(value: Any) -> bool:
    """JSON can spell them (\\ud800), but no text has them: neither the store nor an answer could."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _depth(value: Any) -> int:
    level, layer = 0, [value]
    while layer:
        level += 1
        layer = [
            inner for item in layer if isinstance(item, dict | list) for inner in (item.values() if isinstance(item, dict) else item)
        ]  # fmt: skip
        if level > MOST_DEPTH:
            break
    return level
