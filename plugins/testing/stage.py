"""One play of the kit: a fresh channel on a fresh peer, some `send()` calls, and the rules that every play is held to.

A scene says how peer and session behave (`Play`) and judges what is particular to it; starting, waiting with patience,
stopping and looking for what was left running happen here. Nothing a channel does or raises ends the kit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plugins.contract import Capabilities, Channel, Message
from plugins.http import open_http
from plugins.testing.ledger import Decide, KitSession, Scene
from plugins.testing.messages import AddressOf, make_message
from plugins.testing.peers import Behaviour, Peer
from plugins.testing.report import Rule
from plugins.testing.world import KitClock, KitLog, LocalDns, make_context, pause, secrets_in, settle

RAISED = "send_one_raised"
SILENCE_SECONDS = 0.15
"""After so long the kit's HTTP session gives up on a provider that does not answer."""
NO_OUTCOME = "send_one_returned_no_outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The channel under test and how to lead it to its peer."""

    channel_class: type[Any]
    settings_for: Callable[[Mapping[str, Any]], Any]
    """The settings, with the peer's own (`Peer.settings()`) put in."""
    peer: Peer
    channel: str
    address_of: AddressOf
    patience: float
    """Real seconds that a call may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How one scene goes. `sends`: so many `send()` at once, each with `batch` messages (no more than the channel takes)."""

    batch: int = 5
    sends: int = 1
    behaviour: Behaviour = Behaviour.TAKES
    refuse_every: int = 0
    """Handover refuses each message whose number divides by it; 0 = none."""
    late: bool = False
    drain_after: float | None = None
    calm: bool = True
    """The peer answers as usual: nothing may raise, all that is granted must be reported."""


@dataclass(slots=True)
class Played:
    """What came of a play. `finished`: every `send()` returned by itself, in time, without raising."""

    scene: Scene
    capabilities: Capabilities
    sent: bool = False
    finished: bool = False


async def perform(subject: Subject, play: Play) -> Played:
    """Play once, on a fresh instance and peer. What was found is in `scene.broken`."""
    peer = subject.peer
    behave = getattr(peer, "behave", None)
    if behave is not None:
        behave(play.behaviour)
    await peer.start()
    clock, log = KitClock(), KitLog()
    scene = Scene(peer, clock)
    played = Played(scene, Capabilities())
    before = asyncio.all_tasks()
    settings = subject.settings_for(peer.settings())
    try:
        deadline = min(SILENCE_SECONDS, subject.patience / 2) if play.behaviour is Behaviour.SILENT else subject.patience / 2
        async with open_http(dns=LocalDns(), settings=settings, total_seconds=deadline) as http:
            channel: Channel = subject.channel_class()
            context = make_context(settings, clock, log, http, provider="kit")
            if await _call(scene, Rule.START_STOP, "start()", channel.start(context), subject.patience):
                played.capabilities = getattr(channel, "capabilities", None) or Capabilities()
                await _send(channel, subject, play, played)
            for time in ("", " the second time"):
                if scene.hung is None or not time:
                    await _call(scene, Rule.START_STOP, f"stop(){time}", channel.stop(), subject.patience)
        await scene.observe()
        scene.judge_wire(once=play.behaviour not in (Behaviour.THROTTLES, Behaviour.REFUSES))
        await _judge_leftovers(scene, before)
    finally:
        await peer.stop()
    _judge_log(scene, log, settings, play)
    return played


async def _send(channel: Channel, subject: Subject, play: Play, played: Played) -> None:
    scene, capabilities = played.scene, played.capabilities
    scene.unit = capabilities.unit
    size = max(1, min(play.batch, capabilities.batch))
    batches = [_batch(subject, scene, first=number * size + 1, size=size) for number in range(play.sends)]
    scene.messages = {message.id: message for batch in batches for message in batch}
    sessions = [_session(scene, batch, play) for batch in batches]
    played.sent = True
    calls = (
        _call(scene, Rule.NO_RAISE if play.calm else None, "send()", channel.send(batch, session), subject.patience, returns=True)
        for batch, session in zip(batches, sessions, strict=True)
    )
    played.finished = all(await asyncio.gather(*calls))
    for session in sessions:
        session.over = True
    await scene.observe()
    if played.finished:
        scene.judge_reports()


def _batch(subject: Subject, scene: Scene, *, first: int, size: int) -> list[Message]:
    now = scene.clock.now()
    numbers = range(first, first + size)
    return [make_message(number, channel=subject.channel, address=subject.address_of(number), now=now) for number in numbers]


def _session(scene: Scene, batch: Sequence[Message], play: Play) -> KitSession:
    order = {message.id: number for number, message in enumerate(batch, start=1)}
    every = play.refuse_every if play.refuse_every <= len(batch) else 1

    def decide(message: str) -> bool:
        return not every or order[message] % every != 0

    chosen: Decide = decide
    session = KitSession(scene, frozenset(order), decide=chosen, late=play.late)
    return session if play.drain_after is None else replace(session, drain_after=play.drain_after)


async def _call(scene: Scene, rule: Rule | None, what: str, work: Any, patience: float, *, returns: bool = False) -> bool:
    """Await a call of the channel; True if it returned in time. `rule` is the one that a raise breaks (None: it may raise)."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=patience)
    if not done:
        scene.hung = scene.hung or what
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        stubborn = "" if task.done() else ", and did not end when it was cancelled"
        asked = "" if not returns or scene.granted else " (it never asked for handover)"
        scene.breach(Rule.RETURNS if returns else Rule.START_STOP, f"{what} did not return within {patience:g} s{asked}{stubborn}")
        return False
    if task.cancelled():
        scene.breach(Rule.NO_RAISE, f"{what} raised CancelledError although nobody cancelled it")
        return False
    error = task.exception()
    if error is not None and rule is not None:
        scene.breach(rule, f"{what} raised {type(error).__name__}: {error}"[:300])
    return error is None


async def _judge_leftovers(scene: Scene, before: set[asyncio.Task[Any]]) -> None:
    """Connections and tasks that outlive `stop()`."""
    connections = getattr(scene.peer, "connections", lambda: 0)
    for _ in range(10):
        if not connections():
            break
        await pause(0.02)
    if connections():
        scene.breach(Rule.START_STOP, f"stop() left {connections()} connections to the provider open")
    await scene.peer.stop()
    await settle()
    left = [task for task in asyncio.all_tasks() - before if not task.done() and task is not asyncio.current_task()]
    for task in left:
        task.cancel()
        name = getattr(task.get_coro(), "__qualname__", task.get_name())
        scene.breach(Rule.START_STOP, f"stop() left a task running: {name}")
    if left:
        await asyncio.wait(left, timeout=1.0)


def _judge_log(scene: Scene, log: KitLog, settings: Any, play: Play) -> None:
    text = repr(log.events)
    if any(secret in text for secret in secrets_in(settings)):
        scene.breach(Rule.SECRETS, "a secret of the settings was written to the log: log neither settings nor headers nor whole requests")
    for _, event, fields in log.events:
        if event == RAISED and play.calm:
            error = fields.get("exc_info")
            scene.breach(Rule.NO_RAISE, f"send_one() raised {fields['error']}: {error}: the message would be in doubt"[:300])
        if event == NO_OUTCOME:
            scene.breach(Rule.OUTCOMES, f"send_one() returned {fields['returned']}, which is no outcome")
