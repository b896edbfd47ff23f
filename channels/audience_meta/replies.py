"""Meta: what an answer of the Graph API says. Pure: status, headers and body in, an outcome out.

Errors go by `error.code` and `error.error_subcode` (Marketing API error reference; Custom Audience session errors 2650). A batch is safe
to send again, so whatever is not surely refused is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from plugins import Deferred, Rejected, SessionLost, Unknown

RATE_CODES = frozenset({4, 17, 613, 80003, 80004})
TRANSIENT = frozenset({1, 2})
OPERATOR = frozenset({10, 102, 190, 200, 294, 368})
"""Token expired or without the right, terms not accepted, against a policy: a person has to see to it."""
SESSION = 2650
WAIT, FIRST_MISSING, EXPIRED, FINISHED, REDO = 1870145, 1870147, 1870158, 1870159, 1870148
BLOCKED = 1713230
TERMS = 1870090
WAIT_SECONDS = 30.0
RATE_SECONDS = 60.0
FULL_PERCENT = 95
USAGE = "X-Business-Use-Case-Usage"

Fault = Deferred | Rejected | Unknown | SessionLost


def rest_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to leave the platform alone by its own count of our use; None = it has room."""
    try:
        usage = json.loads(headers.get(USAGE) or "{}")
        entries = [entry for each in usage.values() for entry in each]
    except (ValueError, AttributeError, TypeError):
        return None
    minutes = max((_number(entry, "estimated_time_to_regain_access") for entry in entries), default=0)
    if minutes > 0:
        return minutes * 60.0
    full = max((_number(entry, name) for entry in entries for name in ("call_count", "total_cputime", "total_time")), default=0)
    return RATE_SECONDS if full >= FULL_PERCENT else None


def _number(entry: Any, name: str) -> float:
    value = entry.get(name, 0) if isinstance(entry, dict) else 0
    return float(value) if isinstance(value, int | float) else 0.0


def fault_of(status: int, headers: Mapping[str, str], body: Any) -> Fault:
    """What an answer that is no success means for the batch."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {}
    code, sub = error.get("code"), error.get("error_subcode")
    name = "/".join(str(part) for part in (code or status, sub) if part is not None)
    detail = " ".join(str(error.get("message") or "").split())[:200] or None
    if code in RATE_CODES or status == 429:
        after = headers.get("Retry-After") or rest_of(headers) or RATE_SECONDS
        return Deferred(scope="provider", after=after, code=name, detail=detail, throttled=True)
    if code == SESSION:
        return _session(sub, name, detail)
    if sub == BLOCKED:
        return Rejected(scope="message", code=name, detail=detail or "Meta does not take this audience any more")
    if code in OPERATOR or sub == TERMS or (code is None and status in (401, 403)):
        return Deferred(scope="operator", code=name, detail=detail or "Meta refuses our token or rights")
    if code in TRANSIENT or error.get("is_transient") or status >= 500:
        return Unknown(code=name, detail=detail)
    if status == 408:
        return Deferred(scope="provider", code=name, detail=detail)
    if code is None and status in (404, 405, 301, 302, 307, 308):
        return Deferred(scope="operator", code=name, detail="base_url or version in the provider's settings is wrong or has moved")
    return Rejected(scope="message", code=name, detail=detail)


def _session(sub: Any, name: str, detail: str | None) -> Fault:
    if sub == WAIT:
        return Deferred(scope="message", after=WAIT_SECONDS, code=name, detail=detail)
    if sub in (FIRST_MISSING, EXPIRED, FINISHED):
        return SessionLost(code=name, detail=detail)
    return Unknown(code=name, detail=detail)  # REDO: the same batch again
