"""Wrong: reports what was not granted."""

from collections.abc import Sequence

from plugins import Deferred, Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if session.closing:
                return
            granted = message.id in await session.handover([message.id])
            session.report(message.id, await self.post(message) if granted else Deferred(nothing_sent=True))
