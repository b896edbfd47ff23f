"""Web push: what the answer of a push service means for one subscription, and what all of them mean for the message.

Sure are only 2xx (taken) and 4xx (not taken). 404 and 410: the subscription is gone. 413: too large. 429, and 503 that names a time: not
now, this service. 401, 403, and a 400 that speaks of our proof: the key is wrong, which an operator must mend; but a service that has
taken pushes under this key means the one subscription: it was made under another key and can never be used. The rest of 5xx: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from plugins import Accepted, Deferred, Outcome, Rejected, Scope, Unknown

Kind = Literal["accepted", "gone", "refused", "later", "unsent", "operator", "unknown"]
_OF_KEY = re.compile(r"vapid|jwt|authoriz|authentic|unauthorized|applicationserverkey", re.IGNORECASE)
_MOVED = (301, 307, 308)


class Answer(NamedTuple):
    """What became of one subscription. `text`: it, as in the message. later: surely not taken, may be tried; unsent: no byte left."""

    text: str
    kind: Kind
    code: str | None = None
    detail: str | None = None
    after: float | None = None
    id: str | None = None
    throttled: bool = False


def judge(text: str, status: int, said: str, after: float | None, *, proven: bool, id: str | None = None) -> Answer:
    """`said`: the beginning of the answer's body; `after`: seconds of its Retry-After; `proven`: it has taken pushes under our key."""
    code = str(status)
    if 200 <= status < 300:
        return Answer(text, "accepted", id=id)
    if status in (404, 410):
        return Answer(text, "gone", code, "the subscription is gone")
    if status == 413:
        return Answer(text, "refused", "too_large", "the push service takes less (413)")
    if status == 429 or (status == 503 and after is not None):
        return Answer(text, "later", code, "the push service wants to be left alone", after, throttled=True)
    if status in (401, 403) or (status == 400 and _OF_KEY.search(said)):
        if proven:
            return Answer(text, "gone", code, "the subscription was made under another key")
        return Answer(text, "operator", code, f"the push service refuses our VAPID key or subject: {_line(said) or code}")
    if status in (408, 425):
        return Answer(text, "later", code, None, after)
    if status in _MOVED or 400 <= status < 500:
        return Answer(text, "refused", code, _line(said) or None)
    return Answer(text, "unknown", code, "the push service may have taken it")


def conclude(answers: Sequence[Answer], grown: float = 0.0) -> Outcome:
    """One outcome for all subscriptions of the recipient: accepted if one is; else in doubt if one is. `grown`: seconds to wait at least
    where a later try may help."""
    if len(answers) == 1 and answers[0].kind == "accepted":
        return Accepted(provider_id=answers[0].id)
    gone = tuple(answer.text for answer in answers if answer.kind == "gone")
    by: dict[Kind, Answer] = {}
    for answer in answers:
        by.setdefault(answer.kind, answer)
    if (first := by.get("accepted")) is not None:
        return Accepted(provider_id=first.id, gone=gone)
    if (first := by.get("unknown")) is not None:
        return Unknown(code=first.code, detail=first.detail, gone=gone)
    if (first := by.get("operator")) is not None:
        return Deferred(scope="operator", code=first.code, detail=first.detail, gone=gone)
    waits = [answer for answer in answers if answer.kind in ("later", "unsent")]
    if waits:
        named = [answer.after for answer in waits if answer.after is not None]
        return Deferred(
            scope="domain", after=max(min(named), grown) if named else (grown or None), code=waits[0].code, detail=waits[0].detail,
            nothing_sent=all(answer.kind == "unsent" for answer in answers), throttled=all(answer.throttled for answer in waits), gone=gone,
        )  # fmt: skip
    if (first := by.get("refused")) is not None:
        scope: Scope = "address" if first.code == "bad_subscription" else "message"
        return Rejected(scope=scope, code=first.code, detail=first.detail, gone=gone)
    return Rejected(scope="address", code=answers[0].code, detail=answers[0].detail, gone=gone)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
