"""What the daemon is to the push channel, for tests: a session that records and judges, a context with a clock that can be moved, messages."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from channels.webpush import Settings, WebPush
from daemon.clock import SystemClock
from daemon.sandbox.push import PushService
from plugins import Context, Message, Outcome, Secret
from plugins.http import open_http
from plugins.testing.push_peer import VAPID_KEY


class Line:
    """A `Session`. `refuse` names ids that get no grant."""

    def __init__(self, *, refuse: Sequence[str] = ()) -> None:
        self.refuse = frozenset(refuse)
        self.outcomes: dict[str, Outcome] = {}
        self.asked: list[str] = []
        self.closing = False

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        assert len(ids) == 1, "one delivery is one act"
        self.asked += ids
        await asyncio.sleep(0)
        return frozenset(ids) - self.refuse

    def report(self, id: str, outcome: Outcome) -> None:
        assert id not in self.outcomes, f"{id} was reported twice"
        self.outcomes[id] = outcome


class Clock:
    """The machine's clock, and a hand to push it forward."""

    def __init__(self) -> None:
        self.pushed = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.pushed)

    def monotonic(self) -> float:
        return time.monotonic() + self.pushed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Names:
    """Knows the addresses of a few names; everything else is on this machine."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = names or {}

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [(self.names.get(host, "127.0.0.1"), port)]


class Silence:
    """A log that keeps its events."""

    def bind(self, **fields: Any) -> Silence:
        return self

    def _nothing(self, event: str, **fields: Any) -> None:
        return

    debug = info = warning = error = _nothing


def message(id: str = "m1", *subscriptions: Mapping[str, Any], **changes: Any) -> Message:
    addresses = tuple(json.dumps(subscription) for subscription in subscriptions)
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "id": id,
        "address": addresses[0] if addresses else "",
        "addresses": addresses,
        "channel": "push",
        "recipient": f"c-{id}",
        "campaign": "winback",
        "step": "offer",
        "text_pieces": ("Hello ", id, ", come back."),
        "head": {"title": "We miss you", "url": "https://shop.example.com/sale"},
        "token": f"v1.token-of-{id}",
        "created_at": now,
        "expires_at": now + timedelta(hours=3),
        "ttl": 10_800.0,
    }
    return Message(**(fields | changes))


@asynccontextmanager
async def service(**options: Any) -> AsyncIterator[PushService]:
    """A push service of the sandbox."""
    running = PushService(SystemClock(), **options)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def channel(
    *services: PushService, clock: Clock | None = None, names: Names | None = None, total_seconds: float = 10.0, **settings: Any
) -> AsyncIterator[WebPush]:
    """A started channel that may post to these services; stopped at the end, twice, which must do no harm."""
    fields: dict[str, Any] = {"vapid_private_key": Secret(VAPID_KEY), "subject": "mailto:ops@shop.example.com"}
    fields["allow_hosts"] = tuple(each.origin for each in services)
    made = Settings(**(fields | settings))
    async with open_http(dns=names or Names(), settings=made, total_seconds=total_seconds) as http:
        sender = WebPush()
        nothing = cast("Any", None)
        context = Context(
            provider="push", settings=made, clock=clock or Clock(), rng=random.Random(7), dns=Names(), open_stream=nothing, http=http,
            log=Silence(),
        )  # fmt: skip
        await sender.start(context)
        try:
            yield sender
        finally:
            await sender.stop()
            await sender.stop()


async def send(sender: WebPush, *messages: Message, line: Line | None = None) -> Line:
    line = line or Line()
    await sender.send(messages, line)
    return line
