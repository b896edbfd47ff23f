"""Wrong: says "not sent" when the provider took the message and did not answer."""

from plugins import Deferred, Message, Outcome, Unknown
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        outcome = await super().post(*messages)
        return Deferred(nothing_sent=True) if isinstance(outcome, Unknown) else outcome
