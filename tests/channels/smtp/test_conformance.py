"""The SMTP channel before the kit that each channel must pass."""

from __future__ import annotations

import pytest

from channels.smtp import SmtpChannel
from plugins.testing.conformance import check_channel
from plugins.testing.report import Rule, Verdict


def test_the_channel_passes_the_conformance_kit() -> None:
    """Every rule is checked, none is broken."""
    report = check_channel(SmtpChannel, {"from": "Kedai <hello@mail.example.com>"})
    of_feedback = {Rule.GENUINE, Rule.FORGED, Rule.GARBAGE, Rule.RECONCILE}  # a relay posts nothing back
    assert {finding.rule: finding.verdict for finding in report.findings} == dict.fromkeys(set(Rule) - of_feedback, Verdict.PASSED)
    assert not report.notes


@pytest.mark.parametrize("pool", [1, 3])
def test_it_does_so_with_any_number_of_connections(pool: int) -> None:
    """With one connection all batches wait for it."""
    report = check_channel(SmtpChannel, {"from": "hello@mail.example.com", "pool": pool, "messages_per_connection": 2})
    assert all(finding.verdict is not Verdict.FAILED for finding in report.findings), report.findings
