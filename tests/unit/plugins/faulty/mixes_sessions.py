"""Wrong: keeps the session on itself, so that a second send() takes over the first one's reports."""

from collections.abc import Sequence

from plugins import Deferred, Grant, Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        self.session = session
        for message in batch:
            if session.closing:
                return
            grant = Grant(self.context.clock)
            if message.id in await session.handover([message.id]):
                outcome = Deferred(nothing_sent=True) if grant.expired else await self.post(message)
                self.session.report(message.id, outcome)
