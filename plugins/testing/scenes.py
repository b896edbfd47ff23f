"""The scenes that a channel is put through, each with what it must show beyond the rules that hold in every one.

Each scene is a `Play` and a judgement of what came of it. Reads nothing but the played scene; the order is the order of the
report. A rule that needs a behaviour which the peer does not have is left out and named as not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plugins.contract import Accepted, Deferred, Rejected, Unknown
from plugins.testing.peers import Behaviour
from plugins.testing.report import Rule
from plugins.testing.stage import Play, Played


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scene: the rule it is there for, how it is played, how it is judged beyond what holds always."""

    rule: Rule
    play: Play
    judge: Callable[[Played], None] = lambda _: None


def _grant_deadline(played: Played) -> None:
    scene = played.scene
    for message in sorted(scene.sightings.keys() & scene.granted):
        advice = "count from before the asking, by context.clock"
        scene.breach(Rule.GRANT_DEADLINE, f"{message} was sent 11 s after handover was asked for: {advice}")
    for message in sorted(scene.granted - scene.sightings.keys()):
        outcome = scene.outcome(message)
        if outcome is not None and not (isinstance(outcome, Deferred) and outcome.nothing_sent):
            scene.breach(Rule.GRANT_DEADLINE, f"{message} was not sent, but reported {_told(outcome)} instead of given back")


def _doubt(played: Played) -> None:
    scene = played.scene
    for message in sorted(scene.granted):
        outcome = scene.outcome(message)
        if scene.completed(message) and outcome is not None and not isinstance(outcome, Unknown):
            scene.breach(Rule.DOUBT, f"the provider took {message} without an answer; reported {_told(outcome)}, only Unknown is true")


def _failed(played: Played) -> None:
    scene = played.scene
    for message in sorted(scene.granted):
        outcome = scene.outcome(message)
        if scene.completed(message) and isinstance(outcome, Deferred | Rejected):
            what = f"the provider answered 500 for {message}, which may have been taken; reported {_told(outcome)}, only Unknown is true"
            scene.breach(Rule.DOUBT, what)


def _refusal(sure: tuple[type, ...], what: str) -> Callable[[Played], None]:
    def judge(played: Played) -> None:
        scene = played.scene
        for message in sorted(scene.granted):
            outcome = scene.outcome(message)
            if scene.completed(message) and isinstance(outcome, sure):
                scene.breach(Rule.REFUSAL, f"the provider answered {what} for {message}; it was reported {_told(outcome)}")

    return judge


def _gives_back(played: Played) -> None:
    scene = played.scene
    for message, reports in sorted(scene.reports.items()):
        if isinstance(reports[0], Accepted | Rejected):
            scene.breach(Rule.GIVES_BACK, f"nobody listened at the provider's address; {message} was reported {_told(reports[0])}")


def _told(outcome: object) -> str:
    """The outcome as it would be written: `Deferred(nothing_sent=True)`."""
    if not isinstance(outcome, Accepted | Rejected | Deferred | Unknown):
        return f"{outcome!r:.60}"
    flags = [f"{name}=True" for name in ("nothing_sent", "throttled") if getattr(outcome, name, False)]
    scope = [f'scope="{outcome.scope}"'] if isinstance(outcome, Rejected | Deferred) else []
    return f"{type(outcome).__name__}({', '.join(scope + flags)})"


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(Rule.HANDOVER_FIRST, Play()),
    Scenario(Rule.ONLY_GRANTED, Play(batch=6, refuse_every=2)),
    Scenario(Rule.GRANT_DEADLINE, Play(batch=2, late=True), _grant_deadline),
    Scenario(Rule.PARALLEL, Play(batch=3, sends=3)),
    Scenario(Rule.CLOSING, Play(batch=3, drain_after=0)),
    Scenario(Rule.CLOSING, Play(batch=5, drain_after=1)),
    Scenario(Rule.DOUBT, Play(batch=2, behaviour=Behaviour.DROPS, calm=False), _doubt),
    Scenario(Rule.REFUSAL, Play(batch=2, behaviour=Behaviour.THROTTLES, calm=False), _refusal((Accepted, Rejected), "too many, try later")),
    Scenario(Rule.REFUSAL, Play(batch=2, behaviour=Behaviour.REFUSES, calm=False), _refusal((Accepted,), "that it refuses the message")),
    Scenario(Rule.REFUSAL, Play(batch=2, behaviour=Behaviour.FAILS, calm=False), _refusal((Accepted,), "that it failed")),
    Scenario(Rule.GIVES_BACK, Play(batch=2, behaviour=Behaviour.AWAY, calm=False), _gives_back),
)
"""The silent provider is left out here: only `HTTP_SCENARIOS` can end it, by the deadline of the kit's own HTTP session."""

HTTP_SCENARIOS = (
    Scenario(Rule.DOUBT, Play(batch=2, behaviour=Behaviour.FAILS, calm=False), _failed),
    Scenario(Rule.DOUBT, Play(batch=1, behaviour=Behaviour.SILENT, calm=False), _doubt),
)

ALWAYS = frozenset(
    {
        Rule.UNIT,
        Rule.SENT_ONCE,
        Rule.REPORT_ONCE,
        Rule.OUTCOMES,
        Rule.NO_RAISE,
        Rule.RETURNS,
        Rule.START_STOP,
        Rule.SECRETS,
    }
)
"""Rules that have no scene of their own: they are judged in all of them."""
