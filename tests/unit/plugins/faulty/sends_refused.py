"""Wrong: asks, and sends whatever the answer."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            granted = await session.handover([message.id])
            outcome = await self.post(message)
            if message.id in granted:
                session.report(message.id, outcome)
