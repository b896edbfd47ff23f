"""Wrong: stop() works once, and only after start()."""

from plugins import Context
from tests.unit.plugins.faulty.base import Settings, Sound


class Channel(Sound):
    async def start(self, context: Context[Settings]) -> None:
        await super().start(context)
        self.pool = [1]

    async def stop(self) -> None:
        self.pool.pop()
