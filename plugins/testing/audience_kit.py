"""The conformance kit for advertising platforms: puts an `AudienceChannel` through its scenes against the kit's HTTP peer.

What is judged: its shape, its handles, what it reports in fair weather and foul, and that neither addresses nor secrets leave it in
plain. `run_audience_conformance` is for code that has a loop, `check_audience` for all others. Nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from plugins.audience import MAX_HANDLE, Audience, Member, RowRefused, SessionLost, Synced
from plugins.contract import Deferred, Rejected, Unknown
from plugins.discovery import PluginRefusedError
from plugins.http import open_http
from plugins.loader import check_audience_class
from plugins.testing.http_peer import HttpPeer, Reply
from plugins.testing.peers import Behaviour
from plugins.testing.wiring import lead_to, settings_maker
from plugins.testing.world import KitClock, KitLog, LocalDns, make_context, secrets_in, settle

PATIENCE = 5.0
SILENCE_SECONDS = 0.5
MEMBERS = 12
RULES: Mapping[str, str] = {
    "shape": "the class has the attributes and methods of an advertising platform's plugin, and can be made",
    "start_stop": "stop() bears never having been started and being called twice",
    "handles": f"handles are stable, at most {MAX_HANDLE} bytes, differ from person to person, and are empty where nothing can be matched",
    "hashed": "no address or name goes out, into a log or into a handle in plain",
    "takes": "a platform that takes a batch is reported as Synced, once, both for adding and for removing by handle",
    "doubt": "a batch without a clear answer is Unknown or Deferred: it is sent again",
    "throttled": "a platform that says 429 is Deferred for the provider",
    "refused": "a platform that refuses is not reported as Synced",
    "no_raise": "sync() and ensure() return and raise nothing, whatever the platform answers",
    "secrets": "no secret of the settings appears in a log or in the address of a request",
}

Settings = Mapping[str, Any] | Callable[[str], Mapping[str, Any]] | None


@dataclass(slots=True)
class AudienceReport:
    """What was found: `broken` has the reasons by rule."""

    name: str
    broken: dict[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.broken

    def breach(self, rule: str, reason: str) -> None:
        reasons = self.broken.setdefault(rule, [])
        if reason not in reasons:
            reasons.append(reason)

    def text(self) -> str:
        """For eyes: one line a rule, the reasons below it."""
        lines = [f"{self.name} {'conforms' if self.passed else 'does not conform'}"]
        for rule, statement in RULES.items():
            lines.append(f"  {'FAIL' if rule in self.broken else 'ok  '} {rule:<12} {statement}")
            lines += [f"       {'':<12} > {reason}" for reason in self.broken.get(rule, ())]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For machines: the same."""
        rules = [
            {"rule": rule, "verdict": "failed" if rule in self.broken else "passed", "statement": RULES[rule],
             "reasons": self.broken.get(rule, [])}
            for rule in RULES
        ]  # fmt: skip
        return {"name": self.name, "passed": self.passed, "rules": rules}


def some_members(count: int = MEMBERS) -> list[Member]:
    """People whose addresses cannot be met by chance. One has no phone, one no mail address."""
    members = [
        Member(
            key=f"kit-{n}", email=f"kit-person-{n}@example.com", phone=f"+62811900{n:04d}", first_name="Kitsarah", last_name="Kitlestari",
            country="ID", city="Kitbandung", postal="40111", ad_user_data="granted", ad_personalization="granted",
        )
        for n in range(count)
    ]  # fmt: skip
    members[1] = members[1]._replace(phone=None)
    members[2] = members[2]._replace(email=None)
    return members


def _plain(members: Sequence[Member]) -> set[str]:
    found = {value.lower() for each in members for value in (each.email, each.phone, each.first_name, each.last_name) if value}
    return found | {each.phone.lstrip("+") for each in members if each.phone}


async def run_audience_conformance(
    audience_class: Any, settings: Settings = None, *, reply: Reply | None = None, patience: float = PATIENCE
) -> AudienceReport:
    """Put the class of a platform through all scenes.

    `settings`: its table, or a function that makes one of the peer's origin (`http://127.0.0.1:PORT`), for addresses that stand inside
    other values. An address of a server on this machine is passed on to it: your own fake of the platform may answer.
    """
    report = AudienceReport(name=str(getattr(audience_class, "name", audience_class)))
    try:
        check_audience_class(audience_class)
    except PluginRefusedError as refusal:
        report.breach("shape", str(refusal))
        return report
    kit = _Kit(audience_class, settings, reply, patience, report)
    if settings is not None and not callable(settings):
        await lead_to(kit.peer, settings)
    try:
        await kit.within(audience_class().stop())
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
        report.breach("start_stop", f"stop() before start(): {type(error).__name__}: {error}")
    for behaviour in Behaviour:
        await kit.scene(behaviour)
    return report


def check_audience(
    audience_class: Any, settings: Settings = None, *, reply: Reply | None = None, patience: float = PATIENCE
) -> AudienceReport:
    """`run_audience_conformance` for code without a loop."""
    return asyncio.run(run_audience_conformance(audience_class, settings, reply=reply, patience=patience))


class _Kit:
    """One class under test. Each scene has a peer, a clock and an instance of its own."""

    def __init__(self, audience_class: Any, settings: Settings, reply: Reply | None, patience: float, report: AudienceReport) -> None:
        self.audience_class, self.settings, self.patience, self.report = audience_class, settings, patience, report
        self.peer = HttpPeer(reply)

    async def within(self, call: Any) -> Any:
        async with asyncio.timeout(self.patience):
            return await call

    async def scene(self, behaviour: Behaviour) -> None:
        """Add some, then remove them, at a platform that behaves so."""
        self.peer.behave(behaviour)
        await self.peer.start()
        table = self.settings(self.peer.origin) if callable(self.settings) else self.settings
        settings = settings_maker(self.audience_class.settings_type, table, self.peer)(self.peer.settings())
        log = KitLog()
        http = open_http(dns=LocalDns(), settings=settings, total_seconds=SILENCE_SECONDS, connect_seconds=SILENCE_SECONDS)
        channel = self.audience_class()
        try:
            await self.within(channel.start(make_context(settings, KitClock(), log, http, provider="kit")))
            await self._play(channel, behaviour)
        except Exception as error:  # noqa: BLE001 - as above
            self.report.breach("no_raise", f"{behaviour.value}: {type(error).__name__}: {error}")
        finally:
            await self._stop(channel)
            await http.close()
            await settle()
            self._look_at_the_wire(list(secrets_in(settings)), log)
            await self.peer.stop()

    async def _stop(self, channel: Any) -> None:
        for _ in range(2):
            try:
                await self.within(channel.stop())
            except Exception as error:  # noqa: BLE001 - as above
                self.report.breach("start_stop", f"{type(error).__name__}: {error}")

    async def _play(self, channel: Any, behaviour: Behaviour) -> None:
        members = some_members()
        handles = self._handles(channel, members)
        made = await self.within(channel.ensure(Audience(name="winback-kit")))
        if not isinstance(made, str | Deferred | Rejected | Unknown):
            self.report.breach("no_raise", f"ensure() returned {made!r}")
        if isinstance(made, str) and behaviour is not Behaviour.TAKES:
            self.report.breach("refused", f"{behaviour.value}: ensure() returned an id")
        remote = made if isinstance(made, str) else "1"
        audience = Audience(name="winback-kit", remote_id=remote, session=77, sequence=1, last=True, total=len(members))
        gone = [Member(key=each.key, handle=handle) for each, handle in zip(members, handles, strict=True)]
        for add, remove in ((members, []), ([], gone)):
            reported: list[Any] = []
            await self.within(channel.sync(audience, add, remove, reported.append))
            self._judge(behaviour, reported, "adding" if add else "removing")

    def _handles(self, channel: Any, members: Sequence[Member]) -> list[bytes]:
        handles = list(channel.handles(members))
        breach = self.report.breach
        if len(handles) != len(members) or not all(isinstance(each, bytes) for each in handles):
            breach("handles", f"{len(members)} members gave {handles!r:.80}")
            return [b"?"] * len(members)
        if handles != list(channel.handles(list(members))):
            breach("handles", "the same members gave other handles the second time")
        if len(set(handles)) != len(handles) or not all(handles):
            breach("handles", "two people have one handle, or somebody with an address has none")
        if any(len(each) > MAX_HANDLE for each in handles):
            breach("handles", f"a handle has {max(map(len, handles))} bytes")
        if channel.handles([Member(key="kit-nobody")]) != [b""]:
            breach("handles", "somebody without any address has a handle")
        plain = [value for value in _plain(members) if any(value.encode() in each.lower() for each in handles)]
        if plain:
            breach("hashed", f"a handle has {plain[0]} in it")
        return handles

    def _judge(self, behaviour: Behaviour, reported: Sequence[Any], doing: str) -> None:
        keys = {each.key for each in some_members()}
        rows = [each for each in reported if isinstance(each, RowRefused)]
        ends = [each for each in reported if not isinstance(each, RowRefused)]
        where = f"{behaviour.value}, {doing}"
        if any(row.key not in keys for row in rows):
            self.report.breach("takes", f"{where}: a row was refused that was not in the batch")
        if len(ends) != 1 or not isinstance(ends[0], Synced | SessionLost | Deferred | Rejected | Unknown):
            self.report.breach("takes", f"{where}: reported {ends!r:.120}, where one outcome is wanted")
            return
        end = ends[0]
        if behaviour is Behaviour.TAKES:
            if not isinstance(end, Synced):
                self.report.breach("takes", f"{where}: reported {end!r:.160}")
        elif isinstance(end, Synced):
            self.report.breach("refused", f"{where}: reported as Synced")
        elif behaviour is Behaviour.THROTTLES and not (isinstance(end, Deferred) and end.scope == "provider"):
            self.report.breach("throttled", f"{where}: reported {end!r:.120}")
        elif behaviour in (Behaviour.DROPS, Behaviour.SILENT, Behaviour.FAILS, Behaviour.AWAY) and not isinstance(end, Unknown | Deferred):
            self.report.breach("doubt", f"{where}: reported {end!r:.120}")

    def _look_at_the_wire(self, secrets: Sequence[str], log: KitLog) -> None:
        plain = _plain(some_members())
        for act in self.peer.seen():
            text = act.data.decode("utf-8", "replace")
            low = unquote_plus(text).lower()
            for value in sorted(value for value in plain if value in low):
                self.report.breach("hashed", f"{value} went out in plain")
            first = text.partition("\r\n")[0]
            if any(secret in first for secret in secrets):
                self.report.breach("secrets", "a secret stands in the address of a request")
        events = repr(log.events)
        if any(secret in events for secret in secrets):
            self.report.breach("secrets", "a secret stands in the log")
        for value in sorted(value for value in plain if value in events.lower()):
            self.report.breach("hashed", f"{value} stands in the log")
