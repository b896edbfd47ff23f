"""Google: what an answer of the Data Manager API says, and what became of a request. Pure.

Format errors refuse the whole request (400) and name the rows in `fieldViolations`; the rest is asynchronous: PROCESSING, then SUCCESS,
PARTIAL_SUCCESS or FAILED with counts by reason. A request is safe to send again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from plugins import Deferred, Polled, Rejected, Unknown

MINUTE_SECONDS, DAY_PAUSE_SECONDS = 60.0, 3600.0
"""After the minute's quota, and between two looks at whether the day's is new."""
_ROW = re.compile(r"audience_?members\[(\d+)\]", re.IGNORECASE)
State = Literal["processing", "success", "partial", "failed", "unknown"]
_STATES: Mapping[str, State] = {
    "PROCESSING": "processing", "SUCCESS": "success", "PARTIAL_SUCCESS": "partial", "FAILED": "failed", "FAILURE": "failed"
}  # fmt: skip
_ORDER: tuple[State, ...] = ("success", "partial", "failed", "unknown", "processing")
"""Of several destinations, the one furthest to the right is told."""


def _details(body: Any) -> Iterator[Mapping[str, Any]]:
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    yield from (each for each in details or () if isinstance(each, dict))


def rows_refused(body: Any) -> dict[int, str]:
    """Row of the request -> why its format is wrong, of a 400."""
    found: dict[int, str] = {}
    for detail in _details(body):
        for violation in detail.get("fieldViolations") or ():
            if isinstance(violation, dict) and (row := _ROW.search(str(violation.get("field", "")))):
                found[int(row[1])] = str(violation.get("reason") or "INVALID_FORMAT").lower()[:60]
    return found


def fault_of(status: int, headers: Mapping[str, str], body: Any) -> Deferred | Rejected | Unknown:
    """What an answer that is no success means. A 400 over rows was looked at before."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {}
    code = str(error.get("status") or status)
    detail = " ".join(str(error.get("message") or "").split())[:200] or None
    if status == 429:
        quota = " ".join(str(value) for each in _details(body) for value in (each.get("metadata") or {}).values())
        day = "PerDay" in quota
        after = headers.get("Retry-After") or (DAY_PAUSE_SECONDS if day else MINUTE_SECONDS)
        return Deferred(scope="provider", after=after, code=f"{code}/{'PerDay' if day else 'PerMinute'}", detail=detail, throttled=True)
    if status in (401, 403):
        return Deferred(scope="operator", code=code, detail=detail or "Google refuses our credentials or rights")
    if status >= 500:
        return Unknown(code=code, detail=detail)
    if status in (404, 405, 301, 302, 307, 308):
        return Deferred(scope="operator", code=code, detail=detail or "base_url in the provider's settings is wrong, or the list is gone")
    if status == 408:
        return Deferred(scope="provider", code=code, detail=detail)
    return Rejected(scope="message", code=code, detail=detail)


def polled(request: str, body: Any) -> Polled:
    """What a requestStatus answer says of a request."""
    parts = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    if not isinstance(parts, list) or not parts:
        return Polled(request=request, state="processing")
    states: list[State] = []
    received: int | None = None
    failed: dict[str, int] = {}
    for part in parts:
        states.append(_STATES.get(str(part.get("requestStatus")), "unknown"))
        for kind in ("audienceMembersIngestionStatus", "audienceMembersRemovalStatus"):
            for status in (part.get(kind) or {}).values():
                if isinstance(status, dict) and "recordCount" in status:
                    received = (received or 0) + int(status["recordCount"])
        for count in (part.get("errorInfo") or {}).get("errorCounts") or ():
            reason = str(count.get("reason") or "UNKNOWN").removeprefix("PROCESSING_ERROR_REASON_").lower()[:60]
            failed[reason] = failed.get(reason, 0) + int(count.get("recordCount") or 0)
    return Polled(request=request, state=max(states, key=_ORDER.index), received=received, failed=failed)
