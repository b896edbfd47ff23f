"""Each reported outcome becomes the right row: what burns an attempt, when to try again, what is in doubt."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.dispatch.outcome import BACKOFF, retry_after, to_result
from daemon.model.campaign import Campaign, Purpose
from daemon.model.delivery import HOUR, SECOND
from daemon.store.flight import Kind
from plugins.contract import Accepted, Deferred, Rejected, Unknown

NOW = 1_780_000_000 * SECOND


def envelope(attempts: int = 0, doubted: bool = False, campaign: Campaign | None = None) -> Any:
    row = SimpleNamespace(delivery=5, attempts=attempts, doubted=doubted)
    return SimpleNamespace(claimed=SimpleNamespace(row=row, epoch=9), plan=SimpleNamespace(campaign=campaign or Campaign(name="c")))


def result(outcome: object, **more: Any) -> Any:
    return to_result(envelope(**more), outcome, NOW, random.Random(1))


@pytest.mark.parametrize(
    ("outcome", "burnt"),
    [
        (Deferred(code="451"), True),
        (Deferred(scope="domain", code="450"), True),
        (Deferred(throttled=True, code="421"), False),
        (Deferred(nothing_sent=True), False),
        (Deferred(scope="provider", detail="connection refused"), False),
        (Deferred(scope="operator", code="535"), False),
    ],
)
def test_only_answers_about_the_message_use_up_an_attempt(outcome: Deferred, burnt: bool) -> None:
    """Throttling, an unused grant and a failing provider are not the message's fault."""
    assert result(outcome).burnt is burnt


def test_the_last_attempt_ends_it() -> None:
    """After the last allowed try a further temporary failure is final; a throttle answer never is."""
    assert result(Deferred(code="451"), attempts=BACKOFF.attempts - 1).exhausted
    assert not result(Deferred(code="451"), attempts=BACKOFF.attempts - 2).exhausted
    assert not result(Deferred(throttled=True), attempts=BACKOFF.attempts + 5).exhausted


@pytest.mark.promise("F43")
@pytest.mark.parametrize("odd", [None, "accepted", 250, object(), Accepted])
def test_anything_else_than_an_outcome_is_in_doubt(odd: object) -> None:
    """A plugin that reports nonsense after a handover may have sent: never again by the machine."""
    assert result(odd).kind is Kind.UNKNOWN


@pytest.mark.promise("P2")
def test_only_a_transactional_campaign_that_asks_for_it_gets_one_second_copy() -> None:
    """`on_doubt = "resend_once"`: once, and never for marketing."""
    asks = Campaign(name="c", purpose=Purpose.TRANSACTIONAL, on_doubt="resend_once")
    assert result(Unknown(), campaign=asks).resend
    assert not result(Unknown(), campaign=asks, doubted=True).resend
    assert not result(Unknown(), campaign=replace(asks, purpose=Purpose.MARKETING)).resend
    assert not result(Unknown(), campaign=replace(asks, on_doubt="hold")).resend


@pytest.mark.promise("F10")
def test_a_providers_words_are_bounded_and_printable() -> None:
    """What a relay says goes to logs and screens: no control characters, no megabytes."""
    kept = result(Rejected(code="550", detail="no\r\n\x1b[31muser" + "x" * 5000))
    assert "\r" not in kept.detail and "\x1b" not in kept.detail and len(kept.detail) <= 500


@pytest.mark.promise("F11")
@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (30, 30 * SECOND), ("120", 120 * SECOND), ("-5", 0), ("nan", 0), ("soon", None), (1e12, 24 * HOUR),
     ("Thu, 28 May 2026 20:27:40 GMT", 60 * SECOND), ("Thu, 28 May 2020 00:00:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_reads_seconds_and_dates(value: str | float | None, expected: int | None) -> None:
    """RFC 9110 §10.2.3: delta seconds or an HTTP date; what lies in the past is now, what makes no sense is nothing."""
    assert retry_after(value, NOW) == expected


def test_a_provider_that_cannot_be_reached_is_not_asked_again_at_once() -> None:
    """Also when the grant is given back: else claim, grant and failure would chase each other without a pause."""
    assert result(Deferred(nothing_sent=True, scope="provider", code="not_sent")).again_at >= NOW + 15 * SECOND
    assert result(Deferred(nothing_sent=True)).again_at == NOW
