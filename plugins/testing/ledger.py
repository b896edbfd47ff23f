"""What a channel did, in order: what it asked, was granted, put on the wire and reported; and which rules it broke by that.

`Scene` is one play with one fresh channel; `KitSession` is the daemon's side of one `send()`. Before it answers a handover the
kit lets the wire come to rest and looks at what the peer has got: whatever is there by then left without leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from plugins.contract import GRANT_SECONDS, Accepted, Deferred, Message, Outcome, Rejected, Scope, Unknown
from plugins.testing.messages import found_in
from plugins.testing.peers import Act, Peer
from plugins.testing.report import Rule
from plugins.testing.world import KitClock, settle

SCOPES = get_args(Scope)
Decide = Callable[[str], bool]


@dataclass(slots=True)
class Sighting:
    """A message on the wire: in which act, and whether that act began after its grant."""

    act: int
    granted: bool


@dataclass(slots=True)
class Scene:
    """One play: the messages given out, and everything known about each. `broken` has the reasons by rule."""

    peer: Peer
    clock: KitClock
    unit: int = 1
    messages: dict[str, Message] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    together: dict[str, int] = field(default_factory=dict)
    reports: dict[str, list[Any]] = field(default_factory=dict)
    sightings: dict[str, list[Sighting]] = field(default_factory=dict)
    broken: dict[Rule, list[str]] = field(default_factory=dict)
    hung: str | None = None
    """The call that did not return, if there was one: the kit plays no further scene then."""
    _leaves: list[frozenset[str]] = field(default_factory=list)

    def breach(self, rule: Rule, reason: str) -> None:
        """A rule is broken; the same reason counts once."""
        reasons = self.broken.setdefault(rule, [])
        if reason not in reasons:
            reasons.append(reason)

    async def observe(self) -> None:
        """Let the wire come to rest and look for the messages in the peer's acts."""
        await settle()
        acts = self.peer.seen()
        self._leaves += [frozenset(self.granted)] * (len(acts) - len(self._leaves))
        for number, act in enumerate(acts):
            for found in found_in(_bytes(act), self.messages.values()):
                known = self.sightings.setdefault(found, [])
                if all(sighting.act != number for sighting in known):
                    known.append(Sighting(number, granted=found in self._leaves[number]))

    def completed(self, id: str) -> bool:
        """True if the peer has a whole act with this message in it."""
        acts = self.peer.seen()
        return any(_complete(acts[sighting.act]) for sighting in self.sightings.get(id, ()))

    def judge_wire(self, *, once: bool = True) -> None:
        """The rules about what was on the wire: granted before, granted at all, once, in one act with those asked with it."""
        for message, sightings in self.sightings.items():
            if message in self.refused and message not in self.granted:
                self.breach(Rule.ONLY_GRANTED, f"{message} was sent although its handover was not granted")
            elif message not in self.granted:
                self.breach(Rule.HANDOVER_FIRST, f"{message} was sent without asking for handover")
            elif not all(sighting.granted for sighting in sightings):
                self.breach(Rule.HANDOVER_FIRST, f"{message} was on the wire before its handover was granted")
            if once and len(sightings) > 1:
                self.breach(Rule.SENT_ONCE, f"{message} went out {len(sightings)} times under one grant: a provider may act on each")
        for number in set(self.together.values()):
            ids = [message for message, asked in self.together.items() if asked == number and message in self.granted]
            acts = {sighting.act for message in ids for sighting in self.sightings.get(message, ())}
            if len(ids) > 1 and len(acts) > 1:
                what = f"handover was asked for {len(ids)} messages at once, but they went out in {len(acts)} separate acts"
                self.breach(Rule.UNIT, f"{what}: after a crash in between all of them would be in doubt; ask before each act")

    def judge_reports(self) -> None:
        """The rules about what was reported, once `send` has returned by itself."""
        for message in sorted(self.granted - self.reports.keys()):
            self.breach(Rule.REPORT_ONCE, f"{message} was granted and never reported: every such message ends in doubt")

    def outcome(self, id: str) -> Any:
        """The first outcome reported for a message, None if there is none."""
        return self.reports.get(id, [None])[0]


@dataclass(slots=True)
class KitSession:
    """The daemon's side of one `send()`. `decide(id)`: whether to grant · `late`: answer after the grant has run out."""

    scene: Scene
    ids: frozenset[str]
    decide: Decide = lambda _: True
    late: bool = False
    drain_after: float = math.inf
    """`closing` turns true once so many messages are granted; 0 = from the start."""
    over: bool = False
    granted: int = 0

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        asked = self._asked(ids)
        await self.scene.observe()
        names = ", ".join(asked)
        if self.over:
            self.scene.breach(Rule.REPORT_ONCE, f"handover was asked for {names} after send() had returned")
            return frozenset()
        if self.drain_after == 0:
            self.scene.breach(Rule.CLOSING, f"handover was asked for {names} although session.closing was true before send() began")
        free = (each for each in asked if each not in self.scene.granted)
        granted = frozenset(each for each in free if not self.closing and self.decide(each))
        self.granted += len(granted)
        self.scene.granted |= granted
        self.scene.refused |= set(asked) - granted
        if self.late:
            self.scene.clock.jump(GRANT_SECONDS + 1.0)
        return granted

    def report(self, id: str, outcome: Outcome) -> None:
        scene = self.scene
        if id not in self.ids:
            scene.breach(Rule.REPORT_ONCE, f"reported {id!r}, which is not in the batch of this session")
            return
        if self.over:
            scene.breach(Rule.REPORT_ONCE, f"reported {id} after send() had returned")
        if (wrong := wrong_outcome(outcome)) is not None:
            scene.breach(Rule.OUTCOMES, f"reported {id} as {wrong}")
        known = scene.reports.setdefault(id, [])
        known.append(outcome)
        if len(known) > 1:
            scene.breach(Rule.REPORT_ONCE, f"reported {id} {len(known)} times")
        if id in scene.refused and id not in scene.granted:
            scene.breach(Rule.ONLY_GRANTED, f"reported {id} although its handover was not granted: it needs no report, it is decided anew")
        elif id not in scene.granted and isinstance(outcome, Accepted | Unknown):
            scene.breach(Rule.HANDOVER_FIRST, f"reported {id} as {type(outcome).__name__} without asking for handover")

    @property
    def closing(self) -> bool:
        return self.granted >= self.drain_after

    def _asked(self, ids: Any) -> list[str]:
        scene = self.scene
        if isinstance(ids, str):
            scene.breach(Rule.OUTCOMES, f"handover was given the text {ids!r} instead of a list of ids")
        asked = [ids] if isinstance(ids, str) else list(ids)
        for stranger in (each for each in asked if each not in self.ids):
            scene.breach(Rule.REPORT_ONCE, f"handover was asked for {stranger!r}, which is not in the batch of this session")
        if len(asked) > scene.unit:
            what = f"handover was asked for {len(asked)} messages at once, but one act carries {scene.unit} (capabilities.unit)"
            scene.breach(Rule.UNIT, f"{what}: ask right before each act, for what goes out in it")
        scene.together |= dict.fromkeys(asked, len(scene.together))
        return [each for each in asked if each in self.ids]


def wrong_outcome(outcome: Any) -> str | None:
    """What is wrong with a reported outcome, None if nothing is."""
    if not isinstance(outcome, Outcome):
        return f"{outcome!r:.60}, which is no Accepted, Rejected, Deferred or Unknown"
    if isinstance(outcome, Rejected | Deferred) and outcome.scope not in SCOPES:
        return f"{type(outcome).__name__} with the scope {outcome.scope!r}; it must be one of {', '.join(SCOPES)}"
    after: object = getattr(outcome, "after", None)
    if isinstance(after, bool) or not isinstance(after, str | int | float | None):
        return f"Deferred with after={after!r}; it must be seconds or the text of a Retry-After header"
    for name in ("code", "detail", "provider_id"):
        if not isinstance(value := getattr(outcome, name, None), str | None):
            return f"{type(outcome).__name__} with {name}={value!r:.40}; it must be text"
    return None


def _bytes(act: bytes | str | Act) -> bytes:
    if isinstance(act, Act):
        return bytes(act.data)
    return act.encode() if isinstance(act, str) else bytes(act)


def _complete(act: bytes | str | Act) -> bool:
    return not isinstance(act, Act) or act.complete
