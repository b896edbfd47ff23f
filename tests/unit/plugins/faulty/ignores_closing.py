"""Wrong: begins new messages while the daemon drains."""

from collections.abc import Sequence

from plugins import Deferred, Grant, Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            grant = Grant(self.context.clock)
            if message.id in await session.handover([message.id]):
                session.report(message.id, Deferred(nothing_sent=True) if grant.expired else await self.post(message))
