"""The sync service with plugins that fail, hang and raise: each costs its own provider only, and a stop or a reload ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daemon.dispatch.sync import AudienceSync, Opening
from daemon.ids import SystemIds
from daemon.log import get_log
from daemon.metrics import Metrics
from daemon.service import Signals
from daemon.store import schema as s
from daemon.store.audience_read import read_audiences
from daemon.store.audiences import DOOR, Want, open_audience, put_members
from daemon.store.recipients import person_id
from daemon.store.writer import Lane, Store
from plugins.audience import Audience, AudienceCapabilities, Member, Report, RowRefused, Synced
from plugins.loader import LoadedAudience
from plugins.testing.world import KitLog, make_context
from tests.stages.audience_world import Hands

PROVIDERS = ("good", "hangs", "raises", "mute", "dead")


class Plain:
    """A platform in memory; its settings say how it behaves."""

    name: ClassVar[str] = "plain"
    settings_type: ClassVar[type] = object
    capabilities = AudienceCapabilities(batch=3)
    held: ClassVar[dict[str, set[bytes]]] = {}
    stopped: ClassVar[list[str]] = []

    async def start(self, context: Any) -> None:
        self.how = context.provider
        if self.how == "dead":
            raise OSError("no route")
        if self.how == "never":
            await asyncio.Event().wait()
        Plain.held.setdefault(self.how, set())

    async def stop(self) -> None:
        Plain.stopped.append(self.how)

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        return [(each.email or "").encode() for each in members]

    async def ensure(self, audience: Audience) -> str:
        return f"{self.how}-{audience.name}"

    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        if self.how == "hangs":
            await asyncio.Event().wait()
        if self.how == "raises":
            raise KeyError("plugin")
        assert len(add) + len(remove) <= 3
        Plain.held[self.how] |= set(self.handles(add))
        Plain.held[self.how] -= {each.handle for each in remove}
        for each in add:
            if each.key == "c-0":
                report(RowRefused(key=each.key, reason="odd"))
        if self.how != "mute":
            report(Synced(received=len(add)))


def opening(provider: str, settings: object = None) -> Opening:
    clock = Hands()
    loaded = LoadedAudience(provider=provider, plugin="plain", audience_class=Plain, settings=settings, origin="here")
    return Opening(loaded=loaded, per_second=None, context=lambda it: (make_context(it.settings, clock, KitLog(), None, provider=it.provider), lambda: None))  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    Plain.held, Plain.stopped = {}, []
    it = Store.open(tmp_path / "homing.db")
    now = Hands().instant()

    def fill(conn: Any) -> None:
        for n in range(8):
            conn.execute(s.recipient.insert().values(
                id=person_id(f"c-{n}"), key=f"c-{n}", email=f"c.{n}@example.com", email_hash=b"h%d" % n, guard=0, erased=0, created_at=now, updated_at=now
            ))  # fmt: skip
        for provider in PROVIDERS:
            audience = open_audience(conn, 0, provider, "x", origin=DOOR, description="", now=now)
            put_members(conn, [Want(audience, person_id(f"c-{n}"), None) for n in range(8)], topic=None, rule="implied", now=now)

    await it.write(Lane.BULK, fill)
    yield it
    await it.close()


async def test_a_plugin_that_misbehaves_costs_nobody_else(store: Store) -> None:
    """One hangs, one raises, one never reports, one cannot start: the good one is in step, and the stop ends them all."""
    signals = Signals()
    clock = Hands()
    sync = AudienceSync(store=store, clock=clock, ids=SystemIds(), log=get_log(), metrics=Metrics(clock), signals=signals, look_seconds=0.05)
    sync.configure([opening(provider) for provider in PROVIDERS])
    await sync.start()
    await sync.ready()
    await signals.wait("audience_idle", provider="good")
    assert len(Plain.held["good"]) == 8
    assert sync.failed == {"dead": "OSError: no route"}
    shown = {str(each["provider"]): each["state"] for each in sync.providers()}
    assert shown["good"] == "ready" and shown["dead"] == "not_started"
    views = {view.provider: view for view in await store.read(read_audiences)}
    assert (views["good"].acknowledged, views["good"].refused) == (7, {"odd": 1})
    assert (views["mute"].acknowledged, views["raises"].acknowledged) == (0, 0)
    await signals.wait("audience_idle", provider="raises")
    assert (views["mute"].pending, views["hangs"].pending) == (7, 8) or views["mute"].pending == 8
    await sync.stop()
    assert sorted(Plain.stopped) == ["good", "hangs", "mute", "raises"]


async def test_a_plugin_that_never_starts_keeps_nobody_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while, with words; who comes behind it starts."""
    monkeypatch.setattr("daemon.service.START_SECONDS", 0.05)
    clock, signals = Hands(), Signals()
    sync = AudienceSync(store=store, clock=clock, ids=SystemIds(), log=get_log(), metrics=Metrics(clock), signals=signals, look_seconds=0.05)
    sync.configure([opening("never"), opening("good")])
    await sync.start()
    async with asyncio.timeout(5):
        await sync.ready()
        await signals.wait("audience_idle", provider="good")
    assert sync.failed == {"never": "TimeoutError: start() did not end within 0.05 s"}
    await sync.stop()


async def test_a_reload_opens_what_changed_and_keeps_what_did_not(store: Store) -> None:
    """A provider whose settings are others is opened anew, one that is gone is closed, one that was stopped by an operator's fault too."""
    clock, signals = Hands(), Signals()
    sync = AudienceSync(store=store, clock=clock, ids=SystemIds(), log=get_log(), metrics=Metrics(clock), signals=signals, look_seconds=0.05)
    sync.configure([opening("good"), opening("mute"), opening("raises")])
    await sync.start()
    await sync.ready()
    sync._running["raises"][1].stopped = "token refused"
    kept = sync._running["good"][2]
    sync.configure([opening("good"), opening("raises"), opening("hangs")])
    await sync.reload()
    assert sorted(sync._running) == ["good", "hangs", "raises"]
    assert sync._running["good"][2] is kept
    assert sorted(Plain.stopped) == ["mute", "raises"]
    assert sync._running["raises"][1].stopped is None
    sync.configure([opening("good", settings={"other": 1})])
    await sync.reload()
    assert sync._running["good"][2] is not kept
    await sync.stop()
    await sync.stop()
