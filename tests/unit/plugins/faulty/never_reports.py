"""Wrong: sends, and keeps to itself what became of it."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if message.id in await session.handover([message.id]):
                await self.post(message)
