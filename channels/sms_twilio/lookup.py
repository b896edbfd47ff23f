"""Twilio SMS: what became of messages in doubt, by Twilio's own list: the same number, the same words, the same minutes.

Twilio has no idempotency key, so the list is the only evidence. One match settles; none, or several, or one that fits two doubts,
settles nothing: a message may be listed late, and the lack of one is no proof.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from channels.sms_twilio.verdicts import FAILED, TAKEN, failure
from plugins import Accepted, Doubt, Log, Message, Settled

if TYPE_CHECKING:
    from channels.sms_twilio.client import Messages

EARLIER = timedelta(seconds=5)
"""Twilio's clock and ours may differ by so much; it also tells whole seconds only."""
LATER = timedelta(minutes=15)
LIMIT = 50
"""Messages to one number that are looked through."""
ROUND_SECONDS = 45.0
"""A round ends by itself after so long: whoever asks gives up after a minute, and what was found would be lost."""


async def look_up(messages: Messages, doubts: Sequence[Doubt], body_of: Callable[[Message], str], log: Log) -> Mapping[str, Settled]:
    """By id, those that were found. What Twilio does not answer stays in doubt, and ends the round."""
    found: dict[str, list[Any]] = {}
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            await _look(messages, doubts, body_of, log, found)
    except TimeoutError:
        log.warning("twilio_lookup_slow", looked=len(found), doubts=len(doubts))
    unseen = {doubt.address for doubt in doubts if doubt.message is not None and doubt.id not in found}
    one = {doubt.id: found[doubt.id][0] for doubt in doubts if len(found.get(doubt.id, ())) == 1 and doubt.address not in unseen}
    claimed = Counter(each.sid for each in one.values())
    settled = {id: _settled(each) for id, each in one.items() if claimed[each.sid] == 1}
    return {id: outcome for id, outcome in settled.items() if outcome is not None}


async def _look(
    messages: Messages, doubts: Sequence[Doubt], body_of: Callable[[Message], str], log: Log, found: dict[str, list[Any]]
) -> None:  # fmt: skip
    """Into `found`: the messages that each may have become."""
    for doubt in doubts:
        if doubt.message is None:
            continue  # without its words no other message to this number can be told from it
        try:
            found[doubt.id] = await _candidates(messages, doubt, body_of(doubt.message))
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing is learned by it
            log.warning("twilio_lookup_failed", id=doubt.id, error=type(error).__name__)
            break


async def _candidates(messages: Messages, doubt: Doubt, body: str) -> list[Any]:
    """What it may have become: sent since, else anything to this number (what waits in Twilio's queue has no date of sending)."""
    for since in (doubt.handed_over_at - EARLIER, None):
        listed = await messages.sent_to(doubt.address, since, LIMIT)
        unlike = {each.sid: each for each in listed if _is_it(each, body, doubt.handed_over_at)}
        if unlike:
            return list(unlike.values())
    return []


def _is_it(listed: Any, body: str, handed_over_at: datetime) -> bool:
    created = listed.date_created
    if not isinstance(created, datetime) or str(listed.direction or "").startswith("inbound") or (listed.body or "").strip() != body:
        return False
    return handed_over_at - EARLIER <= created <= handed_over_at + LATER


def _settled(listed: Any) -> Settled | None:
    if listed.status in TAKEN:
        return Accepted(provider_id=listed.sid, detail=f"found in Twilio's list: {listed.status}")
    if listed.status in FAILED:
        return failure(str(listed.error_code) if listed.error_code else None, listed.sid)
    return None
