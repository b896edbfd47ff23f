"""Reports: why was this recipient written to, or not, and when may it be? The JSON of the contract, and the same for eyes.

What has ended is told from its stored decision and the provider's answers. What may still go is judged now by the very rules
that a claim asks, so the answer is today's, with the numbers from which anyone can compute it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from daemon.clock import Clock, iso
from daemon.ids import encode_id
from daemon.model.delivery import FINAL, REASONS, Decision, Instant, Reason, State, Verdict
from daemon.policy.rules import Rules
from daemon.policy.subject import PersonFacts
from daemon.policy.tz import utc_text
from daemon.reports.enrolments import absences, head_of, line_of
from daemon.reports.family import Family
from daemon.reports.sentences import Teller
from daemon.store.feedback import FeedbackRow
from daemon.store.read import Attempt, DeliveryRow, Evidence, Verdicts, Waited, read_evidence
from daemon.store.writer import Writes
from plugins.feedback import FeedbackKind

REPORTED: frozenset[str] = frozenset(get_args(FeedbackKind))
COMMANDS = ("MAIL: ", "RCPT: ", "DATA: ", "dot: ")
HANDED = (State.CLAIMED, State.HANDED_OVER, State.ACCEPTED, State.IN_DOUBT, State.REJECTED)


class Told(NamedTuple):
    """A verdict as explain shows it. `until`: when it may be asked again, None if nobody knows."""

    verdict: str
    reason: str | None
    until: Instant | None
    decided_at: Instant | None
    rule: tuple[str, str] | None
    facts: Mapping[str, Any]
    checks: Sequence[tuple[str, str]]


class Explaining:
    """`bind(now)`: the rules as a claim asks them; `rules()`: those in force; `gate()`: what shuts all sending, reason -> detail."""

    def __init__(
        self, *, store: Writes, clock: Clock, bind: Callable[[Instant], Verdicts], rules: Callable[[], Rules],
        gate: Callable[[], Mapping[str, str]],
    ) -> None:  # fmt: skip
        self._store, self._clock, self._bind, self._rules, self._gate = store, clock, bind, rules, gate

    async def explain(self, recipient: str, campaign: str | None = None) -> dict[str, Any]:
        """The JSON of contract §5. NotFoundError for an unknown recipient or campaign."""
        now = self._clock.instant()
        evidence = await self._store.read(read_evidence, recipient, campaign=campaign, now=now, verdicts=self._bind(now))
        return explain(evidence, self._rules(), self._gate(), now)


def explain(evidence: Evidence, rules: Rules, gate: Mapping[str, str], now: Instant) -> dict[str, Any]:
    """The answer from rows, rules and gate."""
    person = evidence.person
    guess = rules.guess_zones(PersonFacts(id=person.id, key=person.key, zone=person.zone, phone=person.phone, country=person.country))
    teller = Teller(guess.names[0] if guess.names else None, now)
    found: dict[tuple[str, int], list[DeliveryRow]] = defaultdict(list)
    family = Family(evidence.deliveries)
    walks = {(walk.campaign, walk.occurrence): walk for walk in evidence.walks}
    for key in walks:
        found[key] = []
    for row in evidence.deliveries:
        found[row.campaign, row.occurrence].append(row)
    return {
        "recipient": person.key,
        "at": iso(now, digits=0),
        "zone": {"names": list(guess.names), "source": guess.source},
        "enrolments": [
            {
                **head_of(walks.get((campaign, occurrence)), rows, campaign, occurrence),
                "deliveries": [_delivery(row, evidence, gate, teller, now, family) for row in rows],
            }
            for (campaign, occurrence), rows in found.items()
        ],
        "not_enrolled": absences(evidence.walks),
    }


def _delivery(
    row: DeliveryRow, evidence: Evidence, gate: Mapping[str, str], teller: Teller, now: Instant, family: Family
) -> dict[str, Any]:
    told = _tell(row, evidence, gate, now)
    return {
        "id": encode_id(row.id),
        "step": row.step,
        "channel": row.channel,
        "provider": row.provider,
        "state": row.state.value,
        "decision": told.verdict,
        "reason": told.reason,
        "next_possible_at": None if told.until is None else utc_text(told.until),
        "expires_at": _time(row.expires_at),
        "decided_at": _time(told.decided_at),
        "rule": {"name": told.rule[0], "version": told.rule[1]} if told.rule else None,
        "facts": {**told.facts, **family.facts(row)},
        "checks": [list(check) for check in told.checks],
        "history": [_waited(item) for item in (*evidence.waited.get(row.id, ()), *_reported(evidence.feedback.get(row.id, ())))],
        "text": _text(row, told, teller, now) + _besides(row, told, gate) + family.words(row),
    }


def _tell(row: DeliveryRow, evidence: Evidence, gate: Mapping[str, str], now: Instant) -> Told:
    decision = evidence.decisions.get(row.id)
    if decision is not None and decision.verdict is Verdict.SEND and row.reason == Reason.RATE_LIMITED and row.not_before > now:
        return _blocked(row, _from_store(row)._replace(until=row.not_before), gate)  # it has its turn, which the rules know nothing of
    if decision is not None:
        told = _from_now(row, decision, now)
        attempts = evidence.attempts.get(row.id, ())
        if attempts and told.verdict == Verdict.SEND.value:
            told = told._replace(facts={**told.facts, **_facts_of_sending(row, attempts)})
        return _blocked(row, told, gate)
    told = _from_store(row)
    if row.state in HANDED:
        facts = _facts_of_sending(row, evidence.attempts.get(row.id, ())) | _facts_of_feedback(evidence.feedback.get(row.id, ()))
        return told._replace(verdict=Verdict.SEND.value, until=None, facts=facts, decided_at=told.decided_at or row.handed_over_at)
    return told


def _from_now(row: DeliveryRow, decision: Decision, now: Instant) -> Told:
    """A verdict of this moment. If it is what was decided before, it keeps its time. A provider that is tried again before the
    delivery falls due does not stand in its way."""
    if decision.reason is Reason.BREAKER_OPEN and decision.until is not None and decision.until <= row.not_before:
        decision = decision._replace(verdict=Verdict.SEND, reason=None, facts={})
    reason = decision.reason.value if decision.reason else None
    before = row.decision or {}
    if decision.verdict is Verdict.SEND and before.get("reason") == row.reason == Reason.SPEND_LIMIT.value and row.not_before > now:
        return _from_store(row)._replace(until=row.not_before)  # decided when it was made, and priced: no rule knows that
    same = before.get("verdict") == decision.verdict.value and before.get("reason") == reason
    until: Instant | None = max(now, row.not_before)
    if decision.verdict is Verdict.DEFER:
        until = max(decision.until, row.not_before) if decision.until is not None else None
    elif decision.verdict is not Verdict.SEND or row.state is State.PLANNED:
        until = None
    decided_at = row.decided_at if same else now
    return Told(decision.verdict.value, reason, until, decided_at, decision.rule, decision.facts, decision.checks)


def _from_store(row: DeliveryRow) -> Told:
    """The decision that ended or held it."""
    kept = row.decision or {}
    if kept.get("reason") != row.reason:
        kept = {}
    rule = kept.get("rule")
    verdict = kept.get("verdict") or (Verdict.HOLD if row.state is State.HELD else Verdict.DROP).value
    checks = [(name, result) for name, result in kept.get("checks", ())]
    return Told(verdict, row.reason, None, row.decided_at or row.ended_at, tuple(rule) if rule else None, kept.get("facts") or {}, checks)


def _facts_of_sending(row: DeliveryRow, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What the providers answered: the last answer in full, and how many tries there were."""
    facts: dict[str, Any] = {"provider": row.provider, "attempts": row.attempts, "handed_over_at": _time(row.handed_over_at)}
    if row.state is State.ACCEPTED:
        facts |= {"accepted_at": _time(row.ended_at), "provider_id": row.provider_id}
    if attempts:
        last = attempts[-1]
        facts |= {"outcome": last.outcome, "scope": last.scope, "code": last.code, "detail": last.detail, "answered_at": _time(last.at)}
        if last.outcome == "rejected" and last.scope is not None and last.handed_over_at is None and not _answered(last):
            facts["refused_by"] = "homing"
    return {key: value for key, value in facts.items() if value is not None}


def _answered(attempt: Attempt) -> bool:
    """True for the other side's own words: a relay may refuse a recipient before the message itself is handed over."""
    return (attempt.code or "")[:1].isdigit() or (attempt.detail or "").startswith(COMMANDS)


def _facts_of_feedback(reports: Sequence[FeedbackRow]) -> dict[str, Any]:
    """When it arrived, by the provider's word; or, if it never will, what the provider said of that."""
    facts: dict[str, Any] = {}
    for report in reports:
        if report.kind == "delivered":
            facts.setdefault("delivered_at", _time(report.at))
        elif report.kind in ("failed", "bounced", "complained"):
            facts["reported"] = {"kind": report.kind, "code": report.code, "detail": report.detail, "at": _time(report.at)}
    return facts


def _reported(reports: Sequence[FeedbackRow]) -> list[Waited]:
    """Providers' reports as lines of the history, one a kind."""
    kinds: dict[str, list[Instant]] = defaultdict(list)
    for report in reports:
        kinds[report.kind].append(report.at)
    return [Waited(kind, min(times), max(times), len(times)) for kind, times in kinds.items()]


def _blocked(row: DeliveryRow, told: Told, gate: Mapping[str, str]) -> Told:
    """The guard comes last of all checks: what passes the rules may still be stopped as a whole."""
    if told.verdict != Verdict.SEND.value:
        return told
    found = next(_stops(row, gate), None)
    if found is None:
        return told if row.state is not State.PLANNED else told._replace(until=None)
    reason, facts = found
    verdict = REASONS[Reason(reason)].verdict.value
    return told._replace(verdict=verdict, reason=reason, until=None, facts=facts, rule=None, checks=[*told.checks, ("guard", verdict)])


def _stops(row: DeliveryRow, gate: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if row.job_state == "held":
        yield row.job_reason or Reason.OPERATOR.value, {"job": row.job}
    if row.job_state == "paused":
        yield Reason.CAMPAIGN_PAUSED.value, {"job": row.job}
    if row.queue_paused:
        yield Reason.CAMPAIGN_PAUSED.value, {"queue": row.queue}
    if row.status == "paused":
        yield Reason.CAMPAIGN_PAUSED.value, {"campaign": row.campaign}
    elif row.status != "active":
        yield Reason.CAMPAIGN_NOT_STARTED.value, {"campaign": row.campaign, "status": row.status}
    for reason, detail in gate.items():
        yield reason, {"detail": detail}


def _besides(row: DeliveryRow, told: Told, gate: Mapping[str, str]) -> str:
    """What would stop it all the same once the rule that makes it wait does not any more; nothing where that is said already."""
    found = next(_stops(row, gate), None)
    if found is None or told.verdict != Verdict.DEFER.value or row.state in FINAL or ("guard", told.verdict) in told.checks:
        return ""
    reason, facts = found
    if "status" in facts:
        return f" Nor has the campaign been started: `homing campaigns start {row.campaign}`."
    for kind in ("job", "queue", "campaign"):
        if kind in facts:
            return f" Besides, the {kind} {facts[kind]} is {'paused' if reason == Reason.CAMPAIGN_PAUSED.value else f'held ({reason})'}."
    return f" Besides, all sending is stopped ({reason}): see `homing status`."


def _text(row: DeliveryRow, told: Told, teller: Teller, now: Instant) -> str:
    if row.state in HANDED:
        return teller.sent(row.state, told.facts)
    if told.verdict == Verdict.SEND.value:
        if row.state is State.PLANNED:
            return "Planned: its job is about to make it due."
        return teller.going(row.not_before, now, told.facts)
    reason = told.reason or ""
    if told.verdict == Verdict.HOLD.value:
        text = teller.held(reason, told.facts)
        return text if row.state is State.HELD else text.replace("Held", "Will be held", 1)
    if told.verdict == Verdict.DEFER.value:
        if reason == Reason.CAMPAIGN_NOT_STARTED.value and "status" in told.facts:
            return f"Waits: the campaign is {told.facts['status']}; `homing campaigns start {row.campaign}` lets it go."
        what = next((f"the {kind} {told.facts[kind]}" for kind in ("job", "queue", "campaign") if kind in told.facts), "its campaign")
        return teller.waits(reason, told.facts, told.until, channel=row.channel, what=what)
    text = teller.ended(reason, told.facts, row.expires_at, channel=row.channel)
    if row.state in FINAL:
        return text
    instead = next((channel for channel, verdict in told.facts.get("others", {}).items() if verdict == "pass"), None)
    return text.replace("Not sent", "Will not be sent", 1) + (f" {instead} will take its place when it falls due." if instead else "")


def _waited(item: Waited) -> dict[str, Any]:
    return {"reason": item.reason, "first": _time(item.first), "last": _time(item.last), "count": item.times}


def _time(at: Instant | None) -> str | None:
    """Whole seconds, as the contract shows them."""
    return None if at is None else iso(at, digits=0)


def render_text(answer: Mapping[str, Any]) -> str:
    """The same answer for eyes, one line a delivery and its history below."""
    zone = answer["zone"]
    names = ", ".join(zone["names"][:3]) + (f" and {len(zone['names']) - 3} more" if len(zone["names"]) > 3 else "") or "unknown"
    lines = [f"{answer['recipient']}   zone: {names} ({zone['source']})   at {answer['at']}"]
    for walk in answer["enrolments"]:
        lines.append(line_of(walk))
        for delivery in walk["deliveries"]:
            reason = f", {delivery['reason']}" if delivery["reason"] else ""
            lines.append(f"  {delivery['step']} · {delivery['channel']} · {delivery['state']}{reason} · {delivery['id']}")
            lines.append(f"    {delivery['text']}")
            checks = " ".join(f"{name}:{result}" for name, result in delivery["checks"])
            if checks:
                lines.append(f"    checks: {checks}")
            lines += [_passed(item, delivery["state"]) for item in delivery["history"]]
    if not answer["enrolments"]:
        lines.append("\nNo delivery was made for this recipient.")
    return "\n".join(lines)


def _passed(item: Mapping[str, Any], state: str) -> str:
    word = "reported" if item["reason"] in REPORTED and state in HANDED else "before"
    return f"    {word}: {item['reason']} {item['count']}x, {item['first']} to {item['last']}"
