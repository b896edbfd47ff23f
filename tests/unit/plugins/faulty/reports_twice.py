"""Wrong: says what became of a message, and says it again."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import ACCEPTED, Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if message.id in await session.handover([message.id]):
                session.report(message.id, await self.post(message))
                session.report(message.id, ACCEPTED)
