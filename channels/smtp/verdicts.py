"""SMTP: what a relay's answer means for a message. Pure: a reply and its stage in, an outcome out.

any   421: provider, throttled · 530 534 535 538 and "relay access denied": operator
      500 502 503 504 or a reply of the wrong kind: Deferred, and the connection is given up
MAIL  4xx: provider · 552, 5.3.4: Rejected (too_large) · 5.6.7: Rejected (smtputf8)
      other 5xx: the sender is refused: operator; Deferred when the campaign chose that sender
RCPT  4xx by status: 4.3 provider · 4.4, 4.7 domain (4.7 throttled) · else message
      5xx: 5.1.x or "user unknown": Rejected, address · 552: Rejected (too_large) · else Rejected, message
DATA  4xx: provider · 5xx: Rejected, message
dot   2xx: Accepted · 4xx and 5xx as at RCPT · 3xx: Unknown

A refused sender is nobody's fault among the recipients, so it never ends a message. After the final dot only a whole, well-formed
2xx, 4xx or 5xx is an answer; all else is `Unknown`, made by `courier`. Status codes: RFC 3463, RFC 5321 §4.2, RFC 7505, RFC 6531.
"""

from __future__ import annotations

import re

from channels.smtp.replies import Reply
from plugins import Accepted, Deferred, Outcome, Rejected, Scope, Unknown

_OPERATOR_CODES = frozenset({530, 534, 535, 538})
_SEQUENCE_CODES = frozenset({500, 502, 503, 504})
_SENDER_STATUS = frozenset({"5.1.7", "5.1.8"})

_relay_denied = re.compile(
    r"relay(ing)? (access )?(is )?(denied|not (permitted|allowed))|not permitted to relay|authentication (is )?required", re.IGNORECASE
)
_rate = re.compile(r"\brate|throttl|too (many|much|fast)|grey-?list|gray-?list|try again later|deferred due to", re.IGNORECASE)
_unknown_user = re.compile(
    r"(user|recipient|mailbox|address|account)[^.]{0,40}"
    r"(unknown|not found|does ?n.t exist|does not exist|unavailable|invalid|disabled|inactive)"
    r"|(no such|unknown|invalid|non-?existent) (local )?(user|recipient|mailbox|address|account|person)|no mailbox here",
    re.IGNORECASE,
)


def refused_at_mail(reply: Reply, *, own_sender: bool) -> Outcome:
    """MAIL was refused: that is about the sender, the size or the relay, never about the recipient."""
    if special := _special("MAIL", reply, scope="provider"):
        return special
    detail = f"MAIL: {reply.text}"
    if reply.code == 552 or reply.status in ("5.3.4", "5.2.3"):
        return Rejected(code="too_large", detail=detail)
    if reply.status == "5.6.7":
        return Rejected(code="smtputf8", detail=detail)
    return Deferred(scope="message" if own_sender else "operator", code=reply.key, detail=detail)


def refused_at_rcpt(reply: Reply) -> Outcome:
    """RCPT was refused: about this recipient, as a rule."""
    return _special("RCPT", reply, scope="message") or _rejected("RCPT", reply)


def refused_at_data(reply: Reply) -> Outcome:
    """DATA was refused although the envelope was taken."""
    return _special("DATA", reply, scope="provider") or _rejected("DATA", reply)


def answered_dot(reply: Reply) -> Outcome:
    """The reply to the final dot: the only one that can accept a mail."""
    if reply.positive:
        return Accepted(provider_id=reply.queue_id, detail=reply.text)
    if 300 <= reply.code < 400:
        return Unknown(code=reply.key, detail=f"the final dot was answered with {reply.code} {reply.text}")
    if 400 <= reply.code < 500:
        return _later("dot", reply, "message")
    if reply.code in _OPERATOR_CODES:
        return Deferred(scope="operator", code=reply.key, detail=f"dot: {reply.text}")
    return _rejected("dot", reply)


def is_odd(reply: Reply) -> bool:
    """True for a refusal that shows client and relay out of step, such as 250 to DATA or 503: the connection is given up."""
    return reply.code < 400 or reply.code in _SEQUENCE_CODES


def _special(stage: str, reply: Reply, *, scope: Scope) -> Outcome | None:
    """Answers that mean the same at each stage before the dot; None for a 5xx that ends the message."""
    if is_odd(reply):
        return Deferred(scope="provider", code=f"odd {reply.key}", detail=f"{stage}: {reply.text}")
    if reply.code < 500:
        return _later(stage, reply, scope)
    if reply.code in _OPERATOR_CODES or _relay_denied.search(reply.text) is not None:
        return Deferred(scope="operator", code=reply.key, detail=f"{stage}: {reply.text}")
    return None


def _later(stage: str, reply: Reply, scope: Scope) -> Deferred:
    """4xx: the relay surely did not take it."""
    status = reply.status
    detail = f"{stage}: {reply.text}"
    if reply.code == 421:
        return Deferred(scope="provider", code=reply.key, detail=detail, throttled=True)
    if reply.code == 454 or status.startswith("4.3."):
        scope = "provider"
    elif scope == "message" and status.startswith(("4.4.", "4.7.")):
        scope = "domain"
    throttled = status.startswith("4.7.") or _rate.search(reply.text) is not None
    if throttled and scope == "message":
        scope = "domain"
    return Deferred(scope=scope, code=reply.key, detail=detail, throttled=throttled)


def _rejected(stage: str, reply: Reply) -> Rejected:
    detail = f"{stage}: {reply.text}"
    status = reply.status
    if reply.code == 552 or status in ("5.3.4", "5.2.3"):
        return Rejected(code="too_large", detail=detail)
    if status:
        unknown = status.startswith("5.1.") and status not in _SENDER_STATUS
    else:
        unknown = stage != "DATA" and reply.code in (550, 551, 553) and _unknown_user.search(reply.text) is not None
    return Rejected(scope="address" if unknown else "message", code=reply.key, detail=detail)
