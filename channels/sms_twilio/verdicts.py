"""Twilio SMS: what an answer or a code of Twilio's means, as an outcome of a send or as feedback. Pure.

Codes and their sources: twilio.com/docs/api/errors (20429 "never processed"; 21610; 30003, 30006) and Twilio's OpenAPI description.
What a 4xx refuses was surely not taken; a 5xx, or what nobody can read, may have been acted upon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from plugins import UNSUBSCRIBED, Accepted, Deferred, FeedbackKind, Outcome, Rejected, Unknown

STOPPED = "21610"
"""The person replied STOP to this sender or Messaging Service: Twilio refuses until START."""
DEAD = frozenset({"21211", "21614", "21635", "30005", "30006"})
"""No message will ever reach this number: not valid, no mobile, a landline, unknown to its network."""
QUEUE_FULL = frozenset({"21611", "30001"})
"""More waits at the sender than it gets rid of in ten hours."""
QUEUE_FULL_SECONDS = 900.0
DAILY_LIMIT = "63038"
THROTTLED = "20429"
OPERATOR: Mapping[str, str] = {
    "20003": "Twilio refuses our credentials",
    "20404": "Twilio does not know this account or address: check account_sid and base_url",
    "21212": "Twilio does not take `from` as a sender",
    "21408": "SMS to this country is not enabled: console, Messaging, Settings, Geo permissions",
    "21601": "`from` is no SMS number of this account",
    "21603": "Twilio asks for a sender",
    "21606": "`from` cannot send SMS to this destination",
    "21608": "a trial account sends to verified numbers only",
    "21609": "Twilio does not take our callback address: check [http] public_url",
    "30002": "the account is suspended",
    "30034": "the US number is not registered (A2P 10DLC)",
}
TAKEN = frozenset({"accepted", "scheduled", "queued", "sending", "sent", "delivered", "partially_delivered", "read"})
FAILED = frozenset({"failed", "undelivered", "canceled"})

_KINDS: Mapping[str, FeedbackKind] = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), "accepted"),
    "delivered": "delivered",
    "read": "opened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: `message` is the JSON object of the body, None if it is none; `after`: the Retry-After header."""

    status: int
    message: Mapping[str, Any] | None
    after: str | None = None


def judge(answer: Answer, now: Callable[[], datetime]) -> Outcome:
    """What an answer to the request that creates a message means for it."""
    message = answer.message or {}
    if 200 <= answer.status < 300:
        return _created(message)
    code, words = _code_of(message.get("code")) or str(answer.status), _text_of(message.get("message") or message.get("title"))
    if 400 <= answer.status < 500:
        return _refused(code, answer.status, words, answer.after, now)
    if answer.status in (301, 307, 308):
        return Deferred(scope="operator", code=code, detail="base_url is wrong or has moved: Twilio answers with a redirect")
    return Unknown(code=code, detail=words or "Twilio may have acted before it answered so")


def _created(message: Mapping[str, Any]) -> Outcome:
    sid, status = message.get("sid"), message.get("status")
    if not isinstance(sid, str) or not sid:
        return Unknown(code="garbage", detail="Twilio took it, but its answer names no message")
    if status in FAILED:
        return failure(_code_of(message.get("error_code")), sid)
    return Accepted(provider_id=sid, detail=_text_of(status))


def _refused(code: str, status: int, words: str | None, after: str | None, now: Callable[[], datetime]) -> Outcome:
    if code == DAILY_LIMIT:
        return Deferred(scope="provider", after=after or _until_midnight(now()), code=code, detail=words)
    if code in QUEUE_FULL:
        return Deferred(scope="provider", after=after or QUEUE_FULL_SECONDS, code=code, detail=words, throttled=True)
    if code == THROTTLED or status == 429:
        return Deferred(scope="provider", after=after, code=code, detail=words, throttled=True)
    if code == STOPPED:
        return Rejected(scope="address", code=UNSUBSCRIBED, detail=f"{STOPPED} {words or ''}".rstrip())
    if code in DEAD:
        return Rejected(scope="address", code=code, detail=words)
    if code in OPERATOR:
        return Deferred(scope="operator", after=after, code=code, detail=OPERATOR[code])
    if status in (408, 425):
        return Deferred(scope="provider", after=after, code=code, detail=words)
    if status in (401, 403, 404, 405, 407):
        return Deferred(scope="operator", after=after, code=code, detail=words or "Twilio refuses account, credentials or address")
    return Rejected(scope="message", code=code, detail=words)


def failure(code: str | None, sid: str) -> Rejected:
    """A message that Twilio had, and that surely reached nobody."""
    if code == STOPPED:
        return Rejected(scope="address", code=UNSUBSCRIBED, detail=f"{STOPPED} {sid}")
    return Rejected(scope="address" if code in DEAD else "message", code=code, detail=sid)


def kind_of(status: str, code: str | None) -> FeedbackKind | None:
    """What a message's status says, with the error code beside it; None if nothing that concerns us."""
    if status in FAILED:
        if code == STOPPED:
            return "unsubscribed"
        return "bounced" if code in DEAD else "failed"
    return _KINDS.get(status)


def _until_midnight(now: datetime) -> float:
    """Seconds to the end of the UTC day: the daily limit is counted in it."""
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (tomorrow - now).total_seconds()


def _code_of(code: object) -> str | None:
    if isinstance(code, bool) or not isinstance(code, int | str) or not str(code).strip().isdigit():
        return None
    return str(code).strip()


def _text_of(words: object) -> str | None:
    return " ".join(words.split())[:200] if isinstance(words, str) and words.strip() else None
