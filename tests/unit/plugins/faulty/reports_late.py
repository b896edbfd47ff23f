"""Wrong: send() returns at once and the work goes on behind its back."""

import asyncio
from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        self.task = asyncio.create_task(super().send(batch, session))
