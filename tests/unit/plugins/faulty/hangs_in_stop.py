"""Wrong: stop() waits for something that never comes."""

import asyncio

from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def stop(self) -> None:
        if hasattr(self, "context"):
            await asyncio.Event().wait()
