"""Wrong: writes the credentials to the log."""

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        self.context.log.info("posting", header=f"Bearer {self.context.settings.token.reveal()}")
        return await super().post(*messages)
