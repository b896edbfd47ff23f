"""POLICY, retargeting: may this person be in an advertising audience at all?

Stricter than for a message: whoever unsubscribed from any channel, complained, bounced or is suppressed anywhere is not followed about
with ads either. Pure: facts in, the reason of a refusal out, or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Reason
from daemon.policy.permission import ConsentRule
from daemon.policy.subject import ANY


def refuse(
    *, erased: bool, addressed: bool, suppressed: Iterable[Reason], consents: Mapping[tuple[str, str], str], topic: str | None, rule: str
) -> Reason | None:
    """Why not, or None. `consents`: (channel, topic or "*") -> granted | withdrawn | pending; `rule`: of `[consent] audience`; `addressed`:
    there is an e-mail address or a phone number to match by."""
    if erased:
        return Reason.ERASED
    for reason in suppressed:
        return reason
    topics = {ANY, topic} if topic else {ANY}
    for (_, of), state in consents.items():
        if state == "withdrawn" and of in topics:
            return Reason.NO_CONSENT if of == ANY else Reason.TOPIC_OFF
    if not addressed:
        return Reason.NO_ADDRESS
    granted = any(consents.get((AUDIENCE, of)) == "granted" for of in topics)
    return None if granted or rule == ConsentRule.IMPLIED else Reason.NO_CONSENT
