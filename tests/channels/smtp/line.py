"""What the daemon is to the channel, for tests: a session that records and judges, a context with the machine's clock, messages."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from channels.smtp import Settings, SmtpChannel
from plugins import Context, Message, Outcome

AT = datetime(2026, 11, 23, 2, 0, 5, tzinfo=UTC)


class Line:
    """A `Session`. `events` is shared with the peer; `refuse` names ids that get no grant; `asked` runs within each handover."""

    def __init__(self, events: list[tuple[Any, ...]] | None = None, *, refuse: Sequence[str] = ()) -> None:
        self.events = events if events is not None else []
        self.refuse = frozenset(refuse)
        self.asked: Callable[[str], Awaitable[None]] | None = None
        self.outcomes: dict[str, Outcome] = {}
        self.granted: list[str] = []
        self.closing = False

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        if not ids:
            self.events.append(("commit",))
            return frozenset()
        assert len(ids) == 1, "one mail is one irreversible act"
        pending = [id for id in self.granted if id not in self.outcomes]
        assert not pending, f"{pending} handed over and without an outcome while {ids} is asked for"
        self.events.append(("handover", ids[0]))
        if self.asked is not None:
            await self.asked(ids[0])
        else:
            await asyncio.sleep(0)
        given = frozenset(ids) - self.refuse
        self.granted += given
        return given

    def report(self, id: str, outcome: Outcome) -> None:
        assert id not in self.outcomes, f"{id} was reported twice"
        self.events.append(("report", id))
        self.outcomes[id] = outcome


class Clock:
    """The machine's clock, and a hand to push the monotonic one forward."""

    def __init__(self) -> None:
        self.pushed = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.pushed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Names:
    """A resolver that knows loopback only."""

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1" if host == "localhost" else host, port)]


class Silence:
    """A log that keeps its events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **fields: Any) -> Silence:
        return self

    def _note(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    debug = info = warning = error = _note


def message(id: str = "m1", **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": id,
        "address": f"{id}@example.com",
        "channel": "email",
        "recipient": f"c-{id}",
        "campaign": "winback",
        "step": "offer",
        "subject": "We miss you",
        "text_pieces": ("Hello ", id, ", come back.\n"),
        "html_pieces": ("<p>Hello ", id, ", come back.</p>\n"),
        "unsubscribe_url": f"https://example.com/u/{id}",
        "created_at": AT,
        "expires_at": AT + timedelta(days=3),
        "ttl": 3600.0,
    }
    return Message(**(fields | changes))


def context(clock: Clock | None = None, log: Silence | None = None, **settings: Any) -> Context[Settings]:
    fields: dict[str, Any] = {"host": "127.0.0.1", "tls": "none", "from_": "Kedai <hello@mail.example.com>"}
    return Context(
        provider="relay",
        settings=Settings(**(fields | settings)),
        clock=clock or Clock(),
        rng=random.Random(7),
        dns=Names(),
        open_stream=cast("Any", None),
        http=cast("Any", None),
        log=log or Silence(),
    )


@asynccontextmanager
async def channel(clock: Clock | None = None, log: Silence | None = None, **settings: Any) -> AsyncIterator[SmtpChannel]:
    """A started channel; stopped at the end, twice, which must do no harm."""
    sender = SmtpChannel()
    await sender.start(context(clock, log, **settings))
    try:
        yield sender
    finally:
        await sender.stop()
        await sender.stop()


def batch(count: int, prefix: str = "m") -> list[Message]:
    return [message(f"{prefix}{number}") for number in range(1, count + 1)]
