"""A sound channel in the full form, from which each wrong one departs in one point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plugins import Accepted, Capabilities, Context, Deferred, Grant, Message, NotSent, Outcome, Secret, Session, Unknown
from plugins.http import outcome_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    url: str
    token: Secret


class Sound:
    """Posts one message after the other, each under a grant of its own."""

    name, channel, address, settings_type = "sound", "call", "phone", Settings
    capabilities = Capabilities(concurrency=4, unit=1)

    async def start(self, context: Context[Settings]) -> None:
        self.context = context

    async def stop(self) -> None:
        pass

    async def send(self, batch: Sequence[Message], session: Session) -> None:
        for message in batch:
            if session.closing:
                return
            grant = Grant(self.context.clock)
            if message.id in await session.handover([message.id]):
                session.report(message.id, Deferred(nothing_sent=True) if grant.expired else await self.post(message))

    async def post(self, *messages: Message) -> Outcome:
        """One request with these messages in it, and what became of it."""
        body: list[dict[str, Any]] = [{"id": message.id, "to": message.address, "say": message.text} for message in messages]
        headers = {"Authorization": f"Bearer {self.context.settings.token.reveal()}"}
        try:
            async with self.context.http.post(self.context.settings.url, json=body, headers=headers) as reply:
                return outcome_of(reply)
        except NotSent:
            return Deferred(nothing_sent=True)
        except Exception as error:
            return Unknown(detail=str(error))


ACCEPTED = Accepted(provider_id="p1")
