"""A store with walks, the two audience services' works, and local advertising platforms, in one loop under a clock that can be put forward."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from channels.audience_google import GoogleAudiences
from channels.audience_meta import MetaAudiences
from daemon.audience.desired import Desired, Intent
from daemon.clock import SystemClock
from daemon.dispatch.exchange import Exchange
from daemon.ids import SystemIds
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.model.audience import AudienceRule
from daemon.model.campaign import Campaign, CampaignStatus, Step
from daemon.model.delivery import DAY, SECOND
from daemon.pacing.bucket import Bucket
from daemon.sandbox.ads import AdsServer
from daemon.store import schema as s
from daemon.store.audience_read import AudienceView, read_audiences
from daemon.store.recipients import person_id
from daemon.store.sql import pour, pouring
from daemon.store.writer import Lane, Store
from plugins.http import open_http
from plugins.testing.world import KitLog, LocalDns, make_context
from tests.channels.ads import settings_of

NAME = "winback-{{ tier }}"
RULE = AudienceRule(providers=("meta", "google"), name=NAME)
PEOPLE = pouring(s.recipient, ("id", "key", "email", "phone", "country", "traits", "email_hash", "guard", "erased", "created_at", "updated_at"))
DELIVERIES = pouring(s.delivery, ("id", "wave", "person", "job", "version", "state", "lane", "not_before", "expires_at", "ended_at"))
CLASSES = {"meta": MetaAudiences, "google": GoogleAudiences}


class Hands(SystemClock):
    """The machine's clock, put forward by hand. A sleep of seconds is one of hand, so nothing waits for it."""

    ahead = 0.0

    def now(self) -> Any:
        from datetime import timedelta

        return super().now() + timedelta(seconds=self.ahead)

    def instant(self) -> int:
        return super().instant() + int(self.ahead * SECOND)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class AudienceWorld:
    """`desired` and one `Exchange` a network; `round()` is a minute of both."""

    def __init__(self, store: Store, ads: AdsServer, clock: Hands, exchanges: dict[str, Exchange]) -> None:
        self.store, self.ads, self.clock, self.exchanges = store, ads, clock, exchanges
        self.campaign = Campaign(
            name="winback", status=CampaignStatus.ACTIVE, steps=(Step(name="offer", channels=("email",)),), audiences=(RULE,)
        )  # fmt: skip
        self.desired = Desired(store=store, clock=clock, log=get_log(), intent=self.intent(), changed=lambda: None)

    def intent(self, *campaigns: Campaign) -> Intent:
        known = campaigns or (self.campaign,)
        return Intent(campaigns={each.name: each for each in known}, providers=tuple(self.exchanges), consent="implied")

    def pass_time(self, seconds: float) -> None:
        """For the daemon and the platforms alike."""
        self.clock.ahead += seconds

    async def sql(self, statement: str, **values: Any) -> Any:
        return await self.store.write(Lane.BULK, lambda conn: [tuple(row) for row in conn.execute(text(statement), values)] if statement.startswith("SELECT") else conn.execute(text(statement), values).rowcount)

    async def walk(self, numbers: Iterable[int], *, state: str = "due", ended: int | None = None) -> None:
        """These people have a delivery of the campaign."""
        now = self.clock.instant()
        people, rows = [], []
        for n in numbers:
            key = f"c-{n}"
            person = person_id(key)
            tier = "high" if n % 2 else "low"
            people.append((person, key, f"c.{n}@example.com", f"+62811{n:07d}" if n % 3 else None, "ID", f'{{"tier":"{tier}"}}', b"h%d" % n, 0, 0, now, now))
            rows.append((n + 1, 1, person, 1, 1, state, 1, now, now + DAY, ended))
        await self.store.write(Lane.BULK, pour, PEOPLE, sorted(people))
        await self.store.write(Lane.BULK, pour, DELIVERIES, sorted(rows))

    async def round(self, *, times: int = 1) -> None:
        """The watch, the comparison, and all that the platforms can take; a minute passes after each."""
        for _ in range(times):
            await self.desired.watch()
            await self.desired.compare()
            for exchange in self.exchanges.values():
                await exchange.work()
            self.pass_time(60)

    async def views(self) -> dict[tuple[str, str], AudienceView]:
        return {(view.provider, view.name): view for view in await self.store.read(read_audiences)}

    def held(self, network: str) -> int:
        """How many people the platform holds in all audiences."""
        return sum(len(self.ads.members(network, name)) for name in self.ads.names(network))

    def emails(self, network: str, numbers: Iterable[int]) -> set[str]:
        """The hashes that these people have at the platform, those that it never matches left out."""
        from hashlib import sha256

        found = {sha256(f"c.{n}@example.com".encode()).hexdigest() for n in numbers}
        return {each for each in found if not each.startswith("000")}

    def there(self, network: str) -> set[str]:
        return {row[0] for name in self.ads.names(network) for row in self.ads.members(network, name)}


@contextlib.asynccontextmanager
async def audience_world(folder: Path, networks: Sequence[str] = ("meta", "google"), **server: Any) -> AsyncIterator[AudienceWorld]:
    clock = Hands()
    ads = AdsServer(clock, port=0, **server)
    await ads.start()
    store = Store.open(folder / "homing.db")
    now = clock.instant()

    def found(conn: Any) -> None:
        conn.execute(s.campaign.insert().values(id=1, name="winback", status="active", version=1))
        conn.execute(s.wave.insert().values(id=1, campaign=1, step="offer", occurrence=1, channel="email"))

    await store.write(Lane.BULK, found)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(ads.stop)
        stack.push_async_callback(store.close)
        exchanges = {}
        for network in networks:
            settings = settings_of(CLASSES[network].settings_type, ads.meta_keys() if network == "meta" else ads.google_keys())
            http = open_http(dns=LocalDns(), settings=settings, total_seconds=10.0)
            stack.push_async_callback(http.close)
            channel = CLASSES[network]()
            context = make_context(settings, clock, KitLog(), http, provider=network)  # type: ignore[arg-type]
            await channel.start(context)
            exchanges[network] = Exchange(
                provider=network, channel=channel, store=store, clock=clock, ids=SystemIds(), log=get_log(), metrics=Metrics(clock),
                bucket=Bucket(rate=None), stopping=lambda: False,
            )  # fmt: skip
        assert now
        yield AudienceWorld(store, ads, clock, exchanges)
    assert ads.breaches == []
