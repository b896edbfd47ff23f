"""Wrong: calls everything accepted, whatever the provider said."""

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import ACCEPTED, Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        await super().post(*messages)
        return ACCEPTED
