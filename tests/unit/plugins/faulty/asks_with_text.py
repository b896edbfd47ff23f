"""Wrong: asks handover with one id instead of a list of ids."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if not session.closing and message.id in await session.handover(message.id):
                session.report(message.id, await self.post(message))
