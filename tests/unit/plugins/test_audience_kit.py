"""The kit for advertising platforms: a sound plugin passes, and each fault is named by its rule."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pluggy
import pytest

from plugins import (
    Audience,
    AudienceCapabilities,
    Context,
    Deferred,
    Member,
    Report,
    Secret,
    Synced,
    Unknown,
    hookimpl,
    hookspecs,
)
from plugins.discovery import PluginRefusedError
from plugins.loader import ProviderTable, check_audience_class, load_channels
from plugins.testing import run_audience_conformance


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    url: str
    token: Secret


class Sound:
    """A platform that takes hashed rows as JSON."""

    name, settings_type = "sound", Settings
    capabilities = AudienceCapabilities()
    context: Context[Settings] | None = None

    async def start(self, context: Context[Settings]) -> None:
        self.context = context

    async def stop(self) -> None: ...

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        return [hashlib.sha256((each.email or each.phone or "").encode()).digest() if each.email or each.phone else b"" for each in members]

    def path(self) -> str:
        return "/sync"

    async def ask(self, body: Any) -> Any:
        assert self.context is not None
        settings = self.context.settings
        headers = {"Authorization": f"Bearer {settings.token.reveal()}"}
        try:
            async with self.context.http.post(settings.url.rstrip("/") + self.path(), json=body, headers=headers) as reply:
                if reply.status == 429:
                    return Deferred(scope="provider", after=reply.headers.get("Retry-After"))
                if reply.status >= 400:
                    return Unknown(code=str(reply.status))
                return await reply.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            return Unknown(code=type(error).__name__)

    async def ensure(self, audience: Audience) -> Any:
        made = await self.ask({"make": audience.name})
        return made["id"] if isinstance(made, dict) else made

    def row(self, member: Member) -> str:
        return (member.handle or self.handles([member])[0]).hex()

    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        done = await self.ask({"add": [self.row(each) for each in add], "remove": [self.row(each) for each in remove]})
        report(Synced(received=len(add) + len(remove)) if isinstance(done, dict) else done)


class Plain(Sound):
    def row(self, member: Member) -> str:
        return member.email or member.handle.hex()


class Optimist(Sound):
    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        await self.ask({})
        report(Synced())


class Silent(Sound):
    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        await self.ask({})


class Fickle(Sound):
    calls = 0

    def handles(self, members: Sequence[Member]) -> Sequence[bytes]:
        Fickle.calls += 1
        return [hashlib.sha256(f"{each.key}{Fickle.calls}".encode()).digest() for each in members]


class Leaky(Sound):
    def path(self) -> str:
        assert self.context is not None
        return f"/sync?token={self.context.settings.token.reveal()}"


class Thrower(Sound):
    async def sync(self, audience: Audience, add: Sequence[Member], remove: Sequence[Member], report: Report) -> None:
        raise RuntimeError("no")


async def rules_broken(audience_class: type[Sound]) -> set[str]:
    return set((await run_audience_conformance(audience_class, {"url": "https://ads.example/v1"})).broken)


async def test_a_sound_plugin_passes() -> None:
    """Nothing is found where nothing is wrong."""
    report = await run_audience_conformance(Sound, {"url": "https://ads.example/v1"})
    assert report.passed, report.text()
    assert report.as_json()["passed"] is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("audience_class", "rule"),
    [(Plain, "hashed"), (Optimist, "refused"), (Silent, "takes"), (Fickle, "handles"), (Leaky, "secrets"), (Thrower, "no_raise")],
)
async def test_each_fault_is_named(audience_class: type[Sound], rule: str) -> None:
    """By the rule that it breaks."""
    assert rule in await rules_broken(audience_class)


def test_hook_register_audiences_makes_a_provider_that_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by the hook, loaded beside the channels, and is none of them."""
    import types

    module = types.ModuleType("sound")
    module.register_audiences = hookimpl(lambda: [Sound])  # type: ignore[attr-defined]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    from plugins import loader

    found = {"sound": [types.SimpleNamespace(name="sound", origin="here", load=lambda: module)]}
    monkeypatch.setattr(loader, "find_plugins", lambda _: found)
    loading = load_channels([ProviderTable(name="ads", plugin="sound", settings={"url": "http://127.0.0.1:1", "token": Secret("x")})])
    assert loading.problems == ()
    assert loading.channels == ()
    (loaded,) = loading.audiences
    assert (loaded.provider, type(loaded.make())) == ("ads", Sound)


def test_a_class_that_answers_later_must_have_poll() -> None:
    """Else its batches would never end."""

    class Later(Sound):
        capabilities = AudienceCapabilities(asynchronous=True)

    with pytest.raises(PluginRefusedError, match="has no `async def poll`"):
        check_audience_class(Later)
