"""Wrong: hangs, and does not even end when it is cancelled."""

import asyncio

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound

done = asyncio.Event()


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        while not done.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                pass
        return await super().post(*messages)
