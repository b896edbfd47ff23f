"""Wrong: wants to end the process."""

import sys

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        sys.exit(3)
