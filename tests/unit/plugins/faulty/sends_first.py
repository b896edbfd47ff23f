"""Wrong: the request leaves, then leave is asked."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            outcome = await self.post(message)
            if message.id in await session.handover([message.id]):
                session.report(message.id, outcome)
