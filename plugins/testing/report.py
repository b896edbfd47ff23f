"""What the conformance kit has to say: the rules, one finding for each, and the report as text or JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Rule(StrEnum):
    """What every channel must keep to. The text of each is `STATEMENTS[rule]`."""

    SHAPE = "shape"
    HANDOVER_FIRST = "handover_first"
    UNIT = "unit"
    ONLY_GRANTED = "only_granted"
    SENT_ONCE = "sent_once"
    REPORT_ONCE = "report_once"
    OUTCOMES = "outcomes"
    NO_RAISE = "no_raise"
    RETURNS = "returns"
    GRANT_DEADLINE = "grant_deadline"
    DOUBT = "doubt"
    REFUSAL = "refusal"
    GIVES_BACK = "gives_back"
    PARALLEL = "parallel"
    CLOSING = "closing"
    START_STOP = "start_stop"
    SECRETS = "secrets"
    FORGED = "forged"
    GARBAGE = "garbage"
    GENUINE = "genuine"
    RECONCILE = "reconcile"


STATEMENTS: Mapping[Rule, str] = {
    Rule.SHAPE: "the class has the attributes and coroutine methods of a channel, and can be made",
    Rule.HANDOVER_FIRST: "nothing that may be acted upon leaves before handover is granted for it",
    Rule.UNIT: "handover is asked for no more messages than go out in one irreversible act (capabilities.unit)",
    Rule.ONLY_GRANTED: "what is not granted is neither sent nor reported",
    Rule.SENT_ONCE: "one grant, one act: nothing that may have been acted upon is sent again",
    Rule.REPORT_ONCE: "each granted message is reported exactly once, before send() returns, to the session it came from",
    Rule.OUTCOMES: "what is reported is an Accepted, Rejected, Deferred or Unknown with valid fields",
    Rule.NO_RAISE: "send() and send_one() raise nothing while the provider answers as usual",
    Rule.RETURNS: "send() returns",
    Rule.GRANT_DEADLINE: "a grant older than 10 s is not used but given back: Deferred(nothing_sent=True)",
    Rule.DOUBT: "a message that the provider took without an answer, or answered with HTTP 500, is Unknown",
    Rule.REFUSAL: "what the provider refused is not reported as Accepted, what it throttled not as Rejected",
    Rule.GIVES_BACK: "with the provider out of reach nothing is reported as Accepted or Rejected",
    Rule.PARALLEL: "several send() at once (up to capabilities.concurrency) do not get in each other's way",
    Rule.CLOSING: "while the daemon drains, nothing new is started",
    Rule.START_STOP: "stop() bears never having been started and being called twice, and leaves nothing running",
    Rule.SECRETS: "no secret of the settings appears in the log",
    Rule.FORGED: "parse_feedback() believes nothing that the provider did not sign",
    Rule.GARBAGE: "parse_feedback() raises nothing but BadSignature and ValueError, whatever comes",
    Rule.GENUINE: "parse_feedback() understands its provider's request, and the same twice alike",
    Rule.RECONCILE: "reconcile() settles what it was asked about and what its provider said, and nothing else",
}


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule's verdict. `reasons`: what went wrong, or why it could not be checked; the first says most."""

    rule: Rule
    verdict: Verdict
    reasons: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        return STATEMENTS[self.rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The kit's answer for one channel. `notes` are worth reading but fail nothing."""

    name: str
    peer: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if no rule failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The rules that failed, in the order of `Rule`."""
        return tuple(finding for finding in self.findings if finding.verdict is Verdict.FAILED)

    def text(self) -> str:
        """For eyes: one line a rule, the reasons below it."""
        checked = sum(finding.verdict is not Verdict.NOT_CHECKED for finding in self.findings)
        state = "conforms" if self.passed else f"does not conform: rules broken: {len(self.failed)}"
        lines = [f"{self.name} {state} ({checked} of {len(self.findings)} rules checked; peer: {self.peer})"]
        marks = {Verdict.PASSED: "ok  ", Verdict.FAILED: "FAIL", Verdict.NOT_CHECKED: "-   "}
        for finding in self.findings:
            lines.append(f"  {marks[finding.verdict]} {finding.rule.value:<15} {finding.statement}")
            lines += [f"       {'':<15} > {reason}" for reason in finding.reasons]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For machines: the same."""
        return {
            "name": self.name,
            "passed": self.passed,
            "peer": self.peer,
            "rules": [
                {"rule": each.rule.value, "verdict": each.verdict.value, "statement": each.statement, "reasons": list(each.reasons)}
                for each in self.findings
            ],
            "notes": list(self.notes),
        }
