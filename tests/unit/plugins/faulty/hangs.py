"""Wrong: waits for something that never comes."""

import asyncio

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        await super().post(*messages)
        await asyncio.Event().wait()
        raise AssertionError
