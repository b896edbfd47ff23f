"""Wrong: sends before handover, over a session of its own that the kit does not hold."""

from collections.abc import Sequence

import aiohttp

from plugins import Accepted, Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        async with aiohttp.ClientSession() as http:
            for message in batch:
                await http.post(self.context.settings.url, data={"to": message.address})
                if message.id in await session.handover([message.id]):
                    session.report(message.id, Accepted())
