"""Local advertising platforms with a plugin started against them, for the tests of both."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from daemon.clock import SystemClock
from daemon.sandbox.ads import AdsServer
from plugins import Audience, Member, RowRefused, Secret
from plugins.http import open_http
from plugins.testing.world import KitClock, KitLog, LocalDns, make_context

SECRETS = ("access_token", "app_secret", "credentials")


class Opened:
    """A started plugin, the platforms, and what the plugin reported last."""

    def __init__(self, channel: Any, ads: AdsServer, clock: KitClock, log: KitLog) -> None:
        self.channel, self.ads, self.clock, self.log = channel, ads, clock, log

    async def sync(self, audience: Audience, add: Sequence[Member] = (), remove: Sequence[Member] = ()) -> tuple[Any, list[RowRefused]]:
        """The outcome and the refused rows."""
        reported: list[Any] = []
        await self.channel.sync(audience, add, remove, reported.append)
        (end,) = [each for each in reported if not isinstance(each, RowRefused)]
        return end, [each for each in reported if isinstance(each, RowRefused)]

    async def audience(self, name: str = "winback", **series: Any) -> Audience:
        return Audience(name=name, remote_id=await self.channel.ensure(Audience(name=name)), **series)

    def gone(self, members: Sequence[Member]) -> list[Member]:
        handles = self.channel.handles(members)
        return [Member(key=each.key, handle=handle) for each, handle in zip(members, handles, strict=True)]


def settings_of(kind: type[Any], keys: dict[str, str], **more: Any) -> Any:
    return kind(**{key: Secret(value) if key in SECRETS else value for key, value in keys.items()}, **more)


@contextlib.asynccontextmanager
async def opened(channel_class: type[Any], network: str, **server: Any) -> AsyncIterator[Opened]:
    """`server`: of `AdsServer`."""
    ads = AdsServer(SystemClock(), port=0, **server)
    await ads.start()
    settings = settings_of(channel_class.settings_type, ads.meta_keys() if network == "meta" else ads.google_keys())
    # the platforms judge a claim's time by the clock of the machine, the plugin stamps it by its own: here they are one
    clock, log = KitClock(), KitLog()
    ads.google._wall = lambda: clock.now().timestamp()
    http = open_http(dns=LocalDns(), settings=settings, total_seconds=5.0)
    channel = channel_class()
    await channel.start(make_context(settings, clock, log, http, provider=network))
    try:
        yield Opened(channel, ads, clock, log)
    finally:
        await channel.stop()
        await http.close()
        await ads.stop()
    assert ads.breaches == []


def people(count: int, tag: str = "p") -> list[Member]:
    """Some with names and places, some with an e-mail address only."""
    return [
        Member(
            key=f"{tag}-{n}", email=f"{tag}.{n}@example.com", phone=f"+62811{n:07d}" if n % 3 else None, first_name="سارا" if n % 2 else "Nor'ain",
            last_name="Lestari", country="ID", city="Bandung", postal="40111",
        )
        for n in range(count)
    ]  # fmt: skip
