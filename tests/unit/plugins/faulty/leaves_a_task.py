"""Wrong: stop() leaves its housekeeping running."""

import asyncio

from plugins import Context
from tests.unit.plugins.faulty.base import Settings, Sound


class Channel(Sound):
    async def start(self, context: Context[Settings]) -> None:
        await super().start(context)
        self.housekeeping = asyncio.create_task(self.keep_house())

    async def keep_house(self) -> None:
        await asyncio.Event().wait()
