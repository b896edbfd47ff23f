"""The kit's scenes of what comes back: a channel that believes forgeries, falls over garbage or settles by guess is found out."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from plugins import Accepted, BadSignature, Context, Deferred, Doubt, Feedback, Settled, WebhookRequest
from plugins.testing import Report, Rule, Verdict, hook_request, run_conformance, with_header
from tests.unit.plugins.faulty.base import Sound
from tests.unit.plugins.test_conformance import SETTINGS


def sign(request: WebhookRequest, token: str) -> str:
    return hmac.digest(token.encode(), request.url.encode() + request.body, "sha256").hex()


def genuine(context: Context[Any]) -> WebhookRequest:
    """As the provider would post it."""
    request = hook_request(url=context.hook_url, json={"id": "e1", "delivery": "K1T0000000001", "kind": "delivered"})
    return with_header(request, "X-Signature", sign(request, context.settings.token.reveal()))


class Listens(Sound):
    """Takes feedback and looks doubts up, as it should."""

    name = "listens"

    def parse_feedback(self, request: WebhookRequest) -> Any:
        if not hmac.compare_digest(request.headers.get("x-signature", ""), sign(request, self.context.settings.token.reveal())):
            raise BadSignature
        event = json.loads(request.body)
        return [Feedback(kind=event["kind"], delivery=event["delivery"], id=event["id"])]

    async def reconcile(self, doubts: Sequence[Doubt]) -> Any:
        async with self.context.http.get(self.context.settings.url) as reply:
            if reply.status != 200:
                return {}
        return {doubt.id: Accepted() for doubt in doubts if doubt.message is not None}


class Believes(Listens):
    def parse_feedback(self, request: WebhookRequest) -> Any:
        return [Feedback(kind="delivered", provider_id="SM1")]


class Falls(Listens):
    def parse_feedback(self, request: WebhookRequest) -> Any:
        return [json.loads(request.body)["event"]["kind"]]


class Waits(Listens):
    async def parse_feedback(self, request: WebhookRequest) -> Any:
        return []


class SignsTheHeadOnly(Listens):
    def parse_feedback(self, request: WebhookRequest) -> Any:
        if len(request.headers.get("x-signature", "")) != 64:
            raise BadSignature
        return [Feedback(kind="delivered", delivery="K1T0000000001")]


class Counts(Listens):
    seen = 0

    def parse_feedback(self, request: WebhookRequest) -> Any:
        found = super().parse_feedback(request)
        self.seen += 1
        return [Feedback(kind="delivered", delivery=found[0].delivery, id=str(self.seen))]


class NamesNobody(Listens):
    def parse_feedback(self, request: WebhookRequest) -> Any:
        return [Feedback(kind=each.kind) for each in super().parse_feedback(request)]


class Guesses(Listens):
    async def reconcile(self, doubts: Sequence[Doubt]) -> Any:
        try:
            return await super().reconcile(doubts) or {doubt.id: Deferred() for doubt in doubts}
        except OSError:
            return {doubt.id: Deferred() for doubt in doubts}


class NeedsTheMessage(Listens):
    async def reconcile(self, doubts: Sequence[Doubt]) -> Mapping[str, Settled]:
        return {doubt.id: Accepted() for doubt in doubts if doubt.message.text}  # type: ignore[union-attr]


class AnswersForAll(Listens):
    async def reconcile(self, doubts: Sequence[Doubt]) -> Any:
        return {"another": Accepted()}


class Lists(Listens):
    async def reconcile(self, doubts: Sequence[Doubt]) -> Any:
        return [Accepted()]


def verdicts(report: Report) -> dict[Rule, Verdict]:
    return {finding.rule: finding.verdict for finding in report.findings}


async def test_a_channel_that_listens_well_passes() -> None:
    """Each rule is checked, given a request of its provider; without one, all but what that is for."""
    report = await run_conformance(Listens, SETTINGS, hook=genuine, patience=2.0)
    assert report.passed, report.text()
    assert set(verdicts(report).values()) == {Verdict.PASSED}
    assert {Rule.FORGED, Rule.GARBAGE, Rule.GENUINE, Rule.RECONCILE} <= verdicts(report).keys()
    without = verdicts(await run_conformance(Listens, SETTINGS, patience=2.0))
    assert {rule for rule, verdict in without.items() if verdict is not Verdict.PASSED} == {Rule.GENUINE}


async def test_a_channel_that_only_sends_is_not_asked() -> None:
    """The rules of what comes back do not stand in its report."""
    report = await run_conformance(Sound, SETTINGS, hook=genuine, patience=2.0)
    assert not {Rule.FORGED, Rule.GARBAGE, Rule.GENUINE, Rule.RECONCILE} & verdicts(report).keys()


@pytest.mark.parametrize(
    ("kind", "rule", "what"),
    [
        (Believes, Rule.FORGED, "it believed a form without a signature"),
        (Falls, Rule.GARBAGE, "it raised"),
        (Waits, Rule.GARBAGE, "parse_feedback is a coroutine"),
        (SignsTheHeadOnly, Rule.FORGED, "with one byte more"),
        (Counts, Rule.GENUINE, "twice gave two different answers"),
        (NamesNobody, Rule.GENUINE, "names a delivery"),
        (Guesses, Rule.RECONCILE, "say nothing of what you do not know"),
        (NeedsTheMessage, Rule.RECONCILE, "may have no message"),
        (AnswersForAll, Rule.RECONCILE, "only what was asked"),
        (Lists, Rule.RECONCILE, "not a mapping"),
    ],
)
async def test_each_fault_is_found_under_its_rule(kind: type[Listens], rule: Rule, what: str) -> None:
    """With words that say what was seen."""
    report = await run_conformance(kind, SETTINGS, hook=genuine, patience=2.0)
    [finding] = [finding for finding in report.findings if finding.rule is rule]
    assert finding.verdict is Verdict.FAILED
    assert any(what in reason for reason in finding.reasons), finding.reasons
