"""Wrong: leave for the whole batch at once, then one request a message."""

from collections.abc import Sequence

from plugins import Deferred, Grant, Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        if session.closing:
            return
        grant = Grant(self.context.clock)
        granted = await session.handover([message.id for message in batch])
        for message in batch:
            if message.id in granted:
                session.report(message.id, Deferred(nothing_sent=True) if grant.expired else await self.post(message))
