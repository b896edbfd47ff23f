"""The kit finds each deliberate fault and says what it is; a sound channel passes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from plugins.testing import HttpPeer, Reply, Report, Rule, Verdict, check_channel, run_conformance
from plugins.testing.hearing import HEARING
from plugins.testing.wiring import KIT_SECRET
from tests.unit.plugins.faulty.base import Sound

FAULTY = Path(__file__).with_name("faulty")
SETTINGS = {"url": "https://api.provider.example/calls", "token": "canary-5150"}
PATIENCE = 0.4

FAULTS: dict[str, tuple[Rule, str]] = {
    "sends_first": (Rule.HANDOVER_FIRST, r"K1T\d+ was on the wire before its handover was granted"),
    "never_asks": (Rule.HANDOVER_FIRST, r"K1T\d+ was sent without asking for handover"),
    "whole_batch": (Rule.UNIT, r"asked for 5 messages at once, but one act carries 1"),
    "whole_batch_in_disguise": (Rule.UNIT, r"asked for 5 messages at once, but they went out in 5 separate acts"),
    "sends_refused": (Rule.ONLY_GRANTED, r"K1T\d+ was sent although its handover was not granted"),
    "reports_refused": (Rule.ONLY_GRANTED, r"reported K1T\d+ although its handover was not granted"),
    "raises": (Rule.NO_RAISE, r"send\(\) raised LookupError: no such field: sid"),
    "raises_one": (Rule.NO_RAISE, r"send_one\(\) raised KeyError: 'X-Missing'"),
    "returns_text": (Rule.OUTCOMES, r"send_one\(\) returned str, which is no outcome"),
    "reports_text": (Rule.OUTCOMES, r"reported K1T\d+ as 'sent', which is no Accepted"),
    "hangs": (Rule.RETURNS, r"send\(\) did not return within 0.4 s"),
    "blocks": (Rule.RETURNS, r"blocks the event loop at .*blocks\.py:\d+ \(post\)"),
    "reports_twice": (Rule.REPORT_ONCE, r"reported K1T\d+ 2 times"),
    "never_reports": (Rule.REPORT_ONCE, r"K1T\d+ was granted and never reported"),
    "reports_late": (Rule.REPORT_ONCE, r"after send\(\) had returned"),
    "keeps_old_grants": (Rule.GRANT_DEADLINE, r"K1T\d+ was sent 11 s after handover was asked for"),
    "sends_twice": (Rule.SENT_ONCE, r"K1T\d+ went out 2 times under one grant"),
    "always_accepted": (Rule.REFUSAL, r"answered too many, try later for K1T\d+; it was reported Accepted\(\)"),
    "never_in_doubt": (Rule.DOUBT, r"took K1T\d+ without an answer; reported Deferred\(scope=\"message\", nothing_sent=True\)"),
    "calls_a_failure_later": (Rule.DOUBT, r"answered 500 for K1T\d+, which may have been taken; reported Deferred\(scope=\"message\"\)"),
    "mixes_sessions": (Rule.PARALLEL, r"which is not in the batch of this session"),
    "ignores_closing": (Rule.CLOSING, r"although session.closing was true before send\(\) began"),
    "leaves_a_task": (Rule.START_STOP, r"stop\(\) left a task running: Channel.keep_house"),
    "stops_once": (Rule.SHAPE, r"AttributeError: 'Channel' object has no attribute 'pool'"),
    "logs_its_token": (Rule.SECRETS, r"secret of the settings was written to the log"),
    "exits": (Rule.NO_RAISE, r"raised SystemExit, which ends the whole process"),
    "cannot_be_ended": (Rule.RETURNS, r"did not return within 0.4 s, and did not end when it was cancelled"),
    "hangs_before_asking": (Rule.RETURNS, r"did not return within 0.4 s \(it never asked for handover\)"),
    "hangs_in_stop": (Rule.START_STOP, r"stop\(\) did not return within 0.4 s"),
    "raises_before_asking": (Rule.NO_RAISE, r"send\(\) raised AttributeError: 'Message' object has no attribute 'price'"),
    "own_session": (Rule.HANDOVER_FIRST, r"K1T\d+ was on the wire before its handover was granted"),
    "asks_with_text": (Rule.OUTCOMES, r"handover was given the text 'K1T\d+' instead of a list of ids"),
    "has_no_send": (Rule.SHAPE, r"Channel has no `async def send`"),
}


def reasons(report: Report, rule: Rule) -> str:
    return "\n".join(reason for finding in report.failed if finding.rule is rule for reason in finding.reasons)


def test_every_wrong_channel_is_in_the_table() -> None:
    """A fault without an expected reason is no test."""
    assert {path.stem for path in FAULTY.glob("*.py")} == FAULTS.keys() | {"base"}
    assert all(len(path.read_text().splitlines()) <= 40 for path in FAULTY.glob("*.py") if path.stem != "base")


@pytest.mark.promise("F43")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_channel_fails_with_a_clear_reason(fault: str) -> None:
    """Each fault breaks the rule it is meant to break, and the reason says what was seen."""
    channel: Any = importlib.import_module(f"tests.unit.plugins.faulty.{fault}").Channel
    rule, reason = FAULTS[fault]
    report = check_channel(channel, SETTINGS, patience=PATIENCE)
    if fault == "cannot_be_ended":
        importlib.import_module("tests.unit.plugins.faulty.cannot_be_ended").done.set()
    assert not report.passed
    assert re.search(reason, reasons(report, rule)), report.text()


async def test_a_sound_channel_passes_every_rule() -> None:
    """Nothing is left unchecked for a channel that speaks HTTP, and nothing is noted."""
    report = await run_conformance(Sound, SETTINGS, patience=2.0)
    assert report.passed, report.text()
    assert {finding.verdict for finding in report.findings} == {Verdict.PASSED}
    assert report.notes == ()
    assert report.text().startswith("sound conforms (17 of 17 rules checked; peer: HTTP server of the kit)")
    assert [rule["rule"] for rule in report.as_json()["rules"]] == [rule.value for rule in Rule if rule not in HEARING]


async def test_settings_that_lead_to_the_provider_may_be_left_out() -> None:
    """`homing plugins test NAME` without settings: the url is the kit's, a secret any."""
    peer = HttpPeer(Reply(204))
    report = await run_conformance(Sound, peer=peer)
    assert report.passed, report.text()
    assert KIT_SECRET not in report.text()
