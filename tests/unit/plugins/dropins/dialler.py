"""Calls people: posts each message to our dialler. In config.toml: [providers.calls] plugin = "dialler", url, token."""
from dataclasses import dataclass

from plugins import Accepted, Capabilities, Deferred, Message, Outcome, Rejected, Secret, SimpleChannel, Unknown, hookimpl


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:                                    # the loader checks the provider's keys against it
    url: str
    token: Secret


class Dialler(SimpleChannel[Settings]):
    name, channel, address, settings_type = "dialler", "call", "phone", Settings
    capabilities = Capabilities(concurrency=8, max_text=500)

    async def send_one(self, message: Message) -> Outcome:        # runs only once handover is granted
        async with self.http.post(self.settings.url, json={"id": message.id, "to": message.address, "say": message.text},
                                  headers={"Authorization": f"Bearer {self.settings.token.reveal()}"}) as reply:
            if reply.status == 202:
                return Accepted(provider_id=reply.headers["X-Call-Id"])
            if reply.status == 429:
                return Deferred(scope="provider", after=reply.headers.get("Retry-After"))
            if reply.status in (401, 403):
                return Deferred(scope="operator", detail="the dialler refuses our token")
            return Rejected(scope="address", code=str(reply.status)) if reply.status < 500 else Unknown(code=str(reply.status))


@hookimpl
def register_channels() -> list[type[Dialler]]:
    return [Dialler]
