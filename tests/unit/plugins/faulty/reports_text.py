"""Wrong: reports text instead of an outcome."""

from typing import Any

from plugins import Message
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Any:
        await super().post(*messages)
        return "sent"
