"""Wrong: a mistake in the code after handover ends send() in the middle."""

from plugins import Message, Outcome
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        await super().post(*messages)
        raise LookupError("no such field: sid")
