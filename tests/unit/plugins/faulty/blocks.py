"""Wrong: blocks the event loop."""

import time

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound

SECONDS = 2.5


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        time.sleep(SECONDS)
        return await super().post(*messages)
