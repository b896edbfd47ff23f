"""The conformance kit that every channel must pass: `homing plugins test NAME`, or from an author's own tests.

    from plugins.testing import check_channel

    def test_dialler_conforms():
        report = check_channel(Dialler, {"url": "https://api.dialler.example/calls", "token": "t"})
        assert report.passed, report.text()

Light to import; the parts that need an HTTP library load it when a channel is played.
"""

from plugins.testing.audience_kit import AudienceReport, check_audience, run_audience_conformance, some_members
from plugins.testing.conformance import check_channel, run_conformance
from plugins.testing.hooks import hook_request, with_header
from plugins.testing.http_peer import HttpPeer, Reply
from plugins.testing.peers import Act, Behaviour, FolderPeer, Peer
from plugins.testing.report import STATEMENTS, Finding, Report, Rule, Verdict
from plugins.testing.smtp_peer import SmtpPeer

__all__ = [
    "STATEMENTS",
    "Act",
    "AudienceReport",
    "Behaviour",
    "Finding",
    "FolderPeer",
    "HttpPeer",
    "Peer",
    "Reply",
    "Report",
    "Rule",
    "SmtpPeer",
    "Verdict",
    "check_audience",
    "check_channel",
    "hook_request",
    "run_audience_conformance",
    "run_conformance",
    "some_members",
    "with_header",
]
