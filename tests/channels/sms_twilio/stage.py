"""A Twilio channel before the local Twilio, on loopback: what it was asked, what it reported."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from channels.sms_twilio import Settings, TwilioChannel
from daemon.clock import to_instant
from daemon.sandbox.twilio import ACCOUNT, TOKEN, TwilioServer
from daemon.sandbox.twilio_log import SmsLog
from plugins import Context, Message, Outcome, Secret
from plugins.http import open_http
from plugins.testing.messages import make_message
from plugins.testing.world import KitClock, KitLog, LocalDns, open_stream

FROM = "+628115550000"
HOOK = "https://hooks.example.com/hooks/sms"


class Watch(KitClock):
    """The kit's clock with the daemon's own reading beside it."""

    def instant(self) -> int:
        return to_instant(self.now())


@dataclass
class Line:
    """A session that grants what is not refused, and keeps everything."""

    refused: frozenset[str] = frozenset()
    closing: bool = False
    asked: list[str] = field(default_factory=list)
    reports: dict[str, Outcome] = field(default_factory=dict)

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        self.asked += ids
        return frozenset(ids) - self.refused

    def report(self, id: str, outcome: Outcome) -> None:
        assert id not in self.reports, f"{id} was reported twice"
        self.reports[id] = outcome


def settings(**changes: Any) -> Settings:
    """The settings of an account of the local Twilio."""
    given: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), "from_": FROM, **changes}
    if "messaging_service_sid" in changes:
        del given["from_"]
    return Settings(**given)


@dataclass
class Stage:
    """`peer`: the local Twilio · `channel`: under test, started."""

    peer: TwilioServer
    channel: TwilioChannel
    clock: Watch
    log: KitLog

    def message(self, number: int = 1, *, to: str = "", text: str = "Halo, kami rindu.", **changes: Any) -> Message:
        made = make_message(number, channel="sms", address=to or f"+62811{number:07d}", now=self.clock.now())
        return replace(made, text_pieces=(text,), **changes)

    async def send(self, *messages: Message, line: Line | None = None) -> dict[str, Outcome]:
        line = line or Line()
        await self.channel.send(messages, line)
        return line.reports

    async def outcome(self, to: str = "", **changes: Any) -> Outcome:
        """Of one message."""
        message = self.message(to=to, **changes)
        return (await self.send(message))[message.id]


@asynccontextmanager
async def staged(
    tmp_path: Path, *, hook: str | None = None, total_seconds: float = 5.0, peer: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Stage]:
    clock, log = Watch(), KitLog()
    server = TwilioServer(SmsLog(tmp_path, clock), clock, **{"step_seconds": None, "slow_seconds": 0.3, **(peer or {})})
    await server.start()
    made = settings(**{"base_url": server.base_url, **changes})
    channel = TwilioChannel()
    try:
        async with open_http(dns=LocalDns(), settings=made, total_seconds=total_seconds) as http:
            context = Context(
                provider="sms", settings=made, clock=clock, rng=random.Random(1), dns=LocalDns(), open_stream=open_stream, http=http, log=log,
                hook_url=hook, sign="{}.signed".format,
            )  # fmt: skip
            await channel.start(context)
            yield Stage(peer=server, channel=channel, clock=clock, log=log)
            await channel.stop()
    finally:
        await server.stop()
        server._messages.close()
    assert server.problems == [], "a request does not fit Twilio's description"
