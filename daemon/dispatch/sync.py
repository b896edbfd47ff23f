"""The service that keeps retargeting audiences at the platforms as the store wants them: one exchange for each provider (ADR 0008).

In: `wake()` when the desired sets changed, else it looks every few seconds. A platform that cannot start, stops or hangs costs the others
nothing and the sending nothing. On stop nothing new is begun; what is under way is done, or done again after the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.clock import Clock, iso
from daemon.dispatch.door import settle_doubts
from daemon.dispatch.exchange import Exchange
from daemon.errors import StoreUnavailableError
from daemon.ids import Ids
from daemon.metrics import Metrics
from daemon.model.delivery import DAY, SECOND
from daemon.pacing.bucket import Bucket
from daemon.service import Service, Signals, in_time
from daemon.store.audience_marks import forget_members, prune_batches, stale_members, unblock
from daemon.store.audience_read import AudienceView, read_audiences
from daemon.store.writer import Lane, Writes
from plugins.audience import AudienceChannel
from plugins.contract import Context, Log
from plugins.loader import LoadedAudience

LOOK_SECONDS = 5.0
STOP_SECONDS = 20.0
CARE_LOOKS = 6
"""Once in so many looks, what has stopped or is old is seen to."""
FORGET_TURNS, FORGOTTEN = 120, 500
KEPT = 60 * DAY
"""Members who left are kept so long: as touches are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A provider to be started: its plugin, requests a second (None: no limit), and what makes its context."""

    loaded: LoadedAudience
    per_second: float | None
    context: Callable[[LoadedAudience], tuple[Context[Any], Callable[[], Any]]]


class AudienceSync(Service):
    """Signals: `audience_idle(provider)` when an exchange has nothing to do now."""

    def __init__(
        self, *, store: Writes, clock: Clock, ids: Ids, log: Log, metrics: Metrics, signals: Signals | None = None,
        look_seconds: float = LOOK_SECONDS, holds: Callable[[], Collection[str]] = tuple,
    ) -> None:  # fmt: skip
        """`holds`: what holds all sending now."""
        super().__init__("audience-sync")
        self._store, self._clock, self._ids, self._log, self._metrics = store, clock, ids, log, metrics
        self._signals, self._look_seconds, self._holds = signals or Signals.off(), look_seconds, holds
        self._turns = 0
        self._openings: list[Opening] = []
        self._running: dict[str, tuple[Opening, Exchange, AudienceChannel, Callable[[], Any], asyncio.Task[None]]] = {}
        self._bells: dict[str, asyncio.Event] = {}
        self._changing = asyncio.Lock()
        self._care = asyncio.Event()
        self.failed: dict[str, str] = {}
        self._sizes_wanted: set[str] = set()

    def configure(self, openings: Sequence[Opening]) -> None:
        """The providers of the config, before `run` or for `reload`."""
        self._openings = list(openings)

    def wake(self) -> None:
        """There may be something to sync."""
        for bell in self._bells.values():
            bell.set()

    async def stop(self) -> None:
        self.wake()
        self._care.set()
        await super().stop()

    async def run(self) -> None:
        if self._openings:
            await settle_doubts(self._store, self._clock.instant())
        async with self._changing:
            for opening in self._openings:
                await self._open(opening)
        self.mark_ready()
        try:
            while not self.stopping.is_set():
                self._care.clear()
                await self._look_after()
                await self._sleep(self._care, CARE_LOOKS * self._look_seconds if self._running or self.failed else None)
        finally:
            await asyncio.gather(*(self._close(name) for name in list(self._running)))

    async def reload(self) -> None:
        """Go on with what `configure` said last: providers whose settings changed, or that had stopped, are opened anew."""
        async with self._changing:
            wanted = {opening.loaded.provider: opening for opening in self._openings}
            for name, (opening, exchange, *_) in list(self._running.items()):
                other = wanted.get(name)
                same = other is not None and (other.loaded, other.per_second) == (opening.loaded, opening.per_second)
                if not same or exchange.stopped is not None:
                    await self._close(name)
            self.failed = {}
            for name, opening in wanted.items():
                if name not in self._running:
                    await self._open(opening)
        self._care.set()

    async def _open(self, opening: Opening) -> None:
        name = opening.loaded.provider
        context, close = opening.context(opening.loaded)
        try:
            channel = opening.loaded.make()
            await in_time(channel.start(context))
        except Exception as error:  # noqa: BLE001 - plugin isolation: the daemon starts without this provider
            self.failed[name] = f"{type(error).__name__}: {error}"
            self._log.error("provider_not_started", provider=name, error=self.failed[name])
            await _closed(close)
            return
        exchange = Exchange(
            provider=name, channel=channel, store=self._store, clock=self._clock, ids=self._ids, log=self._log, metrics=self._metrics,
            bucket=Bucket.from_state(None, rate=opening.per_second), stopping=self.stopping.is_set, holds=self._holds,
        )  # fmt: skip
        self._bells[name] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._drive(name, exchange), name=f"audience-{name}")
        self._running[name] = (opening, exchange, channel, close, task)

    async def _close(self, name: str) -> None:
        _, _, channel, close, task = self._running.pop(name)
        self._bells.pop(name).set()
        task.cancel()  # a request that is cut off is sent again: its batch stands in the store
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await channel.stop()
        except Exception as error:  # noqa: BLE001 - plugin isolation
            self._log.error("provider_not_stopped", provider=name, error=f"{type(error).__name__}: {error}")
        await _closed(close)

    async def _drive(self, name: str, exchange: Exchange) -> None:
        """One provider's rounds. A fault of its plugin, or a full disk, ends a round and not the service."""
        bell = self._bells[name]
        while not self.stopping.is_set():
            bell.clear()
            try:
                await exchange.work()
                await exchange.measure(now_please=name in self._sizes_wanted)
                self._sizes_wanted.discard(name)
            except StoreUnavailableError as error:
                self._log.error("audience_put_off", provider=name, error=str(error))
            except Exception as error:  # noqa: BLE001 - plugin isolation
                self._log.error("audience_round_failed", provider=name, exc_info=error)
            self._signals.emit("audience_idle", provider=name)
            await self._sleep(bell, self._look_seconds)

    async def _sleep(self, bell: asyncio.Event, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return

    async def _look_after(self) -> None:
        """Gauges, and what is kept too long."""
        if not self._running and not self.failed:
            return
        try:
            views = await self._store.read(read_audiences)
            await self._store.write(Lane.BULK, prune_batches, self._clock.instant())
            await self._forget()
        except StoreUnavailableError as error:
            self._log.error("audience_put_off", error=str(error))
            return
        now = self._clock.instant()
        for name in {*self._running, *self.failed}:
            mine = [view for view in views if view.provider == name]
            oldest = min((view.oldest for view in mine if view.oldest is not None), default=now)
            self._metrics.audience(
                name, wanted=sum(view.wanted for view in mine), acknowledged=sum(view.acknowledged for view in mine),
                pending=sum(view.pending for view in mine), refused=sum(sum(view.refused.values()) for view in mine),
                blocked=sum(view.blocked is not None for view in mine), lag=(now - oldest) / SECOND,
            )  # fmt: skip

    async def _forget(self) -> None:
        """Once an hour: whoever left long ago, since no cap counts those days any more."""
        self._turns += 1
        if self._turns % FORGET_TURNS != 1:
            return
        before = self._clock.instant() - KEPT
        while stale := await self._store.read(stale_members, before, FORGOTTEN):
            await self._store.write(Lane.BULK, forget_members, stale)

    # operators

    def providers(self) -> list[Mapping[str, object]]:
        """One object a provider, failed ones too."""
        shown: list[Mapping[str, object]] = [exchange.status() for _, exchange, *_ in self._running.values()]
        return shown + [{"provider": name, "state": "not_started", "detail": why, "rests_seconds": 0} for name, why in self.failed.items()]

    async def sync_now(self, provider: str | None) -> None:
        """An operator wants it done now: blocks, pauses and refusals end, and sizes are asked for anew."""
        await self._store.write(Lane.BULK, unblock, provider)
        for name, (_, exchange, *_) in self._running.items():
            if provider in (None, name):
                exchange.again()
                self._sizes_wanted.add(name)
        self.wake()


async def _closed(close: Callable[[], Any]) -> None:
    closing = close()
    if asyncio.iscoroutine(closing):
        await closing


def view_json(view: AudienceView) -> dict[str, Any]:
    """An audience as `homing audience status --json` shows it. `drift`: the platform's count against what it acknowledged."""

    def at(instant: int | None) -> str | None:
        return None if instant is None else iso(instant)

    expected = view.acknowledged - sum(view.failed.values())
    drift = None
    if view.least is not None and view.most is not None:
        drift = min(view.most - expected, 0) or max(view.least - expected, 0)
    return {
        "campaign": view.campaign or None, "provider": view.provider, "name": view.name, "remote_id": view.remote_id, "origin": view.origin,
        "wanted": view.wanted, "acknowledged": view.acknowledged, "unproved": view.unproved,
        "pending": {"add": view.to_add, "remove": view.to_remove, "since": at(view.oldest)},
        "failed": {**view.refused, **view.failed}, "batches": dict(view.batches), "last_sync": at(view.synced_at),
        "platform": {
            "received": view.received, "size": None if view.least is None else {"least": view.least, "most": view.most},
            "asked_at": at(view.sized_at), "drift": drift,
        },
        "blocked": view.blocked, "trouble": view.trouble,
    }  # fmt: skip


async def audience_status(store: Writes, providers: Sequence[Any], provider: str | None) -> dict[str, Any]:
    """What `homing audience status` shows. `providers`: those of a running daemon."""
    views = await store.read(read_audiences, provider)
    shown = [each for each in providers if provider in (None, each["provider"])]
    return {"providers": shown, "audiences": [view_json(view) for view in views]}
