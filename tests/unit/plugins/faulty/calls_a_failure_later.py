"""Wrong: tries again what the provider answered with 500, and may have taken."""

from plugins import Deferred, Message, Outcome, Unknown
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def post(self, *messages: Message) -> Outcome:
        outcome = await super().post(*messages)
        return Deferred() if isinstance(outcome, Unknown) and outcome.code == "500" else outcome
