"""Messages without words, for a rehearsal that only asks when and to whom: a third of its price is the making of texts.

What a template holds back for want of a variable is not seen then.
"""

from __future__ import annotations

from daemon.clock import to_datetime
from daemon.dispatch.work import Envelope
from daemon.model.delivery import Instant
from daemon.store.flight import Result
from plugins.contract import Message


class WordlessWriter:
    """In place of `MessageWriter`."""

    def render(self, envelope: Envelope, *, now: Instant | None = None) -> Message | Result:
        row = envelope.claimed.row
        when = to_datetime(envelope.claimed.closes)
        return Message(
            id=envelope.public_id, address=row.phone or "", channel=row.channel, recipient=row.recipient, campaign=row.campaign_name,
            step=row.step, variant=row.variant, created_at=when, expires_at=when, ttl=60.0,
        )  # fmt: skip
