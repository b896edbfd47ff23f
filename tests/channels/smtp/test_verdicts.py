"""What an answer means at its stage (facts/reliability.md §8 F8, F11; RFC 3463)."""

from __future__ import annotations

import pytest

from channels.smtp import verdicts
from channels.smtp.replies import Reply, ReplyReader
from plugins import Accepted, Deferred, Outcome, Rejected, Unknown


def reply(line: str) -> Reply:
    replies: list[Reply] = []
    ReplyReader().feed(line.encode() + b"\r\n", replies)
    return replies[0]


def brief(outcome: Outcome) -> str:
    """`rejected address`, `deferred domain throttled`, .."""
    if isinstance(outcome, Accepted | Unknown):
        return type(outcome).__name__.lower()
    words = [type(outcome).__name__.lower(), outcome.scope]
    if isinstance(outcome, Deferred) and outcome.throttled:
        words.append("throttled")
    return " ".join(words)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("550 5.1.1 <a@b.cd>: no such user", "rejected address"),
        ("550 5.1.2 bad domain", "rejected address"),
        ("556 5.1.10 null MX", "rejected address"),
        ("553 5.1.3 bad syntax", "rejected address"),
        ("501 5.1.3 bad syntax", "rejected address"),
        ("553 5.1.8 sender domain does not exist", "rejected message"),
        ("550 no such user here", "rejected address"),
        ("550 User unknown", "rejected address"),
        ("550 mailbox unavailable", "rejected address"),
        ("550 Requested action not taken", "rejected message"),
        ("552 5.2.2 mailbox full", "rejected message"),
        ("550 5.2.2 over quota", "rejected message"),
        ("552 5.3.4 too big", "rejected message"),
        ("554 5.7.1 policy", "rejected message"),
        ("550 5.7.26 unauthenticated mail", "rejected message"),
        ("554 5.7.1 <a@b.cd>: Relay access denied", "deferred operator"),
        ("550 Relaying denied", "deferred operator"),
        ("530 5.7.0 Authentication required", "deferred operator"),
        ("550 5.7.1 authentication required", "deferred operator"),
        ("503 5.5.1 need MAIL", "deferred provider"),
        ("354 what", "deferred provider"),
        ("421 4.3.2 closing", "deferred provider throttled"),
        ("421 4.7.28 rate", "deferred provider throttled"),
        ("450 4.7.1 greylisted", "deferred domain throttled"),
        ("451 4.7.500 busy", "deferred domain throttled"),
        ("451 4.3.0 local error", "deferred provider"),
        ("452 4.3.1 no space", "deferred provider"),
        ("451 4.4.1 no route", "deferred domain"),
        ("452 4.2.2 mailbox full", "deferred message"),
        ("450 mailbox busy", "deferred message"),
        ("450 too many messages, slow down", "deferred domain throttled"),
        ("451 Greylisted, try again later", "deferred domain throttled"),
    ],
)
def test_an_answer_to_rcpt(line: str, wanted: str) -> None:
    """5.1.x and "user unknown" end the address, policy and size only the message, 4xx by status."""
    assert brief(verdicts.refused_at_rcpt(reply(line))) == wanted


@pytest.mark.parametrize(
    ("line", "own", "wanted"),
    [
        ("550 5.7.1 sender refused", False, "deferred operator"),
        ("550 5.7.1 sender refused", True, "deferred message"),
        ("553 5.1.8 sender domain", False, "deferred operator"),
        ("530 5.7.0 STARTTLS first", True, "deferred operator"),
        ("552 5.3.4 too big", False, "rejected message"),
        ("550 5.6.7 needs SMTPUTF8", False, "rejected message"),
        ("451 4.3.0 local error", False, "deferred provider"),
        ("450 4.7.1 slow down", False, "deferred provider throttled"),
        ("452 insufficient storage", True, "deferred provider"),
        ("421 bye", False, "deferred provider throttled"),
        ("500 what", False, "deferred provider"),
    ],
)
def test_an_answer_to_mail_never_blames_the_recipient(line: str, own: bool, wanted: str) -> None:
    """A sender that the relay does not like would else end a whole job in minutes."""
    assert brief(verdicts.refused_at_mail(reply(line), own_sender=own)) == wanted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("554 5.7.1 no", "rejected message"),
        ("550 5.1.1 no such user", "rejected address"),
        ("550 no such user", "rejected message"),
        ("451 4.3.0 local error", "deferred provider"),
        ("451 wait", "deferred provider"),
        ("250 ok", "deferred provider"),
        ("503 bad sequence", "deferred provider"),
    ],
)
def test_an_answer_to_data(line: str, wanted: str) -> None:
    """250 or 503 to DATA is a conversation out of step."""
    assert brief(verdicts.refused_at_data(reply(line))) == wanted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("250 2.0.0 Ok: queued as ABC", "accepted"),
        ("251 fine", "accepted"),
        ("354 go on", "unknown"),
        ("451 4.3.0 error", "deferred provider"),
        ("451 error", "deferred message"),
        ("450 4.7.1 later", "deferred domain throttled"),
        ("421 bye", "deferred provider throttled"),
        ("550 5.1.1 no such user", "rejected address"),
        ("552 too big", "rejected message"),
        ("554 5.7.1 spam", "rejected message"),
        ("530 5.7.0 sign in first", "deferred operator"),
        ("503 bad sequence", "rejected message"),
        ("500 what", "rejected message"),
    ],
)
def test_an_answer_to_the_final_dot(line: str, wanted: str) -> None:
    """F8: 4xx is Deferred, 5xx is Rejected, 2xx is Accepted; a 3xx says nothing."""
    assert brief(verdicts.answered_dot(reply(line))) == wanted


def test_the_evidence_names_the_stage_and_the_answer() -> None:
    """What `explain` shows."""
    outcome = verdicts.refused_at_rcpt(reply("550 5.1.1 no such user"))
    assert outcome == Rejected(scope="address", code="550 5.1.1", detail="RCPT: 5.1.1 no such user")
    assert verdicts.answered_dot(reply("250 2.0.0 Ok: queued as Q7")) == Accepted(provider_id="Q7", detail="2.0.0 Ok: queued as Q7")
