"""Wrong: a mistake in the first line of send()."""

from collections.abc import Sequence

from plugins import Message, Session
from tests.unit.plugins.faulty.base import Sound


class Channel(Sound):
    async def send(self, batch: Sequence[Message], session: Session) -> None:
        _ = batch[0].price  # type: ignore[attr-defined]
