"""Tells `[[notify]]` what happened: signed webhooks, at least once, in order for each target.

Notices are rows that the store writes with their facts (`store.notices`). Each target has a task, a session and a cursor of its own: one
that is slow or dead holds up nobody else, and sending knows nothing of any. What fails is tried again, ever more seldom; what is older
than `keep` is passed over and counted. After a kill the last few may come again, under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from daemon.app.sending import World
from daemon.clock import iso
from daemon.config.notices import NotifyTable, wanted_types
from daemon.errors import StoreUnavailableError
from daemon.ids import encode_id
from daemon.model.delivery import MINUTE, SECOND, Instant
from daemon.pacing.backoff import Backoff
from daemon.service import Service
from daemon.store import notices
from daemon.store.notices import Notice, Progress, detail_of
from daemon.store.writer import Lane
from plugins.contract import NotSent
from plugins.signing import keys_of, signed_headers

MOST_BEHIND = 2_000_000
"""Notices that wait for one target; older ones are passed over."""
GONE = 410
"""The target wants to hear no more: nothing is asked of it until a start or a reload."""
REFUSALS = 5
"""A notice that a target refuses for what it is (any 4xx but `PATIENT` and GONE) is passed over after so many tries."""
PATIENT = frozenset({401, 403, 404, 407, 408, 425, 429})
"""What is wrong is not the notice but the target, its key or its time: it is tried again for as long as `keep`."""
TOTAL_SECONDS = 15.0
KEEP_SECONDS = 1.0
"""The cursor is kept so often while a page is told."""
PRUNE_ROUNDS = 30
MOST_NOTED = 50
"""Stretches of new notices that one round notes."""
BACKOFF = Backoff(base=5 * SECOND, factor=3, longest=15 * MINUTE, least=1 * SECOND)


def notice_id(notice: Notice) -> str:
    """The `webhook-id`: the same for the same fact, whenever and however often it is told."""
    text = f"{notice.id}:{notice.at}:{notice.type}:{notice.delivery}:{notice.person}:{notice.job}"
    return "ntc_" + base64.b32encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=").lower()


def body_of(notice: Notice) -> bytes:
    """Compact JSON: type, id, timestamp, data. What is not known is not there."""
    data: dict[str, Any] = {
        "delivery": None if notice.delivery is None else encode_id(notice.delivery), "job": notice.job, "recipient": notice.recipient,
        "campaign": notice.campaign, "version": notice.version, "step": notice.step, "variant": notice.variant, "channel": notice.channel,
        **detail_of(notice),
    }  # fmt: skip
    known = {key: value for key, value in data.items() if value is not None}
    whole = {"type": notice.type, "id": notice_id(notice), "timestamp": iso(notice.at), "data": known}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def target_name(url: str) -> str:
    """A target in the store: its url may hold a secret, so not the url."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def shown_name(url: str) -> str:
    """For eyes and labels: the host, and enough of the digest to tell two addresses there apart."""
    return f"{urlsplit(url).netloc}#{target_name(url)[:4]}"


class Target:
    """One `[[notify]]`: tells what it wants to hear, one after the other."""

    def __init__(self, world: World, table: NotifyTable, progress: Progress) -> None:
        self._world, self._table = world, table
        self.name, self.types = shown_name(table.url), wanted_types(table.events)
        self._keys = keys_of(table.secret, table.old_secret)
        self.progress, self._kept = progress, progress
        self.top = progress.cursor
        self.oldest: Instant | None = None
        self.news = asyncio.Event()
        self.gone = False
        self._kept_at = 0.0

    async def run(self) -> None:
        """Until it is cancelled. What goes wrong with the store is tried again."""
        session = self._world.open_http(
            dns=self._world.dns, settings={"url": self._table.url}, concurrency=1, total_seconds=TOTAL_SECONDS
        )  # fmt: skip
        try:
            while True:
                await self.news.wait()
                self.news.clear()
                try:
                    await self._go_on(session)
                except StoreUnavailableError as error:
                    self._world.log.error("notices_put_off", target=self.name, error=str(error))
        finally:
            await session.close()

    async def _go_on(self, session: Any) -> None:
        """Tell all there is, or stop at the first that cannot be told now."""
        now = self._world.clock.instant()
        if (again := self.progress.again_at) is not None and now < again <= now + BACKOFF.longest:
            return  # further away than any pause lies what a clock said that was set back since
        while self.progress.cursor < self.top:
            behind = self.top - MOST_BEHIND
            if self.progress.cursor < behind:
                self._lose(behind, behind - self.progress.cursor, "too many wait")
            end = min(self.top, self.progress.cursor + notices.STRETCH)
            page = await self._world.store.read(notices.read_page, self.progress.cursor, end, self.types)
            done = await self._tell_page(session, page)
            if done:
                self.progress = self.progress._replace(cursor=end)
            await self.save()
            if not done:
                return
        self.oldest = None

    async def _tell_page(self, session: Any, page: Sequence[Notice]) -> bool:
        for notice in page:
            self.oldest = notice.noted_at
            if notice.noted_at < self._world.clock.instant() - self._table.keep:
                self._lose(notice.id, 1, "too old")
                continue
            if self.gone:
                return False
            fault, status = await self._post(session, notice)
            if fault is None:
                self.progress = self.progress._replace(
                    cursor=notice.id, told=self.progress.told + 1, tries=0, again_at=None, failing_since=None, error=None
                )
                self._world.metrics.told(self.name, "told")
            elif status == GONE:
                self._give_up(fault)
                return False
            elif 400 <= status < 500 and status not in PATIENT and self.progress.tries + 1 >= REFUSALS:
                self._lose(notice.id, 1, fault)
            else:
                self._put_off(fault)
                return False
            if self._world.clock.monotonic() - self._kept_at >= KEEP_SECONDS:
                await self.save()
        return True

    async def _post(self, session: Any, notice: Notice) -> tuple[str | None, int]:
        """What went wrong, None if it was taken; and the status."""
        id, body = notice_id(notice), body_of(notice)
        try:
            async with session.post(
                self._table.url, data=body, headers=signed_headers(self._keys, id, str(self._world.clock.instant() // SECOND), body)
            ) as reply:  # fmt: skip
                status = int(reply.status)
                return (None if 200 <= status < 300 else f"answered {status}"), status
        except (NotSent, OSError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"[:200], 0
        except Exception as error:  # noqa: BLE001 - whatever a strange server provokes in the HTTP library is its fault, not the daemon's
            return type(error).__name__, 0

    def _put_off(self, fault: str) -> None:
        now, tries = self._world.clock.instant(), self.progress.tries + 1
        again = now + BACKOFF.delay(tries, self._world.ids.rng().random())
        since = self.progress.failing_since if self.progress.failing_since is not None else now
        self.progress = self.progress._replace(tries=tries, again_at=again, failing_since=since, error=fault)
        self._world.metrics.told(self.name, "failed")
        self._world.log.warning("notice_not_told", target=self.name, error=fault, tries=tries, again_at=iso(again))

    def _give_up(self, fault: str) -> None:
        """What it was not told waits as long as `keep`: whoever mends it and reloads loses nothing."""
        self.gone = True
        since = self.progress.failing_since if self.progress.failing_since is not None else self._world.clock.instant()
        self.progress = self.progress._replace(tries=0, again_at=None, failing_since=since, error=f"{fault}: asked no more until a reload")
        self._world.metrics.told(self.name, "failed")
        self._world.log.error("notice_target_gone", target=self.name, error=fault)

    def _lose(self, cursor: int, n: int, why: str) -> None:
        self.progress = self.progress._replace(cursor=cursor, lost=self.progress.lost + n, tries=0, again_at=None)
        self._world.metrics.told(self.name, "lost", n)
        self._world.log.warning("notices_lost", target=self.name, n=n, why=why)

    async def save(self) -> None:
        """Keep how far it was told."""
        self._kept_at = self._world.clock.monotonic()
        if self.progress != self._kept:
            await self._world.store.write(Lane.BULK, notices.save_progress, self.progress)
            self._kept = self.progress

    def status(self, now: Instant) -> dict[str, Any]:
        """For `homing status`. `waiting`: at most so many, since others' types are among them."""
        at = self.progress
        behind = max(0, self.top - at.cursor)
        return {
            "target": self.name, "waiting": behind, "told": at.told, "lost": at.lost, "error": at.error,
            "lag_seconds": max(0, now - self.oldest) // SECOND if behind and self.oldest is not None else 0,
            "failing_since": None if at.failing_since is None else iso(at.failing_since),
            "again_at": None if at.again_at is None else iso(at.again_at),
        }  # fmt: skip


class Noticing(Service):
    """Keeps watch for what the config wants told, and a task for each target. Without `[[notify]]` it sleeps."""

    def __init__(self, world: World, tables: Callable[[], Sequence[NotifyTable]], *, round_seconds: Callable[[], float]) -> None:
        super().__init__("noticing")
        self._world, self._tables, self._round_seconds = world, tables, round_seconds
        self._targets: dict[asyncio.Task[None], Target] = {}
        self._changed = asyncio.Event()
        self._following: Sequence[NotifyTable] = ()

    def poke(self) -> None:
        """The config has changed."""
        self._changed.set()

    async def run(self) -> None:
        try:
            await self._follow(self._tables())
            self.mark_ready()
            rounds = 0
            while not self.stopping.is_set():
                await self._rest()
                if self.stopping.is_set():
                    return
                if self._changed.is_set():
                    await self._reload()
                if self._targets:
                    rounds += 1
                    await self._look(prune=rounds % PRUNE_ROUNDS == 0)
        finally:
            await self._end_targets()

    async def _reload(self) -> None:
        self._changed.clear()
        try:
            await self._follow(self._tables())
        except StoreUnavailableError as error:  # a full disk: nobody is told until there is room
            self._world.log.error("notices_put_off", error=str(error))
            self._changed.set()
            await self._world.clock.sleep(self._round_seconds())

    async def _rest(self) -> None:
        """Until the next round; without targets until the config changes."""
        waits = {asyncio.ensure_future(self.stopping.wait()), asyncio.ensure_future(self._changed.wait())}
        try:
            timeout = self._round_seconds() if self._targets else None
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _follow(self, tables: Sequence[NotifyTable]) -> None:
        """Watch for what these want, beginning anew with each."""
        if tuple(tables) == tuple(self._following) and self._targets:
            for target in self._targets.values():
                target.gone = False
            return
        await self._end_targets()
        self._following = tuple(tables)
        store = self._world.store
        if not tables and not await store.read(notices.watched):
            return
        types = frozenset[str]().union(*(wanted_types(table.events) for table in tables))
        names = {target_name(table.url): table for table in tables}
        found: Mapping[str, Progress] = {each.name: each for each in await store.write(Lane.INTAKE, notices.watch, tuple(names), types)}
        while not tables and await store.write(Lane.BULK, notices.prune_notices):
            pass
        for name, table in names.items():
            target = Target(self._world, table, found[name])
            self._targets[asyncio.create_task(target.run(), name=f"notify-{target.name}")] = target
        self._world.log.info("notices_watched", targets=len(names), types=len(types))

    async def _look(self, *, prune: bool) -> None:
        """Is there anything new? Tell the targets of it."""
        world = self._world
        try:
            seen = await world.store.read(notices.look)
            for _ in range(MOST_NOTED):
                if seen.more:
                    await world.store.write(Lane.BULK, notices.note_notices, world.clock.instant())
                    seen = await world.store.read(notices.look)
            if prune:
                await world.store.write(Lane.BULK, notices.prune_notices)
        except StoreUnavailableError as error:
            world.log.error("notices_put_off", error=str(error))
            return
        now = world.clock.instant()
        for task, target in self._targets.items():
            if task.done():
                task.result()
            target.top = seen.top
            if target.progress.cursor < seen.top:
                target.news.set()
            status = target.status(now)
            world.metrics.notices(target.name, status["waiting"], status["lag_seconds"])

    async def _end_targets(self) -> None:
        targets, self._targets = self._targets, {}
        for task in targets:
            task.cancel()
        await asyncio.gather(*targets, return_exceptions=True)
        for target in targets.values():
            with contextlib.suppress(StoreUnavailableError):
                await target.save()

    def status(self) -> list[dict[str, Any]]:
        """One object a target."""
        now = self._world.clock.instant()
        return [target.status(now) for target in self._targets.values()]
