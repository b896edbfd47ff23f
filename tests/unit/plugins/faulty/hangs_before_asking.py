"""Wrong: never gets as far as asking for handover."""

import asyncio
from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        await asyncio.Event().wait()
