"""Wrong, in the short form: send_one raises on the provider's usual answer."""

from plugins import Accepted, Message, Outcome, SimpleChannel
from tests.unit.plugins.faulty.base import Settings


class Channel(SimpleChannel[Settings]):
    name, channel, address, settings_type = "raises_one", "call", "phone", Settings

    async def send_one(self, message: Message) -> Outcome:
        async with self.http.post(self.settings.url, json={"id": message.id}) as reply:
            return Accepted(provider_id=reply.headers["X-Missing"])
