"""Wrong, in the short form: send_one returns what is no outcome."""

from typing import Any

from plugins import Message, SimpleChannel
from tests.unit.plugins.faulty.base import Settings


class Channel(SimpleChannel[Settings]):
    name, channel, address, settings_type = "returns_text", "call", "phone", Settings

    async def send_one(self, message: Message) -> Any:
        async with self.http.post(self.settings.url, json={"id": message.id}):
            return "ok"
