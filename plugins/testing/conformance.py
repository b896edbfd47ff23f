"""The conformance kit: puts a channel through its scenes and says which rules it keeps, which it breaks, and why.

`run_conformance` is the kit for code that has a loop; `check_channel` is for all others (the command line, a plain test): it
runs the kit in a thread of its own, so that a channel that blocks the loop is found out as well. Nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from plugins.contract import Accepted, Channel
from plugins.discovery import PluginRefusedError
from plugins.loader import check_class, stands_for
from plugins.testing.hearing import HEARING, Heard, Hook, listen
from plugins.testing.http_peer import HttpPeer, Reply
from plugins.testing.messages import AddressOf, address_maker
from plugins.testing.peers import Behaviour, Peer
from plugins.testing.report import Finding, Report, Rule, Verdict
from plugins.testing.scenes import ALWAYS, HTTP_SCENARIOS, SCENARIOS, Scenario
from plugins.testing.stage import Played, Subject, perform
from plugins.testing.wiring import choose_peer, lead_to, settings_maker

PATIENCE = 5.0
"""Real seconds that one call of the channel may take before it counts as hanging."""
ID = re.compile(r"K1T\d+")
BEAT = 0.05


async def run_conformance(
    channel_class: type[Channel],
    settings: Any = None,
    *,
    peer: Peer | None = None,
    reply: Reply | None = None,
    address: AddressOf | None = None,
    hook: Hook | None = None,
    patience: float = PATIENCE,
) -> Report:
    """Put a channel class through all scenes.

    `settings`: an instance of its settings_type, or a table as in the config (a secret may be plain text). Whatever leads to
    the provider in it is replaced by the kit's peer: http(s) addresses, or `host` and `port`; those and secrets may be left out.
    `peer`: your own other end; by default the kit's HTTP, SMTP or folder peer, as the settings suggest · `reply`: what the HTTP
    peer answers when it takes a message · `address`: the n-th recipient's address · `hook`: makes a request to `/hooks/NAME`
    that the provider would have signed, from the channel's context. Raises `SettingsRefusedError` if the
    settings do not fit; whatever is wrong with the channel is in the report.
    """
    kind: type[Any] = channel_class  # its attributes are those of the class, which a protocol cannot say
    try:
        check_class(kind)
    except PluginRefusedError as refusal:
        return _only(Rule.SHAPE, str(refusal), channel_class)
    peer, named = choose_peer(kind.settings_type, kind.channel, kind.address, peer, reply)
    note = await lead_to(peer, settings)
    make = settings_maker(kind.settings_type, settings, peer)
    await peer.start()
    try:
        first = make(peer.settings())
    finally:
        await peer.stop()
    try:
        channel, needs = stands_for(kind, first)
        await _stop_unstarted(kind, patience)
    except Exception as error:  # noqa: BLE001  # whatever a channel raises is a finding
        return _only(Rule.SHAPE, f"{type(error).__name__}: {error}", kind)
    subject = Subject(
        channel_class=kind,
        settings_for=make,
        peer=peer,
        channel=channel,
        address_of=address or getattr(peer, "address_of", None) or address_maker(needs),
        patience=patience,
    )
    return await _play_all(subject, hook, named, [note] if note else [])


async def _stop_unstarted(channel_class: type[Any], patience: float) -> None:
    async with asyncio.timeout(patience):
        await channel_class().stop()


async def _play_all(subject: Subject, hook: Hook | None, named: str, notes: list[str]) -> Report:
    broken: dict[Rule, list[str]] = {}
    skipped: dict[Rule, str] = {}
    plays: list[Played] = []
    for scenario in [*SCENARIOS, *(HTTP_SCENARIOS if isinstance(subject.peer, HttpPeer) else ())]:
        if (why := _cannot_play(scenario, subject, plays)) is not None:
            skipped[scenario.rule] = why
            continue
        played = await perform(subject, scenario.play)
        plays.append(played)
        if played.sent:
            scenario.judge(played)
        for rule, reasons in played.scene.broken.items():
            broken.setdefault(scenario.rule if _is_parallel(scenario, rule, broken) else rule, []).extend(reasons)
    notes += _notes(plays)
    if plays[-1].scene.hung is None and plays[0].sent:
        heard = await listen(subject, hook)
        broken |= heard.broken
        skipped |= heard.skipped
    else:
        heard = Heard(foreign=frozenset(HEARING))
    if not any(played.scene.sightings for played in plays):
        for rule in (Rule.SENT_ONCE, Rule.GRANT_DEADLINE, Rule.DOUBT, Rule.REFUSAL):
            skipped.setdefault(rule, "the kit saw none of the messages on any wire")
    return Report(name=subject.channel_class.name, peer=named, findings=_findings(broken, skipped, heard.foreign), notes=tuple(notes))


def _is_parallel(scenario: Scenario, rule: Rule, broken: Mapping[Rule, Sequence[str]]) -> bool:
    """What breaks only when several `send()` run at once is a matter of that."""
    return scenario.rule is Rule.PARALLEL and rule not in broken and rule not in (Rule.START_STOP, Rule.SECRETS)


def _cannot_play(scenario: Scenario, subject: Subject, plays: Sequence[Played]) -> str | None:
    """Why a scene is left out, None if it can be played."""
    behaviour = scenario.play.behaviour
    if behaviour is not Behaviour.TAKES and behaviour not in getattr(subject.peer, "behaviours", ()):
        return "the peer cannot misbehave"
    if plays and not plays[0].sent:
        return "start() failed"
    if plays and (hung := plays[-1].scene.hung) is not None:
        return f"{hung} does not return"
    if scenario.rule is Rule.PARALLEL and plays and plays[0].capabilities.concurrency < scenario.play.sends:
        return f"capabilities.concurrency is {plays[0].capabilities.concurrency}"
    return None


def _notes(plays: Sequence[Played]) -> list[str]:
    """What is worth knowing though it breaks no rule: messages that were accepted unseen, or never accepted at all."""
    scene = plays[0].scene
    accepted = [message for message, reports in scene.reports.items() if isinstance(reports[0], Accepted)]
    unseen = [message for message in accepted if message not in scene.sightings]
    if unseen:
        what = "was accepted, but no id, address or text of it was seen at the peer"
        return [f"{unseen[0]} {what}: the rules about the wire were not judged"]
    if not accepted and plays[0].finished:
        outcome = next(iter(scene.reports.values()), ["nothing"])[0]
        return [f"the peer's usual answer was not taken as accepted but as {outcome!r}: give the kit the provider's own (`reply`)"]
    return []


def _findings(broken: Mapping[Rule, Sequence[str]], skipped: Mapping[Rule, str], foreign: frozenset[Rule]) -> tuple[Finding, ...]:
    findings = []
    for rule in (rule for rule in Rule if rule not in foreign):
        if reasons := _shown(broken.get(rule, ())):
            findings.append(Finding(rule=rule, verdict=Verdict.FAILED, reasons=reasons))
        elif rule in skipped and rule not in ALWAYS:
            findings.append(Finding(rule=rule, verdict=Verdict.NOT_CHECKED, reasons=(skipped[rule],)))
        else:
            findings.append(Finding(rule=rule, verdict=Verdict.PASSED))
    return tuple(findings)


def _shown(reasons: Sequence[str]) -> tuple[str, ...]:
    """One reason of each kind, with the number of others that differ in the message only."""
    kinds: dict[str, list[str]] = {}
    for reason in dict.fromkeys(reasons):
        kinds.setdefault(ID.sub("", reason), []).append(reason)
    return tuple(each[0] + (f" (and {len(each) - 1} more)" if len(each) > 1 else "") for each in kinds.values())


def _only(failed: Rule, reason: str, channel_class: Any) -> Report:
    """The report on a channel that could not be played any further."""
    findings = (
        Finding(rule=rule, verdict=Verdict.FAILED, reasons=(reason,))
        if rule is failed
        else Finding(rule=rule, verdict=Verdict.NOT_CHECKED, reasons=("the kit could not go on",))
        for rule in Rule
        if rule not in HEARING
    )
    return Report(name=str(getattr(channel_class, "name", channel_class)), peer="none", findings=tuple(findings))


def check_channel(
    channel_class: type[Channel],
    settings: Any = None,
    *,
    peer: Peer | None = None,
    reply: Reply | None = None,
    address: AddressOf | None = None,
    hook: Hook | None = None,
    patience: float = PATIENCE,
) -> Report:
    """`run_conformance` for code without a loop. A channel that blocks its loop is reported with the line that does."""
    run = _Run()
    work = run_conformance(channel_class, settings, peer=peer, reply=reply, address=address, hook=hook, patience=patience)
    thread = threading.Thread(target=run.play, args=(work,), name="homing-conformance", daemon=True)
    thread.start()
    if (blocked := _watch(thread, run, max(patience, 1.0))) is not None:
        return _only(Rule.RETURNS, f"it blocks the event loop at {blocked}: nothing else goes on meanwhile; await instead", channel_class)
    if run.report is not None:
        return run.report
    if isinstance(run.error, SystemExit | KeyboardInterrupt):
        return _only(Rule.NO_RAISE, f"it raised {type(run.error).__name__}, which ends the whole process", channel_class)
    raise run.error or RuntimeError("the conformance kit ended without a report")


@dataclasses.dataclass(slots=True)
class _Run:
    """The kit in a thread, with a heartbeat that stops when the loop is blocked."""

    beats: int = 0
    began: bool = False
    report: Report | None = None
    error: BaseException | None = None

    def play(self, work: Any) -> None:
        try:
            asyncio.run(self._beating(work))
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread
            self.error = error

    async def _beating(self, work: Any) -> None:
        self.began = True
        self._beat(asyncio.get_running_loop())
        self.report = await work

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self.beats += 1
        loop.call_later(BEAT, self._beat, loop)


def _watch(thread: threading.Thread, run: _Run, patience: float) -> str | None:
    """Wait for the end of the thread; where it stands, if its loop does not turn for longer than `patience`."""
    beats, still = run.beats, 0
    while thread.is_alive() and run.report is None:  # a task that cannot be cancelled keeps the thread alive beyond its report
        thread.join(BEAT)
        beats, still = (beats, still + 1) if run.beats == beats and run.began else (run.beats, 0)
        if still * BEAT > patience:
            return _line_of(thread)
    return None


def _line_of(thread: threading.Thread) -> str:
    """Where a thread is now, the innermost line outside of the standard library and the kit."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  # documented, for debugging
    lines = [] if frame is None else inspect.getouterframes(frame)
    ours = next((line for line in lines if not line.filename.startswith((sys.base_prefix, "<"))), None)
    return "an unknown line" if ours is None else f"{ours.filename}:{ours.lineno} ({ours.function})"
